"""The one supervisor of engines: start, share, find and stop real server processes on this machine.

A server is described by its state file in `home()/servers`; the process that keeps it is `keeper.py`. Owners are
processes a server must not outlive; users are the handles that work with it now. A server without users stays
warm for its owner, and makes room when another one needs the memory; one that is used is stopped by nobody else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from servelab.engines import keeper, ports
from servelab.engines.keeper import MARKER, Mark, State, alive, mark
from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.locks import locked
from servelab.paths import home
from servelab.progress import Progress

RUNNING = ("starting", "ready", "stopping")
SPARE_BYTES = 2**29
WARM_SERVERS = 3
LOG_ROOM_BYTES = 100 * 2**20
KEEPER_START_S = 60.0


@dataclass(frozen=True)
class Spec:
    """What to start. Two specs with equal `config` are one server.

    `command` may hold "{port}", and "{folder}" for a folder of the server's own, made anew at each start with `files`
    in it: {name: text}, in which both stand too. A server with several ports names the others in `more_ports`, {name:
    the port asked for, or None}; each stands for "{name}", and the state notes them all. `scheme` is what it speaks,
    `http` or `redis`. `need_bytes` is the memory it will take; `explain(log) -> cause` reads the reason of a failed
    start from the log, in one sentence; `stages` are (text in the log, what to show) in order.
    """

    engine: str
    title: str
    config: dict[str, Any]
    command: Sequence[str]
    env: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    need_bytes: int = 0
    port: int | None = None
    more_ports: dict[str, int | None] = field(default_factory=dict)
    name: str | None = None
    ready_path: str = "/health"
    scheme: str = "http"
    grace_s: float = 3.0
    explain: Callable[[str], str | None] = lambda log: None
    stages: Sequence[tuple[str, str]] = ()

    @property
    def key(self) -> str:
        """A digest of the configuration, the name and the port asked for."""
        text = json.dumps([self.engine, self.config, self.name, self.port], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:6]

    @property
    def server_name(self) -> str:
        """The server's name: the one given, else the engine's with a digest of the configuration."""
        return self.name or f"{self.engine}-{self.key}"


def folder() -> Path:
    """Where state files and logs of servers stand."""
    path = home() / "servers"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def state_path(name: str) -> Path:
    """A server's state file."""
    return folder() / f"{name}.json"


def log_path(name: str) -> Path:
    """A server's log file."""
    return folder() / f"{name}.log"


def state(name: str) -> State | None:
    """What is known of a server, running or not; None where nothing is."""
    return keeper.read(state_path(name))


def is_running(one: State | None) -> bool:
    """True while a server's keeper lives, so also while it starts."""
    return one is not None and one["phase"] in RUNNING and alive(one["keeper"])


def is_leaving(one: State) -> bool:
    """True while a keeper clears away a server that was asked to stop, or whose engine has just died."""
    return one["phase"] == "stopping" or (one["phase"] == "ready" and not alive(one["engine"]))


def users(one: State) -> list[Mark]:
    """The processes that hold the server now."""
    return [user for user in one["users"].values() if alive(user)]


def me() -> Mark:
    """This process."""
    return mark(os.getpid())


def owner() -> Mark:
    """Who servers started here belong to: the session in `SERVELAB_OWNER` while it lives, else this process."""
    session = os.environ.get("SERVELAB_OWNER", "")
    return (mark(int(session)) if session.isdigit() else None) or me()


def states() -> list[State]:
    """Every running server, oldest first. Clears away what a killed keeper left behind."""
    found = [one for one in map(keeper.read, folder().glob("*.json")) if one]
    for one in found:
        lost = one["keeper"] and not alive(one["keeper"])
        never = not one["keeper"] and time.time() - one["started"] > KEEPER_START_S
        if one["phase"] in RUNNING and (lost or never):
            _sweep(one)
    return sorted(filter(is_running, found), key=lambda one: one["started"])


