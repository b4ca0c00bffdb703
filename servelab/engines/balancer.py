"""The course's own router, for machines without NGINX: one asyncio process that chooses and fails over as NGINX does.

It runs as a file of its own (`python balancer.py <configuration> <port>`, standard library and aiohttp only); see
`servelab.engines.router` for the policies and `Router.requests` for the log that it writes, one JSON line a request.
The same configuration sends the same sessions to the same replicas here and there: `turn`, `points` and `version_of`
are what NGINX 1.22 computes (its sources: ngx_http_upstream_round_robin.c, ngx_http_upstream_hash_module.c,
ngx_http_split_clients_module.c).
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import json
import signal
import sys
import time
import uuid
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientConnectorError, ClientError, ClientSession, ClientTimeout, TCPConnector, web

FAIL_TIMEOUT_S = 10.0
CONNECT_S = 2.0
POINTS_PER_WEIGHT = 160
HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "host", "content-length"}
SAFE = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}
"""Methods that may be sent a second time."""


@dataclass
class Peer:
    """A replica: its address, its weight, and how it stands."""

    address: str
    weight: int = 1
    flying: int = 0
    failed_at: float = field(default=-FAIL_TIMEOUT_S, repr=False)
    effective: int = 0
    current: int = 0
    down: bool = False

    def __post_init__(self) -> None:
        self.effective = self.weight

    def up(self, now: float) -> bool:
        """Whether it may be asked: nobody took it out, and it has not failed in the last `FAIL_TIMEOUT_S`."""
        return not self.down and now - self.failed_at >= FAIL_TIMEOUT_S

    def fail(self, now: float) -> None:
        """It refused or broke a connection; when it is asked again, it has to earn its weight back."""
        self.failed_at, self.effective = now, 0


def turn(peers: Sequence[Peer]) -> Peer:
    """The next in smooth weighted round robin: each gains its weight, the one with the most is chosen and pays all."""
    total = sum(peer.effective for peer in peers)
    for peer in peers:
        peer.current += peer.effective
        peer.effective = min(peer.effective + 1, peer.weight)
    chosen = max(peers, key=lambda peer: peer.current)
    chosen.current -= total
    return chosen


def points(peers: Sequence[Peer]) -> list[tuple[int, int]]:
    """The ring, in order: (hash, place of its peer). A peer has 160 points for each unit of weight.

    A point is CRC-32 of host, a zero byte, port, and the point before it (four bytes, the lowest first).
    """
    ring: dict[int, int] = {}
    for place, peer in enumerate(peers):
        host, _colon, port = peer.address.rpartition(":")
        base, before = zlib.crc32(f"{host}\0{port}".encode()), 0
        for _point in range(POINTS_PER_WEIGHT * peer.weight):
            before = zlib.crc32(before.to_bytes(4, "little"), base)
            ring.setdefault(before, place)
    return sorted(ring.items())


def murmur(data: bytes) -> int:
    """MurmurHash2, 32 bits, seed 0 (A. Appleby), as NGINX has it."""
    m, word = 0x5BD1E995, 0xFFFFFFFF
    h, left = len(data) & word, len(data) % 4
    for at in range(0, len(data) - left, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & word
        h = (h * m & word) ^ ((k ^ (k >> 24)) * m & word)
    if left:
        h = (h ^ int.from_bytes(data[-left:], "little")) * m & word
    h = (h ^ (h >> 13)) * m & word
    return h ^ (h >> 15)


def percentages(weights: Sequence[int]) -> list[float]:
    """Each one's share in percent, with two digits; the last takes what rounding left."""
    rounded = [round(100 * weight / sum(weights), 2) for weight in weights[:-1]]
    return [*rounded, round(100 - sum(rounded), 2)]


def version_of(session: str, weights: Sequence[int], salt: str = "") -> int:
    """Which version a session belongs to: the share of the hash space in which its hash falls."""
    h, end = murmur(f"{salt}{session}".encode()), 0
    for place, share in enumerate(percentages(weights)[:-1]):
        end += round(100 * share)
        if h < end * 0xFFFFFFFF // 10_000:
            return place
    return len(weights) - 1


