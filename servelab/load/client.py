"""Drive a server and keep what happened: `drive()` runs a streaming client on its own thread and event loop.

While the load runs, the client shares the machine's cores with the server it measures. So it only stores (time,
bytes) of every read, and parses when the load is over; request bodies are made before it starts.
"""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import numpy as np

from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.load.arrivals import Arrivals, replay
from servelab.load.protocols import Capture, Endpoint, OpenAI, Usage
from servelab.load.report import Result
from servelab.load.workload import Request
from servelab.progress import Progress

try:
    from uvloop import new_event_loop
except ImportError:  # no uvloop on this platform
    new_event_loop = asyncio.new_event_loop

HEADERS = {"Content-Type": "application/json"}
SESSION_HEADER = "X-Session"


@dataclass
class _Load:
    """The state of a running load, written by its thread and read by the one that shows progress."""

    address: str
    requests: Sequence[Request]
    bodies: list[bytes]
    endpoint: Endpoint
    headers: dict[str, str]
    offsets: np.ndarray | None
    concurrency: int | None
    timeout_s: float
    captures: list[Capture] = field(default_factory=list)
    sent: int = 0
    done: int = 0
    failed: int = 0
    started: float = field(default_factory=time.perf_counter)
    started_unix: float = 0.0
    cpu_s: float = 0.0
    call: Any = None

    def now(self) -> float:
        """Seconds after the load's start."""
        return time.perf_counter() - self.started

    async def run(self) -> None:
        """Send everything; every exchange ends in a capture, never in an exception."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=None)  # one timer a request, set below, is cheaper
        if getattr(self.endpoint, "grpc", None):
            import grpc

            async with grpc.aio.insecure_channel(
                self.endpoint.address, [("grpc.max_receive_message_length", -1)]
            ) as to:
                self.call = to.unary_stream(self.endpoint.grpc)  # bytes in, bytes out: parsed when the load is over
                await self._send_all(None)
            return
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=self.headers) as session:
            await self._send_all(session)

    async def _send_all(self, session: aiohttp.ClientSession | None) -> None:
        self.started, self.started_unix, cpu = time.perf_counter(), time.time(), time.thread_time()
        if self.offsets is None:
            await self._closed(session)
        else:
            await self._open(session, self.offsets)
        self.cpu_s = time.thread_time() - cpu

    async def _open(self, session: aiohttp.ClientSession | None, offsets: np.ndarray) -> None:
        """Each request at its time, whatever the server does; a `concurrency` cap makes some wait in the client."""
        room = asyncio.Semaphore(self.concurrency or len(self.requests))

        async def one(capture: Capture, body: bytes) -> None:
            async with room:
                await self._exchange(session, capture, body)

        async with asyncio.TaskGroup() as tasks:
            for request, body, at in zip(self.requests, self.bodies, offsets, strict=True):
                while (wait := at - self.now()) > 0:  # timers may fire a fraction of a millisecond early
                    await asyncio.sleep(wait)
                self.captures.append(capture := Capture(request, float(at)))
                tasks.create_task(one(capture, body))

    async def _closed(self, session: aiohttp.ClientSession | None) -> None:
        """`concurrency` users, each of whom asks again as soon as the answer is complete."""
        queue = iter(zip(self.requests, self.bodies, strict=True))

        async def user() -> None:
            for request, body in queue:
                self.captures.append(capture := Capture(request, self.now()))
                await self._exchange(session, capture, body)

        async with asyncio.TaskGroup() as tasks:
            for _user in range(min(self.concurrency or 1, len(self.requests))):
                tasks.create_task(user())

    async def _exchange(self, session: aiohttp.ClientSession | None, capture: Capture, body: bytes) -> None:
        if session is None:
            await self._exchange_grpc(capture, body)
            return
        reads, clock, started = capture.reads, time.perf_counter, self.started
        url = self.address + self.endpoint.path(capture.request)
        whose = capture.request.session
        headers = {**HEADERS, SESSION_HEADER: whose} if whose else HEADERS
        self.sent += 1
        capture.sent_s = self.now()
        try:
            async with (
                asyncio.timeout(self.timeout_s),
                session.post(url, data=body, headers=headers) as response,
            ):
                capture.http, read = response.status, response.content.readany
                while raw := await read():
                    reads.append((clock() - started, raw))
        except TimeoutError:
            capture.failure = "timeout"
            capture.error = _("no complete answer within {t:g} s").format(t=self.timeout_s)
        except aiohttp.ClientConnectorError as error:
            capture.failure, capture.error = "unreachable", str(error)
        except (aiohttp.ClientError, OSError) as error:
            capture.failure, capture.error = "cut", str(error) or type(error).__name__
        finally:
            capture.finished_s = self.now()
            self.done += 1
            self.failed += bool(capture.failure) or capture.http != 200

    async def _exchange_grpc(self, capture: Capture, body: bytes) -> None:
        import grpc

        self.sent += 1
        capture.sent_s = self.now()
        try:
            async with asyncio.timeout(self.timeout_s):
                async for raw in self.call(body):
                    capture.reads.append((self.now(), raw))
            capture.http = 200
        except TimeoutError:
            capture.failure = "timeout"
            capture.error = _("no complete answer within {t:g} s").format(t=self.timeout_s)
        except grpc.aio.AioRpcError as error:
            lost = error.code() == grpc.StatusCode.UNAVAILABLE and not capture.reads
            capture.failure, capture.error = "unreachable" if lost else "cut", error.details() or str(error.code())
        finally:
            capture.finished_s = self.now()
            self.done += 1
            self.failed += bool(capture.failure)


def _in_thread(work: Callable[[], Any], watch: Callable[[], None], stop: Callable[[], None]) -> Any:
    """Run `work` on a thread of its own (a notebook's kernel has a loop already), calling `watch` meanwhile."""
    outcome: dict[str, Any] = {}

    def body() -> None:
        try:
            outcome["value"] = work()
        except BaseException as error:  # handed to the caller's thread below
            outcome["error"] = error

    thread = threading.Thread(target=body, name="servelab-load", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.25)
            watch()
    except BaseException:  # the learner pressed stop: no request may go on
        stop()
        thread.join(5)
        raise
    if "error" in outcome:
        raise outcome["error"]
    return outcome["value"]


def blocking(coroutine: Callable[[], Any], watch: Callable[[], None] = lambda: None) -> Any:
    """Run an async function to its end from anywhere, also from inside a running event loop."""
    running: dict[str, Any] = {}

    async def main() -> Any:
        running.update(loop=asyncio.get_running_loop(), task=asyncio.current_task())
        return await coroutine()

    def work() -> Any:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(main())

    def stop() -> None:
        if running:
            running["loop"].call_soon_threadsafe(running["task"].cancel)

    return _in_thread(work, watch, stop)


def address_of(server: Any) -> str:
    """The base address of a server: a handle with `.url`, or a URL with or without /v1."""
    url = server if isinstance(server, str) else server.url
    if "://" not in url:
        url = f"http://{url}"
    return url.rstrip("/").removesuffix("/v1")


def discover(server: Any, api_key: str | None = None) -> str:
    """The model a server serves: its handle's `.model`, or the first of /v1/models.

    Raises:
        ServelabError: nothing answers at that address, or it does not tell a model.
    """
    address, headers = address_of(server), _authorization(api_key)

    async def ask() -> tuple[int, str]:
        timeout = aiohttp.ClientTimeout(total=15)
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
            session.get(f"{address}/v1/models") as response,
        ):
            return response.status, await response.text()

    try:
        status, body = blocking(ask)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        raise ServelabError(
            _("Nothing answers at {address}: start a server first, for example with `servelab serve vllm`.").format(
                address=address
            )
        ) from None
    given = getattr(server, "model", None)
    if status == 200:
        try:
            served = [entry["id"] for entry in json.loads(body)["data"]]
            return given if given in served else served[0]
        except (ValueError, KeyError, IndexError, TypeError):
            pass
    elif status == 401:
        raise ServelabError(_("The server at {address} asks for a key: give it as `api_key`.").format(address=address))
    if given:
        return given
    raise ServelabError(
        _("The server at {address} does not tell which model it serves: give the model's name.").format(address=address)
    )


