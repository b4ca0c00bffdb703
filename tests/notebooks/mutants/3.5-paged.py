"""Plausible wrong answers to 3.5-paged; each must lose points."""

RIGHT = """
import numpy as np


def paged_attention(query, pages_k, pages_v, table, length):
    size = pages_k.shape[1]
    where = [table[p // size] * size + p % size for p in range(length)]
    keys, values = (pages.reshape(-1, pages.shape[2])[where] for pages in (pages_k, pages_v))
    scores = keys @ query / np.sqrt(len(query))
    weights = np.exp(scores - scores.max())
    return weights @ values / weights.sum()
"""


def mutant(right: str, wrong: str) -> str:
    assert RIGHT.count(right) == 1, right
    return RIGHT.replace(right, wrong)


SLOT = "table[p // size] * size + p % size"
MUTANTS = {
    "reads memory in its own order": mutant(SLOT, "p"),
    "reads whole blocks": mutant("range(length)", "range(-(-length // size) * size)"),
    "forgets the root": mutant(" / np.sqrt(len(query))", ""),
    "divides by the head size": mutant("np.sqrt(len(query))", "len(query)"),
    "overflows": mutant("scores - scores.max()", "scores"),
    "does not normalise": mutant(" / weights.sum()", ""),
    "leaves the newest token out": mutant("range(length)", "range(max(1, length - 1))"),
    "forgets the block's size": mutant(SLOT, "table[p // size] + p % size"),
    "takes block and place for each other": mutant(SLOT, "table[p % len(table)] * size + p // len(table)"),
    "weighs all tokens alike": mutant("np.exp(scores - scores.max())", "np.ones(length)"),
}
