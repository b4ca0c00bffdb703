"""Plausible wrong answers to 2.3-judge."""

from tests.notebooks.variants import but

RIGHT = """
import math
from statistics import NormalDist


def judge(right_a, n_a, right_b, n_b):
    a, b = right_a / n_a, right_b / n_b
    difference = b - a
    together = (right_a + right_b) / (n_a + n_b)
    deviation = math.sqrt(together * (1 - together) * (1 / n_a + 1 / n_b))
    if deviation == 0:
        return difference, 1.0
    return difference, 2 * (1 - NormalDist().cdf(abs(difference) / deviation))
"""

MUTANTS = {
    "means the two shares": but(RIGHT, "(right_a + right_b) / (n_a + n_b)", "(a + b) / 2"),
    "estimates each arm's deviation by itself": but(
        RIGHT, "together * (1 - together) * (1 / n_a + 1 / n_b)", "a * (1 - a) / n_a + b * (1 - b) / n_b"
    ),
    "takes A for the truth": but(RIGHT, "(right_a + right_b) / (n_a + n_b)", "a"),
    "takes all users for one sample": but(RIGHT, "(1 / n_a + 1 / n_b)", "(1 / (n_a + n_b))"),
    "counts the users of one arm": but(RIGHT, "(1 / n_a + 1 / n_b)", "(2 / n_a)"),
    "asks on one side only": but(RIGHT, "2 * (1 -", "1 * (1 -"),
    "forgets that B may be worse": but(RIGHT, "abs(difference)", "difference"),
    "forgets the square root": but(RIGHT, "math.sqrt(", "("),
    "takes B from A": but(RIGHT, "difference = b - a", "difference = a - b"),
    "tells the difference in users": but(RIGHT, "difference = b - a", "difference = right_b - right_a"),
    "returns the confidence": but(
        RIGHT,
        "2 * (1 - NormalDist().cdf(abs(difference) / deviation))",
        "2 * NormalDist().cdf(abs(difference) / deviation) - 1",
    ),
    "proves everything where nobody was right": but(RIGHT, "return difference, 1.0", "return difference, 0.0"),
    "divides by nothing": but(RIGHT, "    if deviation == 0:\n        return difference, 1.0\n", ""),
}
