"""The rubric: what a learner's marks say about the twelve assessment items, and what to do next.

`course.toml` holds the items, their groups and their weights. Each graded cell trains exactly one item; mastery of
an item is the share of points earned over the graded exercises that train it. What nothing has graded yet is told,
and its weight is left out of the mark: never counted as 0, never as 100.

An answer that no program can judge (the design dossier) is marked by hand in nbgrader's formgrader, after a sheet of
criteria in `assets/rubrics/<exercise>.toml`.
"""

from __future__ import annotations

import math
import statistics
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, model_validator

from autograder.results import Judgement, Mark
from servelab import course
from servelab.course import Course, Part, Text
from servelab.errors import ServelabError
from servelab.i18n import SOURCE, _, listed, speaking
from servelab.notebooks import source as sources
from servelab.notebooks.source import Source
from servelab.paths import ASSETS

SHEETS = ASSETS / "rubrics"
ADVICE = 3  # pieces of advice, and exercises in each: as much as one sits down to

Graded = Mapping[str, Mapping[str, Sequence[Judgement]]]  # {assignment: {student: judgements}}


# ---------------------------------------------------------------------------------------------------------------
# What there is to earn.


@dataclass(frozen=True)
class Task:
    """One graded cell of a ready notebook, bound to its item.

    Attributes:
        exercise: its name, `1.3-goodput`.
        part: the level or track of its notebook, `level-1`.
        manual: marked by hand (the cell is answer and grade cell in one).
    """

    exercise: str
    notebook: str
    part: str
    item: str
    points: float
    manual: bool = False


def tasks_of(source: Source) -> tuple[Task, ...]:
    """The graded cells of one notebook, in its order; `item` is empty where a cell names none."""
    found, prefix = [], source.entry.id.replace(".", "-")
    for cell in source.notebook.cells:
        meta = cell.metadata.get("nbgrader", {})
        if meta.get("grade"):
            stem = cell.id.removesuffix("-test").removesuffix("-answer").removeprefix(prefix)
            found.append(
                Task(
                    exercise=source.entry.id + stem,
                    notebook=source.entry.id,
                    part=source.entry.part,
                    item=cell.metadata.get("servelab", {}).get("item", ""),
                    points=meta.get("points", 0),
                    manual=bool(meta.get("solution")),
                )
            )
    return tuple(found)


@lru_cache(maxsize=1)
def tasks() -> tuple[Task, ...]:
    """Every graded cell of the ready notebooks, in the course's order."""
    return tuple(task for source in sources.ready() for task in tasks_of(source))


def problems(found: Iterable[Task] | None = None, plan: Course | None = None) -> list[str]:
    """Every graded cell that is not bound to an item, or is marked by hand without a fitting sheet."""
    plan = plan or course.load()
    items, told = {item.id for item in plan.items}, []
    for task in tasks() if found is None else found:
        if task.item not in items:
            told.append(f"{task.exercise} is bound to no assessment item")
        if task.manual:
            try:
                marked = sheet(task.exercise)
            except ServelabError as error:
                told.append(str(error))
                continue
            if (marked.item, marked.points) != (task.item, task.points):
                told.append(f"{task.exercise} and its sheet disagree about item or points")
    return told


# ---------------------------------------------------------------------------------------------------------------
# What was earned.


@dataclass(frozen=True)
class Result:
    """What one learner has of one exercise that was graded for the class.

    Attributes:
        mark: None where the notebook was not handed in, which earns nothing.
    """

    exercise: str
    notebook: str
    item: str
    points: float
    mark: Mark | None

    @property
    def earned(self) -> float:
        """What it earned."""
        return self.mark.earned if self.mark else 0.0


def results_of(graded: Graded, student: str) -> tuple[Result, ...]:
    """Every exercise that was graded for anyone in the class, with what `student` has of it.

    A notebook that others handed in and this student did not counts as not handed in. An exercise that lacks its
    mark in a notebook that was handed in (its answer waits to be marked by hand) is left out. Of two marks for one
    exercise the better counts.
    """
    due: dict[str, tuple[str, str, float]] = {}
    mine: dict[str, Mark] = {}
    submitted: set[str] = set()
    for students in graded.values():
        for name, judgements in students.items():
            for judgement in judgements:
                if name == student:
                    submitted.add(judgement.notebook)
                for mark in judgement.marks:
                    due.setdefault(mark.exercise, (judgement.notebook, mark.item, mark.points))
                    if name == student and mark.earned >= getattr(mine.get(mark.exercise), "earned", 0.0):
                        mine[mark.exercise] = mark
    found = []
    for exercise, (notebook, item, points) in due.items():
        if mark := mine.get(exercise):
            found.append(Result(exercise, notebook, mark.item, mark.points, mark))
        elif notebook not in submitted:
            found.append(Result(exercise, notebook, item, points, None))
    place = {n.id: number for number, n in enumerate(course.load().notebooks)}
    return tuple(sorted(found, key=lambda r: place.get(r.notebook, len(place))))


