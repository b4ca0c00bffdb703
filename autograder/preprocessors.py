"""What nbgrader's converters are given in place of their own parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from nbconvert.exporters import Exporter, NotebookExporter
from nbformat import NotebookNode
from nbgrader import utils
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import default

from autograder import classroom
from autograder.intake import OWN
from autograder.results import Judgement, load
from servelab.i18n import _, speaking
from servelab.notebooks import html
from servelab.notebooks.source import Source

HIDDEN = "BEGIN HIDDEN TESTS"
UNANSWERED = "No response."  # nbgrader's own comment, in English; the test cell says it in the learner's language


class Judge(NotebookExporter):
    """Reads a submission where nbgrader's Autograde would, and hands it on clean and judged.

    It takes nothing of the file but the answers, so nothing in it can trip nbgrader: a broken file, an old schema,
    a missing or a double cell end here. `servelab grade autograde` judges beforehand, in many processes, and gives
    Autograde clean notebooks from a folder of its own; what lies in `submitted` is judged here, at once. So the
    Autograde button of nbgrader's formgrader does what the command does.
    """

    def from_filename(self, filename: str, resources: dict[str, Any] | None = None, **kw: Any) -> tuple[Any, Any]:
        """The clean notebook of the submission that `filename` is part of; any other file as it is."""
        room = classroom.find(Path(self.parent.coursedir.root))
        if not Path(filename).is_relative_to(room.root / "submitted"):
            return super().from_filename(filename, resources, **kw)
        from autograder import pipeline

        about = resources["nbgrader"]
        source = next((s for s in classroom.assignment(about["assignment"]) if s.stem == about["notebook"]), None)
        if source is None:  # nbgrader passes over it
            return super().from_filename(filename, resources, **kw)
        return self.from_notebook_node(
            pipeline.judge_now(room, about["student"], about["assignment"], source), resources
        )


class HideTests(NbGraderPreprocessor):
    """Cuts the hidden tests out of test cells, to the cell's end whatever follows them."""

    def preprocess_cell(self, cell: NotebookNode, resources: dict, cell_index: int) -> tuple[NotebookNode, dict]:
        """The cell up to its hidden tests; what they printed or raised is not kept either."""
        if utils.is_grade(cell) and cell.cell_type == "code":
            cell.source = cell.source.partition(HIDDEN)[0].rstrip("# \n")
            cell.outputs = [o for o in cell.outputs if o.output_type == "stream" and o.name == "stdout"]
        return cell, resources


class Feedback(Exporter):
    """A graded notebook as a page in its learner's language: the marks, why some are missing, what a grader wrote.

    The page asks the network for nothing: it is made like the course's other pages, formulas as MathML.
    """

    @default("file_extension")
    def _file_extension_default(self) -> str:
        return ".html"

    def from_notebook_node(self, nb: NotebookNode, resources: Any = None, **kw: Any) -> tuple[str, Any]:
        """The page, after nbgrader's preprocessors have brought the marks into the notebook."""
        nb, resources = super().from_notebook_node(nb, resources, **kw)
        about = resources["nbgrader"]
        room = classroom.find(Path(self.parent.coursedir.root))
        source = next(s for s in classroom.assignment(about["assignment"]) if s.stem == about["notebook"])
        kept = load(room.root, about["assignment"], about["student"])
        judgement = next((j for j in kept if j.notebook == source.entry.id), None)
        lang = judgement.language if judgement else "en"
        with speaking(lang):
            return page(nb, source, judgement, about, lang), resources


def page(nb: NotebookNode, source: Source, judgement: Judgement | None, about: dict[str, Any], lang: str) -> str:
    """The page of a graded notebook whose cells carry nbgrader's scores: its exercises, and what became of them.

    Args:
        about: nbgrader's `score`, `max_score` and `late_penalty` of the whole notebook.
    """
    names, rows, cells = {}, [], []
    for exercise in source.exercises():
        names |= {exercise.test.id: exercise.name, exercise.answer.id: exercise.name}
    for before, cell in zip([None, *nb.cells], nb.cells, strict=False):
        told = cell.metadata.get("nbgrader")
        if not told:
            cells += [cell] if cell.id.startswith(OWN) else []
            continue
        if before is not None and before.cell_type == "markdown" and not before.metadata.get("nbgrader"):
            cells.append(before)  # the task
        if utils.is_grade(cell) or utils.is_task(cell):
            name = names.get(told.grade_id, told.grade_id)
            marks = _out_of(told.get("score") or 0, told.points)
            rows.append(f"| {name} | {marks} |")
            cells.append(_prose(f"**{name}: {marks}**"))
        cells.append(cell)
        if told.get("comment") not in (None, "", UNANSWERED):
            cells.append(_prose("> " + str(told["comment"]).replace("\n", "\n> ")))
    title = source.entry.title.get(lang)
    head = [
        f"# {source.entry.id} {title}",
        "",
        *(f"- {note}" for note in (judgement.notes if judgement else ())),
        "",
    ]
    head += [_("| exercise | marks |"), "|---|---|", *rows]
    head += [f"| **{_('together')}** | **{_out_of(about['score'], about['max_score'])}** |"]
    if about.get("late_penalty"):
        head += ["", _("Handed in late: {points:g} points were taken off.").format(points=about["late_penalty"])]
    shown = nbformat.v4.new_notebook(metadata=nb.metadata, cells=[_prose("\n".join(head)), *cells])
    return html.page(shown, f"{source.entry.id} {title}", lang)


def _prose(text: str) -> NotebookNode:
    return nbformat.v4.new_markdown_cell(text)


def _out_of(earned: float, points: float) -> str:
    return _("{earned:g} of {points:g}").format(earned=round(earned, 2), points=points)
