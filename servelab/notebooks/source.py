"""The committed notebooks: where they stand, what they are made of, and the rules they keep.

A source notebook carries no outputs, reads in one look, and holds its exercises as nbgrader cells. `problems`
tells every rule one breaks; the tests want none.
"""

from __future__ import annotations

import ast
import json
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from servelab import course
from servelab.errors import ServelabError
from servelab.lessons import texts
from servelab.paths import ASSETS, ROOT

OPENING = "opening"
CODE_LINES = 25
EXERCISE_LINES = 40
EXERCISES = 2
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+\.ipynb)(#[^)\s]*)?\)")
_CELL_ID = re.compile(r"[a-z0-9]+([-_][a-z0-9]+)*")
_RANDOM_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f-]{9,})?")
_INSTALL = re.compile(r"^\s*[%!]\s*(pip|conda|apt|uv)\b", re.MULTILINE)
_ASSESSMENT = {"item": str, "difficulty": int, "importance": int, "minutes": int}


@dataclass(frozen=True)
class Exercise:
    """One exercise: the cell to fill in, the cell that judges it, and what the judging cell says about it.

    Attributes:
        name: as the learner sees it, e.g. `1.3-goodput`; the cells are `1-3-goodput-answer` and `-test`
            (neither nbformat nor nbgrader allows a dot in an id).
        context: ids of the cells whose names the two cells may use.
        engine: judged on a running server.
    """

    name: str
    answer: NotebookNode
    test: NotebookNode
    points: float
    item: str
    difficulty: int
    importance: int
    minutes: int
    context: tuple[str, ...]
    engine: bool


class Source:
    """One committed notebook and its place in the course."""

    def __init__(self, entry: course.Notebook) -> None:
        self.entry = entry
        self.path = ROOT / entry.path

    @property
    def stem(self) -> str:
        """The file's name without its ending; also the name of its catalogues."""
        return self.path.stem

    @cached_property
    def notebook(self) -> NotebookNode:
        """The notebook as it is on disk.

        Raises:
            ServelabError: the course says it is ready, but it is not there or cannot be read.
        """
        return read(self.path)

    @cached_property
    def cells(self) -> dict[str, NotebookNode]:
        """The cells by id."""
        return {cell.id: cell for cell in self.notebook.cells}

    @property
    def texts(self) -> texts.Texts:
        """The English of the lesson's questions, from `assets/lessons/<id>.toml`; empty where it asks nothing."""
        return texts.source(self.entry.id, ASSETS / "lessons")

    def exercises(self) -> list[Exercise]:
        """The exercises in their order.

        Raises:
            ServelabError: an answer without its test, or a test that does not say what it assesses.
        """
        found = []
        prefix = self.entry.id.replace(".", "-")
        for cell in self.notebook.cells:
            if not _nbgrader(cell).get("grade") or _nbgrader(cell).get("solution"):
                continue  # what is both is judged by a person, by a rubric
            stem = cell.id.removesuffix("-test")
            answer, about = self.cells.get(f"{stem}-answer"), cell.metadata.get("servelab", {})
            if answer is None or not stem.startswith(f"{prefix}-"):
                raise ServelabError(
                    f"{self.path.name}: the test cell `{cell.id}` needs the name `{prefix}-...-test` "
                    "and an answer cell of the same name before it."
                )
            missing = [key for key, kind in _ASSESSMENT.items() if not isinstance(about.get(key), kind)]
            if missing:
                raise ServelabError(f"{self.path.name}: `{cell.id}` does not say its {', '.join(missing)}.")
            found.append(
                Exercise(
                    name=self.entry.id + stem.removeprefix(prefix),
                    answer=answer,
                    test=cell,
                    points=cell.metadata.nbgrader.get("points", 0),
                    context=tuple(about.get("context", ())),
                    engine=bool(about.get("engine", False)),
                    **{key: about[key] for key in _ASSESSMENT},
                )
            )
        return found

    def code_lines(self) -> float:
        """Median number of lines of the code cells that are no exercise's."""
        lengths = [_lines(c) for c in self.notebook.cells if c.cell_type == "code" and not _nbgrader(c)]
        return statistics.median(lengths) if lengths else 0


def read(path: Path) -> NotebookNode:
    """A notebook, as version 4.

    Raises:
        ServelabError: it is not there, or it is no notebook.
    """
    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise ServelabError(f"There is no notebook {path}: check the path.") from None
    except (ValueError, OSError) as error:  # a broken JSON file raises nbformat's ValueErrors
        raise ServelabError(f"{path} cannot be read as a notebook: {str(error).splitlines()[0]}") from None


