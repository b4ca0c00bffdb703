"""Batching in closed form: what one step of the engine costs, what a batch buys, and where it stops paying.

Every step of a batching engine reads all weights once, whatever the batch (the fixed part), and then does some
arithmetic and reads some KV cache for each sequence in it (the part that grows). Everything here follows from
those two numbers, measured on the engine:

    step(B) = fixed + each * B                                     seconds
    limit   = 1 / each                                             tokens/s, never reached
    knee    = fixed / each                                         sequences

The roofline (`servelab.theory.roofline.seconds`) is the floor of a step, reached only if arithmetic and memory
traffic overlap completely and nothing else takes time; a real engine's step is above it and closer to their sum.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from servelab.errors import ServelabError
from servelab.i18n import _


@dataclass(frozen=True)
class StepModel:
    """Three constants of one engine on one machine, for B requests of equal length that walk in step.

    Attributes:
        fixed_s: seconds that every step costs, whatever its batch.
        each_s: seconds that each decoding sequence adds to a step.
        prefill_s: seconds for one prompt token.
    """

    fixed_s: float
    each_s: float
    prefill_s: float = 0.0

    @classmethod
    def fit(
        cls, batch: ArrayLike, tpot_s: ArrayLike, ttft_s: ArrayLike | None = None, prompt_tokens: float = 0
    ) -> StepModel:
        """Fit to measurements: exactly through two points, by least squares through more.

        Args:
            batch: concurrencies, at least two different ones.
            tpot_s: seconds per output token at each of them.
            ttft_s: seconds to the first token at each of them, all prompts `prompt_tokens` long.

        Raises:
            ServelabError: fewer than two different batch sizes.
        """
        batch, tpot = np.asarray(batch, float), np.asarray(tpot_s, float)
        if np.unique(batch).size < 2:
            raise ServelabError(_("A step-time model needs measurements at two different batch sizes or more."))
        each, fixed = np.polyfit(batch, tpot, 1)
        prefill = 0.0
        if ttft_s is not None and prompt_tokens:
            work = batch * prompt_tokens
            prefill = float(work @ (np.asarray(ttft_s, float) - fixed) / (work @ work))
        return cls(float(fixed), float(each), max(prefill, 0.0))

    def tpot_s(self, batch: ArrayLike) -> NDArray[np.float64]:
        """Seconds from one output token to the next: one step of `batch` sequences."""
        return self.fixed_s + self.each_s * np.asarray(batch, float)

    def ttft_s(self, batch: ArrayLike, prompt_tokens: float) -> NDArray[np.float64]:
        """Seconds to the first token when `batch` prompts of `prompt_tokens` tokens arrive together."""
        return self.fixed_s + self.prefill_s * prompt_tokens * np.asarray(batch, float)

    def e2e_s(self, batch: ArrayLike, prompt_tokens: float, output_tokens: float) -> NDArray[np.float64]:
        """Seconds from request to last token: TTFT + (n - 1) TPOT."""
        return self.ttft_s(batch, prompt_tokens) + (output_tokens - 1) * self.tpot_s(batch)

    def throughput(self, batch: ArrayLike, prompt_tokens: float, output_tokens: float) -> NDArray[np.float64]:
        """Output tokens/s of the engine: by Little's law, B requests in flight, each E2E seconds long."""
        return np.asarray(batch, float) * output_tokens / self.e2e_s(batch, prompt_tokens, output_tokens)

    @property
    def knee(self) -> float:
        """The batch where fixed and growing part are equal: half of `limit` is reached, each step costs double.

        The two bounds B/fixed and 1/each cross here (asymptotic bounds: Denning & Buzen, Computing Surveys 1978),
        and throughput divided by step time is largest ("power": Kleinrock, ICC 1979). It needs no end of range.
        """
        return self.fixed_s / self.each_s if self.each_s > 0 else float("inf")

    @property
    def limit(self) -> float:
        """Output tokens/s that no batch exceeds, prompts left out."""
        return 1 / self.each_s if self.each_s > 0 else float("inf")

    def step_under_load(self, tokens_per_s: ArrayLike) -> NDArray[np.float64]:
        """Seconds of a step, and so TPOT, of continuous batching that is asked for `tokens_per_s`.

        (fixed + each) / (1 - u), u = tokens/s x each the share of `limit` that is asked for. By Little's law a rate X
        keeps X t sequences in the batch, t the seconds a token takes; who comes at random meets so many, and is one
        more: t = fixed + each (1 + X t), solved for t. Infinite from the limit on. Holds for arrivals at random, and
        as long as the batch has a place for everybody.
        """
        used = np.asarray(tokens_per_s, float) * self.each_s
        return np.divide(self.fixed_s + self.each_s, 1 - used, out=np.full(used.shape, np.inf), where=used < 1)[()]


