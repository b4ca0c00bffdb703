"""What a token costs - money, energy - and how much of the machine is at work: MFU and MBU.

Every function takes numbers or numpy arrays, but `cost_per_million`, which takes one machine's numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from servelab.errors import ServelabError
from servelab.i18n import _

SECONDS_PER_HOUR = 3600
JOULES_PER_KWH = 3.6e6


def cost_per_million(price_per_hour: float, tokens_per_s: float) -> float | None:
    """Price of a million tokens, in the currency of `price_per_hour`, at a machine kept at `tokens_per_s`.

    An idle hour costs as much as a busy one: give the tokens/s you really serve, averaged over the bill. None at a
    rate of zero: such a machine never gets there.
    """
    return price_per_hour / (tokens_per_s * SECONDS_PER_HOUR) * 1e6 if tokens_per_s > 0 else None


def joules_per_token(watts: ArrayLike, tokens_per_s: ArrayLike) -> NDArray[np.float64]:
    """Energy of a token: power (joules/s) over tokens/s."""
    return np.divide(watts, tokens_per_s)


def kwh_per_million(watts: ArrayLike, tokens_per_s: ArrayLike) -> NDArray[np.float64]:
    """Energy of a million tokens in kilowatt-hours."""
    return joules_per_token(watts, tokens_per_s) * 1e6 / JOULES_PER_KWH


def mfu(tokens_per_s: ArrayLike, flops: ArrayLike, peak_flops: ArrayLike) -> NDArray[np.float64]:
    """Model FLOPs utilisation, 0 to 1: the arithmetic the model needs over what the machine could do.

    Args:
        tokens_per_s: all tokens that pass through the model, prompt and output.
        flops: floating point operations a token.
        peak_flops: operations/s of the machine, measured or from its data sheet (say which).

    Source: Chowdhery et al., "PaLM" (2022), sec. 4.1 and app. B; there for training, which needs 3 times as much.
    """
    return np.multiply(tokens_per_s, flops) / peak_flops


def mbu(bytes_per_step: ArrayLike, step_s: ArrayLike, bandwidth: ArrayLike) -> NDArray[np.float64]:
    """Model bandwidth utilisation, 0 to 1: bytes the model must read a step over what memory could deliver.

    Args:
        bytes_per_step: all weights, and the KV cache of every sequence in the batch.
        step_s: seconds a step; for a steady batch that is TPOT.
        bandwidth: bytes/s of the machine, measured or from its data sheet (say which).

    Source: Agarwal et al., "LLM Inference Performance Engineering: Best Practices", Databricks (2023).
    """
    return np.divide(bytes_per_step, step_s) / bandwidth


def request_cost(
    price_per_hour: ArrayLike, requests_per_s: ArrayLike, utilization: ArrayLike = 1.0
) -> NDArray[np.float64]:
    """Price of a request on a machine that could serve `requests_per_s` and is kept at `utilization` of that.

    The bill is for hours, so a machine at half load costs twice as much a request. Infinite at no load.
    """
    served = np.asarray(requests_per_s, float) * utilization * SECONDS_PER_HOUR
    price = np.broadcast_to(np.asarray(price_per_hour, float), np.broadcast(price_per_hour, served).shape)
    return np.divide(price, served, out=np.full(price.shape, np.inf), where=served > 0)[()]


def machines(rate: ArrayLike, capacity: ArrayLike, utilization: ArrayLike = 1.0, spare: int = 0) -> NDArray[np.int64]:
    """Machines for a load of `rate`, each doing `capacity` of the same unit at most and kept below `utilization`.

    `spare` of them may fail without the rest exceeding it: N + spare.

    Raises:
        ServelabError: a capacity or utilization that is not above 0.
    """
    each = np.asarray(capacity, float) * utilization
    if (each <= 0).any():
        raise ServelabError(_("A machine needs a capacity and a utilization above 0."))
    return np.ceil(np.asarray(rate, float) / each - 1e-9).astype(np.int64)[()] + spare


def watts(idle_w: ArrayLike, busy_w: ArrayLike, utilization: ArrayLike) -> NDArray[np.float64]:
    """Power of a machine that is busy for a share of the time: idle + (busy - idle) x utilization.

    A linear model, found close for whole servers by their CPU's use (Fan, Weber & Barroso, "Power Provisioning for a
    Warehouse-sized Computer", ISCA 2007). Measure both ends; a limit on power bends it.
    """
    idle = np.asarray(idle_w, float)
    return idle + (np.asarray(busy_w, float) - idle) * utilization


def joules_per_token_at(
    idle_w: ArrayLike, busy_w: ArrayLike, utilization: ArrayLike, peak_tokens_per_s: ArrayLike
) -> NDArray[np.float64]:
    """Energy of a token, the idle time's included: the emptier the machine, the dearer each token.

    idle / (u X) + (busy - idle) / X, X the tokens/s of a full machine; infinite at no load.
    """
    rate = np.asarray(peak_tokens_per_s, float) * utilization
    power = watts(idle_w, busy_w, utilization)
    power = np.broadcast_to(power, np.broadcast(power, rate).shape)
    return np.divide(power, rate, out=np.full(power.shape, np.inf), where=rate > 0)[()]
