"""Plausible wrong answers to 1.3-steps."""

STATIC = "sum(max(lengths[i : i + slots]) for i in range(0, len(lengths), slots))"
REFILL = """free = [0] * slots
    for length in lengths:
        free[free.index(min(free))] += length
    return max(free)"""

TEMPLATE = """
def steps(lengths, slots, continuous):
    if not continuous:
        return {static}
    {continuous}
"""


def mutant(static: str = STATIC, continuous: str = REFILL) -> str:
    return TEMPLATE.format(static=static, continuous=continuous)


MUTANTS = {
    "takes continuous for perfectly packed": mutant(continuous="return -(-sum(lengths) // slots)"),
    "serves the longest first": mutant(continuous=REFILL.replace("in lengths", "in sorted(lengths, reverse=True)")),
    "gives the places out in turn": mutant(continuous="return max(sum(lengths[i::slots]) for i in range(slots))"),
    "returns when the first place falls free": mutant(continuous=REFILL.replace("max(free)", "min(free)")),
    "averages a static group": mutant(
        static="sum(sum(lengths[i : i + slots]) / slots for i in range(0, len(lengths), slots))"
    ),
    "sorts before it groups": mutant(
        static="sum(max(sorted(lengths)[i : i + slots]) for i in range(0, len(lengths), slots))"
    ),
    "treats both alike": mutant(continuous=f"return {STATIC}"),
    "forgets the last, smaller group": mutant(
        static="sum(max(lengths[i : i + slots]) for i in range(0, len(lengths) - slots + 1, slots))"
    ),
}
