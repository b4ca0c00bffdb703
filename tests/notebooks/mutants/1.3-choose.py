"""Plausible wrong answers to 1.3-choose."""

TEMPLATE = """
def choose(points, slo_s):
    allowed = [p for p in points if {allowed}]
    if not allowed:
        return {nothing}
    return {pick}
"""


def mutant(
    allowed: str = 'p["tpot_s"] <= slo_s',
    nothing: str = "None",
    pick: str = 'max(allowed, key=lambda p: (p["tok_s"], -p["concurrency"]))["concurrency"]',
) -> str:
    return TEMPLATE.format(allowed=allowed, nothing=nothing, pick=pick)


MUTANTS = {
    "takes the highest concurrency allowed": mutant(pick='max(p["concurrency"] for p in allowed)'),
    "takes the lowest latency": mutant(pick='min(allowed, key=lambda p: p["tpot_s"])["concurrency"]'),
    "ignores the SLO": mutant(allowed="True"),
    "refuses a value equal to the SLO": mutant(allowed='p["tpot_s"] < slo_s'),
    "settles for concurrency 1 when nothing fits": mutant(nothing="1"),
    "takes the larger concurrency of equals": mutant(
        pick='max(allowed, key=lambda p: (p["tok_s"], p["concurrency"]))["concurrency"]'
    ),
    "takes the first of equals": mutant(pick='max(allowed, key=lambda p: p["tok_s"])["concurrency"]'),
    "returns the throughput": mutant(pick='max(p["tok_s"] for p in allowed)'),
}
