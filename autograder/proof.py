"""Exercises prove themselves: the empty answer and every plausible wrong one lose, the reference solution never does.

By the grader's own rule of scoring, but in this process: the answers are the course's own, so no sandbox is needed.
Only exercises on a running server need an engine.
"""

from __future__ import annotations

import copy
import runpy
from collections.abc import Iterable
from dataclasses import dataclass

import nbformat
from nbformat import NotebookNode

from autograder.judge import Lesson, checks, constants, namespace
from autograder.properties import Outcome, quiet, score
from servelab.errors import ServelabError
from servelab.notebooks.names import bound, defined, needs
from servelab.notebooks.release import strip
from servelab.notebooks.source import Exercise, Source
from servelab.paths import ROOT

MUTANTS = ROOT / "tests" / "notebooks" / "mutants"
LEAST_MUTANTS = 5
MUTANT_SEEDS = 5


@dataclass(frozen=True)
class Verdict:
    """How an answer fared: what the answer cell raised, which properties held, and what they earned."""

    earned: float
    outcomes: tuple[Outcome, ...] = ()
    raised: tuple[BaseException, ...] = ()
    no_answer: BaseException | None = None

    @property
    def visible(self) -> bool:
        """Whether everything that the learner can see passes."""
        return self.no_answer is None and not self.raised and all(o.held for o in self.outcomes if not o.hidden)


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


def judge(source: Source, exercise: Exercise, answer: str, test: str, seed: int, stop: bool = False) -> Verdict:
    """Score an answer by the grader's own rule, in this process: for code of the course's own.

    Args:
        answer: source of the answer cell.
        test: source of the test cell.
        seed: inputs are drawn from it.
        stop: end at the first hidden property that does not hold.
    """
    names = namespace(source, exercise, Lesson(exercise, seed))
    try:
        with quiet():
            exec(compile(answer, "answer", "exec"), names)
    except (Exception, SystemExit) as error:
        return Verdict(0.0, no_answer=error)
    outcomes, raised = checks(test, exercise.test.id).run(names, stop=stop)
    earned, _properties = score(outcomes, constants(source, exercise, seed), exercise.points)
    return Verdict(earned, tuple(outcomes), tuple(raised))


def empty(exercise: Exercise) -> Exercise:
    """The exercise as a learner receives it: no solution, no hidden checks."""
    nb = strip(nbformat.v4.new_notebook(cells=[exercise.answer, exercise.test]))
    return Exercise(**{**vars(exercise), "answer": nb.cells[0], "test": nb.cells[1]})


def problems(source: Source, exercise: Exercise, seeds: Iterable[int] = range(20)) -> list[str]:
    """Everything about the exercise that does not prove itself.

    The reference earns everything whatever the inputs are, an empty answer nothing, and each plausible wrong one loses.
    On a server, where each judging is a measurement, one seed is tried.
    """
    seeds = list(seeds)[: 1 if exercise.engine else None]
    found, released, test = [], empty(exercise), exercise.test.source
    blank = judge(source, exercise, released.answer.source, released.test.source, seeds[0])
    if blank.visible:
        found.append("the empty answer passes the visible checks")
    if not exercise.engine and judge(source, exercise, released.answer.source, test, seeds[0], stop=True).earned:
        found.append("the empty answer scores")
    for seed in seeds:
        reference = judge(source, exercise, exercise.answer.source, test, seed)
        if reference.earned < exercise.points or not reference.visible:
            reason = reference.no_answer or next(iter(reference.raised), None)
            lost = [outcome.message for outcome in reference.outcomes if not outcome.held]
            found.append(f"the reference loses at seed {seed}: {reason!r}, {lost}")
            break
    for wrong, answer in mutants(exercise.name).items():
        verdicts = [judge(source, exercise, answer, test, seed, stop=True) for seed in seeds[:MUTANT_SEEDS]]
        if verdicts[0].no_answer is not None:
            found.append(f"the answer that {wrong} is no answer at all: {verdicts[0].no_answer!r}")
        elif any(verdict.earned == exercise.points for verdict in verdicts):
            found.append(f"the answer that {wrong} scores")
    return [f"{exercise.name}: {problem}" for problem in found]


def lasting(source: Source, exercise: Exercise) -> list[str]:
    """The problems of an exercise on a running server that show twice: what shows once was other programs' doing."""
    found = problems(source, exercise)
    again = problems(source, exercise) if found else []
    return [problem for problem in found if problem in again]


def proving(nb: NotebookNode, exercises: Iterable[Exercise]) -> tuple[NotebookNode, set[str]]:
    """One notebook that proves both copies in one execution: the source, and what differs in the learner's copy.

    Before each answer, each test, and each other cell that needs a name which differs where nothing was solved,
    stands the same cell as the learner has it: it finds the names as they are there, and what it binds is put aside
    before the source goes on. All other cells are the same in both copies and are executed once.

    Returns:
        The notebook, and the ids of the cells that must raise: one test cell for each exercise.
    """
    nb, released = copy.deepcopy(nb), {}
    for exercise in exercises:
        learners = empty(exercise)
        released |= {learners.answer.id: learners.answer.source, learners.test.id: learners.test.source}
    cells, known, differ = [_cell("two-copies", TWO_COPIES)], set(), set()
    for cell in nb.cells:
        if cell.cell_type == "code":
            binds, before = bound(cell.source), set(differ)
            if cell.id in released:
                kind, differ = "released", differ | defined(cell.source) | (binds - known)
            elif needs(cell.source) & differ:
                kind, differ = "unsolved", differ | binds
            else:
                kind, differ = "", differ - binds
            if kind:
                id, code = f"{kind}-{cell.id}", released.get(cell.id, cell.source)
                cells += [
                    _cell(f"to-{id}", f"_to_learner({sorted(before)}, {sorted(differ)})"),
                    _cell(id, code, may_raise=cell.id in released),
                    _cell(f"from-{id}", f"_to_source({sorted(differ)})"),
                ]
            known |= binds
        cells.append(cell)
    nb.cells = cells
    return nb, {f"released-{id}" for id in released if id.endswith("-test")}


TWO_COPIES = """
_learner, _source = {}, {}

def _to_learner(before, differ):
    _source.update({name: globals()[name] for name in differ if name in globals()})
    for name in before:
        globals().pop(name, None)
    globals().update({name: value for name, value in _learner.items() if name in before})

def _to_source(differ):
    _learner.clear()
    _learner.update({name: globals().pop(name) for name in differ if name in globals()})
    globals().update(_source)
    _source.clear()
"""


def _cell(id: str, code: str, may_raise: bool = False) -> NotebookNode:
    cell = nbformat.v4.new_code_cell(code, metadata={"tags": ["raises-exception"]} if may_raise else {})
    cell.id = id[:64]
    return cell


def mutant_files() -> set[str]:
    """Names of the exercises that have a file of wrong answers."""
    return {path.stem for path in MUTANTS.glob("*.py")}
