"""Many notebooks judged at once: in processes of this machine, or on a Dask cluster.

Judging runs no learner's code, but it can still be ended from outside (no memory left) or hang in a way nobody
thought of. A process pool of the standard library is lost with its first dead worker and cannot tell which task
killed it; here each worker has a pipe of its own, so a death costs the one notebook that was being judged.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import logging
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

from autograder.classroom import find
from autograder.results import Judgement
from servelab import course, i18n
from servelab.errors import ServelabError
from servelab.i18n import _, speaking
from servelab.notebooks.source import Source

if TYPE_CHECKING:
    from autograder.intake import Intake

LIMIT_SECONDS = 3600
"""A last resort: the sandbox has its own, much shorter, limits."""
AHEAD = 2
"""Tasks that a worker holds, so that it goes on while the results of the last one are written."""
ANSWER_SECONDS = 20
"""How long a cluster may take to answer."""


@dataclass(frozen=True)
class Task:
    """One notebook of one submission: all that a worker needs to know, as plain data.

    Attributes:
        copies: (language, file) of each copy handed in; none where the notebook is missing.
        classroom: the classroom's folder, which every machine of a cluster must see under the same path.
    """

    student: str
    assignment: str
    notebook: str
    copies: tuple[tuple[str, Path], ...]
    seed: int
    classroom: Path
    unsafe: bool = False


def grade(task: Task) -> Judgement:
    """Judge one notebook, in its learner's language, in this process."""
    from autograder import evidence, judge, sandbox

    source = Source(course.load().notebook(task.notebook))
    intake = best(source, dict(task.copies))
    room = find(task.classroom)
    with speaking(intake.language):
        return judge.judge(
            source,
            intake,
            seed=task.seed,
            isolation=sandbox.isolation(task.unsafe),
            engines=_engines(),
            evidence=evidence.Evidence(room.root / "evidence", room.key),
        )


def best(source: Source, copies: dict[str, Path]) -> Intake:
    """The copy that counts: the one with more answers; of equals the one in the course's own language."""
    from autograder import intake

    read: list[Intake] = []
    for folder, path in (copies or {i18n.SOURCE: Path(source.path.name)}).items():
        lang = written_in(path, source) or folder
        with speaking(lang):
            read.append(intake.read(path, source, lang))
    return max(read, key=lambda one: (one.answered, one.language == i18n.SOURCE))


def written_in(path: Path, source: Source) -> str | None:
    """The language most of a copy's prose is in, wherever it lies; None where it has none of the course's."""
    from autograder.intake import FILE_BYTES, released

    try:
        with path.open("rb") as file:
            text = file.read(FILE_BYTES)
    except OSError:
        return None
    found = {}
    for lang in i18n.languages():
        prose = [c.source.splitlines() for c in released(source, lang).cells if c.cell_type == "markdown"]
        lines = {json.dumps(line, ensure_ascii=e)[1:-1].encode() for p in prose for line in p if line for e in (0, 1)}
        found[lang] = sum(line in text for line in lines)
    lang = max(found, key=found.__getitem__)
    return lang if found[lang] else None


@lru_cache(maxsize=1)
def _engines():
    """This process's engines: started by the first exercise that needs one, shared by all, ended with the process."""
    from multiprocessing.util import Finalize  # a worker leaves without atexit

    from autograder.engines import Engines

    engines = Engines()
    Finalize(engines, engines.__exit__, exitpriority=1)
    return engines


@dataclass(frozen=True)
class Lost:
    """A task without a result, and why, in a sentence."""

    cause: str


def grade_many(
    tasks: Iterable[Task],
    workers: int = 2,
    cluster: str | None = None,
    work: Callable[[Task], Judgement] = grade,
) -> Iterator[tuple[Task, Judgement | Lost]]:
    """Judge every task and yield it with its result as it finishes; nothing that happens to one stops the others.

    Args:
        workers: processes on this machine.
        cluster: a Dask scheduler's address, or `local` for a Dask cluster of `workers` processes here.
        work: what is done with a task, a function that a fresh process can import.

    Raises:
        ServelabError: a cluster is asked for, but Dask is missing or nobody answers there.
    """
    yield from (_dask(list(tasks), workers, cluster, work) if cluster else _processes(deque(tasks), workers, work))


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    tasks: deque[Task] = field(default_factory=deque)