def _sweep(one: State) -> None:
    """End the engine of a keeper that was killed: what was recorded, its children, and what bears the mark.

    Each way alone has holes: the record may be seconds old, and a worker that sets its title loses its environment.
    """
    path = state_path(one["name"])
    left: dict[int, psutil.Process] = {}
    for m in filter(alive, [one.get("engine"), *one.get("tree", [])]):
        with contextlib.suppress(psutil.Error):
            first = psutil.Process(m["pid"])
            left |= {p.pid: p for p in [first, *first.children(recursive=True)]}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARKER) == str(path):
                left[process.pid] = process
    keeper.end(list(left.values()), grace_s=1.0)
    keeper.update(path, lambda s: s.update(phase="died", code=None, keeper=None, tree=[]))


def start(spec: Spec, line: Progress, timeout_s: float = 900.0) -> tuple[State, str, bool]:
    """Start a server, or join the one that runs with this configuration.

    Returns:
        its state, the token this process holds it by, and whether it ran already.

    Raises:
        ServelabError: port taken, no memory, no disk, or the engine's own cause in one sentence.
    """
    name = spec.server_name

    def waiting() -> None:
        line.say(_("Another program is starting {name}").format(name=name))

    with locked(f"server-{name}", waiting):
        for attempt in range(3):
            running = next((s for s in states() if s["name"] == name), None)
            if running and is_leaving(running):
                _settle(name)
                running = None
            if running and running["key"] != spec.key:
                text = _("A server named {name} runs with another configuration: stop it with `servelab stop {name}`.")
                raise ServelabError(text.format(name=name))
            token = uuid.uuid4().hex
            if running:
                keeper.update(state_path(name), lambda s: _join(s, token))  # noqa: B023
            else:
                _spawn(spec, token, line)
            try:
                return _await(spec, line, timeout_s), token, running is not None
            except _PortLost:
                if attempt == 2:
                    break
            except BaseException:
                release(name, token)
                if not running:
                    _end(name)
                raise
    raise ServelabError(_("No port stayed free on this machine: give one with `port=`."))


class _PortLost(Exception):
    """Another program took the chosen port before the engine did."""


def _join(one: State, token: str) -> None:
    one["users"] = {t: m for t, m in one["users"].items() if alive(m)} | {token: me()}
    one["owners"] = [o for o in one["owners"] if alive(o)]
    if owner() not in one["owners"]:
        one["owners"].append(owner())


