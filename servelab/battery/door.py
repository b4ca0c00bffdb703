"""A way into a sandbox: its code dials out to a door in the grader, and clients of the door reach its service.

A sandbox has no network but the ports that the grader lends it, outwards. So the service's side keeps one line open
to the door; for every client the door asks over it for another one, and joins the two.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import threading
from urllib.parse import urlsplit

BUFFER = 65_536
HELLO = b"door\n"
DIAL_S = 20


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until the source ends, then hang up; what waits to be read is kept small."""
    with contextlib.suppress(OSError, asyncio.CancelledError):
        while data := await reader.read(BUFFER):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        writer.close()


async def join(
    one: tuple[asyncio.StreamReader, asyncio.StreamWriter], other: tuple[asyncio.StreamReader, asyncio.StreamWriter]
) -> None:
    """Connect two connections until one of them ends."""
    ends = {asyncio.ensure_future(pump(one[0], other[1])), asyncio.ensure_future(pump(other[0], one[1]))}
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for writer in (one[1], other[1]):
        with contextlib.suppress(OSError, RuntimeError):
            writer.close()
    await asyncio.wait(ends)


def _listener() -> socket.socket:
    """A socket whose connections keep little: a client who does not read is soon felt at the far end."""
    sock = socket.socket()
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, BUFFER)
    sock.bind(("127.0.0.1", 0))
    sock.listen(128)
    return sock


class Door:
    """The grader's side.

    Attributes:
        url: where clients go.
        inside: what the sandbox dials.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future] = {}
        self._line: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task] = set()
        self.url = self.inside = ""

    async def __aenter__(self) -> Door:
        for handler in (self._client, self._dialled):
            sock = _listener()
            self._servers.append(await asyncio.start_server(handler, sock=sock, limit=BUFFER))
            url = f"http://127.0.0.1:{sock.getsockname()[1]}"
            self.url, self.inside = (self.url or url), url
        return self

    async def __aexit__(self, *exc: object) -> None:
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        if self._line.done():
            self._line.result().close()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(task := asyncio.current_task())
        task.add_done_callback(self._tasks.discard)
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            line = await asyncio.wait_for(asyncio.shield(self._line), DIAL_S)
            line.write(f"{number}\n".encode())
            await line.drain()
            far = await asyncio.wait_for(self._waiting[number], DIAL_S)
        except (TimeoutError, OSError):
            writer.close()
            return
        finally:
            self._waiting.pop(number, None)
        await join((reader, writer), far)

    async def _dialled(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            told = await asyncio.wait_for(reader.readuntil(b"\n"), DIAL_S)
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            told = b""
        if told == HELLO and not self._line.done():
            self._line.set_result(writer)
            return
        waits = self._waiting.get(int(told)) if told.strip().isdigit() and len(told) < 12 else None
        if waits is None or waits.done():
            writer.close()
        else:
            waits.set_result((reader, writer))


def keep_open(door: str, port: int) -> None:
    """The sandbox's side: dial the door and lead its clients to `port`, in a thread of its own."""
    far = urlsplit(door).port

    async def lead(number: bytes) -> None:
        there = await asyncio.open_connection("127.0.0.1", far, limit=BUFFER)
        there[1].write(number)
        try:
            here = await asyncio.open_connection("127.0.0.1", port, limit=BUFFER)
        except OSError:
            there[1].close()
            return
        for writer in (there[1], here[1]):
            sock = writer.get_extra_info("socket")
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                sock.setsockopt(socket.SOL_SOCKET, option, BUFFER)
        await join(there, here)

    async def main() -> None:
        line, writer = await asyncio.open_connection("127.0.0.1", far)
        writer.write(HELLO)
        tasks: set[asyncio.Task] = set()
        while number := await line.readline():
            tasks.add(task := asyncio.create_task(lead(number)))
            task.add_done_callback(tasks.discard)

    threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
