"""Plausible wrong answers to 3.5-merge; each must lose points."""

RIGHT = """
import numpy as np


def merge(a, b):
    m = max(a[0], b[0])
    weight_a, weight_b = a[1] * np.exp(a[0] - m), b[1] * np.exp(b[0] - m)
    ell = weight_a + weight_b
    return m, ell, (weight_a * a[2] + weight_b * b[2]) / ell
"""


def mutant(right: str, wrong: str) -> str:
    assert RIGHT.count(right) == 1, right
    return RIGHT.replace(right, wrong)


WEIGHTS = "a[1] * np.exp(a[0] - m), b[1] * np.exp(b[0] - m)"
MEAN = "(weight_a * a[2] + weight_b * b[2]) / ell"
MUTANTS = {
    "adds the sums as they are": mutant(WEIGHTS, "a[1], b[1]"),
    "weighs by the number of parts": mutant(MEAN, "(a[2] + b[2]) / 2"),
    "overflows": mutant(WEIGHTS, "a[1] * np.exp(a[0]) / np.exp(m), b[1] * np.exp(b[0]) / np.exp(m)"),
    "forgets to divide": mutant(MEAN, "weight_a * a[2] + weight_b * b[2]"),
    "takes the smaller maximum": mutant("max(a[0], b[0])", "min(a[0], b[0])"),
    "rescales by the wrong sign": mutant(WEIGHTS, "a[1] * np.exp(m - a[0]), b[1] * np.exp(m - b[0])"),
    "weighs by maxima only": mutant(WEIGHTS, "np.exp(a[0] - m), np.exp(b[0] - m)"),
    "rescales the sum, not the mean": mutant(MEAN, "(a[1] * a[2] + b[1] * b[2]) / (a[1] + b[1])"),
    "keeps the first maximum": mutant("max(a[0], b[0])", "a[0]"),
}
