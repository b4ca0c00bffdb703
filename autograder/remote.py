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
from typing import Any, NoReturn

from autograder import wire
from autograder.engines import Relays
from autograder.sandbox import Box
from servelab.errors import ServelabError
from servelab.i18n import _

START_SECONDS = 60.0
ASKS = 8
"""Servers that the code in one sandbox may ask for."""
ADDRESS = re.compile(r"(?:https?|redis)://127\.0\.0\.1:(\d{1,5})\b")


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

    Attributes:
        ended: why it is over, as part of a sentence; None while it goes on.
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
        self.ended: str | None = None
        self._asks = 0
        self._reached: set[int] = set()
        self._until: float | None = None
        self._together = 0.0
        self._lock = threading.RLock()
        os.set_blocking(box.requests.fileno(), False)
        self._readable, self._writable = select.poll(), select.poll()  # `select` knows only the first thousand files
        self._readable.register(box.replies.fileno(), select.POLLIN)
        self._writable.register(box.requests.fileno(), select.POLLOUT)
        self._receive(time.monotonic() + START_SECONDS, START_SECONDS)

    def open(self, lesson: str) -> None:
        """Let `servelab` and `lesson` stand, as the opening cell does; its imports are not the learner's time."""
        self.ask("open", seconds=START_SECONDS, lesson=lesson, engine=self.engines is not None)

    def limit(self, each: float, together: float | None = None) -> None:
        """From now on a request may take `each` seconds, and all of them `together`."""
        self.seconds, self._together = each, together or 0.0
        self._until = None if together is None else time.monotonic() + together

    def execute(self, cell: str, code: str, seconds: float | None = None) -> None:
        """Execute one cell.

        Raises:
            Exception: what the cell raised, if it is one of Python's own, else AnswerError.
            Gone: the sandbox is no more.
        """
        self.ask("execute", seconds=seconds, cell=cell, code=code)

    def names(self, names: list[str]) -> dict[str, Any]:
        """What the cells bound to these names, as data or proxies; names that are not bound are missing."""
        found = self.ask("get", names=sorted(names))
        if not isinstance(found, dict):
            raise AnswerError("no names and values")
        return {name: found[name] for name in names if name in found}  # of a forged answer no other name counts

    def ask(self, do: str, seconds: float | None = None, **given: Any) -> Any:
        """One request and its answer."""
        with self._lock:
            limit, now = seconds or self.seconds, time.monotonic()
            deadline = now + limit
            if self._until is not None and self._until < deadline:
                deadline, limit = self._until, self._together
            self._send({"do": do, **given}, deadline, limit)
            while "ask" in (reply := self._receive(deadline, limit)):
                self._asks += 1
                if self._asks > ASKS:
                    self._end(_("asked for more than {n} servers").format(n=ASKS))
                before = time.monotonic()
                served = self._serve(reply)
                deadline += time.monotonic() - before  # a server's start is not the learner's time
                self._send(served, deadline, limit)
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
        except Exception:  # values that no engine takes end in errors of every kind
            return {"error": _("The server did not start with these options.")}

    def _send(self, message: dict[str, Any], deadline: float, limit: float) -> None:
        """Hand over a message, or Gone: whoever reads slowly, or not at all, has until the deadline."""
        rest, stream = memoryview(wire.packed(message)), self.box.requests.fileno()
        while rest:
            self._wait(self._writable, deadline, limit)
            try:
                rest = rest[os.write(stream, rest) :]
            except BlockingIOError:
                continue
            except OSError:
                self._end()

    def _receive(self, deadline: float, limit: float) -> dict[str, Any]:
        try:
            size = wire.length(self._take(wire.HEAD, deadline, limit))
            return wire.parse(self._take(size, deadline, limit))
        except wire.WireError as error:
            self._end(_("answered with no answer ({error})").format(error=error))

    def _take(self, size: int, deadline: float, limit: float) -> bytes:
        """Exactly `size` bytes, or Gone: whoever writes slowly, or nothing, has until the deadline."""
        data, stream = bytearray(), self.box.replies.fileno()
        while len(data) < size:
            self._wait(self._readable, deadline, limit)
            part = os.read(stream, min(size - len(data), 1 << 20))
            if not part:
                self._end()
            data += part
        return bytes(data)

    def _wait(self, stream: select.poll, deadline: float, limit: float) -> None:
        if self.ended:
            raise Gone(self.ended)
        if not stream.poll(max(0.0, deadline - time.monotonic()) * 1000):
            self._end(_("took more than {n:g} s").format(n=limit))

    def _end(self, cause: str | None = None) -> NoReturn:
        """Speak no more with this sandbox: after a late answer each would be taken for the next."""
        if cause is None:
            time.sleep(0.05)  # the watch that ended it says why a moment later
        self.ended = self.box.broken or cause or _("ended its process")
        raise Gone(self.ended) from None


class Remote:
    """A proxy of one object in a sandbox."""

    __slots__ = ("_session", "_number", "_kind")
    __array_ufunc__ = None
    """An array that is compared with it does not look into it first."""

    def __init__(self, session: Session, number: int, kind: str) -> None:
        for name, value in (("_session", session), ("_number", number), ("_kind", kind)):
            object.__setattr__(self, name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(None, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in wire.ADDRESS:
            raise AnswerError(f"a {self._kind} where a server was expected")
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
        try:
            size = self._call("__len__", (), {})
        except AttributeError:  # what has no length can still be iterated: `list` asks for both
            raise TypeError(f"a {self._kind} has no length") from None
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

    def _no(self, *ignored: Any) -> Any:
        raise AnswerError(f"the method {self.name} where data was expected")

    __eq__ = __ne__ = __bool__ = _no
    __hash__ = object.__hash__


def _error(reply: dict[str, Any]) -> Exception:
    """What was raised inside, as one of Python's own exceptions where it is one."""
    what, told, bases = reply["error"], reply.get("told"), reply.get("bases")
    told = told[:300] if isinstance(told, str) else ""
    for name in (name for name in (bases if isinstance(bases, list) else []) if isinstance(name, str)):
        kind = ServelabError if name == "ServelabError" else getattr(builtins, name, None)
        if isinstance(kind, type) and issubclass(kind, Exception) and kind not in (Exception, StopIteration):
            with contextlib.suppress(TypeError):  # UnicodeError and the like want more than a text
                return kind(told)
    return AnswerError(f"{what[:80] if isinstance(what, str) else 'Exception'}: {told}")
