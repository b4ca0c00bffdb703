"""How throughput grows with workers, users or batch: Amdahl's law and the Universal Scalability Law.

    X(N) = gamma N / (1 + alpha (N - 1) + beta N (N - 1))

gamma is what one gives, alpha the share that cannot be shared (contention), beta the price of agreeing with each
other (coherency). beta = 0 is Amdahl's law; with beta > 0 throughput has a peak and falls behind it. Gunther,
"Guerrilla Capacity Planning" (2007), chapters 4 to 6. It is a law of shape: a good fit shows how much, not why.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import nnls

from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.theory.batching import StepModel


@dataclass(frozen=True)
class USL:
    """A fitted law.

    Attributes:
        alpha: contention, 0 to 1 for a law that rises at first.
        beta: coherency, 0 or more.
        gamma: throughput at N = 1, in the unit of what was fitted.
    """

    alpha: float
    beta: float
    gamma: float = 1.0

    def __call__(self, n: ArrayLike) -> NDArray[np.float64]:
        """Throughput at N = `n`."""
        n = np.asarray(n, float)
        return self.gamma * n / (1 + self.alpha * (n - 1) + self.beta * n * (n - 1))

    @property
    def peak(self) -> float:
        """The N of the highest throughput: sqrt((1 - alpha) / beta); infinite without coherency, at least 1."""
        return max(1.0, float(np.sqrt(max(1 - self.alpha, 0) / self.beta))) if self.beta > 0 else float("inf")

    @property
    def limit(self) -> float:
        """Throughput that no N exceeds: X(peak), or gamma / alpha without coherency."""
        if self.beta > 0:
            return float(self(self.peak))
        return self.gamma / self.alpha if self.alpha > 0 else float("inf")

    def efficiency(self, n: ArrayLike) -> NDArray[np.float64]:
        """Throughput over N times that of one, 0 to 1."""
        return self(n) / (self.gamma * np.asarray(n, float))

    @classmethod
    def fit(cls, n: ArrayLike, throughput: ArrayLike) -> USL:
        """Fit to measurements by non-negative least squares of relative errors.

        The law is linear in its reciprocal: N / X = (1 + alpha (N - 1) + beta N (N - 1)) / gamma. Each row is
        weighted by X / N, so that a small relative error counts the same at every N.

        Raises:
            ServelabError: fewer than three different N, or a throughput that is not above 0.
        """
        n, x = np.asarray(n, float), np.asarray(throughput, float)
        if np.unique(n).size < 3 or (x <= 0).any() or (n < 1).any():
            raise ServelabError(_("The law needs throughput above 0 at three different sizes of at least 1."))
        rows = np.stack([np.ones_like(n), n - 1, n * (n - 1)], axis=1) * (x / n)[:, None]
        scale = rows.max(axis=0)
        (one, contention, coherency), _residual = nnls(rows / scale, np.ones_like(n))
        one, contention, coherency = np.array([one, contention, coherency]) / scale
        if one <= 0:
            raise ServelabError(_("No law of this shape fits: throughput grows faster than in proportion."))
        return cls(float(contention / one), float(coherency / one), float(1 / one))

    @classmethod
    def of_batching(cls, step: StepModel) -> USL:
        """What batching alone gives: tokens/s B / (fixed + each B) is Amdahl's law, alpha = each / (fixed + each)."""
        return cls(step.each_s / (step.fixed_s + step.each_s), 0.0, 1 / (step.fixed_s + step.each_s))


def amdahl(n: ArrayLike, serial: ArrayLike) -> NDArray[np.float64]:
    """Speed-up of N workers when a share `serial` of the work cannot be divided (Amdahl, AFIPS 1967)."""
    n, serial = np.asarray(n, float), np.asarray(serial, float)
    return 1 / (serial + (1 - serial) / n)
