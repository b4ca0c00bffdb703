"""An OpenAI-compatible engine that does as it is told: it holds a stream at a piece, breaks, refuses, or falls silent.

A battery asks what a service does while its engine is in a certain state. A real engine passes through such states in
its own time; this one stays in them until it is released, so that no verdict depends on how fast a machine is. It
notes of every request what was asked, how much of the answer went out, and whether the service hung up.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

PATIENCE_S = 6.0
"""How long a verdict waits for what a right service does at once."""
CHUNK = 65_536


@dataclass(frozen=True)
class Script:
    """How a request is answered.

    Attributes:
        pieces: the answer's text, a piece an event where it is streamed.
        hold: before which piece it waits for `release` (a whole answer waits before everything).
        silent: it waits before it says anything at all.
        status: other than 200, this is refused, with an error as engines write it.
        cut: before which piece the connection is broken.
        volume: bytes of one long streamed answer, in place of `pieces`.
        pause_s: seconds before each piece.
    """

    pieces: tuple[str, ...] = ("one", " two", " three")
    hold: int | None = None
    silent: bool = False
    status: int = 200
    cut: int | None = None
    volume: int = 0
    pause_s: float = 0.0


@dataclass(eq=False)
class Asked:
    """One request as it arrived, and what became of it: `gone` means that the service hung up."""

    body: dict[str, Any]
    headers: dict[str, str]
    state: Literal["answering", "done", "gone"] = "answering"
    pieces: int = 0
    bytes: int = 0

    @property
    def prompt(self) -> Any:
        """What was asked."""
        return self.body.get("prompt")


@dataclass(eq=False)
class ScriptedEngine:
    """The engine. It lives on the event loop that calls `start`.

    Attributes:
        script: how requests are answered; `queue` first, one each.
        healthy: what /health says.
        asked: every request since the last `reset`, in order.
        most: the most that were answered at once.
    """

    script: Script = field(default_factory=Script)
    queue: deque[Script] = field(default_factory=deque)
    healthy: bool = True
    asked: list[Asked] = field(default_factory=list)
    most: int = 0
    url: str = ""
    _go: asyncio.Event = field(default_factory=asyncio.Event)
    _runner: web.AppRunner | None = None

    async def start(self) -> ScriptedEngine:
        """Listen on a free port."""
        app = web.Application(client_max_size=2**26)
        app.router.add_get("/health", self._health)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/completions", self._complete)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
        return self

    async def stop(self) -> None:
        """End every connection."""
        self.release()
        await self._runner.cleanup()

    @property
    def open(self) -> list[Asked]:
        """The requests that are being answered now."""
        return [one for one in self.asked if one.state == "answering"]

    def release(self) -> None:
        """Let all that is held go on."""
        self._go.set()
        self._go = asyncio.Event()

    async def reset(self, script: Script | None = None) -> None:
        """Forget everything and answer by `script` from now on; what is still open ends first, or is forgotten."""
        self.script, self.healthy = Script(), True
        self.queue.clear()
        for _again in range(100):
            self.release()
            if not self.open:
                break
            await asyncio.sleep(0.02)
        self.asked, self.most, self.script = [], 0, script or Script()

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response(status=200 if self.healthy else 503)

    async def _models(self, _request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "scripted", "object": "model"}]})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        script = self.queue.popleft() if self.queue else self.script
        try:
            one = Asked(await request.json(), dict(request.headers))
        except ValueError:
            one = Asked({}, dict(request.headers))
        self.asked.append(one)
        self.most = max(self.most, len(self.open))
        go = self._go
        try:
            if script.silent:
                await go.wait()
            if script.status != 200:
                error = {"message": f"the engine says {script.status}", "type": "Scripted", "code": script.status}
                one.state = "done"
                return web.json_response({"error": error}, status=script.status)
            if one.body.get("stream"):
                return await self._stream(request, one, script, go)
            if script.hold is not None:
                await go.wait()
            if script.cut is not None:
                request.transport.abort()
            one.state = "done"
            return web.json_response(self._event("".join(script.pieces), "stop") | {"usage": _usage(script)})
        except ConnectionError:  # it hung up while a piece was on its way
            return web.Response()
        finally:
            one.state = one.state if one.state == "done" else "gone"

    async def _stream(self, request: web.Request, one: Asked, script: Script, go: asyncio.Event) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await answer.prepare(request)

        async def send(data: str) -> None:
            raw = f"data: {data}\n\n".encode()
            await answer.write(raw)
            one.bytes += len(raw)

        for n, piece in enumerate(_pieces(script)):
            if n == script.hold:
                await go.wait()
            if script.pause_s:
                await asyncio.sleep(script.pause_s)
            if n == script.cut:
                request.transport.abort()
                one.state = "done"
                return answer
            last = not script.volume and n == len(script.pieces) - 1
            await send(json.dumps(self._event(piece, "stop" if last else None), ensure_ascii=False))
            one.pieces += 1
        if (one.body.get("stream_options") or {}).get("include_usage"):
            await send(json.dumps(self._event("", None) | {"choices": [], "usage": _usage(script)}))
        await send("[DONE]")
        one.state = "done"
        with contextlib.suppress(ConnectionError):
            await answer.write_eof()
        return answer

    def _event(self, text: str, finish: str | None) -> dict[str, Any]:
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
        head = {"id": "cmpl-scripted", "object": "text_completion", "created": 1, "model": "scripted"}
        return {**head, "choices": [choice]}


def _pieces(script: Script) -> Any:
    if script.volume:
        return ("x" * CHUNK for _piece in range(script.volume // CHUNK))
    return iter(script.pieces)


def _usage(script: Script) -> dict[str, int]:
    n = len(script.pieces)
    return {"prompt_tokens": 3, "completion_tokens": n, "total_tokens": 3 + n}


async def until(holds: Any, seconds: float = PATIENCE_S) -> bool:
    """Wait until `holds()` is true; False where it is not after `seconds`."""
    for _look in range(int(seconds / 0.01)):
        if holds():
            return True
        await asyncio.sleep(0.01)
    return bool(holds())
