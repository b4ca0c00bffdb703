"""Plausible wrong answers to 3.2-wait."""

from tests.notebooks.variants import but

RIGHT = """
import math


def mean_wait(rate, services):
    busy = rate * sum(services) / len(services)
    if busy >= 1:
        return math.inf
    return rate * sum(s * s for s in services) / len(services) / (2 * (1 - busy))
"""

WAIT = "rate * sum(s * s for s in services) / len(services) / (2 * (1 - busy))"
MUTANTS = {
    "takes the short form": but(RIGHT, WAIT, "busy / (1 - busy)"),
    "takes exponential services": but(RIGHT, WAIT, "busy / (1 - busy) * sum(services) / len(services)"),
    "takes equal services": but(RIGHT, WAIT, "busy / (1 - busy) * sum(services) / len(services) / 2"),
    "meets a whole service": but(RIGHT, "(2 * (1 - busy))", "(1 - busy)"),
    "forgets the line": but(RIGHT, "(2 * (1 - busy))", "2"),
    "adds the service": but(RIGHT, WAIT, WAIT + " + sum(services) / len(services)"),
    "squares the mean": but(
        RIGHT, "sum(s * s for s in services) / len(services)", "(sum(services) / len(services)) ** 2"
    ),
    "forgets to average the squares": but(
        RIGHT, "sum(s * s for s in services) / len(services)", "sum(s * s for s in services)"
    ),
    "says how many wait": but(RIGHT, WAIT, "rate * " + WAIT),
    "goes on beyond one": but(RIGHT, "if busy >= 1:", "if busy > 1e9:"),
}
