"""Notebooks executed without a browser: papermill, one kernel each, warm servers shared by all of them."""

from __future__ import annotations

import copy
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import psutil
from nbformat import NotebookNode

from servelab.engines import process
from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.notebooks import source as sources
from servelab.notebooks import translate
from servelab.paths import ROOT, SKIPPED, WORKSPACE_MARKER

CELL_SECONDS = {"ci": 900, "full": 3600}
ENGINE = "servelab"

Progress = Callable[[int, int, str], None]
"""Called before each code cell: cells done, cells in all, the id of the cell that starts."""


@dataclass
class Failure:
    """A cell that raised: its id and the error, in one line."""

    cell: str
    name: str
    message: str

    def __str__(self) -> str:
        text = self.message.strip().splitlines()[0] if self.message.strip() else ""
        return text if self.name == "ServelabError" else f"{self.name}: {text}".removesuffix(": ")


@dataclass
class Run:
    """One executed notebook.

    Attributes:
        notebook: with its outputs, as far as it came.
        failures: the cells that raised, in order; a run without an allowed error stops at the first.
        seconds: wall time, the kernel's start included.
        peak_bytes: highest resident memory of the kernel and its children, servers that the kernel started apart.
        cells: code cells executed.
        exercises: test cells among the executed cells that did not raise.
    """

    path: Path
    notebook: NotebookNode
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0
    peak_bytes: int = 0
    cells: int = 0
    exercises: int = 0

    @property
    def skipped(self) -> list[str]:
        """What the notebook left out on this machine, in its own words."""
        outputs = (output for cell in self.notebook.cells for output in cell.get("outputs", []))
        return [output["metadata"][SKIPPED] for output in outputs if SKIPPED in output.get("metadata", {})]

    @property
    def passed(self) -> bool:
        """Whether no cell raised."""
        return not self.failures


class MemoryWatch:
    """Samples the resident memory of a process tree in a thread, leaving out the servers inside it.

    Args:
        pid: gives the root's process id once there is one.
        every: seconds between two samples.
    """

    def __init__(self, pid: Callable[[], int | None], every: float = 0.25) -> None:
        self.peak_bytes = 0
        self._pid, self._every = pid, every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(self._every):
            if pid := self._pid():
                self.peak_bytes = max(self.peak_bytes, tree_bytes(pid, without=_keepers()))


def tree_bytes(pid: int, without: set[int] = frozenset()) -> int:
    """Resident bytes of a process and its descendants; a branch whose root is in `without` is left out."""
    try:
        root = psutil.Process(pid)
        own, children = root.memory_info().rss, root.children()
    except psutil.Error:
        return 0
    return own + sum(tree_bytes(child.pid, without) for child in children if child.pid not in without)


def _keepers() -> set[int]:
    """The processes at the root of every running server."""
    return {one["keeper"]["pid"] for one in process.states()}