def pending(judgements: Iterable[Judgement], known: Iterable[Task] | None = None) -> tuple[str, ...]:
    """Exercises of these notebooks that wait to be marked by hand."""
    marks = {j.notebook: {m.exercise for m in j.marks} for j in judgements}
    return tuple(
        t.exercise
        for t in (tasks() if known is None else known)
        if t.manual and t.notebook in marks and t.exercise not in marks[t.notebook]
    )


@dataclass(frozen=True)
class Share:
    """A learner's share of the points of something: an item, a level, an item within a level.

    Attributes:
        earned, points: over the exercises graded so far.
        available: points of all its exercises in the notebooks that are ready.
    """

    earned: float = 0.0
    points: float = 0.0
    available: float = 0.0

    def __add__(self, more: Share) -> Share:
        return Share(self.earned + more.earned, self.points + more.points, self.available + more.available)

    @property
    def mastery(self) -> float | None:
        """From 0 to 1; None where nothing is graded yet."""
        return self.earned / self.points if self.points else None


@dataclass(frozen=True)
class Standing:
    """Where a learner stands.

    Attributes:
        items: by assessment item, all of them, in the course's order.
        groups: mastery by group, its graded items weighted; None where none is.
        parts: by level and track, all of them.
        cells: by (item, part), where there are exercises.
        mark: percent, over the items graded so far; None where nothing is graded.
        counted: the weight of those items, percent of the whole.
    """

    items: Mapping[str, Share]
    groups: Mapping[str, float | None]
    parts: Mapping[str, Share]
    cells: Mapping[tuple[str, str], Share]
    mark: float | None
    counted: float

    @property
    def unwritten(self) -> tuple[str, ...]:
        """Items that no ready notebook trains yet."""
        return tuple(id for id, share in self.items.items() if not share.available)

    @property
    def ungraded(self) -> tuple[str, ...]:
        """Items that have exercises, none of them graded yet."""
        return tuple(id for id, share in self.items.items() if share.available and share.mastery is None)


def parts(plan: Course) -> dict[str, str]:
    """{id: short name} of the levels and tracks, in the course's order."""
    names = {level.id: str(level.title).replace("：", ":").partition(":")[0] for level in plan.levels}
    return names | {track.id: str(track.title).split()[0] for track in plan.tracks}


def standing(results: Iterable[Result], known: Iterable[Task] | None = None, plan: Course | None = None) -> Standing:
    """Mastery by item, group, level and track, and the course mark.

    Mark = sum of weight x mastery over the graded items, divided by the sum of their weights.
    """
    plan = plan or course.load()
    part = {n.id: n.part for n in plan.notebooks}
    by_item: dict[str, Share] = defaultdict(Share)
    by_part: dict[str, Share] = defaultdict(Share)
    by_both: dict[tuple[str, str], Share] = defaultdict(Share)

    def add(item: str, where: str, more: Share) -> None:
        by_item[item] += more
        by_part[where] += more
        by_both[item, where] += more

    for task in tasks() if known is None else known:
        add(task.item, task.part, Share(available=task.points))
    for result in results:
        add(result.item, part.get(result.notebook, ""), Share(result.earned, result.points))
    items = {item.id: by_item[item.id] for item in plan.items}

    def weighted(chosen: Iterable[course.Item]) -> tuple[float | None, float]:
        held = [(item.weight, items[item.id].mastery) for item in chosen]
        graded = [(weight, mastery) for weight, mastery in held if mastery is not None]
        total = math.fsum(weight for weight, _mastery in graded)
        return (math.fsum(w * m for w, m in graded) / total if graded else None), total

    mark, counted = weighted(plan.items)
    return Standing(
        items=items,
        groups={g.id: weighted(i for i in plan.items if i.group == g.id)[0] for g in plan.groups},
        parts={id: by_part[id] for id in parts(plan)},
        cells=dict(by_both),
        mark=None if mark is None else 100 * mark,
        counted=counted,
    )


