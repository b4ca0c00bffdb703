"""Replicas of a service, each before an engine of its own, behind one door, with one Redis: as users meet it.

    with deployment("service.py", replicas=2, keys=("me",)) as d:
        drive(d.url, ..., api_key="me", model=d.model)     # d.tls_url speaks TLS
        d.restart()                                        # one replica after the other, nobody notices
        d.kill("a"); d.mend()                              # an engine is killed, and what is dead started again

Parts: `d.front` (NGINX), `d.redis`, and `d.replicas["a"]` with its `.engine` and `.service`: supervised servers with
metrics, logs and a pid, all in `d.parts`. `look` is what an operator sees of the replicas, `act` one thing that she
does to them; `restart` and `mend` do several in order, and `reconcile` asks a function of yours what to do next until
it is done.
"""

from __future__ import annotations

import contextlib
import threading
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil

from servelab import hardware
from servelab.engines import keyvalue, ports, process
from servelab.engines.front import BURST, RATE, Front, front
from servelab.engines.router import Policy
from servelab.engines.server import Server
from servelab.engines.service import Settings, service, text_of
from servelab.engines.vllm import vllm
from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.progress import Progress

LETTERS = "abcdefgh"
ACTIONS = ("drain", "stop", "start", "admit")
TICK_S = 0.1
KILL_S = 30.0
Launch = Callable[[str, int | None], Server]
Step = Callable[[dict[str, dict[str, Any]], int], tuple[str, str] | list[str]]


@dataclass
class Replica:
    """A service and the engine behind it.

    Attributes:
        engine: the engine; an address where it is not the deployment's own.
        service: the service; None before its first start.
        version: which text it was started with, from 1 on.
        failed: starts of the wanted version that failed, in a row; `why` is the last one's reason.
    """

    name: str
    engine: Server | str
    service: Server | None = None
    version: int = 0
    failed: int = 0
    why: str = ""
    lines: list[threading.Thread] = field(default_factory=list, repr=False)

    @property
    def url(self) -> str:
        """Where its service listens."""
        return self.service.url

    @property
    def engine_url(self) -> str:
        """Where its engine listens."""
        return self.engine if isinstance(self.engine, str) else self.engine.url

    @property
    def starting(self) -> bool:
        """True while it is being started."""
        return any(line.is_alive() for line in self.lines)

    @property
    def running(self) -> bool:
        """True while its processes live, ready or not."""
        engine = isinstance(self.engine, str) or _lives(self.engine)
        return self.starting or (engine and self.service is not None and _lives(self.service))

    @property
    def ready(self) -> bool:
        """True while its service says that it can serve."""
        return not self.starting and self.running and _says_ready(self.url)


def _lives(one: Server) -> bool:
    now = process.state(one.name)
    return process.is_running(now) and not process.is_leaving(now)


