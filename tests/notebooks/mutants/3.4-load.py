"""Plausible wrong answers to 3.4-load."""

from tests.notebooks.variants import but

RIGHT = """
import math


def under_load(rate, length, fixed, each, batch, stretch):
    used = rate * length * each
    token_s = (fixed + each) / (1 - used) if used < 1 else math.inf
    return token_s, (batch - 1) / (2 * rate), batch / (length * (stretch * fixed + batch * each))
"""

MUTANTS = {
    "counts requests in place of tokens": but(RIGHT, "used = rate * length * each", "used = rate * each"),
    "forgets itself in the batch": but(RIGHT, "(fixed + each) / (1 - used)", "fixed / (1 - used)"),
    "adds one sequence's price and no load": but(RIGHT, "(fixed + each) / (1 - used)", "fixed + each"),
    "expects the batch of a free machine": but(
        RIGHT, "(fixed + each) / (1 - used)", "fixed + each * (1 + rate * length * fixed)"
    ),
    "goes on beyond the limit": but(RIGHT, "if used < 1 else math.inf", ""),
    "waits for a whole batch": but(RIGHT, "(batch - 1) / (2 * rate)", "batch / rate"),
    "waits as the first of the batch does": but(RIGHT, "(batch - 1) / (2 * rate)", "(batch - 1) / rate"),
    "counts itself among those it waits for": but(RIGHT, "(batch - 1) / (2 * rate)", "batch / (2 * rate)"),
    "has every answer as long as the mean": but(RIGHT, "stretch * fixed", "fixed"),
    "computes for those who have ended": but(
        RIGHT, "stretch * fixed + batch * each", "stretch * (fixed + batch * each)"
    ),
    "says tokens in place of requests": but(RIGHT, "batch / (length * (", "batch / (("),
    "serves one request a batch": but(RIGHT, "batch / (length * (", "1 / (length * ("),
}
