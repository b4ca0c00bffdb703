"""What a table of latency and throughput targets implies together, before any machine is bought."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Targets:
    """Four targets as they are often written, without a workload.

    Attributes:
        ttft_s: seconds to the first token, at most.
        itl_s: seconds from token to token, at most.
        tokens_per_s: output tokens/s of the whole service, at least.
        requests_per_s: finished requests/s, at least.
    """

    ttft_s: float
    itl_s: float
    tokens_per_s: float
    requests_per_s: float

    @property
    def tokens_per_request(self) -> float:
        """The answer's length that makes both throughput targets bind at once: tokens/s over requests/s."""
        return self.tokens_per_s / self.requests_per_s

    def required_tokens_per_s(self, output_tokens: float) -> float:
        """Output tokens/s that `requests_per_s` answers of `output_tokens` take."""
        return max(self.tokens_per_s, self.requests_per_s * output_tokens)

    def e2e_s(self, output_tokens: float) -> float:
        """Seconds to the last token when the latency targets are just met: TTFT + (n - 1) ITL."""
        return self.ttft_s + (output_tokens - 1) * self.itl_s

    def in_flight(self, output_tokens: float) -> float:
        """Requests in the system when everything is just met, by Little's law: L = lambda W."""
        return self.requests_per_s * self.e2e_s(output_tokens)


SEED = Targets(ttft_s=0.5, itl_s=0.05, tokens_per_s=2000, requests_per_s=100)
"""The targets of the course's own outline, which does not say for which model, machine or requests."""


def ceiling_tokens_per_s(peak_flops: ArrayLike, flops_per_token: ArrayLike) -> NDArray[np.float64]:
    """Tokens/s that arithmetic alone allows, prompt and output counted: a throughput target above it is out of reach.

    SmolLM2-135M takes 0.27 GFLOP a token: a machine of 100 GFLOP/s ends at 370 tokens/s, whatever serves it.
    """
    return np.divide(peak_flops, flops_per_token)


def attained(response_mean_s: ArrayLike, bound_s: ArrayLike) -> NDArray[np.float64]:
    """Share of requests within `bound_s` when response times are exponential, as in M/M/1: 1 - exp(-bound / mean).

    A mean at half the bound leaves 13.5 % outside: an SLO of 99 % needs a mean of 1/4.6 of its bound.
    """
    return -np.expm1(-np.divide(bound_s, response_mean_s))
