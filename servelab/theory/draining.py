"""What a stop costs: answers that are open when a replica is told to end, and how long it waits for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Floats = np.ndarray


def open_answers(rate: float, durations_s: Sequence[float]) -> float:
    """How many answers are open at a moment: Little's law, rate x mean duration.

    Args:
        rate: requests/s that come to the replica.
        durations_s: how long answers take, seconds.
    """
    return rate * float(np.mean(durations_s))


def cut(rate: float, durations_s: Sequence[float], drain_s: float) -> float:
    """How many answers a stop breaks off that waits `drain_s` seconds: rate x E[max(S - drain, 0)].

    An answer that began u seconds ago is open, and needs more than `drain_s` still, with probability P(S > u + drain);
    over all beginnings this is rate x the integral of P(S > v) from `drain_s` on, which is that mean. Arrivals at
    random moments (Poisson), none refused (M/G/infinity; Tijms, A First Course in Stochastic Models, section 1.1.3).

    Args:
        rate: requests/s that come to the replica.
        durations_s: how long answers take, seconds.
        drain_s: how long the stop waits, seconds; 0 stops at once.
    """
    return rate * float(np.maximum(np.asarray(durations_s, dtype=float) - drain_s, 0).mean())


def remaining(durations_s: Sequence[float], n: int = 400, seed: int = 0) -> Floats:
    """What answers open at a random moment still need, seconds, shape (n,): long ones are met more often.

    One is chosen with probability in proportion to its duration, and met at a uniform point of it.
    """
    lengths, rng = np.asarray(durations_s, dtype=float), np.random.default_rng(seed)
    chosen = rng.choice(lengths, size=n, p=lengths / lengths.sum())
    return chosen * rng.random(n)
