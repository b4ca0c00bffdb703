"""Where a learner's code runs: a process that sees the course's packages and nothing else, and can harm nobody.

bubblewrap where the machine has it, otherwise a container of Docker or Podman, otherwise nothing unless told
`unsafe`. Inside: own process, network, IPC and mount namespaces, no network, nobody's rights, everything read-only
but a small folder in memory. Processes, memory, files and CPU time are limited from inside by rlimits, from outside
by a watch over the whole tree; how long a request may take is the grader's clock alone (see `remote.Session`).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import psutil

from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.paths import ROOT

HERE = Path(__file__).parent
PARTS = (HERE / "inside.py", HERE / "wire.py", HERE / "calls.py")
"""All of the grader that a sandbox sees."""
SHOWN = ("servelab", "course.toml", "assets")
"""What of the course a sandbox sees: neither its notebooks, which hold the solutions, nor its tests."""
SYSTEM = (
    "/usr",
    "/bin",
    "/lib",
    "/lib64",
    "/lib32",
    "/sbin",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/alternatives",
)
CONTAINER = "container"
"""The file in a sandbox's folder that says which container it is."""
GRADER, SOCKETS, HOME = "/run/grader", "/run/servers", "/tmp"
WATCH_SECONDS, GOODBYE_SECONDS = 0.1, 0.5
BUSY = 1.5
"""More cores than this in use for a second, and all that a sandbox runs becomes the machine's least urgent work."""


@dataclass(frozen=True)
class Limits:
    """What one submission may take: bytes of memory, processes, CPU seconds (each together), bytes of files."""

    memory_bytes: int = 1536 * 2**20
    processes: int = 48
    cpu_seconds: int = 120
    file_bytes: int = 64 * 2**20
    open_files: int = 256


@dataclass(frozen=True)
class Isolation:
    """A way to run a learner's code.

    Attributes:
        name: `bubblewrap`, `docker`, `podman` or `unsafe`.
        command: (folder for sockets, limits) -> the words before the Python script's path, and that path.
    """

    name: str
    command: Callable[[Path, Limits], list[str]] = field(repr=False, compare=False)

    def open(self, limits: Limits | None = None) -> Box:
        """Start one sandbox, with nothing of a submission in it yet."""
        return Box(self, limits or Limits())


class Box:
    """One running sandbox. Leaving its `with` block ends everything in it.

    Attributes:
        requests, replies: the two streams to and from `inside.py`.
        sockets: a folder that the sandbox sees; a Unix socket `<port>` in it is 127.0.0.1:<port> inside.
        broken: why the watch ended the sandbox, as part of a sentence; None while it did not.
    """

    def __init__(self, isolation: Isolation, limits: Limits) -> None:
        self.isolation, self.limits, self.broken = isolation, limits, None
        self._folder = tempfile.TemporaryDirectory(prefix="servelab-box-", ignore_cleanup_errors=True)
        self.sockets = Path(self._folder.name) / "s"
        self.sockets.mkdir()
        for folder in (Path(self._folder.name), self.sockets):
            folder.chmod(0o755)
        self._process = subprocess.Popen(
            isolation.command(self.sockets, limits),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": os.environ.get("HOME", "/")},
        )
        self.requests, self.replies = self._process.stdin, self._process.stdout
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()

    def __enter__(self) -> Box:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The outermost process."""
        return self._process.pid

    def close(self) -> None:
        """End every process in the sandbox and forget its files; harmless a second time."""
        self._over.set()
        self._end()
        self._process.wait()
        for stream in (self.requests, self.replies):
            with contextlib.suppress(OSError):  # a reply that nobody will read
                stream.close()
        self._folder.cleanup()

    def _end(self) -> None:
        """Kill the tree, its youngest last to be seen included: with its first process a PID namespace dies whole.

        The outermost one is left a moment to see its child's end: nobody else may ever ask for it.
        """
        try:
            tree = psutil.Process(self._process.pid).children(recursive=True)
        except psutil.Error:
            tree = []
        for one in tree:
            with contextlib.suppress(psutil.Error, OSError):
                one.kill()
        if tree:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(GOODBYE_SECONDS)
        with contextlib.suppress(OSError):
            self._process.kill()
        container = Path(self._folder.name) / CONTAINER
        if container.exists():  # its processes are the service's children, not ours
            words = [self.isolation.name, "rm", "--force", container.read_text().strip()]
            subprocess.run(words, capture_output=True, stdin=subprocess.DEVNULL, check=False)

    def _look(self) -> None:
        used, since = 0.0, time.monotonic()
        while not self._over.wait(WATCH_SECONDS) and self._process.poll() is None:
            tree = _tree(self._process.pid)
            found = [told for told in map(_took, tree) if told]
            memory, seconds = sum(m for m, _s in found), sum(s for _m, s in found)
            if memory > self.limits.memory_bytes:
                self.broken = _("took more than {n} MiB of memory").format(n=self.limits.memory_bytes // 2**20)
            elif len(tree) > self.limits.processes + 8:  # a sandbox's own few, and some that are just ending
                self.broken = _("started more than {n} processes").format(n=self.limits.processes)
            elif seconds > self.limits.cpu_seconds:
                self.broken = _("took more than {n} s of processor time").format(n=self.limits.cpu_seconds)
            if self.broken:
                self._end()
                return
            if (past := time.monotonic() - since) > 1:
                if seconds - used > BUSY * past:
                    _last_in_line(tree)
                used, since = seconds, time.monotonic()


def _tree(pid: int) -> list[int]:
    """Everything a process started and what that started, without a look at each process of the machine."""
    if not Path(f"/proc/self/task/{os.getpid()}/children").exists():  # not every kernel tells
        try:
            return [one.pid for one in psutil.Process(pid).children(recursive=True)]
        except psutil.Error:
            return []
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        for thread in _threads(one):
            with contextlib.suppress(OSError):
                todo += map(int, Path(f"/proc/{one}/task/{thread}/children").read_text().split())
    return found[1:]


def _threads(pid: int) -> list[int]:
    try:
        return list(map(int, os.listdir(f"/proc/{pid}/task")))
    except OSError:
        return []


def _took(pid: int) -> tuple[int, float] | None:
    """Bytes of memory a process holds, and seconds of processor time that it and its ended children took."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE"), sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def _last_in_line(tree: list[int]) -> None:
    """Make every thread of these processes, and what they start from now on, wait for anyone else's."""
    for pid in tree:
        for thread in _threads(pid):
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, thread, 19)
        with contextlib.suppress(OSError):  # where the kernel shares by session, that is what counts
            Path(f"/proc/{pid}/autogroup").write_text("19")