def environment(lang: str, effort: str, workspace: Path) -> dict[str, str]:
    """What a kernel without a frontend needs: static pictures, sizes, language, workspace, and us as owner."""
    return {
        **os.environ,
        "SERVELAB_STATIC": "1",
        "SERVELAB_EFFORT": effort,
        "SERVELAB_LANGUAGE": lang,
        "SERVELAB_WORKSPACE": str(workspace),
        "SERVELAB_OWNER": os.environ.get("SERVELAB_OWNER") or str(os.getpid()),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


def execute(
    nb: NotebookNode,
    path: Path,
    *,
    env: dict[str, str],
    cwd: Path,
    cell_seconds: float = CELL_SECONDS["ci"],
    progress: Progress | None = None,
) -> Run:
    """Run `nb` in a kernel of this environment and tell what happened; an error in a cell is in the result.

    A cell tagged `raises-exception` may raise without ending the run.

    Args:
        nb: left as it is; the executed copy is in the result.
        path: named in messages only.
        env: the kernel's whole environment.
        cwd: the kernel's folder.
        cell_seconds: longest time one cell may take.
        progress: told before each code cell.
    """
    import papermill
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NBClientEngine, papermill_engines
    from papermill.exceptions import PapermillExecutionError

    run = Run(path, nb)
    total = sum(cell.cell_type == "code" for cell in nb.cells)

    def before(cell: NotebookNode, **ignored: object) -> None:
        if progress and cell.cell_type == "code":
            progress(run.cells, total, cell.get("id", "?"))

    def after(cell: NotebookNode, execute_reply: dict, **ignored: object) -> None:
        run.cells += 1
        content = execute_reply["content"]
        if content["status"] == "error":
            failure = Failure(cell.get("id", "?"), content.get("ename", "?"), content.get("evalue", ""))
            run.failures.append(failure)
        elif cell.metadata.get("nbgrader", {}).get("grade"):
            run.exercises += 1

    class Engine(NBClientEngine):
        """papermill's engine, with the kernel's environment and folder, its memory watched."""

        @classmethod
        def execute_managed_notebook(cls, nb_man, kernel_name, **ignored):
            client = PapermillNotebookClient(
                nb_man,
                kernel_name="python3",
                timeout=cell_seconds,
                startup_timeout=120,
                store_widget_state=False,
                on_cell_execute=before,
                on_cell_executed=after,
            )
            manager = client.create_kernel_manager()
            manager.transport, manager.ip = "ipc", f"{sockets}/k"  # no port to fight for, nothing on the network
            run.notebook = nb_man.nb
            watch = MemoryWatch(lambda: getattr(getattr(client.km, "provisioner", None), "pid", None))
            try:
                with watch:
                    client.execute(env=env, cwd=str(cwd))
            finally:
                run.peak_bytes = watch.peak_bytes

    papermill_engines.register(ENGINE, Engine)
    start = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as sockets:
            papermill.execute_notebook(copy.deepcopy(nb), None, engine_name=ENGINE, progress_bar=False)
    except PapermillExecutionError:
        pass  # told by `after`
    except Exception as error:  # a dead kernel, a cell over its time: nbclient's errors share no useful base
        code = [cell for cell in nb.cells if cell.cell_type == "code" and cell.source.strip()]
        cell = code[min(run.cells, len(code) - 1)].get("id", "?") if code else "?"
        run.failures.append(Failure(cell, type(error).__name__, str(error)))
    run.seconds = time.monotonic() - start
    return run


def prepare(path: Path, lang: str) -> NotebookNode:
    """The notebook to run: one of the course is put into `lang`, solutions and all; any other is taken as it is."""
    source = sources.find(path)
    return translate.apply(source.notebook, source.stem, lang) if source else sources.read(path)


def resolve(names: list[str]) -> list[Path]:
    """Paths of the notebooks named: a path, a notebook's id (`1.3`), or `all` the course's ready ones.

    Raises:
        ServelabError: there is no such notebook.
    """
    ready = {source.entry.id: source.path for source in sources.ready()}
    found: list[Path] = []
    for name in names:
        if name == "all":
            found += ready.values()
        elif name in ready:
            found.append(ready[name])
        elif Path(name).is_file() or (ROOT / name).is_file():
            found.append(Path(name).resolve() if Path(name).is_file() else ROOT / name)
        else:
            raise ServelabError(
                _("There is no notebook {name!r}: give a path, `all`, or one of: {known}.").format(
                    name=name, known=", ".join(ready)
                )
            )
    return found


def workspace_of(path: Path) -> Path | None:
    """The learner's workspace that `path` lies in, if any."""
    return next((f for f in path.resolve().parents if (f / WORKSPACE_MARKER).exists()), None)


@contextmanager
def session() -> Iterator[Path]:
    """A run of several notebooks: servers started in it are ours, reused in it and stopped after it.

    Yields:
        A fresh workspace for the notebooks that lie in none.
    """
    outer = os.environ.get("SERVELAB_OWNER")
    os.environ["SERVELAB_OWNER"] = outer or str(os.getpid())
    with tempfile.TemporaryDirectory(prefix="servelab-run-") as folder:
        (Path(folder) / WORKSPACE_MARKER).write_text('{"language": "en", "delivered": {}}')
        try:
            yield Path(folder)
        finally:
            if outer is None:
                del os.environ["SERVELAB_OWNER"]
                stop_owned()


def stop_owned() -> None:
    """Stop every server that belongs to this process; one that another program uses too is given up."""
    for one in process.states():
        if process.me() in one["owners"]:
            with process.stopping_at_end(one["name"]):
                pass


def run(path: Path, workspace: Path, lang: str, effort: str = "ci", progress: Progress | None = None) -> Run:
    """Run the notebook at `path` as it stands there; `workspace` keeps what it saves unless it lies in one itself.

    A notebook that is not there or cannot be read is a failed run, so that the others of a list go on.
    """
    try:
        notebook = prepare(path, lang)
    except ServelabError as error:
        return Run(path, nbformat.v4.new_notebook(), [Failure("-", "ServelabError", str(error))])
    return execute(
        notebook,
        path,
        env=environment(lang, effort, workspace_of(path) or workspace),
        cwd=path.parent,
        cell_seconds=CELL_SECONDS[effort],
        progress=progress,
    )
