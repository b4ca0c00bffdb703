"""Plausible wrong answers to 3.4-bound."""

from tests.notebooks.variants import but

RIGHT = """
def bound(flops, moved, sent, peak, bandwidth, link, rate):
    times = {"compute": flops / peak, "memory": moved / bandwidth, "network": sent / link}
    longest = max(times, key=times.get)
    return ("queue" if rate * times[longest] >= 1 else longest), times[longest]
"""

MUTANTS = {
    "takes the short rule as it stands": but(
        RIGHT,
        "max(times, key=times.get)",
        "'network' if times['network'] > max(times['compute'], times['memory']) "
        "else 'compute' if peak > bandwidth * flops / moved else 'memory'",
    ),
    "takes the shortest": but(RIGHT, "max(times", "min(times"),
    "compares bytes with FLOP/s": but(RIGHT, "moved / bandwidth", "moved / peak"),
    "adds the times up": but(RIGHT, "longest), times[longest]", "longest), sum(times.values())"),
    "forgets the network": but(RIGHT, ', "network": sent / link', ""),
    "compares the network with arithmetic only": but(
        RIGHT,
        "max(times, key=times.get)",
        "'network' if times['network'] > times['compute'] else max(times, key=times.get)",
    ),
    "sees no queue": but(RIGHT, '"queue" if rate * times[longest] >= 1 else longest', "longest"),
    "sees a queue by the arithmetic alone": but(RIGHT, "rate * times[longest]", "rate * times['compute']"),
    "sees a queue from half the service rate on": but(RIGHT, "* times[longest] >= 1", "* times[longest] >= 0.5"),
    "lets the service wait with the queue": but(
        RIGHT, "longest), times[longest]", "longest), times[longest] * max(1, rate * times[longest])"
    ),
}
