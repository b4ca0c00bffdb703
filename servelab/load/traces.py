"""Traces of real traffic: read the public formats, scale them, and make the course's own from a public one.

Formats, told apart by their first line:
- Azure LLM inference, CSV `TIMESTAMP,ContextTokens,GeneratedTokens` (Patel et al., Splitwise, ISCA 2024);
- BurstGPT, CSV `Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type` (Wang et al., 2024);
- Mooncake, JSON lines `timestamp` (ms), `input_length`, `output_length`, `hash_ids` of 512-token blocks: equal ids are
  equal tokens (Qin et al., FAST 2025). The course's trace has this form, without hashes.

The course's own trace is made by `servelab.load.fitting`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.load.workload import Request, token_ids
from servelab.paths import ASSETS

COURSE = ASSETS / "traces" / "course.jsonl"
BLOCK = 512
"""Tokens of one Mooncake hash id."""


@dataclass(frozen=True)
class Entry:
    """One request of a trace: seconds after the trace's first, lengths in tokens, and its prompt's block hashes."""

    arrival_s: float
    prompt_tokens: int
    output_tokens: int
    hashes: tuple[int, ...] = ()


def _azure(row: dict[str, str]) -> Entry:
    # seven decimals of a second; datetime takes six
    stamp = datetime.fromisoformat(row["TIMESTAMP"].strip()[:26]).timestamp()
    return Entry(stamp, int(row["ContextTokens"]), int(row["GeneratedTokens"]))


def _burstgpt(row: dict[str, str]) -> Entry:
    return Entry(float(row["Timestamp"]), int(row["Request tokens"]), int(row["Response tokens"]))


def _mooncake(row: dict[str, Any]) -> Entry:
    return Entry(row["timestamp"] / 1000, row["input_length"], row["output_length"], tuple(row.get("hash_ids", ())))


CSV_READERS = {"ContextTokens": _azure, "Request tokens": _burstgpt}


def read(path: str | Path) -> list[Entry]:
    """A trace file's entries in order of time, the first at 0. Requests that failed there (no answer) are left out.

    Raises:
        ServelabError: no such file, an unknown format, or a line that cannot be read (its number is told).
    """
    path, number = Path(path), 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            if first.lstrip().startswith("{"):
                rows: Iterable[Any] = map(json.loads, filter(str.strip, file))
                convert = _mooncake
            else:
                rows = csv.DictReader(file)
                names = [name.strip() for name in first.split(",")]
                convert = next((reader for column, reader in CSV_READERS.items() if column in names), None)
                number = 2
            if convert is None:
                raise ServelabError(
                    _("{path} is no trace: give an Azure CSV, a BurstGPT CSV or Mooncake JSON lines.").format(path=path)
                )
            entries = []
            for row in rows:
                entries.append(convert(row))
                number += 1
    except FileNotFoundError:
        raise ServelabError(_("There is no file {path}.").format(path=path)) from None
    except (ValueError, KeyError, TypeError, AttributeError, IsADirectoryError):
        raise ServelabError(
            _("{path} is damaged at line {number}: it does not hold a time and two lengths.").format(
                path=path, number=number
            )
        ) from None
    entries = sorted((e for e in entries if e.prompt_tokens > 0 and e.output_tokens > 0), key=lambda e: e.arrival_s)
    if not entries:
        raise ServelabError(_("{path} holds no request with an answer.").format(path=path))
    start = entries[0].arrival_s
    return [Entry(e.arrival_s - start, e.prompt_tokens, e.output_tokens, e.hashes) for e in entries]


def trace(
    path: str | Path = COURSE,
    n: int | None = None,
    time_scale: float = 1.0,
    length_scale: float = 1.0,
    max_prompt_tokens: int | None = None,
    max_output_tokens: int | None = None,
    seed: int = 0,
) -> list[Request]:
    """Requests of a trace (the course's own by default), each with its `arrival_s`; `drive` replays them.

    Args:
        path: an Azure, BurstGPT or Mooncake file.
        n: only the first n.
        time_scale: multiplies the times: 2 spreads the load over twice the time (half the rate).
        length_scale: multiplies both lengths (at least 1 token stays).
        max_prompt_tokens, max_output_tokens: cut longer ones, after scaling.
        seed: of the prompts' token ids. Equal Mooncake hash ids get equal tokens, so shared prefixes stay shared.
    """
    if time_scale <= 0 or length_scale <= 0:
        raise ServelabError(_("A trace's scales must be positive."))
    rng, block = np.random.default_rng(seed), max(1, round(BLOCK * length_scale))

    def scaled(tokens: int, most: int | None) -> int:
        return min(max(1, round(tokens * length_scale)), most or 10**9)

    def prompt(entry: Entry) -> list[int]:
        length = scaled(entry.prompt_tokens, max_prompt_tokens)
        ids = [i for h in entry.hashes[: length // block + 1] for i in _block(h, block, seed)]
        return ids[:length] + token_ids(max(0, length - len(ids)), rng)

    return [
        Request(i, prompt(e), scaled(e.output_tokens, max_output_tokens), arrival_s=e.arrival_s * time_scale)
        for i, e in enumerate(read(path)[:n])
    ]


def _block(hash_id: int, size: int, seed: int) -> list[int]:
    return token_ids(size, np.random.default_rng((seed, hash_id)))
