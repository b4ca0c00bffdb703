"""Three ways to make a batch, in simulated time: static, dynamic and continuous, on one step model.

Static: a batch begins when it is full, dynamic: when it is full or its first member has waited long enough; both end
with their longest answer, and meanwhile nobody joins. Continuous: between any two steps whoever waits takes a free
place (Yu et al., "Orca", OSDI 2022, section 3). Every answer gets one token a step; prompts are left out (spread their
price over the tokens). For the engine with its prompts, blocks and preemptions see `servelab.simulate.simulate`.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.theory.batching import StepModel, efficiency, stretch

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Batching:
    """A policy: places of a batch, and how long its first member waits for company.

    Attributes:
        batch: places.
        wait_s: seconds; infinite is a static batch, None continuous batching.
    """

    batch: int
    wait_s: float | None = math.inf

    def __post_init__(self) -> None:
        if self.batch < 1 or (self.wait_s is not None and self.wait_s < 0):
            raise ServelabError(_("A batch needs a place at least, and a wait that is not negative."))


@dataclass(frozen=True)
class Served:
    """When each request came, had its first token and its last, in seconds, shape (requests,)."""

    arrival_s: Floats
    first_s: Floats
    end_s: Floats
    lengths: NDArray[np.int64]

    @property
    def latency_s(self) -> Floats:
        """From arrival to last token."""
        return self.end_s - self.arrival_s

    @property
    def tpot_s(self) -> Floats:
        """Seconds a token after the first; NaN for answers of one token."""
        more = self.lengths - 1
        return np.divide(self.end_s - self.first_s, more, out=np.full(more.shape, np.nan), where=more > 0)

    @property
    def tokens_per_s(self) -> float:
        """Output tokens/s from the first arrival to the last token."""
        return float(self.lengths.sum() / (self.end_s.max() - self.arrival_s[0]))


def serve(arrivals: ArrayLike, lengths: ArrayLike, step: StepModel, policy: Batching) -> Served:
    """Serve answers of `lengths` tokens that are asked for at `arrivals` (s, in order), first come, first served.

    When nobody comes any more, a static batch begins with whoever is there.

    Raises:
        ServelabError: no requests, arrivals that go backwards, or an answer without a token.
    """
    came, tokens = np.asarray(arrivals, float), np.asarray(lengths, np.int64)
    if not came.size or came.shape != tokens.shape or (np.diff(came) < 0).any() or (tokens < 1).any():
        raise ServelabError(_("Give each request its arrival, in order, and an answer of at least one token."))
    play = _continuous if policy.wait_s is None else _closed
    return Served(came, *play(came, tokens, step, policy), tokens)


def _closed(came: Floats, tokens: NDArray, step: StepModel, policy: Batching) -> tuple[Floats, Floats]:
    first, end = np.empty_like(came), np.empty_like(came)
    free, at, n = 0.0, 0, came.size
    while at < n:
        full = came[min(at + policy.batch, n) - 1]
        begin = max(free, min(full, came[at] + policy.wait_s))
        stop = min(at + policy.batch, int(np.searchsorted(came, begin, side="right")))
        some = tokens[at:stop]
        active = (some[:, None] > np.arange(some.max())).sum(axis=0)
        ends = begin + np.cumsum(step.tpot_s(active))
        first[at:stop], end[at:stop] = ends[0], ends[some - 1]
        free, at = ends[-1], stop
    return first, end


def _continuous(came: Floats, tokens: NDArray, step: StepModel, policy: Batching) -> tuple[Floats, Floats]:
    first, end = np.empty_like(came), np.empty_like(came)
    coming, waiting = deque(range(came.size)), deque()
    running: list[tuple[int, int]] = []  # (number of the step that ends it, who)
    now, count = 0.0, 0
    while coming or waiting or running:
        if not running and not waiting:
            now = max(now, came[coming[0]])
        while coming and came[coming[0]] <= now:
            waiting.append(coming.popleft())
        joined = []
        while waiting and len(running) < policy.batch:
            joined.append(who := waiting.popleft())
            heapq.heappush(running, (count + int(tokens[who]), who))
        each = float(step.tpot_s(len(running)))
        jump = running[0][0] - count  # all these steps are alike, unless somebody can join before
        if coming and len(running) < policy.batch:
            jump = min(jump, max(1, math.ceil((came[coming[0]] - now) / each)))
        for who in joined:
            first[who] = now + each
        now, count = now + jump * each, count + jump
        while running and running[0][0] == count:
            end[heapq.heappop(running)[1]] = now
    return first, end


def by_load(
    step: StepModel,
    lengths: Sequence[int],
    policies: Mapping[str, Batching],
    loads: Sequence[float],
    *,
    requests: int = 1500,
    seed: int = 0,
) -> pd.DataFrame:
    """Every policy at every load: columns `policy`, `load`, `latency_s`, `tpot_s`, one row a policy and load.

    Args:
        lengths: tokens of answers; each request draws one.
        loads: tokens/s that are asked for, as a share of the engine's limit. Arrivals are Poisson.
        requests: of each run; the first fifth is not counted. A load that a policy cannot carry (`efficiency`) has
            NaN: its queue grows as long as the run lasts.

    Raises:
        ServelabError: a load that is not between 0 and 1.
    """
    if min(loads) <= 0 or max(loads) >= 1:
        raise ServelabError(_("A load is a share of the engine's limit: above 0 and below 1."))
    most = {
        name: efficiency(p.batch, step.knee, 1.0 if p.wait_s is None else stretch(lengths, p.batch))
        for name, p in policies.items()
    }
    rng = np.random.default_rng(seed)
    drawn = rng.choice(np.asarray(lengths), requests)
    gaps = rng.exponential(1.0, requests)
    rows = []
    for load in loads:
        rate = load * step.limit / float(np.mean(lengths))
        came = np.cumsum(gaps) / rate
        for name, policy in policies.items():
            done = serve(came, drawn, step, policy)
            counted = slice(requests // 5, None)
            latency, tpot = float(done.latency_s[counted].mean()), float(np.nanmean(done.tpot_s[counted]))
            rows.append((name, load, latency, tpot) if load < most[name] else (name, load, math.nan, math.nan))
    return pd.DataFrame(rows, columns=["policy", "load", "latency_s", "tpot_s"])