def knee(x: ArrayLike, y: ArrayLike) -> int:
    """Index of the knee of a rising, flattening curve: the point highest above the chord between its ends.

    Kneedle's offline rule without smoothing (Satopaa, Albrecht, Irwin & Raghavan, ICDCSW 2011, sec. III). It
    depends on where the measured range ends: measure further, and it moves.

    Raises:
        ServelabError: fewer than three points, or no span in x or y.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    if x.size < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        raise ServelabError(_("A knee needs at least three points that differ."))
    return int(np.argmax((y - y.min()) / np.ptp(y) - (x - x.min()) / np.ptp(x)))


def power(throughput: ArrayLike, latency: ArrayLike) -> NDArray[np.float64]:
    """Throughput divided by latency; its maximum is a knee that knows no units (Kleinrock, ICC 1979)."""
    return np.asarray(throughput, float) / np.asarray(latency, float)


def pareto(latency: ArrayLike, throughput: ArrayLike) -> NDArray[np.bool_]:
    """Which points no other beats: none is at least as fast with more throughput, or faster with as much."""
    latency, throughput = np.asarray(latency, float), np.asarray(throughput, float)
    as_good = (latency[:, None] <= latency) & (throughput[:, None] >= throughput)
    better = (latency[:, None] < latency) | (throughput[:, None] > throughput)
    return ~(as_good & better).any(axis=0)


def operating_point(throughput: ArrayLike, latency: ArrayLike, limit: float) -> int | None:
    """Index of the most throughput whose latency is within `limit` (the lower latency on a tie); None if none is."""
    throughput, latency = np.asarray(throughput, float), np.asarray(latency, float)
    allowed = np.flatnonzero(latency <= limit)
    if not allowed.size:
        return None
    return int(min(allowed, key=lambda i: (-throughput[i], latency[i])))


def stretch(lengths: ArrayLike, batch: ArrayLike) -> NDArray[np.float64]:
    """How many times the mean length the longest of `batch` answers has, on average: 1 for a batch of one.

    Answers are drawn from the sample `lengths` with replacement: with its values in order x_1 .. x_m the mean of the
    largest is the sum of x_i ((i / m)^B - ((i - 1) / m)^B) (David & Nagaraja, "Order Statistics", 2003, section 2.1).

    Raises:
        ServelabError: no lengths, or a batch below 1.
    """
    ordered, batch = np.sort(np.ravel(np.asarray(lengths, float))), np.asarray(batch, float)
    if not ordered.size or (batch < 1).any():
        raise ServelabError(_("A stretch needs answers' lengths, and a batch of at least 1."))
    below = np.arange(ordered.size + 1) / ordered.size
    chance = np.diff(below ** batch[..., None], axis=-1)
    return (chance @ ordered / ordered.mean())[()]


def efficiency(batch: ArrayLike, knee: ArrayLike, stretch: ArrayLike = 1.0) -> NDArray[np.float64]:
    """Share of the engine's limit that a full batch reaches: B / (g knee + B), g the stretch.

    Continuous batching keeps all places full: g = 1. A static batch of B answers takes g n steps of the fixed price, n
    the mean length, and B n times the growing one, as long as an engine computes nothing for who has ended. For one
    that goes on computing them it is B / (g (knee + B)).
    """
    batch = np.asarray(batch, float)
    return batch / (np.multiply(stretch, knee) + batch)


@dataclass(frozen=True)
class Span:
    """One request in one slot: decoding steps `start` (included) to `end` (excluded)."""

    request: int
    slot: int
    start: int
    end: int


def schedule(lengths: Sequence[int], slots: int, continuous: bool) -> list[Span]:
    """Serve answers of `lengths` tokens in `slots` places of a batch, in order of arrival, one token a step.

    Static: a batch is filled, and the next begins when its longest answer ends (request-level scheduling).
    Continuous: whoever ends makes room at once (iteration-level scheduling; Yu et al., "Orca", OSDI 2022, sec. 3).
    """
    spans = []
    if continuous:
        free = [(0, slot) for slot in range(slots)]
        for request, length in enumerate(lengths):
            start, slot = heapq.heappop(free)
            spans.append(Span(request, slot, start, start + length))
            heapq.heappush(free, (start + length, slot))
        return spans
    start = 0
    for first in range(0, len(lengths), slots):
        batch = lengths[first : first + slots]
        spans += [Span(first + slot, slot, start, start + length) for slot, length in enumerate(batch)]
        start += max(batch)
    return spans


def active(spans: Sequence[Span]) -> NDArray[np.int64]:
    """How many sequences each step decodes, from step 0 to the last."""
    count = np.zeros(max((s.end for s in spans), default=0), dtype=np.int64)
    for span in spans:
        count[span.start : span.end] += 1
    return count


def makespan_s(spans: Sequence[Span], model: StepModel) -> float:
    """Seconds for a whole schedule, each step at the price of its own batch (prompts left out)."""
    return float(model.tpot_s(active(spans)).sum())
