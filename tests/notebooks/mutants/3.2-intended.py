"""Plausible wrong answers to 3.2-intended."""

from tests.notebooks.variants import but

RIGHT = """
def from_intended(intended, took):
    free_at, latencies = float("-inf"), []
    for instant, seconds in zip(intended, took, strict=True):
        free_at = max(instant, free_at) + seconds
        latencies.append(free_at - instant)
    return latencies
"""

MUTANTS = {
    "believes the report": but(RIGHT, "latencies.append(free_at - instant)", "latencies.append(seconds)"),
    "gives the waits only": but(RIGHT, "free_at - instant", "free_at - instant - seconds"),
    "sends when free, before the instant": but(RIGHT, "max(instant, free_at) + seconds", "max(0.0, free_at) + seconds"),
    "sends at the instant, free or not": but(RIGHT, "max(instant, free_at) + seconds", "instant + seconds"),
    "gives instants, not times": but(RIGHT, "latencies.append(free_at - instant)", "latencies.append(free_at)"),
    "lets only the next one wait": but(
        but(RIGHT, "free_at = max(instant, free_at) + seconds", "end = max(instant, free_at) + seconds"),
        "latencies.append(free_at - instant)",
        "latencies.append(end - instant)\n        free_at = instant + seconds",
    ),
    "waits for the slowest so far": but(
        RIGHT, "free_at = max(instant, free_at) + seconds", "free_at = max(instant + seconds, free_at)"
    ),
    "counts from the first instant": but(RIGHT, "free_at - instant", "free_at - intended[0]"),
}
