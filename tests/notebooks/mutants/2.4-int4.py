"""Plausible wrong answers to 2.4-int4; each must lose points."""

RIGHT = """
def int4(weights, group):
    rows = weights.reshape(-1, group)
    low, high = rows.min(axis=1), rows.max(axis=1)
    step = np.where(high > low, (high - low) / 15, 1.0)
    codes = np.round((rows - low[:, None]) / step[:, None]).astype(np.uint8).reshape(-1)
    return codes[::2] | codes[1::2] << 4, low, step
"""


def mutant(right: str, wrong: str) -> str:
    assert RIGHT.count(right) == 1, right
    return RIGHT.replace(right, wrong)


MUTANTS = {
    "has one grid for all groups": mutant(
        "low, high = rows.min(axis=1), rows.max(axis=1)",
        "low, high = np.full(len(rows), rows.min()), np.full(len(rows), rows.max())",
    ),
    "cuts instead of rounding": mutant("np.round(", "np.floor("),
    "counts sixteen steps": mutant("(high - low) / 15", "(high - low) / 16"),
    "counts fourteen steps": mutant("(high - low) / 15", "(high - low) / 14"),
    "puts the first of a pair into the high bits": mutant(
        "codes[::2] | codes[1::2] << 4", "codes[1::2] | codes[::2] << 4"
    ),
    "does not pack": mutant("codes[::2] | codes[1::2] << 4", "codes"),
    "packs halves of the array into each other": mutant(
        "codes[::2] | codes[1::2] << 4", "codes[: len(codes) // 2] | codes[len(codes) // 2 :] << 4"
    ),
    "takes a grid that is symmetric around 0": mutant(
        "low, high = rows.min(axis=1), rows.max(axis=1)",
        "high = np.abs(rows).max(axis=1)\n    low = -high",
    ),
    "groups every n-th weight": mutant("weights.reshape(-1, group)", "weights.reshape(group, -1).T"),
    "gives the highest in place of the step": mutant("<< 4, low, step", "<< 4, low, high"),
}
