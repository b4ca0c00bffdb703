"""Plausible wrong answers to 2.3-uptime."""

from tests.notebooks.variants import but

RIGHT = """
import math


def uptime(gateway, replica, replicas, needed):
    enough = sum(
        math.comb(replicas, up) * replica**up * (1 - replica) ** (replicas - up) for up in range(needed, replicas + 1)
    )
    return gateway * enough
"""

MUTANTS = {
    "forgets the gateway": but(RIGHT, "gateway * enough", "enough"),
    "lets the gateway be one more replica": but(RIGHT, "gateway * enough", "1 - (1 - gateway) * (1 - enough)"),
    "takes the weaker of the two": but(RIGHT, "gateway * enough", "min(gateway, enough)"),
    "needs exactly so many": but(RIGHT, "range(needed, replicas + 1)", "range(needed, needed + 1)"),
    "forgets that all may be up": but(RIGHT, "range(needed, replicas + 1)", "range(needed, replicas)"),
    "wants more than needed": but(RIGHT, "range(needed, replicas + 1)", "range(needed + 1, replicas + 1)"),
    "counts one way for each number": but(RIGHT, "math.comb(replicas, up) * ", ""),
    "wants the needed ones and looks at no others": but(
        RIGHT, "return gateway * enough", "return gateway * replica**needed"
    ),
    "thinks that one is always enough": but(
        RIGHT, "return gateway * enough", "return gateway * (1 - (1 - replica) ** replicas)"
    ),
    "puts a gateway before each replica": but(RIGHT, "    enough", "    replica *= gateway\n    enough").replace(
        "gateway * enough", "enough"
    ),
    "swaps up and down": but(
        RIGHT, "replica**up * (1 - replica) ** (replicas - up)", "(1 - replica) ** up * replica ** (replicas - up)"
    ),
}
