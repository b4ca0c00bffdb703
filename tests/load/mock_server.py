"""A small OpenAI-compatible server with a known behaviour: what a client must measure can be computed.

Every request is answered with `max_tokens` tokens: the first after `first_s`, one more every `gap_s`, `bundle` tokens
in one event. When request number `stall_at` (counting from 0) arrives, the whole server stands still for `stall_s`: no
request begins before that is over. `faults` maps a request's number to `refuse`, `cut`, `hang`.

`python tests/load/mock_server.py --gap 0.02` runs one and prints its address.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
from dataclasses import dataclass, field
from types import SimpleNamespace

from aiohttp import web


@dataclass
class Mock:
    first_s: float = 0.0
    gap_s: float = 0.0
    bundle: int = 1
    stall_at: int | None = None
    stall_s: float = 1.4
    faults: dict[int, str] = field(default_factory=dict)
    usage: bool = True
    usage_error: int = 0
    model: str = "mock"
    bodies: list[dict] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    stalled_until: float = 0.0

    def app(self) -> web.Application:
        app = web.Application(client_max_size=2**26)
        app.router.add_get("/v1/models", self.models)
        app.router.add_get("/health", self.models)
        app.router.add_post("/v1/completions", self.complete)
        app.router.add_post("/v1/chat/completions", self.complete)
        return app

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": self.model, "object": "model"}]})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        now = asyncio.get_running_loop().time
        arrived = now()
        body = await request.json()
        number, chat = len(self.bodies), "messages" in body
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        if number == self.stall_at:
            self.stalled_until = arrived + self.stall_s
        begin = max(arrived, self.stalled_until)
        fault = self.faults.get(number, "")
        if fault == "refuse":
            return web.json_response({"error": {"message": "prompt too long", "code": 400}}, status=400)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        total, sent = body["max_tokens"], 0
        prompt = len(body["messages"] if chat else body["prompt"])
        options = body.get("stream_options", {})

        def counts() -> dict:
            return {
                "usage": {
                    "prompt_tokens": prompt,
                    "completion_tokens": sent + self.usage_error * (sent == total),
                }
            }

        async def event(data: dict) -> None:
            await response.write(f"data: {json.dumps(data)}\n\n".encode())

        if chat:
            await event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
        step = 0
        while sent < total:
            if (wait := begin + self.first_s + step * self.gap_s - now()) > 0:
                await asyncio.sleep(wait)
            if sent >= total // 2 and fault == "cut":
                request.transport.abort()
                return response
            if fault == "hang":
                await asyncio.sleep(3600)
            new = min(self.bundle, total - sent)
            sent, step = sent + new, step + 1
            text = "".join(f" t{i}" for i in range(sent - new, sent))
            choice = {"index": 0, "finish_reason": "length" if sent == total else None}
            choice |= {"delta": {"content": text}} if chat else {"text": text}
            each = counts() if self.usage and options.get("continuous_usage_stats") else {}
            await event({"choices": [choice], **each})
        if self.usage and options.get("include_usage"):
            await event({"choices": [], **counts()})
        await response.write(b"data: [DONE]\n\n")
        return response


async def start(mock: Mock, port: int = 0) -> tuple[web.AppRunner, int]:
    runner = web.AppRunner(mock.app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    return runner, site._server.sockets[0].getsockname()[1]


class Running:
    """`with Running(Mock(...)) as server:` on a thread of its own; `server.url` as a server handle has it."""

    def __init__(self, mock: Mock) -> None:
        self.mock, self.loop = mock, asyncio.new_event_loop()

    def __enter__(self) -> SimpleNamespace:
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.runner, port = asyncio.run_coroutine_threadsafe(start(self.mock), self.loop).result(30)
        return SimpleNamespace(url=f"http://127.0.0.1:{port}", model="mock", mock=self.mock)

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self.runner.cleanup(), self.loop).result(30)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(30)
        self.loop.close()


async def serve(mock: Mock, port: int) -> None:
    _runner, chosen = await start(mock, port)
    print(f"http://127.0.0.1:{chosen}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--first", type=float, default=0.0)
    parser.add_argument("--gap", type=float, default=0.0)
    parser.add_argument("--stall-at", type=int)
    parser.add_argument("--stall", type=float, default=1.4)
    args = parser.parse_args()
    asyncio.run(serve(Mock(args.first, args.gap, stall_at=args.stall_at, stall_s=args.stall), args.port))
