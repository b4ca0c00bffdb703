"""Plausible wrong answers to 3.2-engine."""

from tests.notebooks.variants import but

RIGHT = """
import math


def response(rate, speeds):
    r, seats = rate / speeds[-1], len(speeds)
    if r >= 1:
        return math.inf
    weights = [1.0]
    for speed in speeds:
        weights.append(weights[-1] * rate / speed)
    number = sum(k * w for k, w in enumerate(weights))
    number += weights[-1] * (seats * r / (1 - r) + r / (1 - r) ** 2)
    return number / (sum(weights) + weights[-1] * r / (1 - r)) / rate
"""

MUTANTS = {
    "says the number, not the time": but(RIGHT, "/ (1 - r)) / rate", "/ (1 - r))"),
    "lets nobody wait": but(
        but(RIGHT, "    number += weights[-1] * (seats * r / (1 - r) + r / (1 - r) ** 2)\n", ""),
        " + weights[-1] * r / (1 - r))",
        ")",
    ),
    "forgets the line in the sum of weights": but(RIGHT, "(sum(weights) + weights[-1] * r / (1 - r))", "sum(weights)"),
    "counts the line, not the seats behind it": but(RIGHT, "seats * r / (1 - r) + r", "r"),
    "takes eight servers": but(RIGHT, "rate / speed)", "rate / (speeds[0] * len(weights)))"),
    "takes one server of full speed": but(RIGHT, "rate / speed)", "rate / speeds[-1])"),
    "leaves the empty engine out": but(RIGHT, "(sum(weights) + weights", "(sum(weights[1:]) + weights"),
    "adds in place of multiplying": but(RIGHT, "weights[-1] * rate / speed", "weights[-1] + rate / speed"),
    "goes on beyond its best": but(RIGHT, "if r >= 1:", "if r > 2:"),
    "is M/M/1 at full speed": but(
        RIGHT, "number / (sum(weights) + weights[-1] * r / (1 - r)) / rate", "1 / (speeds[-1] - rate)"
    ),
}
