"""Is version B better than version A? How many users a test needs, what its result proves, what looking early does.

A test of two shares (answers that were right, users who came back), each user in one of two arms by chance and counted
once. Shares and chances are 0 to 1; differences are B minus A; tests are two-sided.

Sources: Fleiss, Levin & Paik, "Statistical Methods for Rates and Proportions", 3rd ed. (2003), ch. 3 and 4; Newcombe,
Statistics in Medicine 17 (1998), 873; Armitage, McPherson & Rowe, J. Royal Statistical Society A 132 (1969), 235;
Jennison & Turnbull, "Group Sequential Methods" (2000), ch. 2; Kohavi, Tang & Xu, "Trustworthy Online Controlled
Experiments" (2020), ch. 17 and 21.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.optimize import brentq

from servelab.errors import ServelabError
from servelab.i18n import _

ALPHA, POWER = 0.05, 0.8
Boundary = Literal["naive", "bonferroni", "pocock", "obrien_fleming"]
NODES = 160
"""Points of the integration between two looks: seven digits of the chance."""


@dataclass(frozen=True)
class Comparison:
    """Two shares compared.

    Attributes:
        share_a, share_b: what was seen.
        low, high: interval of the difference at the confidence asked for.
        z, p: the test's statistic and its p-value; z is above 0 where B did better.
    """

    share_a: float
    share_b: float
    low: float
    high: float
    z: float
    p: float

    @property
    def difference(self) -> float:
        """Share of B minus share of A."""
        return self.share_b - self.share_a


def z_score(right_a: ArrayLike, n_a: ArrayLike, right_b: ArrayLike, n_b: ArrayLike) -> NDArray[np.float64]:
    """z of two shares: their difference over its deviation if both were equal, estimated from both together.

    0 where nobody, or everybody, was right: nothing was seen that could tell the two apart.
    """
    a, n, b, m = (np.asarray(value, float) for value in (right_a, n_a, right_b, n_b))
    both = (a + b) / (n + m)
    deviation = np.sqrt(both * (1 - both) * (1 / n + 1 / m))
    difference = np.broadcast_to(b / m - a / n, np.shape(deviation))
    return np.divide(difference, deviation, out=np.zeros(np.shape(deviation)), where=deviation > 0)[()]


def compare(right_a: int, n_a: int, right_b: int, n_b: int, confidence: float = 1 - ALPHA) -> Comparison:
    """The z test of two shares with Newcombe's interval of the difference (his method 10, of two Wilson intervals).

    Raises:
        ServelabError: an arm without users, or more right ones than users.
    """
    if min(n_a, n_b) < 1 or not 0 <= right_a <= n_a or not 0 <= right_b <= n_b:
        raise ServelabError(_("Each arm needs users, and at most as many successes."))
    z = float(z_score(right_a, n_a, right_b, n_b))
    a, b = right_a / n_a, right_b / n_b
    (low_a, high_a), (low_b, high_b) = (wilson(k, n, confidence) for k, n in ((right_a, n_a), (right_b, n_b)))
    low = b - a - math.hypot(b - low_b, high_a - a)
    high = b - a + math.hypot(high_b - b, a - low_a)
    return Comparison(a, b, low, high, z, float(2 * stats.norm.sf(abs(z))))


def wilson(right: int, n: int, confidence: float = 1 - ALPHA) -> tuple[float, float]:
    """Wilson's interval of a share: every share that a test at this confidence would not reject."""
    found = stats.binomtest(right, n).proportion_ci(confidence, method="wilson")
    return float(found.low), float(found.high)


