"""Plausible wrong answers to 3.6-bounded."""

from tests.notebooks.variants import but

RIGHT = """
def bounded(walks, nodes, epsilon):
    from math import ceil

    most, held, placed = ceil((1 + epsilon) * len(walks) / nodes), [0] * nodes, []
    for walk in walks:
        placed.append(next(node for node in walk if held[node] < most))
        held[placed[-1]] += 1
    return placed
"""

MUTANTS = {
    "stays at home": "def bounded(walks, nodes, epsilon):\n    return [walk[0] for walk in walks]",
    "deals out in turn": "def bounded(walks, nodes, epsilon):\n    return [i % nodes for i in range(len(walks))]",
    "goes to the emptiest": but(
        RIGHT, "next(node for node in walk if held[node] < most)", "min(walk, key=held.__getitem__)"
    ),
    "goes to the emptiest when home is full": but(
        RIGHT,
        "next(node for node in walk if held[node] < most)",
        "walk[0] if held[walk[0]] < most else min(walk, key=held.__getitem__)",
    ),
    "goes to the next node by number": but(
        RIGHT,
        "next(node for node in walk if held[node] < most)",
        "next(n % nodes for n in range(walk[0], walk[0] + nodes) if held[n % nodes] < most)",
    ),
    "lets everybody hold one more": but(RIGHT, "held[node] < most", "held[node] <= most"),
    "allows epsilon requests above the mean": but(
        RIGHT, "ceil((1 + epsilon) * len(walks) / nodes)", "ceil(len(walks) / nodes + epsilon)"
    ),
    "forgets the tolerance": but(RIGHT, "(1 + epsilon) * len(walks)", "len(walks)"),
    "rounds the bound down": but(
        RIGHT, "ceil((1 + epsilon) * len(walks) / nodes)", "max(1, int((1 + epsilon) * len(walks) / nodes))"
    ),
    "reckons the bound with what has come so far": but(
        RIGHT, "held[node] < most", "held[node] < ceil((1 + epsilon) * (len(placed) + 1) / nodes)"
    ),
}
