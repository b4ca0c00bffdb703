"""The grader's side of a sandbox: requests with a deadline, and proxies of what the learner's code defined.

A proxy can be called and asked for attributes, and every answer is data. It is never equal, true, smaller or a member:
an object of the learner's has no say in a check.
"""

from __future__ import annotations

import builtins
import contextlib
import json
import os
import re
import select
import threading
import time
from collections.abc import Callable
from typing import Any

from autograder import wire
from autograder.engines import Relays
from autograder.sandbox import Box
from servelab.errors import ServelabError
from servelab.i18n import _

START_SECONDS = 60.0
ASKS = 8
ADDRESS = re.compile(r"https?://127\.0\.0\.1:(\d{1,5})\b")


class AnswerError(Exception):
    """The learner's code gave what no check can use: an object instead of data, or an error of its own kind."""


class Gone(BaseException):
    """The sandbox ended or overran its time; no `except Exception` of a check may swallow it.

    Its text is the cause as part of a sentence: "took more than 10 s".
    """


class Session:
    """A conversation with the code in one sandbox.

    Args:
        box: the sandbox; closed by whoever opened it.
        seconds: how long one request may take.
        engines: starts a server for the sandbox: options -> (the state it may know, the real server); it raises
            ServelabError where it will not.
        relays: lets the sandbox reach the servers whose addresses a check hands to the learner's code.
    """

    def __init__(
        self,
        box: Box,
        seconds: float,
        engines: Callable[[dict[str, Any]], tuple[dict[str, Any], Any]] | None = None,
        relays: Relays | None = None,
    ) -> None:
        self.box, self.seconds, self.engines, self.relays = box, seconds, engines, relays
        self.servers: dict[str, Any] = {}
        self._reached: set[int] = set()
        self._until: float | None = None
        self._lock = threading.RLock()
        self._receive(time.monotonic() + START_SECONDS)

    def open(self, lesson: str) -> None:
        """Let `servelab` and `lesson` stand, as the opening cell does."""
        self.ask("open", lesson=lesson, engine=self.engines is not None)

    def limit(self, each: float, together: float) -> None:
        """From now on a request may take `each` seconds, and all of them `together`."""
        self.seconds, self._until = each, time.monotonic() + together

    def execute(self, cell: str, code: str, seconds: float | None = None) -> None:
        """Execute one cell.

        Raises:
            Exception: what the cell raised, if it is one of Python's own, else AnswerError.
            Gone: the sandbox is no more.
        """
        self.ask("execute", seconds=seconds, cell=cell, code=code)

    def names(self, names: list[str]) -> dict[str, Any]:
        """What the cells bound to these names, as data or proxies; names that are not bound are missing."""
        return self.ask("get", names=sorted(names))

    def ask(self, do: str, seconds: float | None = None, **given: Any) -> Any:
        """One request and its answer."""
        with self._lock:
            limit, now, asks = seconds or self.seconds, time.monotonic(), 0
            deadline = now + limit if self._until is None else min(now + limit, self._until)
            self._send({"do": do, **given})
            while "ask" in (reply := self._receive(deadline, limit)):
                asks += 1
                before = time.monotonic()
                self._send(self._serve(reply) if asks <= ASKS else {"error": "too many servers"})
                deadline += time.monotonic() - before  # a server's start is not the learner's time
        if "error" in reply:
            raise _error(reply)
        return self._decoded(reply.get("value"))

    def reach(self, given: dict[str, Any]) -> None:
        """Let the sandbox reach the servers of this machine whose addresses it is given."""
        if self.relays is None:
            return
        for port in {int(port) for port in ADDRESS.findall(json.dumps(given))} - self._reached:
            if self.relays.open(port):
                self.ask("reach", port=port)
                self._reached.add(port)

    def encoded(self, value: Any) -> Any:
        """A value of a check's as JSON: data, a proxy of this session, or an OpenAI client."""

        def other(value: Any) -> dict[str, Any]:
            if isinstance(value, Remote) and value._session is self:
                return {"t": "object", "v": value._number}
            if type(value).__name__ == "OpenAI":
                return {"t": "client", "v": {"base_url": str(value.base_url), "api_key": value.api_key}}
            raise TypeError(f"a check may hand data to the learner's code, not a {type(value).__name__}")

        return wire.encode(value, other)

    def _decoded(self, value: Any) -> Any:
        def other(value: dict[str, Any]) -> Any:
            if value["t"] == "object":
                return Remote(self, int(value["v"]), str(value["kind"])[:80])
            if value["t"] == "server" and value["v"] in self.servers:
                return self.servers[value["v"]]
            raise wire.WireError(f"a value of kind {value['t']}")

        try:
            return wire.decode(value, other)
        except wire.WireError as error:
            raise AnswerError(str(error)) from None

    def _serve(self, reply: dict[str, Any]) -> dict[str, Any]:
        try:
            if self.engines is None:
                raise ServelabError(_("No engine is started while this is graded."))
            options = self._decoded(reply.get("options"))
            if not isinstance(options, dict):
                raise ServelabError(_("The options of a server are names and values."))
            state, server = self.engines(options)
            self.servers[server.name] = server
            if self.relays:
                self.relays.open(server.port)
            return {"state": self.encoded(state)}
        except (ServelabError, AnswerError) as error:
            return {"error": str(error)}

    def _send(self, message: dict[str, Any]) -> None:
        try:
            wire.write(self.box.requests, message)
        except OSError:
            raise Gone(self._why()) from None

    def _receive(self, deadline: float, limit: float = START_SECONDS) -> dict[str, Any]:
        try:
            size = wire.length(self._take(wire.HEAD, deadline, limit))
            return wire.parse(self._take(size, deadline, limit))
        except wire.WireError as error:
            raise Gone(_("answered with no answer ({error})").format(error=error)) from None

    def _take(self, size: int, deadline: float, limit: float) -> bytes:
        """Exactly `size` bytes, or Gone: whoever writes slowly, or nothing, has until the deadline."""
        data, stream = bytearray(), self.box.replies.fileno()
        while len(data) < size:
            ready, _w, _x = select.select([stream], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise Gone(_("took more than {n:g} s").format(n=limit))
            part = os.read(stream, min(size - len(data), 1 << 20))
            if not part:
                raise Gone(self._why())
            data += part
        return bytes(data)

    def _why(self) -> str:
        time.sleep(0.05)  # the watch that ended it says why a moment later
        return self.box.broken or _("ended its process")


class Remote:
    """A proxy of one object in a sandbox."""

    __slots__ = ("_session", "_number", "_kind")

    def __init__(self, session: Session, number: int, kind: str) -> None:
        for name, value in (("_session", session), ("_number", number), ("_kind", kind)):
            object.__setattr__(self, name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(None, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        value = self._session.ask("attribute", id=self._number, name=name)
        return _Method(self, name) if isinstance(value, Remote) and value._kind in _METHODS else value

    def __iter__(self) -> Any:
        return iter(self._session.ask("items", id=self._number))

    def __repr__(self) -> str:
        return f"<{self._kind}>"

    def _call(self, method: str | None, args: tuple, kwargs: dict) -> Any:
        given = {"args": self._session.encoded(args), "kwargs": self._session.encoded(kwargs)}
        self._session.reach(given)
        return self._session.ask("call", id=self._number, method=method, **given)

    def __getitem__(self, key: Any) -> Any:
        return self._call("__getitem__", (key,), {})

    def __len__(self) -> int:
        size = self._call("__len__", (), {})
        if type(size) is not int or size < 0:
            raise AnswerError("a length that is none")
        return size

    def _no(self, *ignored: Any) -> Any:
        raise AnswerError(f"a {self._kind} where data was expected")

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __contains__ = __float__ = __int__ = __index__ = (
        _no
    )
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __abs__ = __round__ = (
        _no
    )
    __hash__ = object.__hash__

    def __setattr__(self, name: str, value: Any) -> None:
        raise AnswerError("a check does not change the learner's objects")


_METHODS = {"method", "builtin_function_or_method", "method-wrapper", "function"}


class _Method:
    """A bound method, called by name so that nothing is kept for it."""

    def __init__(self, of: Remote, name: str) -> None:
        self.of, self.name = of, name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.of._call(self.name, args, kwargs)


def _error(reply: dict[str, Any]) -> Exception:
    """What was raised inside, as one of Python's own exceptions where it is one."""
    told = str(reply.get("told", ""))[:300]
    bases = reply.get("bases")
    for name in bases if isinstance(bases, list) else []:
        kind = ServelabError if name == "ServelabError" else getattr(builtins, str(name), None)
        if isinstance(kind, type) and issubclass(kind, Exception) and kind not in (Exception, StopIteration):
            with contextlib.suppress(TypeError):  # UnicodeError and the like want more than a text
                return kind(told)
    return AnswerError(f"{str(reply['error'])[:80]}: {told}")
