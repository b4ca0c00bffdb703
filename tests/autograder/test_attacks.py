"""Hostile submissions: none gains a mark, harms another one or the grader's files, or leaves a process behind."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import runpy
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autograder import intake, judge, results, sandbox
from autograder.remote import Session
from servelab.errors import ServelabError
from servelab.notebooks import source as sources
from servelab.paths import ROOT

HERE = Path(__file__).parent
SHORT = {"CALL_SECONDS": 0.8, "OWN_SECONDS": 0.3, "OWN_SECONDS_IN_ALL": 1.0, "WORK_SECONDS": 1.2, "ANEW_SECONDS": 0.5}
LIMITS = sandbox.Limits(2**29, processes=24, cpu_seconds=20, file_bytes=2**24)
SEED = 11


def attacks(*themes: str) -> dict[str, Callable]:
    """The public functions of the attack files, by their names."""
    found = {}
    for theme in themes:
        for name, function in runpy.run_path(str(HERE / "attacks" / f"{theme}.py")).items():
            if callable(function) and not name.startswith("_"):
                found[name] = function
    return found


ENDING = attacks("machine", "process")
"""What it does once it does in every exercise: it is the answer of the first one only."""
ANSWERS, FILES = {**ENDING, **attacks("objects", "replies")}, attacks("files")


def _isolation() -> sandbox.Isolation | None:
    with contextlib.suppress(ServelabError):
        return sandbox.isolation()
    return None


pytestmark = [
    pytest.mark.skipif(_isolation() is None, reason="no sandbox on this machine: install bubblewrap"),
    pytest.mark.timeout(90),
]


@dataclasses.dataclass
class Place:
    """What an attacker knows or guesses, and what must be as it was afterwards."""

    source: sources.Source
    folder: Path
    pid: int
    port: int
    abstract: str
    root: Path = ROOT

    @property
    def room(self) -> Path:
        return self.folder / "classroom"

    @property
    def other(self) -> Path:
        return self.room / "submitted" / "ada" / "level-1" / self.source.path.name

    @property
    def solution(self) -> Path:
        return self.room / "source" / "level-1" / self.source.path.name

    def released(self) -> dict:
        return json.loads(json.dumps(intake.released(self.source, "en")))

    def answered(self, answers: Callable[[str], str]) -> dict:
        nb = self.released()
        for cell in nb["cells"]:
            if cell["id"].endswith("-answer"):
                cell["source"] = answers(cell["id"])
        return nb

    def state(self) -> dict[str, str]:
        """Digests of every file of the classroom and of every notebook of the course."""
        files = [*self.room.rglob("*"), *(ROOT / "levels").rglob("*.ipynb"), *(ROOT / "labs").rglob("*.ipynb")]
        return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files if p.is_file()}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Place]:
    source = next(s for s in sources.ready() if s.entry.id == "1.1")
    folder, heard = tmp_path_factory.mktemp("attacks"), []
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        name = f"\0servelab-canary-{os.getpid()}"
        unix.bind(name)
        unix.listen()

        def listen(canary: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while True:
                    heard.append(canary.accept())

        for canary in (tcp, unix):
            threading.Thread(target=listen, args=(canary,), daemon=True).start()
        at = Place(source, folder, os.getpid(), tcp.getsockname()[1], name)
        for path in (at.other, at.solution):
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(at.answered(lambda id: source.cells[id].source)))
        with contextlib.closing(sqlite3.connect(at.room / "gradebook.db")) as base:
            base.execute("create table grade (student, auto_score)")
            base.execute("insert into grade values ('ada', 7.0), ('mallory', 0.0)")
            base.commit()
        yield at
    assert not heard, "a sandbox reached this machine's network"


@pytest.fixture(scope="module")
def innocent(place: Place) -> Iterator[Callable]:
    """A context in which a second grader judges a good submission all the time, and finds it good."""
    words = [sys.executable, str(HERE / "innocent.py"), "1.1", str(place.other)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout.readline() == "ready\n"

        @contextlib.contextmanager
        def beside() -> Iterator[None]:
            process.stdin.write("go\n")
            process.stdin.flush()
            try:
                yield
            finally:
                process.stdin.write("stop\n")
                process.stdin.flush()
                told = json.loads(process.stdout.readline())
            assert all(earned == 7.0 for earned, _causes in told), f"another grader's submission lost marks: {told}"

        yield beside
        process.stdin.close()


@pytest.fixture
def attempt(place: Place, innocent, tmp_path, monkeypatch) -> Callable[[Path], results.Judgement]:
    """Judge a hostile file, and make sure of all that must hold whatever it does."""
    spaces: set[str] = set()

    class Seen(Session):
        def __init__(self, box: sandbox.Box, *rest) -> None:
            super().__init__(box, *rest)
            for pid in sandbox._tree(box.pid):
                with contextlib.suppress(OSError):
                    spaces.add(os.readlink(f"/proc/{pid}/ns/pid"))

    def run(path: Path) -> results.Judgement:
        before = place.state()
        boxes = tmp_path / "t"
        boxes.mkdir()
        with monkeypatch.context() as patched:
            for name, seconds in SHORT.items():
                patched.setattr(judge, name, seconds)
            patched.setattr(judge, "Limits", lambda: LIMITS)
            patched.setattr(judge, "Session", Seen)
            patched.setattr(tempfile, "tempdir", str(boxes))
            with innocent():
                read = intake.read(path, place.source)
                judged = judge.judge(place.source, read, seed=SEED, isolation=sandbox.isolation())
        assert place.state() == before, "files were changed"
        assert not list(boxes.iterdir()), "a sandbox's folder was left"
        _ended(spaces - {os.readlink("/proc/self/ns/pid")})
        good = intake.read(place.other, place.source)
        after = judge.judge(place.source, good, seed=SEED, isolation=sandbox.isolation())
        assert after.earned == after.points == 7.0, "the next submission lost marks"
        _showable(read, judged, tmp_path)
        return judged

    return run


def _ended(spaces: set[str]) -> None:
    """Every process of these PID namespaces has ended, or does so at once."""
    for _again in range(100):
        left = []
        for entry in os.listdir("/proc"):
            with contextlib.suppress(OSError):
                if entry.isdigit() and os.readlink(f"/proc/{entry}/ns/pid") in spaces:
                    state = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[0]
                    left += [entry] if state not in "ZX" else []  # over, though nobody has asked for its end yet
        if not left:
            return
        time.sleep(0.05)
    raise AssertionError(f"still running: {left}")


def _showable(read: intake.Intake, judged: results.Judgement, folder: Path) -> None:
    """What is kept and shown of it can be written, is short, and holds nothing that steers a terminal."""
    results.save(folder, "level-1", "mallory", [judged])
    assert results.load(folder, "level-1", "mallory") == (judged,)
    nb = intake.rebuild(next(s for s in sources.ready() if s.entry.id == "1.1"), read, judged)
    json.dumps(nb, ensure_ascii=False).encode()
    told = [*judged.notes, *(m.cause or "" for m in judged.marks)]
    told += [p.message for m in judged.marks for p in m.properties]
    assert all(text.isprintable() and len(text) < 500 for text in told)
    assert len(judged.notes) < 20


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that(name: str, attempt, place: Place, tmp_path) -> None:
    hostile = ANSWERS[name](place)
    path = tmp_path / place.source.path.name
    blank = {cell["id"]: cell["source"] for cell in place.released()["cells"]}
    once = name in ENDING
    path.write_text(
        json.dumps(place.answered(lambda id: blank[id] if once and id != "1-1-ceiling-answer" else hostile))
    )
    judged = attempt(path)
    assert judged.earned == 0, [(m.exercise, m.earned, m.failed) for m in judged.marks]


@pytest.mark.parametrize("name", FILES)
def test_a_file_that(name: str, attempt, place: Place, tmp_path) -> None:
    path = tmp_path / "a\nname of two lines" / place.source.path.name
    path.parent.mkdir()
    FILES[name](path, place.released(), place)
    judged = attempt(path)
    assert judged.earned == 0, [(m.exercise, m.earned, m.failed) for m in judged.marks]
    assert judged.points == 7


def test_there_are_many() -> None:
    assert len(ANSWERS) + len(FILES) >= 80