def _spawn(spec: Spec, token: str, line: Progress) -> None:
    """Make room, choose the port, and start the keeper; one spawn at a time on this machine."""
    name = spec.server_name
    with locked("spawn"):
        disk = shutil.disk_usage(folder())
        if disk.free < min(LOG_ROOM_BYTES, disk.total // 4):  # a sandbox's whole disk is smaller than that room
            text = _("The disk under {home} is full, so no server can be started: free some space.")
            raise ServelabError(text.format(home=home()))
        promised = {p for one in states() for p in (one["port"], *one.get("more_ports", {}).values())}
        port = _require_port(spec.port) if spec.port else ports.free_port(promised)
        more: dict[str, int] = {}
        for other, asked in spec.more_ports.items():
            taken = {*promised, port, *more.values()}
            more[other] = _require_port(asked) if asked else ports.free_port(taken)
        _make_room(spec, line)
        command = _furnish(spec, {"port": port, **more})
        log_path(name).write_bytes(b"")
        first = {
            "name": name,
            "engine_kind": spec.engine,
            "key": spec.key,
            "config": spec.config,
            "phase": "starting",
            "port": port,
            "more_ports": more,
            "url": f"{spec.scheme}://127.0.0.1:{port}",
            "ready_url": f"{spec.scheme}://127.0.0.1:{port}{spec.ready_path}",
            "command": command,
            "env": spec.env,
            "cwd": str(folder()),
            "log": str(log_path(name)),
            "grace_s": spec.grace_s,
            "need_bytes": spec.need_bytes,
            "started": time.time(),
            "owners": [owner()],
            "users": {token: me()},
            "keeper": None,
            "engine": None,
            "tree": [],
            **spec.facts,
        }

        def begin(one: State) -> None:
            one.clear()
            one.update(first)

        keeper.update(state_path(name), begin)
        subprocess.run(
            [sys.executable, "-P", keeper.__file__, str(state_path(name))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log_path(name).open("ab"),
            check=True,
        )


def own_folder(name: str) -> Path:
    """Where a server's own files stand, if it has any."""
    return folder() / f"{name}.files"


def _furnish(spec: Spec, chosen: dict[str, int]) -> list[str]:
    """Write the server's files, and return its command; ports and folder are filled in."""
    own = own_folder(spec.server_name)
    if spec.files:
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir()

    def filled(text: str) -> str:
        for name, port in chosen.items():
            text = text.replace("{" + name + "}", str(port))
        return text.replace("{folder}", str(own))

    for file, text in spec.files.items():
        (own / file).write_text(filled(text))
    return [filled(part) for part in spec.command]


def _await(spec: Spec, line: Progress, timeout_s: float) -> State:
    """Follow a starting server until it is ready."""
    name, deadline, patience = spec.server_name, time.monotonic() + timeout_s, 0
    while True:
        one = state(name)
        if one["phase"] == "ready":
            return one
        log = log_path(name).read_text(errors="replace")
        if not is_running(one):
            patience += 1
            if patience < 3:  # the keeper's last words may still be on their way
                time.sleep(0.1)
                continue
            if "already in use" in log and not (spec.port or any(spec.more_ports.values())):
                raise _PortLost
            raise ServelabError(_failure(spec, one, log))
        if time.monotonic() > deadline:
            text = _("{title} was not ready after {seconds:.0f} s and was stopped; its log: {log}")
            raise ServelabError(text.format(title=spec.title, seconds=timeout_s, log=log_path(name)))
        stage = next((shown for sign, shown in reversed(spec.stages) if sign in log), _("loading the program"))
        line.say(_("{title} is starting: {stage}, {s:.0f} s").format(title=spec.title, stage=stage, s=line.seconds))
        time.sleep(0.1)


def _failure(spec: Spec, one: State, log: str) -> str:
    cause = spec.explain(log) or one.get("error")
    if not cause and one.get("code") == -signal.SIGKILL:
        cause = _("it was killed, most likely for want of memory")
    if not cause and one["phase"] == "stopped":
        cause = _("it was stopped")
    last = next((text for text in reversed(log.splitlines()) if text.strip()), "")
    text = _("{title} did not start: {cause} (log: {log})")
    return text.format(title=spec.title, cause=(cause or last.strip()[:300]).rstrip("."), log=log_path(one["name"]))


# Ports and memory


def _require_port(port: int) -> int:
    if ports.is_free(port):
        return port
    ours = next((one["name"] for one in states() if port in (one["port"], *one.get("more_ports", {}).values())), None)
    if ours:
        text = _(
            "Port {port} is taken by the server {name}: choose another with `port`, or run `servelab stop {name}`."
        )
        raise ServelabError(text.format(port=port, name=ours))
    text = _("Port {port} is taken by {holder}. Choose another with `port`, or stop that program.")
    raise ServelabError(text.format(port=port, holder=ports.holder(port)))


def memory_bytes(one: State) -> int:
    """Resident memory of a server's processes, shared pages counted once where the system tells (PSS)."""
    total = 0
    for m in {m["pid"]: m for m in [one["engine"], *one["tree"]] if m}.values():
        if alive(m):
            with contextlib.suppress(psutil.Error, OSError):
                info = psutil.Process(m["pid"]).memory_full_info()
                total += getattr(info, "pss", info.rss)
    return total


def _make_room(spec: Spec, line: Progress) -> None:
    """Stop warm, unused servers, oldest first, until the new one fits.

    Raises:
        ServelabError: it does not fit, and what would make it fit.
    """
    while True:
        running = states()
        growing = sum(max(0, s["need_bytes"] - memory_bytes(s)) for s in running if s["phase"] == "starting")
        free = psutil.virtual_memory().available - growing
        warm = [s for s in running if not users(s) and s["phase"] == "ready"]
        if free >= spec.need_bytes + SPARE_BYTES and len(warm) < WARM_SERVERS:
            return
        if not warm:
            break
        line.say(_("Stopping {name}, which nobody uses, to make room").format(name=warm[0]["name"]))
        _end(warm[0]["name"])
    used = [s["name"] for s in running]
    need, have = spec.need_bytes / 2**30, max(0, free) / 2**30
    if used:
        text = _(
            "{title} needs {need:.1f} GiB of memory and {have:.1f} are free: "
            "stop a server that is in use first ({used})."
        )
    else:
        text = _("{title} needs {need:.1f} GiB of memory and {have:.1f} are free: close other programs first.")
    raise ServelabError(text.format(title=spec.title, need=need, have=have, used=", ".join(used)))


# Release and stop


def release(name: str, token: str) -> None:
    """Give a handle back; the server stays warm while its owner lives."""
    path = state_path(name)
    if path.exists():
        keeper.update(path, lambda s: s.get("users", {}).pop(token, None))


def disown(name: str) -> None:
    """This process no longer owns the server; without another owner it stops."""
    path = state_path(name)
    if path.exists():
        keeper.update(path, lambda s: s.update(owners=[o for o in s["owners"] if o != me()]))


def stop(name: str, force: bool = False) -> None:
    """Stop a server and wait until nothing of it is left. Stopping one that does not run is no error.

    Raises:
        ServelabError: no server of that name was ever started, or another program uses it and `force` is not set.
    """
    running = {one["name"]: one for one in states()}
    if name not in running:
        if state(name) is None:
            names = ", ".join(running) or _("none is running")
            raise ServelabError(_("There is no server {name} ({names}).").format(name=name, names=names))
        return
    others = [user for user in users(running[name]) if user != me()]
    if others and not force:
        pids = ", ".join(str(user["pid"]) for user in others)
        text = _("{name} is in use by another program (pid {pids}): stop that first, or add `force`.")
        raise ServelabError(text.format(name=name, pids=pids))
    _end(name)


def forget(name: str) -> None:
    """Remove every file of a server that was stopped: its own folder (keys too), its log, its state.

    Raises:
        ServelabError: it runs.
    """
    with locked(f"server-{name}"):
        if is_running(state(name)):
            raise ServelabError(_("{name} runs: stop it first.").format(name=name))
        shutil.rmtree(own_folder(name), ignore_errors=True)
        for path in (state_path(name), log_path(name), state_path(name).with_suffix(".lock")):
            path.unlink(missing_ok=True)


def _end(name: str) -> None:
    one = state(name)
    deadline = time.monotonic() + (one["grace_s"] if one else 0) + 30
    while is_running(one):
        late = time.monotonic() > deadline
        if late or one["phase"] != "stopping":
            with contextlib.suppress(ProcessLookupError):
                os.kill(one["keeper"]["pid"], signal.SIGKILL if late else signal.SIGTERM)
        time.sleep(0.05)
        one = state(name)
    if one and one["phase"] in RUNNING:
        _sweep(one)


def _settle(name: str) -> None:
    """Wait until the keeper of a server that leaves is done."""
    while is_running(state(name)):
        time.sleep(0.05)


@contextlib.contextmanager
def stopping_at_end(name: str) -> Iterator[None]:
    """For a program in a terminal: whatever ends the block, the server ends too, unless another program uses it."""
    try:
        yield
    finally:
        one = state(name)
        if one and any(user != me() for user in users(one)):
            disown(name)
        else:
            _end(name)
