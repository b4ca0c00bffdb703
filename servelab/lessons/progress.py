"""What a learner did, notebook by notebook: `progress.json` in the workspace."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servelab import course
from servelab.lessons import texts
from servelab.lessons.store import Store
from servelab.paths import ROOT, workspace

FILE = "progress.json"


def now() -> str:
    """This instant, in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Standing:
    """How far a learner is in one notebook: done and all, of each kind of step."""

    id: str
    opened: bool
    predictions: tuple[int, int]
    questions: tuple[int, int]
    exercises: tuple[int, int]

    @property
    def done(self) -> int:
        """Steps done."""
        return self.predictions[0] + self.questions[0] + self.exercises[0]

    @property
    def all(self) -> int:
        """Steps there are; 0 for a notebook that is not written yet."""
        return self.predictions[1] + self.questions[1] + self.exercises[1]

    @property
    def share(self) -> float:
        """0 ... 1. A notebook without steps is done once it was opened."""
        return self.done / self.all if self.all else float(self.opened)


class Progress:
    """The learner's steps. Every method reads the file anew, so that several notebooks may write it."""

    def __init__(self, folder: Path | None = None, say: Callable[[str], None] = print):
        self.store = Store((folder or workspace()) / FILE, say)

    def notebook(self, id: str) -> dict[str, Any]:
        """What is stored of one notebook: `opened`, `predictions`, `quiz`, `exercises`."""
        return _entry(self.store.read(), id)

    @contextmanager
    def change(self, id: str) -> Iterator[dict[str, Any]]:
        """The stored entry of one notebook, to be changed in place."""
        with self.store.update() as data:
            yield _entry(data, id)

    def opened(self, id: str) -> dict[str, Any]:
        """Note that a notebook was opened."""
        with self.change(id) as entry:
            entry.setdefault("opened", now())
            entry["last"] = now()
        return entry

    def standing(self, id: str) -> Standing:
        """How far the learner is in one notebook."""
        return _standing(self.store.read(), course.load().notebook(id))

    def standings(self) -> list[Standing]:
        """How far the learner is in every notebook of the course, in its order."""
        data = self.store.read()
        return [_standing(data, notebook) for notebook in course.load().notebooks]


def _entry(data: dict[str, Any], id: str) -> dict[str, Any]:
    entry = data.setdefault("notebooks", {}).setdefault(id, {})
    for kind in ("predictions", "quiz", "exercises"):
        entry.setdefault(kind, {})
    return entry


def _standing(data: dict[str, Any], notebook: course.Notebook) -> Standing:
    entry = _entry(data, notebook.id)
    asked = texts.source(notebook.id)
    questions, there = {q.id for q in asked.quiz}, exercises(notebook)
    return Standing(
        id=notebook.id,
        opened="opened" in entry,
        predictions=(sum("guess" in entry["predictions"].get(k, {}) for k in asked.predict), len(asked.predict)),
        questions=(len(questions & entry["quiz"].keys()), len(questions)),
        exercises=(len(set(there) & entry["exercises"].keys()), len(there)),
    )


def exercises(notebook: course.Notebook) -> list[str]:
    """The notebook's exercises in order, such as `1.3-goodput`; none for a notebook not written yet."""
    path = ROOT / notebook.path
    if not (notebook.ready and path.exists()):
        return []
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    graded = [c["metadata"]["nbgrader"]["grade_id"] for c in cells if c["metadata"].get("nbgrader", {}).get("grade")]
    prefix = notebook.id.replace(".", "-")
    return [notebook.id + name.removeprefix(prefix).removesuffix("-test") for name in graded]