def _triton(model: str | None, sampling: dict[str, Any]) -> Endpoint:
    """Streamed generation of a model in Triton; prompts of token ids are told as text."""
    from servelab.load.triton import Generate
    from servelab.model import tokenizer

    if not model:
        raise ServelabError(_("This repository has several models: name one."))
    return Generate(model, sampling={"temperature": 0, **sampling}, decode_ids=lambda ids: tokenizer().decode(ids))


def _authorization(api_key: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {api_key}"} if api_key else {}


def drive(
    server: Any,
    requests: Sequence[Request],
    *,
    arrivals: Arrivals | Sequence[float] | np.ndarray | None = None,
    concurrency: int | None = None,
    timeout_s: float = 600,
    usage: Usage = "each",
    model: str | None = None,
    api_key: str | None = None,
    endpoint: Endpoint | None = None,
    progress: bool = True,
    **extra: Any,
) -> Result:
    """Send `requests` to `server` and return what happened. Blocks; works in a notebook.

    Args:
        server: a running `Server`, or the address of any OpenAI-compatible server.
        requests: what to ask (`synthetic`, `texts`, `trace`).
        arrivals: open loop: an arrival process, or intended send times in seconds. Requests of a trace bring theirs.
        concurrency: without `arrivals` a closed loop of so many users; with them, a cap on requests in flight (the
            rest wait inside the client, and their latency still counts from the intended time). Default: one user.
        timeout_s: seconds a request may take.
        usage: ask the server for token counts with `each` chunk (vLLM) or once at the `end` (any server).
        model: the model's name where the server does not tell it.
        api_key: sent as a bearer token.
        endpoint: another protocol than OpenAI's, or than `Generate` where the server is a Triton.
        progress: show a line while it runs.
        extra: fields for every request's body, for example `temperature=0.7`.

    Errors of single requests are recorded in the result, not raised.

    Raises:
        ServelabError: nothing answers, no requests, or arguments that cannot be.
    """
    if not requests:
        raise ServelabError(_("A load needs at least one request."))
    if concurrency is not None and concurrency < 1:
        raise ServelabError(_("concurrency must be at least 1."))
    if arrivals is None and concurrency is None and all(r.arrival_s is not None for r in requests):
        arrivals = replay(requests)
    elif arrivals is not None and not isinstance(arrivals, Arrivals):
        arrivals = replay(arrivals)
    if endpoint is None and getattr(server, "speaks", None) == "triton":
        model = model or server.model
        endpoint = _triton(model, extra)
    elif endpoint is None:
        model = model or discover(server, api_key)
        endpoint = OpenAI(usage=usage, extra=extra)
    load = _Load(
        address=address_of(server),
        requests=requests,
        bodies=[endpoint.encode(r, model or "") for r in requests],
        endpoint=endpoint,
        headers=_authorization(api_key),
        offsets=arrivals.offsets(len(requests)) if arrivals else None,
        concurrency=concurrency,
        timeout_s=timeout_s,
    )
    how = arrivals.name if arrivals else _("closed loop, {n} at once").format(n=concurrency or 1)
    if arrivals and concurrency:
        how += _(", at most {n} at once").format(n=concurrency)

    def state() -> str:
        text = _("{done}/{total} answered, {flying} in flight, {time:.0f} s").format(
            done=load.done - load.failed, total=len(requests), flying=load.sent - load.done, time=load.now()
        )
        return text + (_(", {n} failed").format(n=load.failed) if load.failed else "")

    with Progress(progress) as line:
        gc.freeze()  # a notebook's heap is large: collecting it while the load runs would stop the clock for everyone
        try:
            blocking(load.run, lambda: line.say(f"{how}: {state()}"))
        finally:
            gc.unfreeze()
        line.done(f"{how}: {state()}")
    cpu = time.thread_time()
    records = [endpoint.decode(c) for c in sorted(load.captures, key=lambda c: c.request.id)]
    if all(r.status == "unreachable" for r in records):
        raise ServelabError(
            _("Nothing answers at {address}: start a server first, for example with `servelab serve vllm`.").format(
                address=load.address
            )
        )
    return Result(
        records,
        about={
            "address": load.address,
            "model": model or "",
            "load": how,
            "started_unix_s": load.started_unix,
            "client_cpu_s": load.cpu_s + time.thread_time() - cpu,
        },
    )
