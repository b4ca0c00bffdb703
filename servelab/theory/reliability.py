"""Availability of what is put together, error budgets, and the burn rates that should wake somebody.

An SLO of 99.9 % allows 0.1 % of a period's requests to fail: the error budget. The burn rate is how many times
faster than allowed it is being spent; at 1 it lasts exactly the period. An alert asks for a high burn rate over a
long window, so that one bad minute is not enough, AND over a short one, so that it ends soon after the trouble does
(Beyer et al., "The Site Reliability Workbook", 2018, chapter 5).

Shares are 0 to 1, times in seconds. Every function takes numbers or numpy arrays unless it says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from servelab.errors import ServelabError
from servelab.i18n import _

HOUR, DAY = 3600.0, 86400.0
PERIOD = 30 * DAY
"""The period of an error budget where nothing else is said: 30 days."""


def _objective(slo: ArrayLike) -> NDArray[np.float64]:
    slo = np.asarray(slo, float)
    if ((slo <= 0) | (slo >= 1)).any():
        raise ServelabError(_("An objective is a share between 0 and 1, such as 0.999: at 1 there is no budget."))
    return slo


def error_budget(slo: ArrayLike, amount: ArrayLike = PERIOD) -> NDArray[np.float64]:
    """What may fail: (1 - slo) of `amount`, requests or seconds. 99.9 % of 30 days: 2,592 s, 43 minutes."""
    return (1 - _objective(slo)) * amount


def burn_rate(bad: ArrayLike, total: ArrayLike, slo: ArrayLike) -> NDArray[np.float64]:
    """How many times faster than allowed the budget is spent: (bad / total) / (1 - slo); 0 where nothing happened."""
    bad, total = np.asarray(bad, float), np.asarray(total, float)
    share = np.divide(bad, total, out=np.zeros(np.broadcast(bad, total).shape), where=total > 0)
    return share / (1 - _objective(slo))


def budget_spent(burn: ArrayLike, window_s: ArrayLike, period_s: float = PERIOD) -> NDArray[np.float64]:
    """Share of the period's budget that a burn rate spends in a window, if traffic is even."""
    return np.asarray(burn, float) * window_s / period_s


def threshold(budget_share: ArrayLike, window_s: ArrayLike, period_s: float = PERIOD) -> NDArray[np.float64]:
    """The burn rate that spends `budget_share` in `window_s`: 2 % in 1 h is 14.4, 5 % in 6 h is 6, 10 % in 3 d is 1."""
    return np.asarray(budget_share, float) * period_s / window_s


def exhausted_s(burn: ArrayLike, left: ArrayLike = 1.0, period_s: float = PERIOD) -> NDArray[np.float64]:
    """Seconds until a share `left` of the budget is gone at this burn rate; infinite at 0."""
    burn, left = np.broadcast_arrays(np.asarray(burn, float), np.asarray(left, float))
    return np.divide(left * period_s, burn, out=np.full(burn.shape, np.inf), where=burn > 0)[()]


@dataclass(frozen=True)
class Alert:
    """Fires while the burn rate reaches `burn` over the last `long_s` and over the last `short_s` seconds."""

    burn: float
    long_s: float
    short_s: float
    page: bool = True

    def detection_s(self, error_share: ArrayLike, slo: float) -> NDArray[np.float64]:
        """Seconds from the start of a steady trouble to the alert, after a time without errors; infinite for never.

        The long window must fill: long x burn (1 - slo) / error share (SRE Workbook, chapter 5).
        """
        share = np.asarray(error_share, float)
        needed = self.burn * (1 - _objective(slo))
        wait = np.divide(self.long_s * needed, share, out=np.full(share.shape, np.inf), where=share >= needed)
        return wait[()]

    def fires(self, bad: ArrayLike, total: ArrayLike, every_s: float, slo: float) -> NDArray[np.bool_]:
        """Whether it fires at the end of each of equal intervals, from counts of bad and all requests in them.

        Args:
            bad, total: shape (intervals,).
            every_s: seconds an interval lasts; windows are rounded to whole intervals.
        """
        windows = (max(1, round(w / every_s)) for w in (self.long_s, self.short_s))
        return np.logical_and.reduce(
            [burn_rate(rolling(bad, w), rolling(total, w), slo) >= self.burn * (1 - 1e-9) for w in windows]
        )


ALERTS = (Alert(14.4, HOUR, 300), Alert(6, 6 * HOUR, 1800), Alert(1, 3 * DAY, 6 * HOUR, page=False))
"""The SRE Workbook's table for 30 days: 2 % of the budget in 1 h and 5 % in 6 h page, 10 % in 3 d opens a ticket."""


def rolling(counts: ArrayLike, intervals: int) -> NDArray[np.float64]:
    """Sum over the last `intervals` entries, the current one included, shape (n,); fewer at the start."""
    total = np.concatenate([[0.0], np.cumsum(np.asarray(counts, float))])
    end = np.arange(1, total.size)
    return total[end] - total[np.maximum(end - intervals, 0)]


def in_series(availability: ArrayLike) -> NDArray[np.float64]:
    """All parts are needed: the product over the last axis. Parts fail independently."""
    return np.prod(availability, axis=-1)


def in_parallel(availability: ArrayLike) -> NDArray[np.float64]:
    """Any part is enough: 1 - product of (1 - a) over the last axis. Parts fail independently, which shared power,
    configuration or a bad rollout makes untrue; then this is an upper bound."""
    return 1 - np.prod(1 - np.asarray(availability, float), axis=-1)


def at_least(needed: ArrayLike, replicas: ArrayLike, availability: ArrayLike) -> NDArray[np.float64]:
    """Share of time that at least `needed` of `replicas` are up, each with `availability`, independently."""
    return stats.binom.sf(np.asarray(needed) - 1, replicas, availability)


def availability(up_s: ArrayLike, repair_s: ArrayLike) -> NDArray[np.float64]:
    """Share of time up: MTBF / (MTBF + MTTR), `up_s` the mean time up between failures, `repair_s` to be up again."""
    up = np.asarray(up_s, float)
    return up / (up + repair_s)


def replicas_for(needed: int, availability: float, slo: float, most: int = 1000) -> int:
    """The fewest replicas of which at least `needed` are up for a share `slo` of the time.

    Raises:
        ServelabError: `most` are not enough.
    """
    _objective(slo)
    counts = np.arange(needed, most + 1)
    enough = at_least(needed, counts, availability) >= slo
    if not enough.any():
        raise ServelabError(_("{most} replicas are not enough for this objective.").format(most=most))
    return int(counts[np.argmax(enough)])


def retry_load(failed: ArrayLike, retries: ArrayLike) -> NDArray[np.float64]:
    """How many times more requests a server sees when each failure is sent again, at most `retries` times.

    1 + p + ... + p^r: at p = 1 a policy of 3 retries is a load of 4, when there is least room for it.
    """
    p, r = np.broadcast_arrays(np.asarray(failed, float), np.asarray(retries, float))
    return np.where(p == 1, r + 1, (1 - p ** (r + 1)) / np.where(p == 1, 1, 1 - p))[()]
