"""Scale to zero: how long an instance that stops when idle is up, who meets it cold, and when it is the dearer one.

Requests come at random (Poisson). One instance serves all of them at once, as an engine that batches does: each takes
`service_s`. It is stopped `keep_s` after the last answer; whoever comes then waits `cold_s` until it has started
again.

A cycle is a time down, of mean 1 / rate, the start, and a time up that lasts until no request has come for
H = service_s + keep_s: the busy period of an M/D/infinity queue, of mean (e^(rate H) - 1) / rate (Takacs, "Introduction
to the Theory of Queues", 1962, ch. 3). So a cycle serves rate cold_s + e^(rate H) requests. Rates are per second,
times in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from servelab.errors import ServelabError
from servelab.i18n import _

MOST = 500.0
"""Largest exponent that is computed: beyond it the instance never stops."""


@dataclass(frozen=True)
class OnDemand:
    """An instance that is started by the first request and stopped when it has been idle for `keep_s`.

    Attributes:
        cold_s: from the request that finds nothing to an instance that can serve.
        service_s: of one request.
        keep_s: how long it is kept after the last answer.
    """

    cold_s: float
    service_s: float
    keep_s: float

    def __post_init__(self) -> None:
        if min(self.cold_s, self.keep_s) < 0 or self.service_s <= 0:
            raise ServelabError(_("An instance needs a service time above 0, and no time below 0."))

    def requests_a_cycle(self, rate: ArrayLike) -> NDArray[np.float64]:
        """Mean requests from one start to the next; at least 1."""
        rate = np.asarray(rate, float)
        return rate * self.cold_s + np.exp(np.minimum(rate * (self.service_s + self.keep_s), MOST))

    def up(self, rate: ArrayLike) -> NDArray[np.float64]:
        """Share of the time that it is up or starting, which is the share that is paid: 1 - 1 / requests a cycle."""
        return 1 - 1 / self.requests_a_cycle(rate)

    def cold(self, rate: ArrayLike) -> NDArray[np.float64]:
        """Share of the requests that wait for a start: the one that causes it, and those that come meanwhile."""
        rate = np.asarray(rate, float)
        return (1 + rate * self.cold_s) / self.requests_a_cycle(rate)

    def wait_s(self, rate: ArrayLike) -> NDArray[np.float64]:
        """Mean time that starting adds to a request: all of it for the first, half for those who come meanwhile."""
        rate = np.asarray(rate, float)
        return self.cold_s * (1 + rate * self.cold_s / 2) / self.requests_a_cycle(rate)

    def break_even(self, premium: float) -> float:
        """Requests/s from which on an instance that is always up costs less.

        Args:
            premium: price of a second on demand over the price of a second always up.

        Raises:
            ServelabError: a premium that is not above 1: on demand is never dearer then.
        """
        if premium <= 1:
            raise ServelabError(_("With a premium of at most 1, on demand is never dearer: give one above 1."))
        most = MOST / (self.service_s + self.keep_s)
        return float(brentq(lambda rate: self.requests_a_cycle(rate) - premium / (premium - 1), 0.0, most))
