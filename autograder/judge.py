"""One submitted notebook, judged: its code in a sandbox, the checks here.

The learner's cells are executed as she wrote them, in their order; the course's own are left out but for those an
exercise builds on, which are taken from the course. A cell that ends its process, or overruns its time, costs
itself: the sandbox is opened anew without it, and what stands before and after is judged all the same.
"""

from __future__ import annotations

import contextlib
import copy
import random
import time
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

from autograder.engines import Engines, Relays
from autograder.evidence import Evidence, data, digest
from autograder.intake import Intake, blank_answer
from autograder.properties import Checks, by_constants, quiet, score, shown
from autograder.remote import AnswerError, Gone, Session
from autograder.results import Judgement, Mark
from autograder.sandbox import Isolation, Limits
from servelab.engines import triton_install
from servelab.i18n import _
from servelab.locks import locked
from servelab.notebooks.names import defined
from servelab.notebooks.source import OPENING, Exercise, Source

CALL_SECONDS = 10.0
ENGINE_SECONDS = 300.0
OWN_SECONDS = 5.0
OWN_SECONDS_IN_ALL = 20.0
WORK_SECONDS = 60.0
"""One call to the learner's code; one on a server; one of her own cells; all of these; all calls of an exercise."""
ANEW_SECONDS = 2.0
"""What a sandbox opened anew because of one of her own cells counts as."""
GIVEN = 12
"""Constants that are tried because the reference gives them in the test cell: the first, and as many of the last."""
ENGINE_LIMITS = Limits(memory_bytes=3 * 2**30, processes=256, open_files=1024)
"""A client of an engine imports more than an answer that computes; a Triton has some 20 threads a model, and 40."""


class Lesson:
    """What `lesson` is to a test cell that is graded.

    Attributes:
        observed: what the check measured of a server, in order.
    """

    def __init__(self, exercise: Exercise, seed: int, replay: list[Any] | None = None) -> None:
        self.exercise, self.seed, self.replay = exercise.name, seed, replay
        self.observed: list[Any] = []
        self._draws = 0

    @property
    def tier(self) -> Any:
        """The course's tier for this machine."""
        from servelab import hardware

        return hardware.tier()

    def rng(self) -> random.Random:
        """The inputs' source of chance: another one at each call, the same for the same seed."""
        self._draws += 1
        return random.Random(f"{self.seed}:{self.exercise}:{self._draws}")

    def observe(self, measure: Callable[[], Any]) -> Any:
        """What `measure()` gives, as plain data; from the trace where one is replayed."""
        if self.replay is not None:
            if not self.replay:
                raise AnswerError("the trace has ended")
            return self.replay.pop(0)
        self.observed.append(data(measure()))
        return self.observed[-1]

    def passed(self, exercise: str) -> None:
        """The end of the visible checks; nothing to keep here."""

    def pick(self, *, ci: Any, full: Any) -> Any:
        """A measurement's size: the short one."""
        return ci


@lru_cache(maxsize=256)
def checks(test: str, name: str) -> Checks:
    """A test cell made ready, once for all submissions."""
    return Checks(test, name)


def namespace(source: Source, exercise: Exercise, lesson: Any) -> dict[str, Any]:
    """The grader's own names for a test cell: what the cells that the exercise builds on leave."""
    import servelab

    names: dict[str, Any] = {"__name__": "__main__", "servelab": servelab, "lesson": lesson}
    with quiet():
        for cell in exercise.context:
            if cell != OPENING:
                exec(compile(source.cells[cell].source, cell, "exec"), names)
    return names


_CONSTANTS: dict[tuple[str, int], list[frozenset[int]]] = {}


def constants(source: Source, exercise: Exercise, seed: int) -> list[frozenset[int]]:
    """What constant answers would hold, worked out once; for an exercise on a server none is tried."""
    key = (exercise.test.source, seed)
    if key not in _CONSTANTS:
        cell, answers = checks(exercise.test.source, exercise.test.id), defined(exercise.answer.source)
        anew = lambda: namespace(source, exercise, Lesson(exercise, seed))  # noqa: E731
        _CONSTANTS[key] = (
            [] if exercise.engine else by_constants(cell, answers, anew, _given(exercise, cell, answers, anew()))
        )
    return _CONSTANTS[key]