class Balancer:
    """The router's state and its request handler."""

    def __init__(
        self,
        policy: str,
        replicas: dict[str, str],
        weights: Sequence[int],
        salt: str,
        down: Sequence[str] = (),
        generation: int | None = None,
        keep: bool = True,
    ):
        self.policy, self.weights, self.salt, self.keep = policy, weights, salt, keep
        self.names = list(replicas)
        self.peers = [Peer(address, weight) for address, weight in zip(replicas.values(), weights, strict=True)]
        self.ring = points(self.peers) if policy == "consistent_hash" else []
        self.reread({"down": down, "generation": generation})

    def reread(self, configuration: dict[str, Any]) -> None:
        """Take replicas out, or in again, as the configuration now says; what they are answering goes on."""
        for name, peer in zip(self.names, self.peers, strict=True):
            peer.down = name in configuration.get("down", ())
        self.generation = configuration.get("generation")

    def choose(self, session: str, tried: Sequence[Peer], now: float) -> Peer | None:
        """The next replica to ask for a request of `session` that those in `tried` could not take; None if none can."""
        if self.policy == "split":
            return None if tried else self.peers[version_of(session, self.weights, self.salt)]
        able = [peer for peer in self.peers if peer.up(now) and peer not in tried]
        if not able:
            return None
        if self.policy == "consistent_hash":
            start = bisect.bisect_left(self.ring, (zlib.crc32(session.encode()), 0))
            walk = (self.peers[self.ring[(start + i) % len(self.ring)][1]] for i in range(len(self.ring)))
            return next(peer for peer in walk if peer in able)
        if self.policy == "least_conn":
            fewest = min(peer.flying / peer.weight for peer in able)
            able = [peer for peer in able if peer.flying / peer.weight == fewest]
        return turn(able)

    async def life(self, app: web.Application) -> Any:
        """One client session while the router lives."""
        timeout = ClientTimeout(total=None, sock_connect=CONNECT_S)
        connector = TCPConnector(limit=0, **({"keepalive_timeout": 60} if self.keep else {"force_close": True}))
        async with ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as self.session:
            yield

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Pass a request on and its answer back, and write a line about it."""
        began = time.perf_counter()
        given = request.headers.get("X-Session", "")
        line = {"session": given, "path": request.path, "status": 502, "replica": "", "first_byte_s": ""}
        tried: list[Peer] = []
        try:
            body, key = await request.read(), given or uuid.uuid4().hex
            while peer := self.choose(key, tried, time.monotonic()):
                tried.append(peer)
                peer.flying += 1
                try:
                    return await self.exchange(request, body, peer, line, began)
                except ClientConnectorError:
                    peer.fail(time.monotonic())
                except (ClientError, OSError):
                    peer.fail(time.monotonic())
                    if request.method not in SAFE or line["first_byte_s"]:
                        break
                finally:
                    peer.flying -= 1
            if line["first_byte_s"]:  # the client must see that its answer is not whole
                request.transport.abort()
                return web.Response(status=502)
            return web.Response(status=502, text="no replica could be reached\n")
        finally:
            line["replica"] = ", ".join(peer.address for peer in tried)
            print(json.dumps({"time": time.time(), **line, "seconds": time.perf_counter() - began}), flush=True)

    async def exchange(
        self, request: web.Request, body: bytes, peer: Peer, line: dict[str, Any], began: float
    ) -> web.StreamResponse:
        """One try at one replica: its answer goes out as it comes in."""
        headers = [(key, value) for key, value in request.headers.items() if key.lower() not in HOP_BY_HOP]
        url = f"http://{peer.address}{request.raw_path}"
        async with self.session.request(request.method, url, data=body or None, headers=headers) as answer:
            back = web.StreamResponse(status=answer.status)
            for key, value in answer.headers.items():
                if key.lower() not in HOP_BY_HOP:
                    back.headers.add(key, value)
            line["status"], line["first_byte_s"] = answer.status, f"{time.perf_counter() - began:.3f}"
            with contextlib.suppress(ConnectionResetError):  # the client has left
                await back.prepare(request)
                async for chunk in answer.content.iter_any():
                    await back.write(chunk)
                await back.write_eof()
            return back


def application(path: Path) -> web.Application:
    """The router as an aiohttp application; SIGHUP makes it read its file again."""
    balancer = Balancer(**json.loads(path.read_text()))
    app = web.Application(client_max_size=2**30)
    app.cleanup_ctx.append(balancer.life)

    async def health(_request: web.Request) -> web.Response:
        told = "ok" if balancer.generation is None else balancer.generation
        return web.Response(text=f"{told}\n")

    async def listen(_app: web.Application) -> None:
        again = asyncio.get_running_loop().add_signal_handler
        again(signal.SIGHUP, lambda: balancer.reread(json.loads(path.read_text())))

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(status=404, text="each replica has its own metrics")

    app.on_startup.append(listen)
    app.router.add_get("/router/health", health)
    app.router.add_get("/metrics", metrics)
    app.router.add_route("*", "/{path:.*}", balancer.serve)
    return app


if __name__ == "__main__":
    web.run_app(
        application(Path(sys.argv[1])),
        host="127.0.0.1",
        port=int(sys.argv[2]),
        print=None,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=0.2,
    )
