"""What the tests let worker processes do in place of judging: found by import, as the real thing is."""

from __future__ import annotations

import os
import signal
import time

from autograder.fanout import Task, best
from autograder.results import Judgement, Mark
from servelab import course
from servelab.errors import ServelabError
from servelab.notebooks.source import Source


def double(number: int) -> int:
    return 2 * number


def moody(number: int) -> int:
    """Three kinds of misfortune among the first numbers."""
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 3:
        raise ServelabError("No engine starts here.")
    if number == 4:
        return {}["nothing"]
    return double(number)


def slow_first(number: int) -> int:
    time.sleep(1.0 if number == 0 else 0)
    return double(number)


def full(task: Task) -> Judgement:
    """Every mark for every answer, without looking."""
    source = Source(course.load().notebook(task.notebook))
    read = best(source, dict(task.copies))
    marks = tuple(Mark(e.name, e.item, e.points, e.points) for e in source.exercises())
    return Judgement(task.notebook, read.language, task.seed, marks, read.notes, digest=read.digest)


def dies_for_bob(task: Task) -> Judgement:
    if (task.student, task.notebook) == ("bob", "1.3"):
        os._exit(3)
    return full(task)


def never(task: Task) -> Judgement:
    raise AssertionError("nothing was new")


def hangs_at_one(number: int) -> int:
    """Deaf to everything but the end of its time, which this sets short."""
    import faulthandler

    faulthandler.dump_traceback_later(0.5, exit=True, file=open(os.devnull, "w"))  # noqa: SIM115
    while number == 1:
        time.sleep(1)
    return double(number)
