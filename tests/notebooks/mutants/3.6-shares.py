"""Plausible wrong answers to 3.6-shares."""

from tests.notebooks.variants import but

RIGHT = """
def shares(arrivals, speeds):
    used = sorted(range(len(speeds)), key=lambda i: -speeds[i])
    while True:
        spare = (sum(speeds[i] for i in used) - arrivals) / sum(speeds[i] ** 0.5 for i in used)
        rates = {i: speeds[i] - spare * speeds[i] ** 0.5 for i in used}
        if min(rates.values()) >= 0:
            return [rates.get(i, 0.0) / arrivals for i in range(len(speeds))]
        used.pop()
"""

MUTANTS = {
    "deals out by speed": "def shares(arrivals, speeds):\n    return [s / sum(speeds) for s in speeds]",
    "deals out evenly": "def shares(arrivals, speeds):\n    return [1 / len(speeds) for _ in speeds]",
    "sends all to the fastest": (
        "def shares(arrivals, speeds):\n    return [float(i == speeds.index(max(speeds))) for i in range(len(speeds))]"
    ),
    "deals out by the roots": (
        "def shares(arrivals, speeds):\n    return [s**0.5 / sum(t**0.5 for t in speeds) for s in speeds]"
    ),
    "leaves everybody the same spare": but(
        but(RIGHT, "sum(speeds[i] ** 0.5 for i in used)", "len(used)"), "spare * speeds[i] ** 0.5", "spare"
    ),
    "allows negative shares": but(RIGHT, "if min(rates.values()) >= 0:", "if True:"),
    "cuts negative shares off": but(
        but(RIGHT, "if min(rates.values()) >= 0:", "if True:"), "rates.get(i, 0.0)", "max(0.0, rates.get(i, 0.0))"
    ),
    "leaves the fastest out first": but(RIGHT, "used.pop()", "used.pop(0)"),
    "gives rates in place of shares": but(RIGHT, "rates.get(i, 0.0) / arrivals", "rates.get(i, 0.0)"),
    "answers in the order of speed": but(RIGHT, "for i in range(len(speeds))]", "for i in used]"),
}
