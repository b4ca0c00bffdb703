"""One HTTP exchange, byte by byte: a client that can stop reading, leave, or send what no library would."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import h11

from servelab.load.protocols import events

READ_S = 10.0
EARLY_S = 1.0
SMALL_BUFFER = 32_768


class Broken(Exception):
    """The connection ended before the answer did, or nothing came in time."""


class Exchange:
    """A request that was sent, and its answer as far as it was read.

    Attributes:
        status, headers: of the answer, once `head` was awaited; header names in small letters.
        body: what was read so far.
        ended: the answer came to its proper end.
        broken: the connection ended before.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=2**20)
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.ended = self.broken = False

    @classmethod
    async def send(
        cls,
        url: str,
        method: str,
        path: str,
        body: Any = None,
        key: str | None = None,
        headers: dict[str, str] | None = None,
        chunked: bool = False,
        small: bool = False,
        first: int | None = None,
    ) -> Exchange:
        """Connect and send a request; what answers is read later.

        Args:
            body: bytes as they are, anything else as JSON.
            key: goes into `Authorization: Bearer`.
            chunked: send the body in chunks, without a word on its length.
            small: a receive buffer so small that a client who does not read is felt soon.
            first: so many bytes of the body are sent, then an answer may come, then the rest (in chunks, their end).
        """
        parts = urlsplit(url)
        sock = socket.socket()
        sock.setblocking(False)
        if small:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        try:
            await asyncio.get_running_loop().sock_connect(sock, (parts.hostname, parts.port))
            reader, writer = await asyncio.open_connection(sock=sock, limit=SMALL_BUFFER if small else 2**16)
        except OSError as error:
            sock.close()
            raise Broken(f"no connection: {error}") from None
        one = cls(reader, writer)
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        told = {"Host": f"{parts.hostname}:{parts.port}", "Connection": "close"}
        if body is not None:
            told |= {"Content-Type": "application/json"}
            told |= {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(len(raw))}
        if key is not None:
            told["Authorization"] = f"Bearer {key}"
        told |= headers or {}
        lines = [(name, value.strip().encode("latin-1")) for name, value in told.items()]
        data = one._parser.send(h11.Request(method=method, target=path, headers=lines))
        for at in range(0, len(raw), 65_536):
            data += one._parser.send(h11.Data(data=raw[at : at + 65_536]))
        now = len(data) if first is None or chunked else len(data) - len(raw) + first
        data, rest = data[:now], data[now:]
        end = one._parser.send(h11.EndOfMessage())
        if first is None:
            data, end = data + end, b""
        with contextlib.suppress(ConnectionError):  # a server may answer and hang up before it has heard all
            writer.write(data)
            await asyncio.wait_for(writer.drain(), READ_S)
            if first is not None:
                with contextlib.suppress(Broken):
                    return await one.head(EARLY_S)
                writer.write(rest + end)
                await asyncio.wait_for(writer.drain(), READ_S)
        return one

    async def _next(self, seconds: float) -> Any:
        while True:
            try:
                event = self._parser.next_event()
            except h11.RemoteProtocolError as error:
                self.broken = True
                raise Broken(str(error)) from None
            if event is not h11.NEED_DATA:
                return event
            try:
                raw = await asyncio.wait_for(self._reader.read(65_536), seconds)
            except TimeoutError:
                raise Broken(f"nothing within {seconds:g} s") from None
            except ConnectionError:
                self.broken = True
                raise Broken("the connection was reset") from None
            self._parser.receive_data(raw)

    async def head(self, seconds: float = READ_S) -> Exchange:
        """Read status and headers.

        Raises:
            Broken: none came.
        """
        if not self.status:
            event = await self._next(seconds)
            while isinstance(event, h11.InformationalResponse):
                event = await self._next(seconds)
            if not isinstance(event, h11.Response):
                self.broken = True
                raise Broken("the connection ended before an answer began")
            self.status = event.status_code
            self.headers = {key.decode().lower(): value.decode("latin-1") for key, value in event.headers}
        return self

    async def more(self, seconds: float = READ_S) -> bool:
        """Read the next part of the body; False at its proper end.

        Raises:
            Broken: there is none.
        """
        await self.head(seconds)
        if self.ended:
            return False
        event = await self._next(seconds)
        if isinstance(event, h11.Data):
            self.body += bytes(event.data)
            return True
        self.ended = isinstance(event, h11.EndOfMessage)
        return False

    async def whole(self, seconds: float = READ_S) -> Exchange:
        """Read to the end and hang up.

        Raises:
            Broken: it has no proper end.
        """
        try:
            while await self.more(seconds):
                pass
        finally:
            self.leave()
        return self

    async def read_until(self, pieces: int, seconds: float) -> bool:
        """Read until so many events with text have come; False where they do not."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        try:
            while len(self.texts) < pieces:
                if not await self.more(max(0.01, end - loop.time())):
                    break
        except Broken:
            pass
        return len(self.texts) >= pieces

    def leave(self) -> None:
        """Hang up, whatever is on its way."""
        self._writer.transport.abort()

    def json(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def error(self) -> dict[str, Any] | None:
        """The error the body tells, where it is a structured one: a message, a type, and the status as its code."""
        told = self.json()
        error = told.get("error") if isinstance(told, dict) else None
        if not isinstance(error, dict):
            return None
        message, kind, code = (error.get(key) for key in ("message", "type", "code"))
        whole = isinstance(message, str) and message and isinstance(kind, str) and kind and code == self.status
        return error if whole else None

    def events(self) -> Iterator[Any]:
        """What each event of a stream says: parsed, or `[DONE]`, or the text where it is neither."""
        cut = self.body if self.ended else self.body[: self.body.rfind(b"\n\n") + 2]
        for _time, data in events([(0.0, cut)]):
            try:
                yield json.loads(data)
            except ValueError:
                yield data

    @property
    def texts(self) -> list[str]:
        """The pieces of text that have come."""
        found = []
        for event in self.events():
            choices = event.get("choices") if isinstance(event, dict) else None
            if isinstance(choices, list) and choices and isinstance(choices[0], dict) and choices[0].get("text"):
                found.append(str(choices[0]["text"]))
        return found

    @property
    def done(self) -> bool:
        """Whether the stream said that it is complete."""
        return "[DONE]" in self.events()

    @property
    def failed(self) -> bool:
        """Whether an event told an error."""
        return any(isinstance(event, dict) and "error" in event for event in self.events())


async def ask(url: str, method: str, path: str, body: Any = None, key: str | None = None, **how: Any) -> Exchange:
    """Send a request and read all of its answer.

    Raises:
        Broken: it has no proper end.
    """
    return await (await Exchange.send(url, method, path, body, key, **how)).whole()