def isolation(unsafe: bool = False) -> Isolation:
    """The best way this machine has to run a learner's code; it was tried, not only found.

    Args:
        unsafe: take no isolation at all if there is none (rlimits only).

    Raises:
        ServelabError: there is none, and `unsafe` is not set.
    """
    found = _found()
    if found is not None:
        return found
    if unsafe:
        return Isolation("unsafe", _bare)
    raise ServelabError(
        _(
            "Grading runs other people's code, and this machine has no sandbox for it: install bubblewrap "
            "(`apt install bubblewrap`), Docker or Podman, or grade with --unsafe what you trust."
        )
    )


@lru_cache(maxsize=1)
def _found() -> Isolation | None:
    ways = [Isolation("bubblewrap", _bubblewrap)] if shutil.which("bwrap") else []
    ways += [
        Isolation(tool, lambda s, m, tool=tool: _container(tool, s, m))
        for tool in ("podman", "docker")
        if shutil.which(tool)
    ]
    return next((way for way in ways if works(way)), None)


def works(way: Isolation) -> bool:
    """Whether a sandbox of this kind starts here."""
    from autograder import wire

    try:
        with way.open() as box:
            return wire.read(box.replies) == {"value": "ready"}
    except (OSError, wire.WireError):
        return False


def environment() -> dict[str, str]:
    """All that a sandbox's process finds in its environment."""
    from servelab import hardware

    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": HOME,
        "TMPDIR": HOME,
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "SERVELAB_WORKSPACE": f"{HOME}/workspace",
        "SERVELAB_HOME": f"{HOME}/servelab",
        "SERVELAB_EFFORT": "ci",
        "SERVELAB_STATIC": "1",
        "SERVELAB_TIER": hardware.tier().id,
        "SERVELAB_GRADER_SOCKETS": SOCKETS,
    }


def mounts() -> list[Path]:
    """What a sandbox sees of this machine, read-only: the system, Python with its packages, the course unsolved."""
    python = [Path(sys.prefix), Path(sys.base_prefix), Path(sysconfig.get_paths()["stdlib"])]
    python.append(Path(os.path.realpath(sys.executable)).parent.parent)
    wanted = [Path(p) for p in SYSTEM] + python + [ROOT / part for part in SHOWN]
    kept: list[Path] = []
    for path in wanted:
        if path.exists() and not any(path == k or (k in path.parents and not path.is_symlink()) for k in kept):
            kept.append(path)
    return kept


