"""Plausible wrong answers to 3.3-bounds; each must lose points."""

RIGHT = """
def savings_bounds(mean, reserved, block_size, shared, n):
    least_held = shared / n + mean - shared
    return 1 - (least_held + block_size - 1) / reserved, 1 - least_held / reserved
"""


def mutant(right: str, wrong: str) -> str:
    assert RIGHT.count(right) == 1, right
    return RIGHT.replace(right, wrong)


HELD = "shared / n + mean - shared"
MUTANTS = {
    "loses a whole block": mutant("+ block_size - 1", "+ block_size"),
    "loses half a block": mutant("+ block_size - 1", "+ (block_size - 1) / 2"),
    "shares nothing": mutant(HELD, "mean"),
    "holds the prefix for nothing": mutant(HELD, "mean - shared"),
    "holds the prefix for each": mutant(HELD, "shared + mean - shared"),
    "counts the prefix once for each sequence": mutant("shared / n", "shared"),
    "turns the pair around": mutant(
        "1 - (least_held + block_size - 1) / reserved, 1 - least_held / reserved",
        "1 - least_held / reserved, 1 - (least_held + block_size - 1) / reserved",
    ),
    "compares orders of growth": mutant("1 - least_held / reserved", "1 - 1 / mean"),
    "says what is held": mutant("1 - (least_held + block_size - 1)", "(least_held + block_size - 1)"),
}
