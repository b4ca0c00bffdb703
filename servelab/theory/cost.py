"""What a token costs - money, energy - and how much of the machine is at work: MFU and MBU."""

from __future__ import annotations

SECONDS_PER_HOUR = 3600
JOULES_PER_KWH = 3.6e6


def cost_per_million(price_per_hour: float, tokens_per_s: float) -> float:
    """Price of a million tokens, in the currency of `price_per_hour`, at a machine kept at `tokens_per_s`.

    An idle hour costs as much as a busy one: give the tokens/s you really serve, averaged over the bill.
    """
    return price_per_hour / (tokens_per_s * SECONDS_PER_HOUR) * 1e6


def joules_per_token(watts: float, tokens_per_s: float) -> float:
    """Energy of a token: power (joules/s) over tokens/s."""
    return watts / tokens_per_s


def kwh_per_million(watts: float, tokens_per_s: float) -> float:
    """Energy of a million tokens in kilowatt-hours."""
    return joules_per_token(watts, tokens_per_s) * 1e6 / JOULES_PER_KWH


def mfu(tokens_per_s: float, flops: float, peak_flops: float) -> float:
    """Model FLOPs utilisation, 0 to 1: the arithmetic the model needs over what the machine could do.

    Args:
        tokens_per_s: all tokens that pass through the model, prompt and output.
        flops: floating point operations a token.
        peak_flops: operations/s of the machine, measured or from its data sheet (say which).

    Source: Chowdhery et al., "PaLM" (2022), sec. 4.1 and app. B; there for training, which needs 3 times as much.
    """
    return tokens_per_s * flops / peak_flops


def mbu(bytes_per_step: float, step_s: float, bandwidth: float) -> float:
    """Model bandwidth utilisation, 0 to 1: bytes the model must read a step over what memory could deliver.

    Args:
        bytes_per_step: all weights, and the KV cache of every sequence in the batch.
        step_s: seconds a step; for a steady batch that is TPOT.
        bandwidth: bytes/s of the machine, measured or from its data sheet (say which).

    Source: Agarwal et al., "LLM Inference Performance Engineering: Best Practices", Databricks (2023).
    """
    return bytes_per_step / step_s / bandwidth
