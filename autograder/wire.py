"""What passes between the grader and a sandbox: frames of JSON that can only ever become plain data.

This file and `inside.py` are all of the grader that a sandbox sees, so it needs nothing but the standard library
(numpy where a value is an array). Decoding builds values of Python's own types from a fixed list of tags; nothing
that arrives can choose a class, run code, or be an object that answers for itself.
"""

from __future__ import annotations

import base64
import json
import math
import re
import struct
from collections import Counter
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, BinaryIO

FRAME_BYTES = 4 * 2**20
ITEMS = 100_000
TEXT = 2**20
"""Values in a message, and characters or bytes in one of them: a check that multiplies what it gets stays small."""
DEPTH = 60
ALIKE = 64
ADDRESS = frozenset({"url", "base_url", "host", "port", "client"})
"""What a check would connect to: only a server that the grader started may have such an attribute."""
HEAD = 4
_LENGTH = struct.Struct(">I")
_ARRAYS = "biufc"
_DTYPE = re.compile(r"[<>=|]?(b1|[iu][1248]|f[248]|c(8|16))")
_FLOATS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class WireError(ValueError):
    """What arrived is no frame, too long, too deep, or no value."""


def packed(message: dict[str, Any]) -> bytes:
    """A message as a frame.

    Raises:
        WireError: it is longer than a frame may be.
    """
    data = json.dumps(message, separators=(",", ":")).encode("utf-8", "surrogatepass")
    if len(data) > FRAME_BYTES:
        raise WireError(
            f"{len(data) / 2**20:.0f} MiB are more than the {FRAME_BYTES // 2**20} MiB that may be handed over"
        )
    return _LENGTH.pack(len(data)) + data


def write(stream: BinaryIO, message: dict[str, Any]) -> None:
    """Send one message on a blocking stream; raises what `packed` does."""
    stream.write(packed(message))
    stream.flush()


def parse(data: bytes) -> dict[str, Any]:
    """The message in a frame's bytes.

    Raises:
        WireError: it is none.
    """
    try:
        message = json.loads(data.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise WireError(f"no message: {type(error).__name__}") from None
    if not isinstance(message, dict):
        raise WireError("no message")
    return message


def length(head: bytes) -> int:
    """How many bytes follow a frame's head.

    Raises:
        WireError: more than a frame may have.
    """
    (size,) = _LENGTH.unpack(head)
    if size > FRAME_BYTES:
        raise WireError(f"a frame of {size} bytes")
    return size


def read(stream: BinaryIO) -> dict[str, Any] | None:
    """Receive one message from a blocking stream; None at its end."""
    head = stream.read(HEAD)
    if len(head) < HEAD:
        return None
    data = stream.read(length(head))
    return parse(data)


def encode(value: Any, other: Callable[[Any], dict[str, Any]], depth: int = 0) -> Any:
    """A value as JSON.

    Args:
        other: what to send for a value of any other type.

    Raises:
        WireError: it is nested too deeply.
    """
    if depth > DEPTH:
        raise WireError(f"values nested more than {DEPTH} deep cannot be handed over")

    def each(values: Any) -> list[Any]:
        return [encode(v, other, depth + 1) for v in values]

    kind = type(value)
    if value is None or kind in (bool, int, str, float):
        return {"t": "float", "v": repr(value)} if kind is float and not math.isfinite(value) else value
    if kind is list:
        return each(value)
    if kind in (tuple, set, frozenset):
        return {"t": kind.__name__, "v": each(value)}
    if isinstance(value, dict):
        return {"t": "dict", "v": [each(pair) for pair in value.items()]}
    if kind is SimpleNamespace:
        return {"t": "namespace", "v": [each(pair) for pair in vars(value).items()]}
    if kind in (bytes, bytearray):
        return {"t": "bytes", "v": base64.b64encode(value).decode()}
    if kind is complex:
        return {"t": "complex", "v": repr(value)}
    if kind is range and len(value) <= ITEMS:
        return list(value)
    for base in (bool, int, float, str, list, tuple):  # a subclass of a plain type is that plain type, whatever it adds
        if isinstance(value, base):
            return encode(base(value) if base is not tuple else tuple(value), other, depth)
    if kind.__module__ == "numpy" or hasattr(value, "__array_interface__"):
        return _array(value, other, depth)
    return other(value)


def _array(value: Any, other: Callable[[Any], dict[str, Any]], depth: int) -> Any:
    import numpy as np

    if isinstance(value, np.generic):
        plain = value.item()
        return encode(float(plain) if isinstance(plain, np.generic) else plain, other, depth)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in _ARRAYS:
        return encode(value.tolist(), other, depth) if isinstance(value, np.ndarray) else other(value)
    data = np.ascontiguousarray(value)
    if value.dtype.kind in "fc" and not _DTYPE.fullmatch(value.dtype.str):  # more bits than Python's own
        data = data.astype({"f": "f8", "c": "c16"}[value.dtype.kind])
    return {"t": "array", "d": data.dtype.str, "s": list(value.shape), "v": base64.b64encode(data.tobytes()).decode()}


def decode(value: Any, other: Callable[[dict[str, Any]], Any]) -> Any:
    """The value that `encode` made JSON of, whoever sent it.

    Args:
        other: makes a value of a tag that is none of the plain ones; raises WireError for one it does not know.

    Raises:
        WireError: it is no such JSON.
    """
    try:
        return _Decoder(other).value(value)
    except WireError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, OverflowError, MemoryError) as error:
        raise WireError(f"no value: {type(error).__name__}") from None


