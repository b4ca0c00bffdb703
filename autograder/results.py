"""What grading found, as plain data: a property held or not, an exercise's mark, a notebook's judgement.

Everything here goes to JSON and back without loss (`to_json()` gives what `json.dumps` takes), because the result
of a grading is a file: `results/<assignment>/<student>.json`. Reports, exports and reruns read those files and
never the submission.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from servelab.errors import ServelabError
from servelab.i18n import _

FOLDER = "results"


@dataclass(frozen=True)
class Property:
    """One thing that an answer must satisfy: one `assert` of a test cell.

    Attributes:
        message: what was asked, in a sentence that is safe to show to the learner.
        held: whether the answer satisfies it.
        hidden: it stands among the hidden tests; only these score.
        free: an answer that is always the same can satisfy it; one that does no better than that earns nothing.
    """

    message: str
    held: bool
    hidden: bool
    free: bool

    def to_json(self) -> dict[str, Any]:
        """The property as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Property:
        """The property that `to_json` wrote."""
        return cls(message=data["message"], held=data["held"], hidden=data["hidden"], free=data["free"])


@dataclass(frozen=True)
class Mark:
    """One exercise's mark.

    Attributes:
        exercise: its name as the learner sees it, `1.3-goodput`.
        item: the assessment item it trains.
        points: the most it can earn.
        earned: what it earned, from 0 to `points`.
        properties: what was checked.
        cause: one sentence why it lost marks as a whole (the answer raised, ran out of time, killed its process),
            safe to show; None where the properties tell it all.
        seconds: how long judging it took.
    """

    exercise: str
    item: str
    points: float
    earned: float
    properties: tuple[Property, ...] = ()
    cause: str | None = None
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.earned) and 0 <= self.earned <= self.points):
            raise ValueError(f"{self.exercise}: {self.earned} is no mark out of {self.points}")

    @property
    def failed(self) -> tuple[Property, ...]:
        """The properties that the answer does not satisfy."""
        return tuple(p for p in self.properties if not p.held)

    def to_json(self) -> dict[str, Any]:
        """The mark as plain data."""
        return {**_fields(self), "properties": [p.to_json() for p in self.properties]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Mark:
        """The mark that `to_json` wrote."""
        return cls(**_known(cls, data) | {"properties": tuple(map(Property.from_json, data["properties"]))})


@dataclass(frozen=True)
class Judgement:
    """One submitted notebook's marks.

    Attributes:
        notebook: its id in the course, `1.3`.
        language: the language of the copy that counts.
        seed: what the inputs were drawn from; the same seed gives the same judgement.
        marks: one for each exercise, in the notebook's order.
        notes: what was wrong with the submitted file, a sentence each, safe to show.
        seconds: how long judging it took.
        digest: of the submitted answers; a rerun passes over what has not changed.
    """

    notebook: str
    language: str
    seed: int
    marks: tuple[Mark, ...]
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    digest: str = ""

    @property
    def earned(self) -> float:
        """What all exercises together earned."""
        return math.fsum(mark.earned for mark in self.marks)

    @property
    def points(self) -> float:
        """The most all exercises together can earn."""
        return math.fsum(mark.points for mark in self.marks)

    def mark(self, exercise: str) -> Mark:
        """The mark of one exercise (`"1.3-goodput"`).

        Raises:
            KeyError: the judgement has no mark for it.
        """
        for mark in self.marks:
            if mark.exercise == exercise:
                return mark
        raise KeyError(exercise)

    def having(self, mark: Mark) -> Judgement:
        """This judgement with `mark` in place of the exercise's old one, or added: how a mark given by hand enters."""
        if any(m.exercise == mark.exercise for m in self.marks):
            return replace(self, marks=tuple(mark if m.exercise == mark.exercise else m for m in self.marks))
        return replace(self, marks=(*self.marks, mark))

    def to_json(self) -> dict[str, Any]:
        """The judgement as plain data."""
        return {**_fields(self), "marks": [m.to_json() for m in self.marks], "notes": list(self.notes)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Judgement:
        """The judgement that `to_json` wrote."""
        read = {"marks": tuple(map(Mark.from_json, data["marks"])), "notes": tuple(data.get("notes", ()))}
        return cls(**_known(cls, data) | read)


def _fields(one: Mark | Judgement) -> dict[str, Any]:
    """Shallow: the nested tuples are written by their own classes."""
    return {name: getattr(one, name) for name in one.__dataclass_fields__}


def _known(cls: type, data: dict[str, Any]) -> dict[str, Any]:
    return {name: data[name] for name in cls.__dataclass_fields__ if name in data}


def path(classroom: Path, assignment: str, student: str) -> Path:
    """Where the results of one student's assignment stand.

    Raises:
        ServelabError: a name that would lead out of the folder.
    """
    for name in (assignment, student):
        if not name or name.startswith(".") or any(c in name for c in "/\\\0"):
            raise ServelabError(
                _("{name!r} cannot name a file: choose a name without slashes that does not begin with a dot.").format(
                    name=name
                )
            )
    return Path(classroom) / FOLDER / assignment / f"{student}.json"


def save(classroom: Path, assignment: str, student: str, judgements: Iterable[Judgement]) -> Path:
    """Write the results of one student's assignment whole or not at all, and return their file."""
    file = path(classroom, assignment, student)
    data = {"student": student, "judgements": [j.to_json() for j in judgements]}
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, fresh = tempfile.mkstemp(dir=file.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(data, stream, indent=1, allow_nan=False)  # escaped: a submission may hold lone surrogates
        os.replace(fresh, file)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh)
        raise
    return file


def load(classroom: Path, assignment: str, student: str) -> tuple[Judgement, ...]:
    """The results of one student's assignment; none where it was not graded.

    Raises:
        ServelabError: the file is damaged.
    """
    file = path(classroom, assignment, student)
    return _read(file)[1] if file.exists() else ()


def load_all(classroom: Path) -> dict[str, dict[str, tuple[Judgement, ...]]]:
    """All results of a class: {assignment: {student: judgements}}, each in the order of its name.

    Raises:
        ServelabError: a file is damaged.
    """
    found: dict[str, dict[str, tuple[Judgement, ...]]] = {}
    for file in sorted((Path(classroom) / FOLDER).glob("*/[!.]*.json")):
        student, judgements = _read(file)
        found.setdefault(file.parent.name, {})[student] = judgements
    return found


def _read(file: Path) -> tuple[str, tuple[Judgement, ...]]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        return str(data["student"]), tuple(map(Judgement.from_json, data["judgements"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ServelabError(
            _("{file} is damaged: delete it and grade the assignment {assignment} again.").format(
                file=file, assignment=file.parent.name
            )
        ) from None
