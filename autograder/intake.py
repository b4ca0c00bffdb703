"""What a learner handed in, read without trust; and the clean notebook that it becomes.

Of a submitted file only source texts are taken: the answers, and cells of the learner's own. Everything else
(test cells, metadata, outputs, order, format) comes from the course, so that nothing a file says about itself counts.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from autograder.results import Judgement, Mark
from servelab.i18n import _
from servelab.notebooks.release import release
from servelab.notebooks.source import OPENING, Source

FILE_BYTES = 10 * 2**20
CELL_CHARACTERS = 200_000
OWN_CELLS = 200
OWN = "OWN-"
"""How the ids of a learner's own cells begin in a rebuilt notebook; the course's are in small letters."""


@dataclass(frozen=True)
class Cell:
    """A cell of the learner's: her answer to the answer cell `answer`, or one that she wrote or changed (None)."""

    source: str
    answer: str | None = None


@dataclass(frozen=True)
class Intake:
    """One submitted notebook.

    Attributes:
        language: of the copy.
        cells: answers (every one, in the course's order) and the learner's own code cells, where she put them.
        notes: what was wrong with the file, a sentence each.
        answered: how many answers differ from what was released.
    """

    language: str
    cells: tuple[Cell, ...]
    notes: tuple[str, ...]
    answered: int

    @property
    def answers(self) -> dict[str, str]:
        """The answers: {id of the answer cell: its source}."""
        return {cell.answer: cell.source for cell in self.cells if cell.answer}

    @property
    def digest(self) -> str:
        """Digest of all that is graded."""
        told = json.dumps([(cell.answer, cell.source) for cell in self.cells])
        return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()


@lru_cache(maxsize=64)
def _released(path: Path, lang: str) -> NotebookNode:
    from servelab.notebooks import source as sources

    return release(next(s for s in sources.ready() if s.path == path), lang)


def released(source: Source, lang: str) -> NotebookNode:
    """The notebook as learners received it; not to be changed."""
    return _released(source.path, lang)


def blank_answer(source: Source, id: str) -> str:
    """An answer cell's text as learners received it."""
    return next(cell.source for cell in released(source, "en").cells if cell.id == id)


def read(path: Path, source: Source, lang: str = "en") -> Intake:
    """Read a submitted notebook; whatever is wrong with it becomes a note.

    Args:
        path: the file; it may be missing.
        source: the course's notebook that it answers.
        lang: the language of the copy that was handed in.
    """
    notes: list[str] = []
    given = list(_submitted(path, notes))
    blank = released(source, lang)
    course = {cell.id: cell.source for cell in blank.cells}
    sources = set(course.values())
    answers = {e.answer.id for e in source.exercises()}
    found: dict[str, str] = {}
    order: list[Cell] = []
    for id, kind, text in given:
        if id in answers:
            if kind != "code":
                notes.append(_("The answer cell {id} was no code cell any more; its text was taken.").format(id=id))
            if id in found:
                notes.append(
                    _("The answer cell {id} stands more than once; the last one changed counts.").format(id=id)
                )
            if id not in found:
                order.append(Cell("", id))
            if id not in found or text.strip() != course[id].strip():
                found[id] = text
        elif kind == "code" and text.strip() and text not in sources and not id.endswith("-test") and id != OPENING:
            order.append(Cell(text))
    own = [cell for cell in order if not cell.answer]
    if len(own) > OWN_CELLS:
        notes.append(_("Only the first {n} cells of your own were executed.").format(n=OWN_CELLS))
        last = [n for n, cell in enumerate(order) if not cell.answer][OWN_CELLS]
        order = [cell for n, cell in enumerate(order) if cell.answer or n < last]
    missing = [e.answer.id for e in source.exercises() if e.answer.id not in found]
    if given:
        notes += [_("The answer cell {id} is missing.").format(id=id) for id in missing]
    cells = [Cell(found[cell.answer], cell.answer) if cell.answer else cell for cell in order]
    cells += [Cell(course[id], id) for id in missing]
    changed = sum(found[id].strip() != course[id].strip() for id in found)
    return Intake(lang, tuple(cells), tuple(dict.fromkeys(notes)), changed)


