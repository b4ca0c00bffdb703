"""Exercises prove themselves: the empty answer and every plausible wrong one lose, the reference solution passes.

Cells are executed in a fresh namespace of this process; only exercises on a running server need an engine.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import io
import runpy
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import nbformat
from nbformat import NotebookNode

import servelab
from servelab.errors import ServelabError
from servelab.notebooks.release import strip
from servelab.notebooks.source import OPENING, Exercise, Source
from servelab.paths import ROOT

MUTANTS = ROOT / "tests" / "notebooks" / "mutants"
LEAST_MUTANTS = 5


@dataclass(frozen=True)
class Verdict:
    """How an answer fared: the cell that raised (`answer` or `test`) and its error, or neither."""

    cell: str | None = None
    error: BaseException | None = None

    @property
    def passed(self) -> bool:
        """Whether visible and hidden checks pass."""
        return self.error is None


def mutants(name: str) -> dict[str, str]:
    """The plausible wrong answers of one exercise: {what is wrong: source of the answer cell}.

    Raises:
        ServelabError: there is no file of them, or it holds too few.
    """
    path = MUTANTS / f"{name}.py"
    if not path.exists():
        raise ServelabError(f"The exercise {name} lacks its wrong answers: add tests/notebooks/mutants/{name}.py.")
    found = runpy.run_path(str(path)).get("MUTANTS", {})
    if len(found) < LEAST_MUTANTS:
        raise ServelabError(f"{path.name} holds {len(found)} wrong answers; {LEAST_MUTANTS} is the least.")
    return found


@lru_cache(maxsize=8)
def _lesson(id: str) -> Any:
    with _quiet():
        return servelab.lesson(id)


def context(source: Source, exercise: Exercise) -> dict[str, Any]:
    """A namespace in which the cells that the exercise builds on have been executed, and `lesson` stands."""
    names: dict[str, Any] = {"__name__": "__main__", "servelab": servelab, "lesson": _lesson(source.entry.id)}
    with _quiet():
        for cell in exercise.context:
            if cell != OPENING:
                exec(compile(source.cells[cell].source, cell, "exec"), names)
    return names


def judge(answer: str, test: str, names: dict[str, Any]) -> Verdict:
    """Execute an answer and the test cell in a copy of `names`.

    Args:
        answer: source of the answer cell.
        test: source of the test cell, hidden checks included.
        names: what `context` gave.
    """
    names = dict(names)
    for cell, text in (("answer", answer), ("test", test)):
        try:
            with _quiet():
                exec(compile(text, cell, "exec"), names)
        except (Exception, SystemExit) as error:
            return Verdict(cell, error)
    return Verdict()


def empty(exercise: Exercise) -> Exercise:
    """The exercise as a learner receives it: no solution, no hidden checks."""
    nb = strip(nbformat.v4.new_notebook(cells=[exercise.answer, exercise.test]))
    return Exercise(**{**vars(exercise), "answer": nb.cells[0], "test": nb.cells[1]})


def problems(source: Source, exercise: Exercise) -> list[str]:
    """Everything about the exercise that does not prove itself.

    The context is executed anew for each answer, except for one that runs a server, which is measured once.
    """
    shared = context(source, exercise) if exercise.engine else None

    def verdict(answer: str, test: str) -> Verdict:
        return judge(answer, test, context(source, exercise) if shared is None else shared)

    found, released, test = [], empty(exercise), exercise.test.source
    if verdict(released.answer.source, released.test.source).passed:
        found.append("the empty answer passes the visible checks")
    if verdict(released.answer.source, test).passed:
        found.append("the empty answer scores")
    reference = verdict(exercise.answer.source, test)
    if not reference.passed:
        found.append(f"the reference fails in its {reference.cell} cell: {reference.error!r}")
    for wrong, answer in mutants(exercise.name).items():
        outcome = verdict(answer, test)
        if outcome.passed:
            found.append(f"the answer that {wrong} scores")
        elif outcome.cell == "answer":
            found.append(f"the answer that {wrong} is no answer at all: {outcome.error!r}")
    return [f"{exercise.name}: {problem}" for problem in found]


def proving(nb: NotebookNode, exercises: Iterable[Exercise]) -> tuple[NotebookNode, set[str]]:
    """One notebook that proves both copies in one execution: the source, then what differs in the learner's copy.

    After the source's cells come, for each exercise, the released answer and test (which may raise), the
    solution's names forgotten before; then, once more, the cells that read such a name. All other cells are the
    same in both copies.

    Returns:
        The notebook, and the ids of the cells that must raise: one test cell for each exercise.
    """
    nb, exercises = copy.deepcopy(nb), list(exercises)
    judged = {cell.id for e in exercises for cell in (e.answer, e.test)}
    unsolved: set[str] = set()
    tail, must_raise = [], set()
    for exercise in exercises:
        names = bound(exercise.answer.source)
        unsolved |= names
        released = empty(exercise)
        tail.append(_cell(f"forget-{exercise.answer.id}", f"for _n in {sorted(names)}:\n    globals().pop(_n, None)"))
        for cell in (released.answer, released.test):
            tail.append(_cell(f"released-{cell.id}", cell.source, may_raise=True))
        must_raise.add(f"released-{released.test.id}")
    for cell in nb.cells:
        if cell.cell_type == "code" and cell.id not in judged and read(cell.source) & unsolved:
            tail.append(_cell(f"unsolved-{cell.id}", cell.source))
            unsolved |= bound(cell.source)
    nb.cells += tail
    return nb, must_raise


def bound(code: str) -> set[str]:
    """The names a cell binds at its top level."""
    names: set[str] = set()
    for node in ast.parse(code).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        else:
            names |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return names


def read(code: str) -> set[str]:
    """The names a cell reads."""
    return {n.id for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def _cell(id: str, code: str, may_raise: bool = False) -> NotebookNode:
    cell = nbformat.v4.new_code_cell(code, metadata={"tags": ["raises-exception"]} if may_raise else {})
    cell.id = id[:64]
    return cell


@contextlib.contextmanager
def _quiet():
    """Nothing that a cell prints, displays or warns of reaches the terminal."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


def mutant_files() -> set[str]:
    """Names of the exercises that have a file of wrong answers."""
    return {path.stem for path in MUTANTS.glob("*.py")}
