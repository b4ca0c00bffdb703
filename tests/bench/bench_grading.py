"""Grading a class of forty: this course's pipeline, sandbox included, against plain `nbgrader autograde`.

Both grade submissions of level 1 made of the same answers, in turns. The cells that measure on an engine are left out
of what plain nbgrader gets: it would execute them, minutes each, where ours executes what a learner wrote.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import numpy as np

from autograder import classroom, pipeline
from servelab.bench import Bench
from servelab.notebooks import execute
from servelab.paths import ROOT

sys.path.insert(0, str(ROOT))
from tests.autograder import students  # noqa: E402

ASSIGNMENT = "level-1"
CLASS, ROUNDS, PLAIN_EACH, WORKERS, SEED = 40, 4, 3, 2, 1
PLAIN_CONFIG = """\
c = get_config()
c.CourseDirectory.course_id = "plain"
c.CourseDirectory.root = {root!r}
c.ExecutePreprocessor.timeout = 120
"""


class Plain:
    """nbgrader as it comes: its own commands on a course of its own."""

    def __init__(self, root: Path, sources: list) -> None:
        self.root, self.sources = root, sources
        folder = root / "source" / ASSIGNMENT
        folder.mkdir(parents=True)
        for source in sources:
            nbformat.write(students.without_measurements(source, source.notebook), folder / source.path.name)
        (root / "nbgrader_config.py").write_text(PLAIN_CONFIG.format(root=str(root)))
        self.peak_bytes = 0
        self._nbgrader("generate_assignment", ASSIGNMENT)

    def hand_in(self, student: str, submission: Path) -> None:
        """Take a submission over from the other classroom, without its measuring cells."""
        folder = self.root / "submitted" / student / ASSIGNMENT
        folder.mkdir(parents=True)
        for source in self.sources:
            nb = nbformat.read(submission / source.path.name, as_version=4)
            nbformat.write(students.without_measurements(source, nb), folder / source.path.name)

    def grade(self, pattern: str) -> None:
        """Grade every student whose name fits the pattern, in one command."""
        self._nbgrader("autograde", ASSIGNMENT, f"--student={pattern}")

    def _nbgrader(self, *words: str) -> None:
        env = execute.environment("en", "ci", self.root)
        command = [sys.executable, "-m", "nbgrader", *words]
        with (self.root / "log.txt").open("w") as log:
            process = subprocess.Popen(command, cwd=self.root, env=env, stdout=log, stderr=log)
            with execute.MemoryWatch(lambda: process.pid) as watch:
                process.wait()
        self.peak_bytes = max(self.peak_bytes, watch.peak_bytes)
        if process.returncode:
            raise RuntimeError((self.root / "log.txt").read_text()[-2000:])


def run(bench: Bench) -> None:
    """Rounds in turns: plain nbgrader on a few, then ours on a quarter of the class."""
    rounds, each, plain_each = (1, 4, 1) if bench.quick else (ROUNDS, CLASS // ROUNDS, PLAIN_EACH)
    sources = classroom.assignments()[ASSIGNMENT]
    with tempfile.TemporaryDirectory() as folder:
        room, rng = classroom.init(Path(folder) / "class"), random.Random(SEED)
        pipeline.release(room, ASSIGNMENT)
        plain = Plain(Path(folder) / "plain", sources)
        for n in range(rounds):
            for k in range(each):
                student = f"r{n}-{k:02}"
                submission = room.step("submitted", ASSIGNMENT, student)
                students.hand_in(submission, sources, rng.random(), rng)
                if k < plain_each:
                    plain.hand_in(student, submission)
        ours, theirs, waits = [], [], []
        with execute.MemoryWatch(os.getpid) as watch:
            for n in range(rounds):
                began = time.perf_counter()
                plain.grade(f"r{n}-*")
                theirs.append(plain_each / (time.perf_counter() - began) * 60)
                began = time.perf_counter()
                names = [f"r{n}-{k:02}" for k in range(each)]
                graded = pipeline.autograde(room, ASSIGNMENT, students=names, workers=WORKERS, seed=SEED)
                ours.append(each / (time.perf_counter() - began) * 60)
                waits += [sum(j.seconds for j in one.judgements) for one in graded]
                if any(one.cause for one in graded):
                    raise RuntimeError(next(one.cause for one in graded if one.cause))
                bench.say(f"round {n + 1}: plain {theirs[-1]:.1f}, ours {ours[-1]:.1f} submissions a minute")
    gain = float(np.median(np.array(ours) / np.array(theirs)))
    bench.figure("gain", gain, "x", "5x or better", gain >= 5)
    bench.figure(
        "ours", float(np.median(ours)), "submissions/min", "more than plain", np.median(ours) > np.median(theirs)
    )
    bench.figure("plain", float(np.median(theirs)), "submissions/min", "a baseline", True)
    p95 = float(np.percentile(waits, 95))
    bench.figure("p95", p95, "s to judge one submission", "under 10 s", p95 < 10)
    bench.figure("memory", watch.peak_bytes / 2**20, "MiB, all processes", "under 2048 MiB", watch.peak_bytes < 2**31)
    bench.data |= {"workers": WORKERS, "class": rounds * each, "ours_per_minute": ours, "plain_per_minute": theirs}
    bench.data |= {"seconds_a_submission": waits, "plain_peak_mib": plain.peak_bytes / 2**20}
