"""What is asked: requests of exact lengths, made from a seed.

Prompts are lists of token ids, so their length is exact for every model and no tokenizer is needed. Ids are drawn
from a range every model of the course has. Each request has its own prompt: a prefix cache that is warm from an
earlier run of another seed gains nothing, unless `shared_prefix` asks for it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from servelab.errors import ServelabError
from servelab.i18n import _

TOKEN_IDS = (1_000, 30_000)
"""Token ids of synthetic prompts, [low, high): above the special tokens, inside the smallest vocabulary (32,000)."""

Length = int | tuple[float, float]
"""Tokens: an exact number, or (mean, coefficient of variation) of a lognormal."""


@dataclass(frozen=True)
class Request:
    """One request: `prompt` is token ids, a text, or chat messages; `arrival_s` its time in a trace, if any.

    With `ignore_eos` the engine writes exactly `output_tokens`; without, at most that many. `extra` goes into the
    body, but for `session` (a text), which says whose request it is.
    """

    id: int
    prompt: list[int] | str | list[dict[str, Any]]
    output_tokens: int
    arrival_s: float | None = None
    ignore_eos: bool = True
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def prompt_tokens(self) -> int | None:
        """Length of the prompt in tokens where it is known before sending (token ids), else None."""
        known = isinstance(self.prompt, list) and (not self.prompt or isinstance(self.prompt[0], int))
        return len(self.prompt) if known else None

    @property
    def session(self) -> str | None:
        """Whose request it is, if anybody's: sent as the header X-Session, by which routers keep it in one place."""
        return self.extra.get("session")

    @property
    def chat(self) -> bool:
        """Whether the prompt is chat messages."""
        return isinstance(self.prompt, list) and bool(self.prompt) and isinstance(self.prompt[0], dict)


def lengths(length: Length, n: int, rng: np.random.Generator) -> np.ndarray:
    """`n` lengths in tokens, shape (n,), at least 1: all equal, or lognormal with the given mean and cv.

    Raises:
        ServelabError: a length below 1 or a negative spread.
    """
    mean, cv = (length, 0.0) if isinstance(length, int | np.integer) else length
    if mean < 1 or cv < 0:
        raise ServelabError(
            _("A length must be at least 1 token and its spread not negative, not {length}.").format(length=length)
        )
    if cv == 0:
        return np.full(n, round(mean), dtype=int)
    sigma2 = math.log1p(cv**2)
    drawn = rng.lognormal(math.log(mean) - sigma2 / 2, math.sqrt(sigma2), n)
    return np.maximum(1, np.rint(drawn)).astype(int)


def token_ids(n: int, rng: np.random.Generator) -> list[int]:
    """`n` token ids drawn evenly from `TOKEN_IDS`."""
    return rng.integers(*TOKEN_IDS, n).tolist()


def synthetic(
    n: int = 32,
    prompt_tokens: Length = 128,
    output_tokens: Length = 64,
    seed: int = 0,
    shared_prefix: int = 0,
) -> list[Request]:
    """`n` requests of given lengths (tokens; exact, or (mean, cv)); the first `shared_prefix` ids are common to all.

    The same arguments give the same requests; another `seed` gives other prompts.
    """
    if n < 1:
        raise ServelabError(_("A load needs at least one request."))
    rng = np.random.default_rng(seed)
    prompts, outputs = lengths(prompt_tokens, n, rng), lengths(output_tokens, n, rng)
    prefix = token_ids(shared_prefix, rng)
    return [
        Request(i, (prefix + token_ids(max(0, int(p) - shared_prefix), rng))[:p], int(o))
        for i, (p, o) in enumerate(zip(prompts, outputs, strict=True))
    ]


def renewed(requests: Sequence[Request], seed: int) -> list[Request]:
    """The same requests in other words: every token id stands for another one, the same wherever it stands.

    Lengths, times and shared prefixes stay; what a prefix cache kept of an earlier run is worth nothing any more.

    Raises:
        ServelabError: a prompt that is not token ids as `synthetic` and `trace` draw them.
    """
    low, high = TOKEN_IDS
    if any(r.prompt_tokens is None or not all(low <= i < high for i in r.prompt) for r in requests):
        raise ServelabError(_("Prompts must be token ids here: use `synthetic` or `trace`."))
    other = low + np.random.default_rng(seed).permutation(high - low)
    return [replace(r, prompt=other[np.asarray(r.prompt, int) - low].tolist()) for r in requests]


def in_sessions(requests: Sequence[Request], sessions: int, prefix_tokens: int, seed: int = 0) -> list[Request]:
    """The same requests, each in one of `sessions` conversations, which are drawn evenly: `s0`, `s1` ...

    A prompt then begins with the `prefix_tokens` ids of its session, the context that such a conversation carries, and
    goes on with its own.

    Raises:
        ServelabError: fewer than one session, or a prompt that is not token ids.
    """
    if sessions < 1:
        raise ServelabError(_("There must be at least one session."))
    if any(r.prompt_tokens is None for r in requests):
        raise ServelabError(_("Prompts must be token ids here: use `synthetic` or `trace`."))
    rng = np.random.default_rng(seed)
    prefixes = [token_ids(prefix_tokens, rng) for _session in range(sessions)]
    whose = rng.integers(sessions, size=len(requests)).tolist()
    return [
        replace(r, prompt=[*prefixes[n], *r.prompt], extra={**r.extra, "session": f"s{n}"})
        for r, n in zip(requests, whose, strict=True)
    ]


def texts(prompts: Sequence[str], output_tokens: int = 64, chat: bool = False) -> list[Request]:
    """Requests from plain texts, as completions or (`chat`) as one user message each; the answer may end early."""
    if not prompts:
        raise ServelabError(_("A load needs at least one request."))
    return [
        Request(i, [{"role": "user", "content": p}] if chat else p, output_tokens, ignore_eos=False)
        for i, p in enumerate(prompts)
    ]


def write(requests: Sequence[Request], path: str | Path) -> Path:
    """Keep requests as JSON lines, one a line, so that any client can send the very same ones."""
    path = Path(path)
    path.write_text("".join(json.dumps(asdict(r), ensure_ascii=False) + "\n" for r in requests))
    return path


def read(path: str | Path) -> list[Request]:
    """Requests kept by `write`; a line needs `prompt` and `output_tokens`, the rest has defaults.

    Raises:
        ServelabError: no such file, or a line that is no request.
    """
    try:
        lines = [json.loads(line) for line in Path(path).read_text().splitlines() if line.strip()]
        return [Request(**{"id": i, **line}) for i, line in enumerate(lines)]
    except FileNotFoundError:
        raise ServelabError(_("There is no file {path}.").format(path=path)) from None
    except (ValueError, TypeError):
        raise ServelabError(
            _("{path} does not hold requests: each line needs `prompt` and `output_tokens`.").format(path=path)
        ) from None