def _given(exercise: Exercise, cell: Checks, answers: set[str], names: dict[str, Any]) -> list[Any]:
    """What the reference's functions give in a test cell: well-formed constants, among them those of fixed inputs."""
    given: dict[str, Any] = {}

    def heard(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            value = function(*args, **kwargs)
            given.setdefault(repr(value), copy.deepcopy(value))
            return value

        return call

    with quiet():
        exec(compile(exercise.answer.source, exercise.answer.id, "exec"), names)
    for name in answers:
        if callable(names.get(name)) and not isinstance(names[name], type):
            names[name] = heard(names[name])
    cell.run(names)
    values = list(given.values())
    return values if len(values) <= GIVEN else values[: GIVEN // 2] + values[-GIVEN // 2 :]


class Desk:
    """A submission's code in a sandbox that is opened when first needed, and anew when a cell has ended it."""

    def __init__(self, source: Source, intake: Intake, isolation: Isolation, engines: Engines | None) -> None:
        self._source, self._cells, self._isolation, self._engines = source, intake.cells, isolation, engines
        self._limits = ENGINE_LIMITS if engines else Limits()
        self._open = contextlib.ExitStack()
        self._session: Session | None = None
        self._done = 0
        self._spent = 0.0
        self._ended: dict[int, str] = {}
        self._raised: dict[str, Exception] = {}

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the sandbox; the next `reach` opens another."""
        self._open.close()
        self._session, self._done = None, 0

    def reach(self, exercise: Exercise) -> Session:
        """A sandbox in which everything up to the exercise's answer was executed.

        Raises:
            Lost: the answer cell cannot be executed.
        """
        place = next(n for n, cell in enumerate(self._cells) if cell.answer == exercise.answer.id)
        if self._session is not None and self._session.ended:  # by what an earlier exercise's check asked of it
            self.close()
        while place not in self._ended:
            fresh, at = not self._done, None
            try:
                session = self._session or self._start()
                session.limit(CALL_SECONDS)
                for cell in (self._source.cells[id] for id in exercise.context if id != OPENING):
                    with contextlib.suppress(Exception):
                        session.execute(cell.id, cell.source)
                while self._done <= place:
                    at = self._done
                    self._execute(session, at)
                    self._done += 1
            except Gone as gone:
                self.close()
                if at is not None:
                    self._ended[at] = str(gone)
                    self._spent += 0 if self._cells[at].answer else ANEW_SECONDS
                elif fresh:  # not the learner's doing
                    raise Lost(_("The sandbox did not start: it {cause}.").format(cause=gone)) from None
                continue
            if error := self._raised.get(exercise.answer.id):
                raise Lost(_("The answer raised {error}.").format(error=_told(error)))
            return session
        raise Lost(_("The answer {cause}.").format(cause=self._ended[place]))

    def _start(self) -> Session:
        if self._engines:
            triton_install.make_ready()  # inside, its folder cannot be written
        box = self._open.enter_context(self._isolation.open(self._limits))
        relays = self._open.enter_context(Relays(box.sockets)) if self._engines else None
        session = Session(box, CALL_SECONDS, self._engines, relays)
        session.open(self._source.entry.id)
        self._session = session
        return session

    def _execute(self, session: Session, place: int) -> None:
        cell = self._cells[place]
        left = OWN_SECONDS_IN_ALL - self._spent
        if place in self._ended or not (cell.answer or left > 0):
            return
        began = time.monotonic()
        try:
            session.execute(cell.answer or "own", cell.source, CALL_SECONDS if cell.answer else min(OWN_SECONDS, left))
            self._raised.pop(cell.answer, None)
        except Exception as error:  # of the learner's own cells each may fail: her answers show what that costs
            self._raised[cell.answer] = error
        finally:
            if not cell.answer:
                self._spent += time.monotonic() - began


class Lost(Exception):
    """An exercise cannot be judged by its properties; the text is its cause, a sentence."""


def judge(
    source: Source,
    intake: Intake,
    *,
    seed: int,
    isolation: Isolation,
    engines: Engines | None = None,
    evidence: Evidence | None = None,
) -> Judgement:
    """The marks of a submitted notebook; whatever its code does is in them, nothing of it is raised.

    Args:
        source: the course's notebook.
        intake: what was handed in.
        seed: inputs are drawn from it; the same seed gives the same marks.
        isolation: where the learner's code runs.
        engines: starts servers for exercises on a server; without them only a kept trace can be judged.
        evidence: the traces kept of such exercises.
    """
    began, marks = time.monotonic(), []
    exercises = source.exercises()
    with Desk(source, intake, isolation, engines if any(e.engine for e in exercises) else None) as desk:
        for exercise in exercises:
            start = time.monotonic()
            mark = _mark(source, intake, exercise, seed, desk, engines, evidence)
            marks.append(replace(mark, seconds=round(time.monotonic() - start, 3)))
    return Judgement(
        notebook=source.entry.id,
        language=intake.language,
        seed=seed,
        marks=tuple(marks),
        notes=intake.notes,
        seconds=round(time.monotonic() - began, 3),
        digest=intake.digest,
    )


def _mark(
    source: Source,
    intake: Intake,
    exercise: Exercise,
    seed: int,
    desk: Desk,
    engines: Engines | None,
    evidence: Evidence | None,
) -> Mark:
    blank = Mark(exercise.name, exercise.item, exercise.points, 0.0)
    if intake.answers[exercise.answer.id].strip() == blank_answer(source, exercise.answer.id).strip():
        return replace(blank, cause=_("Nothing was answered."))
    if not exercise.engine:
        return _checked(source, exercise, seed, lambda: desk.reach(exercise), blank)
    belongs = digest(exercise.name, exercise.test.source, intake.digest, str(seed), Lesson(exercise, seed).tier.id)
    if evidence and (trace := evidence.find(belongs)) is not None:
        return _checked(source, exercise, seed, None, blank, Lesson(exercise, seed, trace))
    if engines is None:
        return replace(blank, cause=_("This exercise is judged on a running server, and none may be started here."))
    with locked("grading-engine"):  # a measured server shares the machine with no other one that is measured
        best, lesson = blank, None
        for _again in range(2):  # what other programs did to a measurement, they do not do twice
            tried = Lesson(exercise, seed)
            mark = _checked(source, exercise, seed, lambda: desk.reach(exercise), blank, tried)
            if lesson is None or mark.earned > best.earned:
                best, lesson = mark, tried
            if best.earned == best.points:
                break
    if evidence and best.cause is None:
        evidence.keep(belongs, exercise.name, lesson.observed)
    return best


def _checked(
    source: Source,
    exercise: Exercise,
    seed: int,
    reach: Callable[[], Session] | None,
    blank: Mark,
    lesson: Lesson | None = None,
) -> Mark:
    """The mark by properties; without `reach` a trace is replayed and no sandbox is opened."""
    lesson = lesson or Lesson(exercise, seed)
    names, cell = namespace(source, exercise, lesson), checks(exercise.test.source, exercise.test.id)
    try:
        if reach:
            session = reach()
            session.limit(
                ENGINE_SECONDS if exercise.engine else CALL_SECONDS, ENGINE_SECONDS if exercise.engine else WORK_SECONDS
            )
            wanted = defined(exercise.answer.source)
            try:
                answers = session.names(sorted(wanted))
            except Exception as error:
                raise Lost(_("The answer raised {error}.").format(error=_told(error))) from None
            if missing := sorted(wanted - set(answers)):
                raise Lost(_("The answer defines no {names}.").format(names=", ".join(missing)))
            names |= answers
        outcomes, raised = cell.run(names, only_hidden=reach is None)
        if reach is None:  # a trace holds what scores; the visible checks were the learner's own to see
            outcomes = [outcome for outcome in outcomes if outcome.hidden]
    except Lost as lost:
        return replace(blank, cause=str(lost))
    except Gone as gone:
        return replace(blank, cause=_("Your code {cause} while it was checked.").format(cause=gone))
    earned, properties = score(outcomes, constants(source, exercise, seed), exercise.points)
    cause = None
    if raised and earned < exercise.points:
        own = isinstance(raised[0], AnswerError) and raised[0].hidden
        cause = _("Your code gave what no check can use, or raised an error of its own kind.")
        cause = cause if own else _("Your code raised {error}.").format(error=_told(raised[0]))
    return replace(blank, earned=earned, properties=properties, cause=cause)


def _told(error: Exception) -> str:
    """An error as a learner may read it; what she was asked in a hidden check she could have put into its text."""
    text = "" if getattr(error, "hidden", False) else shown(" ".join(str(error).split()), 200)
    return text if text and isinstance(error, AnswerError) else f"{type(error).__name__}: {text}".removesuffix(": ")
