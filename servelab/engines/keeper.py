"""The keeper: one small process beside every engine, which sees to it that nothing outlives its owner.

It runs as a file of its own (`python keeper.py <state file>`, standard library and psutil only) in a session of
its own. It starts the engine as its child, notes when it is ready, and stops the whole tree when it is asked to
(SIGTERM), when the engine has died, or when the last owner is gone, however the owner died.

The state file is JSON and is the one place where a server is described; everybody changes it through `update`.
Phases: `starting` -> `ready` -> `stopped` (asked, or no owner left) or `died` (the engine ended by itself).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

State = dict[str, Any]
Mark = dict[str, Any]
MARKER = "SERVELAB_SERVER"
TICK_S = 0.2
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
WATCHED = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}


def mark(pid: int) -> Mark | None:
    """A process told apart from every other one: its pid, the boot, and its start in ticks since the boot."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    return None if fields[0] in "ZX" else {"pid": pid, "started": f"{boot}:{fields[19]}"}


def alive(one: Mark | None) -> bool:
    """True while the marked process itself, not a later one with its pid, runs."""
    return one is not None and mark(one["pid"]) == one


def read(path: Path) -> State | None:
    """The state kept in a file, or None where there is none."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def update(path: Path, change: Callable[[State], None]) -> State:
    """Change a state file: read, change and replace it in one step that nobody can come between."""
    descriptor = os.open(path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        state = read(path) or {}
        change(state)
        new = path.with_suffix(f".new-{os.getpid()}")
        try:
            new.write_text(json.dumps(state, indent=1))
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
        return state
    finally:
        os.close(descriptor)


def end(processes: list[psutil.Process], grace_s: float) -> None:
    """SIGTERM, then SIGKILL what is left after `grace_s` seconds."""
    for step, wait in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 5.0)):
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(step)
        processes = psutil.wait_procs(processes, timeout=wait)[1]
        if not processes:
            return


def pong(url: str) -> bool:
    """Whether a Redis answers at `redis://host:port`."""
    at = urllib.parse.urlsplit(url)
    with contextlib.suppress(OSError), socket.create_connection((at.hostname, at.port), timeout=2) as line:
        line.settimeout(2)
        line.sendall(b"PING\r\n")
        return line.recv(16).startswith(b"+PONG")
    return False


class Keeper:
    """Runs one engine from its state file; `run` returns when nothing of the engine is left."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = read(path)
        self.tree: list[int] = []
        self.asked = False

    def run(self) -> None:
        """Start the engine and keep it; see the module's text."""
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        began = time.monotonic()
        try:
            self.child = self._launch()
        except OSError as error:
            self._note(phase="died", code=127, error=str(error), keeper=None)
            return
        self._note(keeper=mark(os.getpid()), engine=mark(self.child.pid))
        phase, looked = "starting", 0.0
        while True:
            received = signal.sigtimedwait(WATCHED, TICK_S)
            if received and received.si_signo != signal.SIGCHLD:
                self.asked = True
            if self.child.poll() is not None or self.asked or not self._owned():
                break
            if phase == "starting" and self._healthy():
                phase = "ready"
                self._note(phase=phase, ready_seconds=round(time.monotonic() - began, 2))
            if time.monotonic() - looked > 2:
                looked = time.monotonic()
                self._look()
        self._finish()

    def _launch(self) -> subprocess.Popen:
        keeper = os.getpid()

        def tie() -> None:
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != keeper:
                os._exit(1)

        env = {**os.environ, **self.state["env"], MARKER: str(self.path)}
        env.pop("PYTHONDONTWRITEBYTECODE", None)  # compiling an engine's thousands of files anew doubles its start
        with open(self.state["log"], "ab", buffering=0) as log:
            return subprocess.Popen(
                self.state["command"],
                env=env,
                cwd=self.state["cwd"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=tie,
            )

    def _note(self, **facts: Any) -> None:
        # A full disk must not cost the engine its keeper.
        with contextlib.suppress(OSError):
            update(self.path, lambda state: state.update(facts))

    def _owned(self) -> bool:
        state = read(self.path)
        return state is None or any(alive(owner) for owner in state["owners"])

    def _healthy(self) -> bool:
        if self.state["ready_url"].startswith("redis:"):
            return pong(self.state["ready_url"])
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with contextlib.suppress(OSError, ValueError), opener.open(self.state["ready_url"], timeout=2) as answer:
            return answer.status == 200
        return False

    def _descendants(self) -> list[psutil.Process]:
        return psutil.Process().children(recursive=True)

    def _look(self) -> None:
        """Reap adopted children that ended, and note the tree so that others can clear it if this process dies."""
        found = []
        for process in self._descendants():
            with contextlib.suppress(psutil.NoSuchProcess, ChildProcessError):
                if process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
                elif process.pid != self.child.pid and process.ppid() == os.getpid():
                    os.waitpid(process.pid, os.WNOHANG)
        if found != self.tree:
            self.tree = found
            self._note(tree=[one for one in map(mark, found) if one])

    def _finish(self) -> None:
        code = self.child.poll()
        if code is None:
            self._note(phase="stopping")
            self.child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(self.state["grace_s"])
        while left := [p for p in self._descendants() if p.pid != self.child.pid or self.child.poll() is None]:
            end(left, grace_s=1.0)
        died = {"phase": "died", "code": code}
        self._note(**(died if code is not None else {"phase": "stopped"}), keeper=None, tree=[])


def main(path: Path) -> None:
    """Detach from the caller (a kernel that shuts down ends its children, and would leave zombies) and keep."""
    pid = os.fork()
    if pid:
        update(path, lambda state: state.update(keeper=state["keeper"] or mark(pid)))
        os._exit(0)
    os.setsid()
    Keeper(path).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