class _Decoder:
    """One message's values, counted: what a check does with them may cost no more than their number allows."""

    def __init__(self, other: Callable[[dict[str, Any]], Any]) -> None:
        self._other, self._left = other, ITEMS

    def value(self, value: Any) -> Any:
        if isinstance(value, list):
            return self.each(value)
        if isinstance(value, str):
            return _short(value)
        if not isinstance(value, dict):
            return value
        tag, body = value["t"], value.get("v")
        if tag == "float":
            return _FLOATS[body]
        if tag == "tuple":
            return tuple(self.each(body))
        if tag in ("set", "frozenset"):
            return (set if tag == "set" else frozenset)(_hashable(self.each(body)))
        if tag in ("dict", "namespace"):
            pairs = [(k, v) for k, v in self.each(body)]
            _hashable(k for k, _v in pairs)
            return dict(pairs) if tag == "dict" else _namespace(dict(pairs))
        if tag == "bytes":
            return _short(base64.b64decode(body))
        if tag == "complex":
            return complex(body)
        if tag == "array":
            return self.array(value)
        return self._other(value)

    def each(self, values: Any) -> list[Any]:
        if not isinstance(values, list):
            raise WireError("no list of values")
        self._left -= len(values)
        if self._left < 0:
            raise WireError(f"more than {ITEMS} values cannot be handed over at once")
        return [self.value(v) for v in values]

    def array(self, value: dict[str, Any]) -> Any:
        """An array that has something in each dimension: an empty one can be equal to all of any shape."""
        import numpy as np

        shape = value["s"]
        if not _DTYPE.fullmatch(value["d"]) or len(shape) > 8 or any(type(n) is not int or n < 0 for n in shape):
            raise WireError("an array of another kind")
        data = _short(base64.b64decode(value["v"]), FRAME_BYTES)
        if np.dtype(value["d"]).kind == "b":
            found = np.frombuffer(data, np.uint8) != 0  # any other byte would be neither true nor false
        else:
            found = np.frombuffer(data, np.dtype(value["d"]))
        self._left -= found.size // 8
        if self._left < 0:
            raise WireError(f"more than {8 * ITEMS} numbers cannot be handed over at once")
        return found.reshape(shape if found.size else (0,)).copy()


def _short(text: Any, most: int = TEXT) -> Any:
    if len(text) > most:
        raise WireError(f"a value of more than {most} characters or bytes cannot be handed over")
    return text


def _namespace(values: dict[Any, Any]) -> SimpleNamespace:
    if ADDRESS & values.keys():
        raise WireError("a namespace where a server was expected")
    return SimpleNamespace(**values)


def _hashable(keys: Iterable[Any]) -> list[Any]:
    """Keys whose hashes differ: looking up those that were chosen alike takes time by the square of their number."""
    keys = list(keys)
    if any(n > ALIKE for n in Counter(map(hash, keys)).values()):
        raise WireError("too many keys that are alike")
    return keys