# ---------------------------------------------------------------------------------------------------------------
# What to do next.


@dataclass(frozen=True)
class Advice:
    """One item worth going back to.

    Attributes:
        gain: percentage points of the course mark that full mastery would add.
        exercises: those that lost marks, the most first.
        notebooks: where they stand.
    """

    item: str
    mastery: float
    gain: float
    exercises: tuple[str, ...]
    notebooks: tuple[str, ...]


def advice(
    results: Iterable[Result], stand: Standing | None = None, plan: Course | None = None, most: int = ADVICE
) -> tuple[Advice, ...]:
    """The weakest items by weight x missing share, each with the exercises to do again."""
    plan, results = plan or course.load(), tuple(results)
    stand = stand or standing(results, plan=plan)
    found = []
    for item in plan.items:
        mastery = stand.items[item.id].mastery
        lost = sorted(
            (r for r in results if r.item == item.id and r.earned < r.points), key=lambda r: r.earned - r.points
        )[:most]
        if mastery is not None and lost:
            gain = 100 * item.weight * (1 - mastery) / stand.counted
            notebooks = tuple(dict.fromkeys(r.notebook for r in lost))
            found.append(Advice(item.id, mastery, gain, tuple(r.exercise for r in lost), notebooks))
    return tuple(sorted(found, key=lambda a: -a.gain)[:most])


def tell(one: Advice, plan: Course | None = None) -> str:
    """The advice in a sentence."""
    plan = plan or course.load()
    item = plan.item(one.item)
    names = listed(_("{notebook} “{title}”").format(notebook=n, title=plan.notebook(n).title) for n in one.notebooks)
    return _(
        "{item}: {mastery:.0f} % mastered. Work on {exercises} in {notebooks}; "
        "that can add up to {gain:.1f} points to your mark."
    ).format(
        item=item.title,
        mastery=100 * one.mastery,
        exercises=listed(f"`{e}`" for e in one.exercises),
        notebooks=names,
        gain=one.gain,
    )


def onward(results: Iterable[Result], known: Iterable[Task] | None = None, plan: Course | None = None) -> str:
    """What comes after all that is graded: the next ready notebook with exercises of which none is graded."""
    plan = plan or course.load()
    done = {r.notebook for r in results}
    waiting = {t.notebook for t in (tasks() if known is None else known)} - done
    following = next((n for n in plan.notebooks if n.id in waiting), None)
    if following is None:
        return _("Every notebook that is ready has been graded.")
    return _("Next: {notebook} “{title}”.").format(notebook=following.id, title=following.title)


# ---------------------------------------------------------------------------------------------------------------
# What a class shows about its exercises.


@dataclass(frozen=True)
class Behaviour:
    """How an exercise behaves in a class.

    Attributes:
        handed_in: how many learners have a mark for it; the rest is about them.
        mean: share of its points that they earned on average.
        full, none: how many earned all, and nothing.
        discrimination: see `discrimination`; None where it is not defined.
    """

    exercise: str
    item: str
    points: float
    handed_in: int
    mean: float
    full: int
    none: int
    discrimination: float | None


def discrimination(one: Sequence[float], rest: Sequence[float]) -> float | None:
    """How well an exercise tells strong from weak learners, -1 ... 1: its corrected item-total correlation.

    Pearson's correlation between the marks for the exercise and the marks for everything else. "Corrected": the
    exercise is taken out of the total, with which it would otherwise correlate by being part of it. Source:
    S. Henrysson, "Correction of item-total correlations in item analysis", Psychometrika 28 (1963), 211-218;
    reading of the values after R. L. Ebel and D. A. Frisbie, "Essentials of Educational Measurement" (5th ed.,
    1991), ch. 13. With n learners, values of exercises that tell nothing scatter by about 1/sqrt(n - 1) around 0.

    Args:
        one: marks for the exercise, one per learner.
        rest: the same learners' marks for all else.

    Returns:
        None with fewer than three learners, or where all have the same mark.
    """
    if len(one) < 3 or min(statistics.pstdev(one), statistics.pstdev(rest)) < 1e-9:
        return None
    return statistics.correlation(one, rest)


