"""Plausible wrong answers to 3.5-flops; each must lose points."""

RIGHT = """
def flops(shape, new, past):
    s = shape
    matrices = 2 * s.hidden * s.head_dim * (s.heads + s.kv_heads) + 3 * s.hidden * s.intermediate
    pairs = new * past + new * (new + 1) // 2
    return s.layers * (2 * matrices * new + 4 * s.heads * s.head_dim * pairs) + 2 * s.hidden * s.vocab
"""


def mutant(right: str, wrong: str) -> str:
    assert RIGHT.count(right) == 1, right
    return RIGHT.replace(right, wrong)


PAIRS = "new * past + new * (new + 1) // 2"
MUTANTS = {
    "counts what the mask hides": mutant(PAIRS, "new * (past + new)"),
    "forgets the cache": mutant(PAIRS, "new * (new + 1) // 2"),
    "does not look at itself": mutant(PAIRS, "new * past + new * (new - 1) // 2"),
    "asks the vocabulary for every token": mutant("2 * s.hidden * s.vocab", "2 * s.hidden * s.vocab * new"),
    "gives every head its own keys": mutant("(s.heads + s.kv_heads)", "(2 * s.heads)"),
    "has an MLP of two matrices": mutant("3 * s.hidden * s.intermediate", "2 * s.hidden * s.intermediate"),
    "counts a multiply-add once": mutant("(2 * matrices * new", "(matrices * new"),
    "weighs no values": mutant("4 * s.heads", "2 * s.heads"),
    "multiplies context and vocabulary": mutant("2 * s.hidden * s.vocab", "2 * s.hidden * s.vocab * max(1, past)"),
    "puts the vocabulary into every layer": mutant(
        "4 * s.heads * s.head_dim * pairs) + 2 * s.hidden * s.vocab",
        "4 * s.heads * s.head_dim * pairs + 2 * s.hidden * s.vocab)",
    ),
}