def ready() -> list[Source]:
    """Every notebook the course calls ready, in the course's order."""
    return [Source(entry) for entry in course.load().notebooks if entry.status == "ready"]


def find(path: Path) -> Source | None:
    """The course's notebook at `path`, or None for any other file."""
    resolved = path.resolve()
    return next((s for s in ready() if s.path.resolve() == resolved), None)


def unlisted() -> list[str]:
    """Notebooks on disk that course.toml does not call ready."""
    known = {s.path for s in ready()}
    on_disk = (p for folder in ("levels", "labs") for p in (ROOT / folder).rglob("*.ipynb"))
    return sorted(
        p.relative_to(ROOT).as_posix() for p in on_disk if p not in known and ".ipynb_checkpoints" not in p.parts
    )


def problems(source: Source) -> list[str]:
    """Every rule of the committed notebooks that this one breaks, one sentence each."""
    found = [*_form(source), *_anatomy(source), *_exercises(source), *_links(source)]
    return [f"{source.path.name}: {problem}" for problem in found]


def repeated(sources: Iterable[Source]) -> list[str]:
    """Code cells of several lines that stand in two notebooks (the opening apart): they belong in the package."""
    seen: dict[str, set[str]] = defaultdict(set)
    for source in sources:
        for cell in source.notebook.cells:
            if cell.cell_type == "code" and cell.id != OPENING and _lines(cell) > 1:
                seen[cell.source.strip()].add(f"{source.path.name}#{cell.id}")
    return [f"the same code cell stands in {' and '.join(sorted(p))}" for p in seen.values() if len(p) > 1]


def _nbgrader(cell: NotebookNode) -> dict:
    return cell.metadata.get("nbgrader", {})


def _lines(cell: NotebookNode) -> int:
    return len(cell.source.strip().splitlines())


def _form(source: Source) -> list[str]:
    """Format, ids, emptiness, length."""
    nb, found = source.notebook, []
    try:
        nbformat.validate(nb)
    except nbformat.ValidationError as error:
        found.append(f"is not a valid notebook: {str(error).splitlines()[0]}")
    if (nb.nbformat, nb.nbformat_minor) != (4, 5):
        found.append(f"has format {nb.nbformat}.{nb.nbformat_minor} instead of 4.5")
    if nb.metadata.get("kernelspec", {}).get("name") != "python3":
        found.append("does not name the kernel python3")
    if "widgets" in nb.metadata:
        found.append("carries widget state")
    ids = [cell.get("id", "") for cell in json.loads(source.path.read_text())["cells"]]  # reading renames a double
    found += [f"has the cell id `{i}` twice" for i in sorted({i for i in ids if ids.count(i) > 1})]
    for i, cell in zip(ids, nb.cells, strict=True):
        if not _CELL_ID.fullmatch(i) or _RANDOM_ID.fullmatch(i):
            found.append(f"has a cell whose id `{i}` is not a readable name (lower case, digits, hyphens)")
        if not cell.source.strip():
            found.append(f"`{i}` is empty")
        if cell.cell_type == "markdown" and _nbgrader(cell):
            found.append(f"`{i}` is prose and must not carry nbgrader metadata")
        if cell.cell_type != "code":
            continue
        if cell.outputs or cell.execution_count is not None:
            found.append(f"`{i}` carries outputs or an execution count")
        limit = EXERCISE_LINES if _nbgrader(cell) else CODE_LINES
        if _lines(cell) > limit:
            found.append(f"`{i}` has {_lines(cell)} lines; {limit} is the most")
        if _INSTALL.search(cell.source):
            found.append(f"`{i}` installs something: that is the setup's work")
    return found


def _calls(nb: NotebookNode) -> dict[str, list[str]]:
    """First literal argument of every `lesson.<method>("...")` in the code, by method."""
    calls: dict[str, list[str]] = defaultdict(list)
    for cell in nb.cells:
        if cell.cell_type != "code":
            continue
        try:
            tree = ast.parse(cell.source)
        except SyntaxError:
            calls["unreadable"].append(cell.get("id", "?"))
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                argument = node.args[0]
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    calls[node.func.attr].append(argument.value)
    return calls


