"""Plausible wrong answers to 2.4-waste; each must lose points."""

RIGHT = """
def waste(lengths, reserved, block_size, token_bytes):
    fixed = sum(reserved - n for n in lengths)
    paged = sum(-(-n // block_size) * block_size - n for n in lengths)
    return fixed * token_bytes, paged * token_bytes
"""


def mutant(right: str, wrong: str) -> str:
    assert RIGHT.count(right) == 1, right
    return RIGHT.replace(right, wrong)


PAGED = "sum(-(-n // block_size) * block_size - n for n in lengths)"
FIXED = "sum(reserved - n for n in lengths)"
MUTANTS = {
    "counts tokens, not bytes": mutant("fixed * token_bytes, paged * token_bytes", "fixed, paged"),
    "fills blocks with the tokens of all": mutant(PAGED, "-sum(lengths) % block_size"),
    "holds a block more than is full": mutant(PAGED, "sum((n // block_size + 1) * block_size - n for n in lengths)"),
    "says what is held": mutant(PAGED, "sum(-(-n // block_size) * block_size for n in lengths)"),
    "reserves for the longest that is there": mutant(FIXED, "sum(max(lengths) - n for n in lengths)"),
    "takes half a block for each": mutant(PAGED, "len(lengths) * (block_size - 1) // 2"),
    "rounds a block down": mutant(PAGED, "sum(n % block_size for n in lengths)"),
    "turns the pair around": mutant(
        "fixed * token_bytes, paged * token_bytes", "paged * token_bytes, fixed * token_bytes"
    ),
    "gives an empty sequence no slot": mutant(FIXED, "sum(reserved - n for n in lengths if n)"),
}