def behaviours(results: Mapping[str, Sequence[Result]]) -> tuple[Behaviour, ...]:
    """How every graded exercise behaves, in the course's order.

    Args:
        results: {student: what `results_of` gave}. Who did not hand an exercise in says nothing about it; in the
            rest, what was not handed in counts 0, as in the mark.
    """
    totals = {student: math.fsum(r.earned for r in found) for student, found in results.items()}
    marks: dict[str, list[tuple[Result, float]]] = {}
    for student, found in results.items():
        for result in found:
            held = marks.setdefault(result.exercise, [])
            if result.mark:
                held.append((result, totals[student] - result.earned))
    told = []
    for exercise, held in marks.items():
        if held:
            first, earned = held[0][0], [r.earned / r.points if r.points else 0.0 for r, _rest in held]
            told.append(
                Behaviour(
                    exercise=exercise,
                    item=first.item,
                    points=first.points,
                    handed_in=len(held),
                    mean=statistics.fmean(earned),
                    full=sum(e >= 1 for e in earned),
                    none=sum(e <= 0 for e in earned),
                    discrimination=discrimination(earned, [rest for _result, rest in held]),
                )
            )
    return tuple(told)


# ---------------------------------------------------------------------------------------------------------------
# Marked by hand.


class Step(Part):
    """What earns so many points of a criterion."""

    points: Annotated[float, Field(ge=0)]
    text: Text


class Criterion(Part):
    """One thing that is judged; its steps go from the most points down to none."""

    id: str
    title: Text
    asks: Text
    steps: Annotated[tuple[Step, ...], Field(min_length=2)]

    @model_validator(mode="after")
    def _descending(self) -> Criterion:
        values = [step.points for step in self.steps]
        if values != sorted(set(values), reverse=True) or values[-1] != 0:
            raise ValueError(f"the steps of {self.id!r} must go down to 0 points, no two alike")
        return self

    @property
    def points(self) -> float:
        """The most it can earn."""
        return self.steps[0].points


class Sheet(Part):
    """How one answer is marked by hand: `exercise` is its cell, `item` what it trains."""

    exercise: str
    item: str
    title: Text
    task: Text
    criteria: Annotated[tuple[Criterion, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _known(self) -> Sheet:
        if self.item not in {item.id for item in course.load().items}:
            raise ValueError(f"there is no assessment item {self.item!r}")
        ids = [criterion.id for criterion in self.criteria]
        if len(set(ids)) < len(ids):
            raise ValueError("two criteria have the same id")
        return self

    @property
    def points(self) -> float:
        """The most the answer can earn."""
        return math.fsum(criterion.points for criterion in self.criteria)


@lru_cache(maxsize=64)
def sheet(exercise: str, folder: Path = SHEETS) -> Sheet:
    """The sheet of one exercise that is marked by hand (`"5.8-dossier-proposal"`).

    Raises:
        ServelabError: there is none, or it is wrong; the sentence names the file and the reason.
    """
    path = folder / f"{exercise}.toml"
    try:
        found = Sheet.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ServelabError(
            _("The exercise {exercise} is marked by hand and lacks its criteria: add assets/rubrics/{file}.").format(
                exercise=exercise, file=path.name
            )
        ) from None
    except tomllib.TOMLDecodeError as error:
        reason = str(error)
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc']))} {first['msg'].removeprefix('Value error, ')}".strip()
    else:
        if found.exercise == exercise:
            return found
        reason = f"it is for {found.exercise}"
    raise ServelabError(_("{file} is wrong ({reason}): correct it.").format(file=path.name, reason=reason))


def sheets(folder: Path = SHEETS) -> tuple[Sheet, ...]:
    """All sheets, in the order of their names."""
    return tuple(sheet(path.stem, folder) for path in sorted(folder.glob("*.toml")))


def markdown(marked: Sheet, lang: str = SOURCE) -> str:
    """The sheet as the prose cell that stands before its answer.

    The learner reads it before she writes; formgrader, which shows the whole notebook, holds it before the grader's
    eyes beside the one field for points. Source notebooks hold the English; other languages come from the catalogue.
    """
    with speaking(lang):
        title = _("**{title}** ({points:g} points)").format(title=marked.title, points=marked.points)
        lines = [title, "", str(marked.task)]
        for criterion in marked.criteria:
            heading = _("**{title}**: {asks}").format(title=criterion.title, asks=criterion.asks)
            lines += ["", heading, "", _("| Points | What earns them |"), "|---:|:---|"]
            lines += [f"| {step.points:g} | {step.text} |" for step in criterion.steps]
    return "\n".join(lines)