def _anatomy(source: Source) -> list[str]:
    """The parts every lesson has."""
    nb, found, calls = source.notebook, [], _calls(source.notebook)
    found += [f"`{i}` is not plain Python" for i in calls["unreadable"]]
    code = [cell for cell in nb.cells if cell.cell_type == "code"]
    if not nb.cells or nb.cells[0].cell_type != "markdown" or not nb.cells[0].source.startswith("# "):
        found.append("does not begin with its title (`# ...`)")
    if not code or code[0].get("id") != OPENING or calls["lesson"] != [source.entry.id]:
        found.append(f'its first code cell must be `opening` and call servelab.lesson("{source.entry.id}")')
    if source.entry.id == "0":
        return found
    if not calls["predict"] or not set(calls["predict"]) & set(calls["reveal"]):
        found.append("lacks a prediction that is revealed")
    if not calls["quiz"]:
        found.append("lacks a quiz")
    asked = source.texts
    written = {"predict": set(asked.predict), "quiz": {q.id for q in asked.quiz}, "compare": set(asked.compare)}
    for kind, there in written.items():
        used = set(calls[kind])
        found += [f'{kind}("{key}") has no text in assets/lessons' for key in sorted(used - there)]
        found += [f'the {kind} "{key}" of assets/lessons is never used' for key in sorted(there - used)]
    return found


def _exercises(source: Source) -> list[str]:
    """nbgrader's own schema, the assessment items, and that each exercise is whole."""
    from nbgrader.nbgraderformat import MetadataValidator, ValidationError

    found, nb = [], source.notebook
    try:
        MetadataValidator().validate_nb(nb)
    except ValidationError as error:
        found.append(f"has nbgrader metadata that nbgrader refuses: {error.message}")
    except Exception as error:  # nbgrader's schema-version errors share no base class
        found.append(f"has nbgrader metadata that nbgrader refuses: {error}")
    try:
        exercises = source.exercises()
    except ServelabError as error:
        return [*found, str(error)]
    if len(exercises) < EXERCISES and source.entry.id != "0":
        found.append(f"has {len(exercises)} exercises; {EXERCISES} is the least")
    items = {item.id for item in course.load().items}
    order = [cell.id for cell in nb.cells]
    paired = {cell.id for e in exercises for cell in (e.answer, e.test)}
    found += [f"`{c.id}` is an nbgrader cell of no exercise" for c in nb.cells if _nbgrader(c) and c.id not in paired]
    for e in exercises:
        if e.item not in items:
            found.append(f"`{e.test.id}` names the item `{e.item}`, which the assessment does not have")
        elif e.item not in source.entry.items:
            found.append(f"`{e.test.id}` trains `{e.item}`, which course.toml does not list for this notebook")
        if not (1 <= e.difficulty <= 5 and 1 <= e.importance <= 5 and e.minutes > 0 and e.points > 0):
            found.append(f"`{e.test.id}`: difficulty and importance go from 1 to 5, minutes and points above 0")
        for cell, solution, marks in (
            (e.answer, True, ("### BEGIN SOLUTION", "### END SOLUTION")),
            (e.test, False, ("### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS")),
        ):
            meta = _nbgrader(cell)
            if meta.get("grade_id") != cell.id:
                found.append(f"`{cell.id}` must have its own name as grade_id")
            if (meta.get("solution"), meta.get("grade"), meta.get("locked")) != (solution, not solution, not solution):
                found.append(f"`{cell.id}` has the wrong nbgrader flags for its part")
            if any(cell.source.count(mark) != 1 for mark in marks):
                found.append(f"`{cell.id}` needs exactly one {marks[0]} and one {marks[1]}")
        if order.index(e.answer.id) > order.index(e.test.id):
            found.append(f"`{e.test.id}` comes before its answer")
        found += [f"`{e.test.id}` asks for the cell `{c}`, which is not there" for c in e.context if c not in order]
        if f'lesson.passed("{e.name}")' not in e.test.source.split("### BEGIN HIDDEN TESTS")[0]:
            found.append(f'the visible checks of `{e.test.id}` must end with lesson.passed("{e.name}")')
    return found


def _links(source: Source) -> list[str]:
    """Every link to a notebook leads to one of the course."""
    known = {ROOT / entry.path for entry in course.load().notebooks}
    return [
        f"`{cell.id}` links to {target}, which is no notebook of the course"
        for cell in source.notebook.cells
        if cell.cell_type == "markdown"
        for target, _ in LINK.findall(cell.source)
        if (source.path.parent / target).resolve() not in {p.resolve() for p in known}
    ]