def users(p_a: float, p_b: float, alpha: float = ALPHA, power: float = POWER) -> int:
    """Users that EACH arm needs, so that a true difference of p_a and p_b is found with a chance of `power`.

    n = (z_(1 - alpha/2) sqrt(2 m (1 - m)) + z_power sqrt(p_a (1 - p_a) + p_b (1 - p_b)))^2 / (p_b - p_a)^2, with m
    the mean of both. Half the difference takes about four times as many.

    Raises:
        ServelabError: equal shares, which no number tells apart, or shares that are none.
    """
    if p_a == p_b or not (0 <= p_a <= 1 and 0 <= p_b <= 1):
        raise ServelabError(_("A test looks for a difference of two shares between 0 and 1."))
    mean = (p_a + p_b) / 2
    error = stats.norm.isf(alpha / 2) * math.sqrt(2 * mean * (1 - mean))
    hope = stats.norm.ppf(power) * math.sqrt(p_a * (1 - p_a) + p_b * (1 - p_b))
    return math.ceil(((error + hope) / (p_b - p_a)) ** 2 - 1e-9)


def power_of(p_a: float, p_b: ArrayLike, n: ArrayLike, alpha: float = ALPHA) -> NDArray[np.float64]:
    """The chance to find a true difference of p_a and p_b with `n` users in each arm."""
    b, n = np.asarray(p_b, float), np.asarray(n, float)
    mean = (p_a + b) / 2
    error = stats.norm.isf(alpha / 2) * np.sqrt(2 * mean * (1 - mean))
    spread = np.sqrt(p_a * (1 - p_a) + b * (1 - b))
    shift = np.abs(b - p_a) * np.sqrt(n)
    return stats.norm.cdf((shift - error) / spread) + stats.norm.cdf((-shift - error) / spread)


def sample_ratio(n_a: int, n_b: int, share_a: float = 0.5) -> float:
    """p-value that arms of these sizes were dealt out by `share_a`: below 0.001 somebody is missing, and not by chance.

    An exact binomial test. Arms that are not as large as planned make the test worthless, whatever it says: users
    were lost, and who was lost may depend on the version (Kohavi et al., ch. 21).
    """
    return float(stats.binomtest(n_a, n_a + n_b, share_a).pvalue)


# ------------------------------------------------------------------------------------------------- looking early


def crossing(bounds: ArrayLike) -> float:
    """Chance that |z| reaches its bound at some look although there is NO difference; looks at equal steps of users.

    Between two looks z sqrt(k) moves by a standard normal step, so its density inside the bounds follows from the
    one before by an integral (Armitage, McPherson & Rowe 1969), here by Gauss and Legendre.

    Args:
        bounds: of |z| at each look, shape (looks,).
    """
    bounds = np.asarray(bounds, float)
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    at, density = np.zeros(1), np.ones(1)
    for look, bound in enumerate(bounds, 1):
        edge = min(bound * math.sqrt(look), 9 * math.sqrt(look))
        new = edge * nodes
        density = edge * weights * (stats.norm.pdf(new[:, None] - at[None, :]) @ density)
        at = new
    return float(1 - density.sum())


@lru_cache(maxsize=256)
def _bounds(looks: int, kind: Boundary, alpha: float) -> tuple[float, ...]:
    if kind == "naive":
        return (float(stats.norm.isf(alpha / 2)),) * looks
    if kind == "bonferroni":
        return (float(stats.norm.isf(alpha / 2 / looks)),) * looks
    shape = np.sqrt(looks / np.arange(1, looks + 1)) if kind == "obrien_fleming" else np.ones(looks)
    level = brentq(lambda c: crossing(c * shape) - alpha, 0.5, 6.0, xtol=1e-8)
    return tuple((level * shape).tolist())


def boundaries(looks: int, kind: Boundary = "obrien_fleming", alpha: float = ALPHA) -> NDArray[np.float64]:
    """The |z| at which a test may stop at each of `looks` equally spaced looks, shape (looks,).

    `naive`: as if each look were the only one, which is wrong. `bonferroni`: alpha shared out over the looks, right
    and wasteful. `pocock`: the same bound everywhere, just high enough. `obrien_fleming`: very high at first and near
    the naive one at the end, so that looking costs almost no users.

    Raises:
        ServelabError: fewer than one look, or no such boundary.
    """
    kinds = ("naive", "bonferroni", "pocock", "obrien_fleming")
    if looks < 1 or kind not in kinds:
        text = _("A boundary needs at least one look, and is one of {kinds}.")
        raise ServelabError(text.format(kinds=", ".join(kinds)))
    return np.array(_bounds(looks, kind, alpha))
