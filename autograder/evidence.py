"""What a learner's server did under the grader's load, kept and signed, so that it can be judged again without it.

A trace belongs to what produced it: the answer, the checks, the inputs' seed and the machine's tier. It is signed
with the classroom's key; one that was changed, or belongs to something else, is not replayed: all is measured anew.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

from autograder import wire


def digest(*parts: str) -> str:
    """What a trace belongs to."""
    return hashlib.sha256(json.dumps(parts).encode("utf-8", "surrogatepass")).hexdigest()


class Evidence:
    """The traces of one classroom.

    Args:
        folder: where they lie; made when the first is kept.
        key: the classroom's secret, 32 bytes.
    """

    def __init__(self, folder: Path, key: bytes) -> None:
        self._folder, self._key = folder, key

    def find(self, belongs: str) -> list[Any] | None:
        """The observations of a trace in their order; None where there is no genuine one."""
        try:
            kept = json.loads((self._folder / f"{belongs}.json").read_text())
            genuine = hmac.compare_digest(kept["signature"], self._sign(kept["trace"]))
            if genuine and kept["trace"]["belongs"] == belongs:
                return [wire.decode(value, _unknown) for value in kept["trace"]["observations"]]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            pass
        return None

    def keep(self, belongs: str, exercise: str, observations: list[Any]) -> Path:
        """Sign a trace and keep it."""
        trace = {
            "belongs": belongs,
            "exercise": exercise,
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "observations": [wire.encode(value, _unknown) for value in observations],
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{belongs}.json"
        part = path.with_suffix(".part")
        part.write_text(json.dumps({"trace": trace, "signature": self._sign(trace)}, indent=1))
        part.replace(path)
        return path

    def _sign(self, trace: dict[str, Any]) -> str:
        return hmac.new(self._key, json.dumps(trace, sort_keys=True).encode(), hashlib.sha256).hexdigest()


def data(value: Any) -> Any:
    """An observation as it would be after a replay: plain data, nothing of a server's.

    Raises:
        TypeError: it holds something else, which is a mistake of the check's.
    """
    return wire.decode(wire.encode(value, _unknown), _unknown)


def _unknown(value: Any) -> Any:
    raise TypeError(f"a trace holds data, not a {type(value).__name__}")
