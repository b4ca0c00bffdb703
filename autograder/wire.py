"""What passes between the grader and a sandbox: frames of JSON that can only ever become plain data.

This file and `inside.py` are all of the grader that a sandbox sees, so it needs nothing but the standard library
(numpy where a value is an array). Decoding builds values of Python's own types from a fixed list of tags; nothing
that arrives can choose a class, run code, or be an object that answers for itself.
"""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, BinaryIO

FRAME_BYTES = 4 * 2**20
ITEMS = 100_000
DEPTH = 60
_LENGTH = struct.Struct(">I")
_ARRAYS = "biufc"


class WireError(ValueError):
    """What arrived is no frame, too long, too deep, or no value."""


def write(stream: BinaryIO, message: dict[str, Any]) -> None:
    """Send one message.

    Raises:
        WireError: it is longer than a frame may be.
    """
    data = json.dumps(message, separators=(",", ":")).encode("utf-8", "surrogatepass")
    if len(data) > FRAME_BYTES:
        raise WireError(
            f"{len(data) / 2**20:.0f} MiB are more than the {FRAME_BYTES // 2**20} MiB that may be handed over"
        )
    stream.write(_LENGTH.pack(len(data)) + data)
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
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    data = stream.read(length(head))
    return parse(data)


HEAD = _LENGTH.size


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
        return encode(value.item(), other, depth)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in _ARRAYS:
        return encode(value.tolist(), other, depth) if isinstance(value, np.ndarray) else other(value)
    data = np.ascontiguousarray(value)
    return {"t": "array", "d": data.dtype.str, "s": list(value.shape), "v": base64.b64encode(data.tobytes()).decode()}


def decode(value: Any, other: Callable[[dict[str, Any]], Any]) -> Any:
    """The value that `encode` made JSON of, whoever sent it.

    Args:
        other: makes a value of a tag that is none of the plain ones; raises WireError for one it does not know.

    Raises:
        WireError: it is no such JSON.
    """
    try:
        return _decode(value, other)
    except WireError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, OverflowError, MemoryError) as error:
        raise WireError(f"no value: {type(error).__name__}") from None


def _decode(value: Any, other: Callable[[dict[str, Any]], Any]) -> Any:
    if isinstance(value, list):
        return [_decode(v, other) for v in value]
    if not isinstance(value, dict):
        return value
    tag, body = value["t"], value.get("v")
    if tag == "float":
        return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[body]
    if tag == "tuple":
        return tuple(_decode(v, other) for v in body)
    if tag in ("set", "frozenset"):
        return (set if tag == "set" else frozenset)(_decode(v, other) for v in body)
    if tag == "dict":
        return {_decode(k, other): _decode(v, other) for k, v in body}
    if tag == "namespace":
        return SimpleNamespace(**{str(k): _decode(v, other) for k, v in body})
    if tag == "bytes":
        return base64.b64decode(body)
    if tag == "complex":
        return complex(body)
    if tag == "array":
        import numpy as np

        dtype = np.dtype(value["d"])
        if dtype.kind not in _ARRAYS:
            raise WireError(f"an array of {dtype}")
        return np.frombuffer(base64.b64decode(body), dtype).reshape([int(n) for n in value["s"]]).copy()
    return other(value)
