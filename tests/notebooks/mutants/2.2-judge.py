"""Plausible wrong answers to 2.2-judge."""

from tests.notebooks.variants import but

RIGHT = """
import math
import statistics

from scipy import stats


def judge(off, on, worth=1.1):
    logs = [math.log(a / b) for a, b in zip(off, on)]
    middle, n = statistics.mean(logs), len(logs)
    half = stats.t.ppf(0.975, n - 1) * statistics.stdev(logs) / n**0.5
    low, high = math.exp(middle - half), math.exp(middle + half)
    if low > 1 or high < 1:
        verdict = "gain" if low > 1 else "loss"
    else:
        verdict = "none" if low >= 1 / worth and high <= worth else "undecided"
    return math.exp(middle), low, high, verdict
"""

ARITHMETIC = """
import math
import statistics

from scipy import stats


def judge(off, on, worth=1.1):
    ratios = [a / b for a, b in zip(off, on)]
    middle, n = statistics.mean(ratios), len(ratios)
    half = stats.t.ppf(0.975, n - 1) * statistics.stdev(ratios) / n**0.5
    low, high = middle - half, middle + half
    if low > 1 or high < 1:
        return middle, low, high, "gain" if low > 1 else "loss"
    return middle, low, high, "none" if low >= 1 / worth and high <= worth else "undecided"
"""

MUTANTS = {
    "averages the ratios themselves": ARITHMETIC,
    "divides the totals": but(RIGHT, "return math.exp(middle)", "return sum(off) / sum(on)"),
    "takes the normal's 1.96 for t": but(RIGHT, "stats.t.ppf(0.975, n - 1)", "1.96"),
    "spends the whole error on one side": but(RIGHT, "0.975", "0.95"),
    "counts n degrees of freedom": but(RIGHT, "ppf(0.975, n - 1)", "ppf(0.975, n)"),
    "divides the variance by n": but(RIGHT, "stdev(logs)", "pstdev(logs)"),
    "forgets the square root of n": but(RIGHT, " / n**0.5", ""),
    "turns the ratio round": but(RIGHT, "a / b", "b / a"),
    "loses the pairs": but(RIGHT, "zip(off, on)", "zip(sorted(off), sorted(on))"),
    "takes the ratio for the proof": but(
        RIGHT,
        'if low > 1 or high < 1:\n        verdict = "gain" if low > 1 else "loss"',
        'if abs(middle) > 0.01:\n        verdict = "gain" if middle > 0 else "loss"',
    ),
    "knows no undecided": but(RIGHT, ' if low >= 1 / worth and high <= worth else "undecided"', ""),
    "looks at the upper edge of none only": but(RIGHT, "low >= 1 / worth and ", ""),
    "fixes worth": but(RIGHT, "low >= 1 / worth and high <= worth", "low >= 1 / 1.1 and high <= 1.1"),
}
