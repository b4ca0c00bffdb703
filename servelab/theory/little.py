"""Little's law, L = lambda W, on requests that really ran: what edges do to it and how they are trimmed.

L is the mean number in the system, lambda the arrival rate, W the mean time in the system. It holds for any
arrivals, services and order, if the system is stable and all three are taken at one boundary (Little, Operations
Research 9, 1961; over a finite window: Little, "Little's law as viewed on its 50th anniversary", OR 59, 2011). In a
window that begins or ends while requests are under way it misses by those: the time that they spend outside belongs
to W and not to L. So the run's filling and draining are trimmed, and the window is made long against W.

Times are in seconds on one clock. Arrays of shape (requests,).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from servelab.errors import ServelabError
from servelab.i18n import _


@dataclass(frozen=True)
class Law:
    """L, lambda and W over one window.

    Attributes:
        in_system: L, the mean number in the system over the window, from the area under the curve.
        rate: lambda, arrivals/s inside the window.
        time_s: W, mean seconds in the system of the requests that arrived inside it.
        start_s, end_s: the window.
        requests: arrivals inside it.
        edge_share: the largest |L / (lambda W) - 1| that the requests crossing the edges can cause.
    """

    in_system: float
    rate: float
    time_s: float
    start_s: float
    end_s: float
    requests: int
    edge_share: float

    @property
    def product(self) -> float:
        """lambda W."""
        return self.rate * self.time_s

    @property
    def gap(self) -> float:
        """L / (lambda W) - 1: 0 where the law is met."""
        return self.in_system / self.product - 1


def _sample(arrived: ArrayLike, left: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    arrived, left = np.asarray(arrived, float), np.asarray(left, float)
    left = np.where(np.isnan(left), np.inf, left)
    if arrived.shape != left.shape or (left < arrived).any():
        raise ServelabError(_("Every request needs an arrival, and none can leave before it."))
    return arrived, left


def number_at(arrived: ArrayLike, left: ArrayLike, times_s: ArrayLike) -> NDArray[np.int64]:
    """How many are in the system at each of `times_s`: arrived and not yet left (NaN: never)."""
    arrived, left = _sample(arrived, left)
    came = np.searchsorted(np.sort(arrived), times_s, side="right")
    return came - np.searchsorted(np.sort(left), times_s, side="right")


def time_average(arrived: ArrayLike, left: ArrayLike, start_s: float, end_s: float) -> float:
    """Mean number in the system from `start_s` to `end_s`: the time that all requests spend inside, over its length."""
    arrived, left = _sample(arrived, left)
    inside = np.minimum(left, end_s) - np.maximum(arrived, start_s)
    return float(np.maximum(inside, 0).sum() / (end_s - start_s))


def law(
    arrived: ArrayLike, left: ArrayLike, start_s: float | None = None, end_s: float | None = None, trim: float = 0.1
) -> Law:
    """The three quantities over a window, each measured by itself.

    Args:
        arrived: when each request arrived.
        left: when it left; NaN or infinite for one that never did.
        start_s, end_s: the window; without them, from the first to the last arrival with `trim` of that time cut
            off at either end: the system fills in the first part, and after the last arrival it only drains.

    Raises:
        ServelabError: no arrival in the window, or one that arrived in it and never left (take an earlier end, or
            wait for it: its time is unknown, and leaving it out makes W too small).
    """
    arrived, left = _sample(arrived, left)
    if not arrived.size:
        raise ServelabError(_("Little's law needs requests: none arrived."))
    first, last = arrived.min(), arrived.max()
    start_s = first + trim * (last - first) if start_s is None else start_s
    end_s = last - trim * (last - first) if end_s is None else end_s
    inside = (arrived >= start_s) & (arrived < end_s)
    if end_s <= start_s or not inside.any():
        raise ServelabError(_("No request arrived in the window: take a longer one."))
    spent = left[inside] - arrived[inside]
    if np.isinf(spent).any():
        raise ServelabError(_("A request of the window never left: end the window before it arrived."))
    outside = np.maximum(left[inside] - end_s, 0).sum()
    earlier = (np.minimum(left, end_s) - start_s)[arrived < start_s]
    edge = max(outside, np.maximum(earlier, 0).sum()) / spent.sum() if spent.sum() else 0.0
    length = end_s - start_s
    return Law(
        in_system=time_average(arrived, left, start_s, end_s),
        rate=float(inside.sum() / length),
        time_s=float(spent.mean()),
        start_s=float(start_s),
        end_s=float(end_s),
        requests=int(inside.sum()),
        edge_share=float(edge),
    )


def response_s(users: ArrayLike, rate: ArrayLike, think_s: ArrayLike = 0.0) -> NDArray[np.float64]:
    """Seconds in the system in a closed loop of `users` who think `think_s` between requests: N / X - Z.

    Little's law around users and system: the interactive response time law (Denning & Buzen, Computing Surveys 1978).
    """
    return np.asarray(users, float) / rate - think_s


def closed_loop_rate_bound(
    users: ArrayLike, alone_s: ArrayLike, capacity: ArrayLike, think_s: ArrayLike = 0.0
) -> NDArray[np.float64]:
    """Requests/s that a closed loop never exceeds: min(N / (R_1 + Z), capacity).

    `alone_s` is a request's time without others, `capacity` the system's requests/s at its best. Asymptotic bounds:
    Denning & Buzen 1978; Lazowska et al., "Quantitative System Performance" (1984), section 5.2.
    """
    return np.minimum(np.asarray(users, float) / (np.asarray(alone_s, float) + think_s), capacity)
