"""A learner alone: her own notebook graded like a submission, without a class, a gradebook or anything kept."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from autograder import fanout, intake, judge, rubric, sandbox
from autograder.engines import Engines
from autograder.results import Judgement
from servelab import course, i18n, paths
from servelab.errors import ServelabError
from servelab.i18n import _, speaking
from servelab.notebooks import source as sources
from servelab.notebooks.source import Source


@dataclass(frozen=True)
class Own:
    """A learner's notebook, judged: the marks, the clean notebook they stand in, and what to do next, in sentences."""

    source: Source
    judgement: Judgement
    notebook: NotebookNode
    advice: tuple[str, ...]


def find(notebook: str) -> tuple[Source, Path]:
    """The learner's copy of a notebook, by its id in the workspace and language she uses, or by its file.

    Raises:
        ServelabError: the course has no such notebook with exercises, or the workspace no copy.
    """
    path = Path(notebook)
    if path.suffix == ".ipynb":
        source = next((s for s in sources.ready() if s.path.name == path.name), None)
        if source is None or not path.is_file():
            raise ServelabError(
                _("{file} is no notebook of this course: name it by its id, like 1.3.").format(file=path)
            )
        return source, path
    entry = course.load().notebook(notebook)
    if not entry.ready:
        raise ServelabError(_("The notebook {id} is not written yet.").format(id=entry.id))
    try:
        workspace = paths.workspace()
    except ServelabError:
        workspace = paths.ROOT / "workspace"
    path = workspace / i18n.language() / entry.delivered
    if not path.is_file():
        copies = [workspace / lang / entry.delivered for lang in i18n.languages()]
        path = next((copy for copy in copies if copy.is_file()), path)
    if not path.is_file():
        raise ServelabError(
            _("Your workspace has no notebook {id}: open the course once with `make lab`.").format(id=entry.id)
        )
    return Source(entry), path


def grade(source: Source, path: Path, seed: int | None = None, unsafe: bool = False) -> Own:
    """Judge one notebook in this process.

    Args:
        seed: of the checks' inputs (default: new ones each time).
        unsafe: without a sandbox, where the machine has none.

    Raises:
        ServelabError: the machine has no sandbox, and `unsafe` is not set.
    """
    isolation = sandbox.isolation(unsafe)
    read = fanout.best(source, {i18n.SOURCE: path})
    with speaking(i18n.language()), Engines() as engines:
        judgement = judge.judge(
            source,
            read,
            seed=secrets.randbelow(2**31) if seed is None else seed,
            isolation=isolation,
            engines=engines,
        )
        notebook = intake.rebuild(source, read, judgement)
        return Own(source, judgement, notebook, tuple(_advice(judgement)))


def _advice(judgement: Judgement) -> list[str]:
    """What to do next."""
    again = [mark for mark in judgement.marks if mark.earned < mark.points]
    if again:
        first = max(again, key=lambda mark: mark.points - mark.earned)
        return [_("Next: exercise {name}, where most is missing.").format(name=first.exercise)]
    done = rubric.results_of({"": {"": (judgement,)}}, "")
    return [_("Everything holds."), rubric.onward(done)]


def write(own: Own, path: Path) -> Path:
    """The graded notebook as a page that asks the network for nothing."""
    from autograder.preprocessors import HideTests, page

    nb, _resources = HideTests().preprocess(own.notebook, {})
    for exercise in own.source.exercises():
        cell = next(cell for cell in nb.cells if cell.id == exercise.test.id)
        cell.metadata.nbgrader.score = own.judgement.mark(exercise.name).earned
    about = {"score": own.judgement.earned, "max_score": own.judgement.points}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(nb, own.source, own.judgement, about, i18n.language()))
    return path
