"""Plausible wrong answers to 2.3-ring."""

from tests.notebooks.variants import but

RIGHT = """
import bisect


def owners(keys, nodes, points, position):
    ring = sorted((position(f"{node}#{i}"), node) for node in nodes for i in range(points))
    places = [place for place, _node in ring]
    return [ring[bisect.bisect_left(places, position(key)) % len(ring)][1] for key in keys]
"""

MUTANTS = {
    "leaves out the key that stands on a place": but(RIGHT, "bisect_left", "bisect_right"),
    "looks back instead of ahead": but(
        RIGHT, "bisect.bisect_left(places, position(key))", "(bisect.bisect_left(places, position(key)) - 1)"
    ),
    "ends the ring at its last place": but(
        RIGHT,
        "bisect.bisect_left(places, position(key)) % len(ring)",
        "min(bisect.bisect_left(places, position(key)), len(ring) - 1)",
    ),
    "takes the nearest place": but(
        RIGHT,
        "ring[bisect.bisect_left(places, position(key)) % len(ring)][1]",
        "min(ring, key=lambda p: abs(p[0] - position(key)))[1]",
    ),
    "stands each node at one place": but(RIGHT, "range(points)", "range(1)"),
    "stands each node at one place too few": but(RIGHT, "range(points)", "range(max(1, points - 1))"),
    "does not sort the places": but(RIGHT, "sorted((", "list(("),
    "sorts by node": but(
        RIGHT, "for i in range(points))", "for i in range(points))\n    ring.sort(key=lambda p: p[1])"
    ),
    "divides with a remainder": but(
        RIGHT, "ring[bisect.bisect_left(places, position(key)) % len(ring)][1]", "nodes[position(key) % len(nodes)]"
    ),
    "gives each node an equal part of the circle": but(
        RIGHT,
        "ring[bisect.bisect_left(places, position(key)) % len(ring)][1]",
        "nodes[position(key) * len(nodes) // 2**32]",
    ),
    "returns places": but(RIGHT, "[1] for key", "[0] for key"),
}