def _submitted(path: Path, notes: list[str]) -> Iterator[tuple[str, str, str]]:
    """(id, type, source) of each cell in the file; nothing where it is no notebook, with a note that says so."""
    try:
        content = _content(path)
        if content is None:
            notes.append(_("There is no notebook {name}.").format(name=path.name))
            return
        if len(content) > FILE_BYTES:
            notes.append(
                _("{name} is larger than {n} MiB: clear its outputs and hand it in again.").format(
                    name=path.name, n=FILE_BYTES // 2**20
                )
            )
            return
        data = json.loads(content.decode("utf-8-sig", "replace"))
        cells = data["cells"] if "cells" in data else [c for sheet in data["worksheets"] for c in sheet["cells"]]
        if not isinstance(cells, list):
            raise TypeError
        cells = [c for c in cells if isinstance(c, dict)]
    except (OSError, ValueError, RecursionError, MemoryError, KeyError, TypeError):
        notes.append(_("{name} is no notebook that can be read: save it in JupyterLab again.").format(name=path.name))
        return
    for cell in cells:
        kind = cell.get("cell_type")
        yield _id(cell), kind if isinstance(kind, str) else "", _text(cell)


def _content(path: Path) -> bytes | None:
    """The bytes of a plain file, one more than allowed at most; a link could lead to another's work or to a solution.

    Raises:
        OSError: it cannot be read.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe is not waited for
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None
        raise
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return None
        with open(file, "rb", closefd=False) as stream:
            return stream.read(FILE_BYTES + 1)
    finally:
        os.close(file)


def _id(cell: dict[str, Any]) -> str:
    """nbgrader's name of a cell, or its own; an editor that knows no ids keeps the metadata."""
    metadata = cell.get("metadata")
    nbgrader = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    name = nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None
    name = name if isinstance(name, str) else cell.get("id", "")
    return name if isinstance(name, str) else ""


def _text(cell: dict[str, Any]) -> str:
    text = cell.get("source", cell.get("input", ""))  # `input` before format 4
    if isinstance(text, list):
        text = "".join(part for part in text if isinstance(part, str))
    text = text if isinstance(text, str) else ""
    return text[:CELL_CHARACTERS].encode("utf-8", "replace").decode()


def rebuild(source: Source, intake: Intake, judgement: Judgement, lang: str | None = None) -> NotebookNode:
    """A clean notebook of the course with the learner's answers and own cells in it, and the marks as outputs.

    Each test cell shows a line for every property that does not hold, and ends with the points earned as the one
    result that nbgrader reads as a mark.
    """
    nb = nbformat.from_dict(json.loads(json.dumps(released(source, lang or intake.language))))
    marks = {e.test.id: judgement.mark(e.name) for e in source.exercises()}
    before: dict[str, list[str]] = {}
    waiting: list[str] = []
    for cell in intake.cells:
        if cell.answer:
            before[cell.answer], waiting = waiting, []
        else:
            waiting.append(cell.source)
    cells = []
    for cell in nb.cells:
        if cell.id in intake.answers:
            cells += _own(before.get(cell.id, []), cell.id)
            cell.source = intake.answers[cell.id]
        elif cell.id in marks:
            cell.outputs = outputs(marks[cell.id])
        cells.append(cell)
    nb.cells = cells + _own(waiting, "last")
    return nb


def _own(texts: list[str], beside: str) -> list[NotebookNode]:
    cells = [nbformat.v4.new_code_cell(text) for text in texts]
    for n, cell in enumerate(cells):
        cell.id = f"{OWN}{n}-{beside}"[:64]
    return cells


def outputs(mark: Mark) -> list[NotebookNode]:
    """What a graded test cell shows: why marks were lost, then the points."""
    lines = [mark.cause] if mark.cause else []
    lines += [_("Does not hold: {what}").format(what=p.message) for p in mark.failed]
    shown = [nbformat.v4.new_output("stream", name="stdout", text="\n".join(lines) + "\n")] if lines else []
    result = nbformat.v4.new_output("execute_result", data={"text/plain": repr(float(mark.earned))}, execution_count=1)
    return [*shown, result]