def _processes(waiting: deque[Task], workers: int, work: Callable) -> Iterator[tuple[Task, Judgement | Lost]]:
    context = get_context("forkserver")  # the modules are loaded once, and a dead worker is replaced in milliseconds
    context.set_forkserver_preload([__name__, "autograder.judge", "nbgrader.preprocessors"])
    crew: list[_Worker] = []
    try:
        while waiting or any(w.tasks for w in crew):
            while waiting and len(crew) < workers:
                crew.append(_hire(context, work))
            for worker in sorted(crew, key=lambda w: len(w.tasks)):
                while waiting and len(worker.tasks) < min(AHEAD, 1 + len(waiting) // len(crew)):
                    worker.tasks.append(waiting.popleft())
                    with contextlib.suppress(OSError):  # it died just now: found out below
                        worker.pipe.send(worker.tasks[-1])
            for pipe in wait([w.pipe for w in crew if w.tasks]):
                worker = next(w for w in crew if w.pipe is pipe)
                task = worker.tasks.popleft()
                try:
                    outcome = pipe.recv()
                except (EOFError, OSError):
                    outcome = Lost(_died(worker.process))
                    waiting.extendleft(reversed(worker.tasks))
                    crew.remove(worker)
                    pipe.close()
                yield task, outcome
    finally:
        for worker in crew:
            worker.pipe.close()
            if worker.tasks:
                worker.process.kill()  # broken off: what it does now is nobody's
        for worker in crew:
            worker.process.join()


def _hire(context, work: Callable) -> _Worker:
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, work), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _serve(pipe: Connection, work: Callable) -> None:
    """A worker's life: one task after another until the pipe ends, be it because the grader died."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the grader's, who ends the workers
    with open(os.devnull, "w") as nowhere, contextlib.suppress(EOFError, OSError):
        while True:
            task = pipe.recv()
            faulthandler.dump_traceback_later(LIMIT_SECONDS, exit=True, file=nowhere)
            outcome = _guarded(work, task)
            faulthandler.cancel_dump_traceback_later()
            pipe.send(outcome)


def _guarded(work: Callable, task: Task) -> Judgement | Lost:
    """A task's result; an error of the grader's own is that task's cause, not the class's."""
    try:
        return work(task)
    except ServelabError as error:
        return Lost(str(error))
    except Exception as error:
        return Lost(
            _("Grading failed with {error}: tell whoever maintains the course.").format(
                error=f"{type(error).__name__}: {error}"
            )
        )


def _died(process: BaseProcess) -> str:
    process.join()
    code = process.exitcode or 0
    how = signal.Signals(-code).name if code < 0 else _("exit code {n}").format(n=code)
    return _("The process that graded this notebook was ended ({how}); grade it again.").format(how=how)


def _dask(tasks: list[Task], workers: int, address: str, work: Callable) -> Iterator[tuple[Task, Judgement | Lost]]:
    try:
        import dask
        from distributed import Client, LocalCluster, as_completed
        from distributed import wait as wait_for
    except ImportError:
        raise ServelabError(_("Grading on a cluster needs Dask: run `pip install 'servelab[cluster]'`.")) from None
    with contextlib.ExitStack() as stack:
        # A task that killed its worker is tried once more, alone, and not on every worker there is.
        stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": 0}))
        if address == "local":
            address = stack.enter_context(
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,  # what is said is said in one learner's language at a time
                    dashboard_address=None,
                    host="127.0.0.1",
                    silence_logs=logging.CRITICAL,
                )
            )
        try:
            client = stack.enter_context(Client(address, timeout=ANSWER_SECONDS))
        except (OSError, TimeoutError, ValueError):
            raise ServelabError(
                _("No Dask scheduler answers at {address}: check the address.").format(address=address)
            ) from None
        told = _("The cluster lost the process that graded this notebook; grade it again.")
        suspects = []
        futures = {client.submit(_guarded, work, task, pure=False): task for task in tasks}
        for future in as_completed(futures):
            if future.status == "finished":
                yield futures[future], future.result()
            else:
                suspects.append(futures[future])
        for task in suspects:  # a death takes along what waited behind it: one by one, only the culprit dies again
            future = client.submit(_guarded, work, task, pure=False)
            wait_for(future)
            yield task, future.result() if future.status == "finished" else Lost(told)