def _says_ready(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with contextlib.suppress(OSError, ValueError), opener.open(f"{url}/ready", timeout=3) as answer:
        return answer.status == 200
    return False


class Deployment:
    """Everything that runs; `deployment` makes one.

    Attributes:
        redis: the shared memory (None where there is none).
        replicas: {name: Replica}, in order.
        url, tls_url, authority: the door's addresses, and the certificate file that a client of the second trusts.
        model: the name requests ask for.
        wanted: the version that every replica should run, and `text`, what that is.
        events: (Unix seconds, action, replica), as they were done.
    """

    def __init__(self, text: str, launch: Launch | None, settings: dict[str, Any], drain_s: float, name: str) -> None:
        self.text, self.wanted, self.name, self.drain_s = text, 1, name, drain_s
        self.launch, self.settings, self.engines_too = launch, settings, False
        self.replicas: dict[str, Replica] = {}
        self.redis: keyvalue.Redis | None = None
        self._front: Front | None = None
        self.events: list[tuple[float, str, str]] = []
        self._made: list[str] = []
        self._lock = threading.RLock()

    def __enter__(self) -> Deployment:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        where = self.url if self._front else "-"
        return f"<Deployment {self.name} at {where}: {len(self.replicas)} replicas>"

    @property
    def front(self) -> Front:
        """The door.

        Raises:
            ServelabError: the deployment was stopped.
        """
        if self._front is None:
            text = _("The deployment {name} was stopped: start another one.")
            raise ServelabError(text.format(name=self.name))
        return self._front

    @property
    def url(self) -> str:
        """Where users come in."""
        return self.front.url

    @property
    def tls_url(self) -> str:
        """Where users come in with TLS; empty without NGINX."""
        return self.front.tls_url

    @property
    def authority(self) -> Path:
        """The certificate of the authority that signed the door's own."""
        return self.front.authority

    @property
    def model(self) -> str | None:
        """The model's name; None for engines that are not the deployment's own."""
        return next((getattr(r.engine, "model", None) for r in self.replicas.values()), None)

    @property
    def parts(self) -> dict[str, Server]:
        """Every server of it by a short name: front, redis, service-a, engine-a, ..."""
        found: dict[str, Server] = {"front": self.front}
        if self.redis:
            found["redis"] = self.redis
        for name, one in self.replicas.items():
            found[f"service-{name}"] = one.service
            if not isinstance(one.engine, str):
                found[f"engine-{name}"] = one.engine
        return found

    # What an operator sees and does

    def look(self) -> dict[str, dict[str, Any]]:
        """{replica: its state}, as plain data.

        `version`: what it runs, or was last told to run. `running`: its processes live. `ready`: it says that it can
        serve. `admitted`: the door sends it new requests. `open`: requests from the door that it has not finished.
        `failed`: starts of the wanted version that failed, in a row.
        """
        return {
            name: {
                "version": one.version,
                "running": one.running,
                "ready": one.ready,
                "admitted": name not in self.front.down,
                "open": self.front.open(name),
                "failed": one.failed,
            }
            for name, one in self.replicas.items()
        }

    def want(self, text: str | Path | None = None, engines: bool = False) -> int:
        """From now on every replica should run this text (or the same one anew), with a new engine too if asked.

        Returns:
            the number of the wanted version.
        """
        self.text = text_of(text) if text is not None else self.text
        self.wanted, self.engines_too = self.wanted + 1, engines
        for one in self.replicas.values():
            one.failed, one.why = 0, ""
        return self.wanted

    def act(self, action: Literal["drain", "stop", "start", "admit"] | str, replica: str) -> None:
        """Do one thing to one replica.

        `drain`: the door sends it no new requests. `stop`: end its service (open answers have `drain_s` seconds) and,
        where the engines are to be new, its engine. `start`: start what of it does not run, in the background.
        `admit`: the door sends it requests again.

        Raises:
            ServelabError: there is no such action or replica.
        """
        if action not in ACTIONS:
            text = _("There is no action {action}: choose one of {actions}.")
            raise ServelabError(text.format(action=action, actions=", ".join(ACTIONS)))
        if replica not in self.replicas:
            raise ServelabError(_("There is no replica {name}.").format(name=replica))
        one = self.replicas[replica]
        self.events.append((time.time(), action, replica))
        if action == "drain":
            self.front.take(self.front.down | {replica})
        elif action == "admit":
            self.front.take(self.front.down - {replica})
        elif action == "stop":
            self._join(one)
            if one.service is not None and _lives(one.service):
                process.stop(one.service.name, force=True)
            if self.engines_too and not isinstance(one.engine, str) and _lives(one.engine):
                process.stop(one.engine.name, force=True)
        elif not one.starting:
            one.version = self.wanted
            one.lines = [threading.Thread(target=self._start, args=(one,), daemon=True)]
            one.lines[0].start()

    def _start(self, one: Replica) -> None:
        """Start what of a replica does not run; its failure is noted, not raised."""
        try:
            if not isinstance(one.engine, str) and not _lives(one.engine):
                one.engine = self._engine(one.name, one.engine.port)
            if one.service is None or not _lives(one.service):
                one.service = self._service(one.name, one.engine, one.service and one.service.port)
        except ServelabError as error:
            one.failed, one.why = one.failed + 1, str(error)
        else:
            one.failed, one.why = 0, ""

    def _engine(self, name: str, port: int | None) -> Server:
        started = self.launch(f"{self.name}-engine-{name}", port)
        self._made.append(started.name)
        return started

    def _service(self, name: str, engine: Server | str, port: int | None) -> Server:
        full = f"{self.name}-service-{name}"
        self._made.append(full)
        told = {"progress": False, "drain_s": self.drain_s, **self.settings}
        return service(self.text, engine, name=full, port=port or ports.free_port(), **told)

    @staticmethod
    def _join(one: Replica) -> None:
        for line in one.lines:
            line.join()

    # Several things in order

    def wait(self, replica: str, what: Literal["idle", "ready"], timeout_s: float = 300.0) -> None:
        """Wait until a replica has no open request, or is ready.

        Raises:
            ServelabError: it is not in time, or its start failed.
        """
        one, deadline = self.replicas[replica], time.monotonic() + timeout_s
        while not (self.front.open(replica) == 0 if what == "idle" else one.ready):
            if what == "ready" and one.failed and not one.starting:
                raise ServelabError(one.why)
            if time.monotonic() > deadline:
                told = {"name": replica, "what": what, "seconds": timeout_s}
                raise ServelabError(_("The replica {name} is not {what} after {seconds:g} s.").format(**told))
            time.sleep(TICK_S / 2)

    def restart(self, text: str | Path | None = None, engines: bool = False) -> None:
        """A rolling restart: one replica after the other is drained, stopped, started and admitted again.

        Args:
            text: a new service; without it, the same one.
            engines: start the engines anew too, which takes tens of seconds each.

        Raises:
            ServelabError: a new replica does not become ready. The others serve on.
        """
        self.want(text, engines)
        for name in self.replicas:
            self.act("drain", name)
            self.wait(name, "idle")
            self.act("stop", name)
            self.act("start", name)
            self.wait(name, "ready")
            self.act("admit", name)

    def kill(self, replica: str) -> int | None:
        """Kill a replica's engine, as a lack of memory would: SIGKILL. What of its server is left ends by itself.

        Where vLLM runs its engine in a process beside its API server, as it does by default, that one is killed.

        Returns:
            the exit code of the server's first process: negative for a signal.

        Raises:
            ServelabError: the engine is not the deployment's own, or dead already.
        """
        engine = self.replicas[replica].engine
        if isinstance(engine, str) or not _lives(engine):
            raise ServelabError(_("The engine of {name} is not ours, or does not run.").format(name=replica))
        self.events.append((time.time(), "kill", replica))
        with contextlib.suppress(psutil.Error):
            first = psutil.Process(engine.pid)
            core = [p for p in first.children(recursive=True) if "EngineCore" in " ".join(p.cmdline())]
            (core or [first])[0].kill()
        deadline = time.monotonic() + KILL_S
        while process.is_running(process.state(engine.name)) and time.monotonic() < deadline:  # till the code is noted
            time.sleep(TICK_S / 5)
        return (process.state(engine.name) or {}).get("code")

    def mend(self) -> list[str]:
        """Take out of the door what does not run, start it again and admit it; names of what was mended.

        Raises:
            ServelabError: it does not start.
        """
        dead = [name for name, one in self.replicas.items() if not one.running]
        for name in dead:
            self.act("drain", name)
        for name in dead:
            self.act("start", name)
            self.wait(name, "ready")
            self.act("admit", name)
        return dead

    def reconcile(self, step: Step, timeout_s: float = 300.0, until: Callable[[], bool] | None = None) -> str:
        """Ask `step(self.look(), self.wanted)` what to do, do it, and ask again, until it says `done` or `halt`.

        Args:
            step: returns (action, replica): an action of `act`, or `wait`, `done` or `halt` (the replica is then
                only told).
            until: go on after `done` until this is true, as a controller does that never ends.

        Returns:
            `done` or `halt`; `late` where neither came in time.

        Raises:
            ServelabError: it asks for what there is not.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            action, name = step(self.look(), self.wanted)
            if action == "halt" or (action == "done" and (until is None or until())):
                return action
            if action in ("wait", "done"):
                time.sleep(TICK_S)
            else:
                self.act(action, name)
        return "late"

    @contextlib.contextmanager
    def kept(self, step: Step) -> Iterator[None]:
        """While the block runs, `step` is asked ten times a second what to do: a controller in the background."""
        over, failed = threading.Event(), []

        def keep() -> None:
            try:
                self.reconcile(step, timeout_s=float("inf"), until=over.is_set)
            except Exception as error:  # told at the block's end
                failed.append(error)

        line = threading.Thread(target=keep, daemon=True)
        line.start()
        try:
            yield
        finally:
            over.set()
            line.join()
        if failed:
            raise failed[0]

    def stop(self) -> None:
        """Stop everything, the door first, and remove its files, the private key too."""
        with self._lock:
            first = [self._front.name] if self._front else []
            for one in self.replicas.values():
                self._join(one)
            names = [*first, *dict.fromkeys(reversed(self._made))]
            for name in names:
                if process.state(name) is not None:
                    process.stop(name, force=True)
                    process.forget(name)
            self._made, self._front = [], None


def deployment(
    source: str | Path,
    replicas: int = 2,
    *,
    engines: Sequence[str] | None = None,
    launch: Launch | None = None,
    flags: Mapping[str, Any] | None = None,
    apart: Collection[str] = (),
    redis: bool = True,
    using: Literal["nginx", "python"] | None = None,
    policy: Policy = "least_conn",
    rate: int = RATE,
    burst: int = BURST,
    buffering: bool = False,
    drain_s: float = 5.0,
    name: str = "production",
    progress: bool = True,
    **settings: Any,
) -> Deployment:
    """A running deployment: Redis, `replicas` engines and services, and the door. Leaving its `with` block stops it.

    Args:
        source: the service's file, or its text.
        engines: addresses of engines that run already, one a replica; then none is started, killed or mended.
        launch: `launch(name, port) -> Server` starts an engine; without it, `vllm(name=..., port=..., **flags)`.
        apart: replicas whose engine runs in a process beside its API server, as vLLM has it by default.
        redis: start a Redis too, where one is installed; services find it in `REDIS_URL`.
        using, policy, rate, burst, buffering: of the door (see `front`).
        drain_s: how long a service that is stopped may finish what it has begun.
        name: the first word of every server's name; one deployment of a name runs at a time.
        settings: of the services (see `Settings`): keys, running, waiting, timeout_s, quota, window_s, keep_s, ...

    Raises:
        ServelabError: a part does not start; then nothing of it is left.
    """
    names = LETTERS[: len(engines) if engines else replicas]
    if not names:
        raise ServelabError(_("A router needs at least one replica."))
    if any(one["name"] == f"{name}-front" for one in process.states()):
        text = _("A deployment named {name} runs already: stop it first, or give another name.")
        raise ServelabError(text.format(name=name))
    Settings("", **settings)  # a wrong name is told before anything starts

    def engine(full: str, port: int | None) -> Server:
        own = _apart() if full[-1] in apart else {}
        return vllm(name=full, port=port, progress=False, **{**_share(len(names)), **own, **(flags or {})})

    launch = launch or engine
    made = Deployment(text_of(source), None if engines else launch, dict(settings), drain_s, name)
    with Progress(progress) as line:
        try:
            if redis and keyvalue.program():
                made._made.append(f"{name}-redis")
                made.redis = keyvalue.redis(name=f"{name}-redis", progress=False)
                made.settings["redis"] = f"{made.redis.url}/0"
            line.say(_("Starting {n} engines").format(n=len(names)))
            made.replicas = dict(zip(names, _engines(made, names, engines), strict=True))
            line.say(_("Starting {n} services").format(n=len(names)))
            for one in made.replicas.values():
                one.service, one.version = made._service(one.name, one.engine, None), made.wanted
            made._made.append(f"{name}-front")
            hosts = {one.name: one.url.split("://")[1] for one in made.replicas.values()}
            door = {"using": using, "policy": policy, "rate": rate, "burst": burst, "buffering": buffering}
            made._front = front(hosts, name=f"{name}-front", progress=False, model=made.model, **door)
        except BaseException:
            made.stop()
            raise
        told = {"n": len(names), "url": made.tls_url or made.url, "seconds": line.seconds}
        line.done(_("{n} replicas behind {url}, {seconds:.0f} s").format(**told))
    return made


def _share(n: int) -> dict[str, Any]:
    """Flags with which `n` engines fit on this machine: a GPU's memory is dealt out."""
    tier = hardware.tier()
    return {} if tier.kind == "cpu" or n < 2 else {"gpu_memory_utilization": round(tier.gpu_memory_utilization / n, 2)}


def _apart() -> dict[str, Any]:
    """Flags of an engine that is a process of its own, and otherwise as the tier has it."""
    tier = hardware.tier()
    return {"like": "defaults", "enforce_eager": True, "dtype": tier.dtype, "max_num_seqs": tier.max_num_seqs}


def _engines(made: Deployment, names: str, addresses: Sequence[str] | None) -> list[Replica]:
    """The replicas with their engines, all started at once.

    Raises:
        ServelabError: one does not start.
    """
    if addresses:
        return [Replica(name, at.rstrip("/")) for name, at in zip(names, addresses, strict=True)]
    found: dict[str, Server | BaseException] = {}

    def start(name: str) -> None:
        try:
            found[name] = made._engine(name, None)
        except BaseException as error:
            found[name] = error

    lines = [threading.Thread(target=start, args=(name,)) for name in names]
    for line in lines:
        line.start()
    for line in lines:
        line.join()
    for one in found.values():
        if isinstance(one, BaseException):
            raise one
    return [Replica(name, found[name]) for name in names]