def _python(limits: Limits, folder: str) -> list[str]:
    """Python under rlimits; `-E -s`: no one's environment or user packages change what is imported."""
    caps = {
        "as": 4 * limits.memory_bytes,  # what is reserved is more than what is used
        "nproc": limits.processes,
        "cpu": limits.cpu_seconds,
        "fsize": limits.file_bytes,
        "nofile": limits.open_files,
        "core": 0,
    }
    return ["prlimit", *(f"--{k}={v}" for k, v in caps.items()), sys.executable, "-E", "-s", f"{folder}/inside.py"]


def _bubblewrap(sockets: Path, limits: Limits) -> list[str]:
    """As root, a number that no account has takes root's place inside; otherwise the user is nobody in a namespace.

    A number of its own for each sandbox: the kernel counts processes by user, so one cannot use up another's.
    """
    root = os.geteuid() == 0
    words = ["bwrap", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    words += ["--die-with-parent", "--new-session", "--clearenv", "--hostname", "grading"]
    if not root:
        words += ["--unshare-user", "--uid", "65534", "--gid", "65534", "--cap-drop", "ALL"]
    words += ["--proc", "/proc", "--dev", "/dev"]
    for folder in (HOME, "/dev/shm"):  # before what is shown: the course may itself lie in /tmp
        words += ["--perms", "1777", "--size", str(limits.file_bytes), "--tmpfs", folder]
    shown = mounts()
    above = {parent for path in shown for parent in path.parents} - {Path("/")}
    for folder in sorted(
        above - {folder for folder in above if any(p == folder or p in folder.parents for p in shown)}
    ):
        words += ["--perms", "0755", "--dir", str(folder)]  # unless told so, bubblewrap closes them to all but root
    for path in shown:
        words += (
            ["--symlink", os.readlink(path), str(path)] if path.is_symlink() else ["--ro-bind", str(path), str(path)]
        )
    for folder in (GRADER, SOCKETS):
        words += ["--perms", "0755", "--dir", "/run", "--perms", "0755", "--dir", folder]
    for part in PARTS:
        words += ["--ro-bind", str(part), f"{GRADER}/{part.name}"]
    words += ["--ro-bind", str(sockets), SOCKETS]
    words += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", HOME]
    for key, value in environment().items():
        words += ["--setenv", key, value]
    words.append("--")
    if root:
        nobody = str(100_000_000 + secrets.randbelow(1_000_000_000))
        words += ["setpriv", f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups", "--no-new-privs"]
        words += ["--inh-caps=-all", "--bounding-set=-all"]
    return words + _python(limits, GRADER)


def _container(tool: str, sockets: Path, limits: Limits) -> list[str]:
    """A container around an empty image (`servelab-empty`, made from nothing): all it holds is what is mounted."""
    have = subprocess.run([tool, "image", "inspect", "servelab-empty"], capture_output=True)
    if have.returncode:
        empty = b"\0" * 1024  # an empty tar archive
        subprocess.run([tool, "import", "-", "servelab-empty"], input=empty, capture_output=True, check=False)
    words = [
        tool,
        "run",
        f"--cidfile={sockets.parent / CONTAINER}",
        "--rm",
        "--interactive",
        "--network=none",
        "--read-only",
        "--user=65534:65534",
    ]
    words += ["--cap-drop=ALL", "--security-opt=no-new-privileges", f"--pids-limit={limits.processes}", "--ipc=private"]
    words += [f"--memory={limits.memory_bytes}", f"--memory-swap={limits.memory_bytes}", f"--workdir={HOME}"]
    words += [f"--tmpfs={HOME}:rw,size={limits.file_bytes},mode=1777", f"--shm-size={limits.file_bytes}"]
    for path in mounts():
        words.append(f"--volume={path}:{path}:ro")
    for part in PARTS:
        words.append(f"--volume={part}:{GRADER}/{part.name}:ro")
    words.append(f"--volume={sockets}:{SOCKETS}:ro")
    words += [f"--env={key}={value}" for key, value in environment().items()]
    return [*words, "servelab-empty", *_python(limits, GRADER)]


def _bare(sockets: Path, limits: Limits) -> list[str]:
    """No isolation: for code one trusts. The learner's process shares this machine's network, so no relay is needed."""
    ours = environment() | {"SERVELAB_GRADER_SOCKETS": "", "HOME": str(sockets.parent), "TMPDIR": str(sockets.parent)}
    limits = Limits(**{**vars(limits), "processes": 4096})  # counted over all of the user's
    return ["env", "-i", *(f"{key}={value}" for key, value in ours.items()), *_python(limits, str(HERE))]
