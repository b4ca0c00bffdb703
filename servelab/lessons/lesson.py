"""`lesson = servelab.lesson("1.3")`: the one thing a notebook imports first."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from servelab import course, hardware
from servelab.errors import ServelabError
from servelab.i18n import _, language
from servelab.lessons import page, shell, texts
from servelab.lessons.ledger import Ledger
from servelab.lessons.predict import Predict, Reveal
from servelab.lessons.predict import reveal as reveal_prediction
from servelab.lessons.progress import Progress
from servelab.lessons.quiz import Quiz
from servelab.lessons.scorecard import Scorecard

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from pandas.io.formats.style import Styler

Effort = Literal["ci", "full"]
T = TypeVar("T")


def effort() -> Effort:
    """How much to measure, from `SERVELAB_EFFORT`: `ci` keeps a notebook under three minutes on two cores.

    Raises:
        ServelabError: it is set to something else.
    """
    wanted = os.environ.get("SERVELAB_EFFORT") or "full"
    if wanted not in ("ci", "full"):
        raise ServelabError(_("SERVELAB_EFFORT is {wanted!r}; set it to ci or full.").format(wanted=wanted))
    return wanted


def open_lesson(id: str) -> Lesson:
    """Open a notebook's lesson: make the shell ready, show the panel, note that it was opened.

    Raises:
        ServelabError: no such notebook, or it was opened outside a workspace.
    """
    from IPython.display import display

    shell.prepare()
    lesson = Lesson(id)
    lesson.progress.opened(id)
    display(lesson.panel())
    return lesson


class Lesson:
    """One notebook's predictions, quizzes and exercises, and where the learner stands with them.

    Attributes:
        id: the notebook's number, such as `1.3`.
        notebook: its entry in course.toml.
        effort: `ci` or `full`.
        progress: the learner's steps in all notebooks.
        scorecard: the learner's rows.
    """

    def __init__(self, id: str, folder: Path | None = None):
        self.id = id
        self.notebook = course.load().notebook(id)
        self.effort = effort()
        self.progress = Progress(folder)
        self.scorecard = Scorecard(self.effort, folder)
        self._ledger = Ledger(folder)
        self._draws = 0
        self._texts = texts.load(id, Path(self.notebook.path).stem)

    @cached_property
    def tier(self) -> course.Tier:
        """The course's tier for this machine."""
        return hardware.tier()

    @property
    def language(self) -> str:
        """The learner's language, `en` or `zh_TW`."""
        return language()

    def pick(self, *, ci: T, full: T) -> T:
        """The size of a measurement: `ci` for a short run, `full` for a learner."""
        return ci if self.effort == "ci" else full

    def predict(self, key: str, guess: Any = None, *, unit: str | None = None) -> Predict:
        """Ask for the learner's guess, or store the one given as `guess` (then no widget is needed).

        Raises:
            ServelabError: the lesson has no such prediction, or `guess` is no answer to it.
        """
        asked = Predict(self.id, key, self._texts.prediction(key), self.progress, unit)
        if guess is not None:
            asked.commit(guess)
        return asked

    def reveal(
        self,
        key: str,
        measured: float | str | Mapping[str, float],
        unit: str | None = None,
        kind: Literal["measured", "modelled", "simulated"] = "measured",
    ) -> Reveal:
        """Show the guess beside the truth, say how far off it was, and keep it.

        Args:
            measured: a number; several as {name: value}; or, for a choice, the value of the one that is right.
            kind: where the truth comes from.
        """
        return reveal_prediction(self.predict(key, unit=unit), measured, kind)

    def compare(self, key: str, predicted: float, measured: float) -> None:
        """Keep a model's prediction beside the measurement, for the `ledger`; both in the unit of its text.

        Raises:
            ServelabError: the lesson has no such comparison, or one of the two is no number.
        """
        self._texts.comparison(key)
        self._ledger.keep(self.id, key, predicted, measured)

    def ledger(self, whole: bool = False) -> Styler:
        """This notebook's models: predicted, measured, error, and where each is true.

        Args:
            whole: with those of all notebooks of this part of the course, as far as they were run.

        Raises:
            ServelabError: nothing was compared yet.
        """
        part = [entry.id for entry in course.load().notebooks if entry.part == self.notebook.part]
        return self._ledger.table(part if whole else [self.id])

    def quiz(self, id: str) -> Quiz:
        """A quiz question that explains every choice."""
        return Quiz(self.id, self._texts.question(id), self.progress)

    def rng(self) -> random.Random:
        """The source of chance for a test's inputs: the same in every run of the notebook; grading seeds its own."""
        self._draws += 1
        return random.Random(f"{self.id}:{self._draws}")

    def observe(self, measure: Callable[[], T]) -> T:
        """What `measure()` sees a server do, as plain data; grading keeps it, signed, and can judge it again."""
        return measure()

    def passed(self, exercise: str) -> None:
        """The last line of a visible test cell: say so, and keep it."""
        from servelab.lessons.progress import now

        with self.progress.change(self.id) as entry:
            entry["exercises"].setdefault(exercise, {"passed": now()})
        print(_("{exercise}: the visible checks pass; hidden checks remain.").format(exercise=exercise))

    def skip(self, what: str) -> None:
        """Say that something cannot be done on this machine; a run counts it as skipped, never as passed.

        Args:
            what: one sentence: what is left out, and what it would take.
        """
        from IPython.display import display

        from servelab.paths import SKIPPED

        told = _("Skipped: {what}").format(what=what)
        display({"text/plain": told}, raw=True, metadata={SKIPPED: what})

    def show(self, what: Any) -> None:
        """Display an explorer: live, or where nobody can move it, its figures at their defaults."""
        from IPython.display import display

        display(what)

    def panel(self) -> page.Shown:
        """What the opening cell shows: machine, engine, model, running servers, and where the learner stands."""
        from servelab.lessons import opening

        return opening.panel(self)

    def map(self) -> go.Figure:
        """The course as a picture, filled as far as the learner is."""
        from servelab.lessons import opening

        return opening.course_map(self.progress)

    def plan(self) -> go.Figure:
        """The days of the plan, with what the learner has behind them."""
        from servelab.lessons import opening

        return opening.plan(self.progress)

    def graph(self) -> go.Figure:
        """What leads to this course, and where it leads."""
        from servelab.lessons import opening

        return opening.graph()
