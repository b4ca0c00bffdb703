"""A classroom with level 1 released, made once; each test has its own copy, and submissions to put into it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
import typer
from nbformat import NotebookNode
from typer.testing import CliRunner

from autograder import classroom, pipeline
from autograder.classroom import Classroom
from servelab.cli import grade
from servelab.notebooks.source import Source

LEVEL = "level-1"


@dataclass
class School:
    """A classroom and what its learners do."""

    room: Classroom

    def source(self, id: str = "1.3") -> Source:
        return next(s for s in classroom.assignment(LEVEL) if s.entry.id == id)

    def released(self, id: str = "1.3", lang: str = "en") -> NotebookNode:
        folder = self.room.step("release", LEVEL) / ("." if lang == "en" else lang)
        return nbformat.read(folder / self.source(id).path.name, as_version=4)

    def solved(self, id: str = "1.3", lang: str = "en", but: dict[str, str] | None = None) -> NotebookNode:
        """The released notebook with the reference's answers; `but` has other answers, by exercise."""
        nb, cells = self.released(id, lang), {}
        for exercise in self.source(id).exercises():
            cells[exercise.answer.id] = (but or {}).get(exercise.name, exercise.answer.source)
        for cell in nb.cells:
            cell.source = cells.get(cell.id, cell.source)
        return nb

    def hand_in(self, student: str, nb: NotebookNode | dict | bytes | None, id: str = "1.3", lang: str = "en") -> Path:
        """Put a file where collecting would; None: a submission without this notebook."""
        folder = self.room.step("submitted", LEVEL, student) / ("." if lang == "en" else lang)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.source(id).path.name
        if nb is not None:
            path.write_bytes(nb if isinstance(nb, bytes) else json.dumps(nb).encode())
        return path


@pytest.fixture(scope="session")
def _released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    room = classroom.init(tmp_path_factory.mktemp("school") / "classroom")
    pipeline.release(room, LEVEL)
    return room.root


@pytest.fixture(scope="session")
def make_school(_released: Path) -> Callable[[Path], School]:
    """A copy of the released classroom in a folder of its own."""

    def make(folder: Path) -> School:
        return School(classroom.find(shutil.copytree(_released, folder / "classroom")))

    return make


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Call `servelab grade ...` and give what it printed; `ServelabError` passes as it does to `main`."""
    app = typer.Typer()
    grade.register(app)
    app.callback()(lambda: None)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*words: object) -> str:
        done = CliRunner().invoke(app, ["grade", *map(str, words)])
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.output

    return call


@pytest.fixture
def school(make_school: Callable[[Path], School], tmp_path: Path) -> School:
    return make_school(tmp_path)
