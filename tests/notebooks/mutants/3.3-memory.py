"""Plausible wrong answers to 3.3-memory; each must lose points."""

RIGHT = """
def least_memory(lengths, layers, number_bytes, block_size):
    token = sum(2 * kv_heads * head_dim for kv_heads, head_dim in layers) * number_bytes
    blocks = 1 + sum(-(-n // block_size) for n in lengths)
    return blocks * block_size * token
"""


def mutant(right: str, wrong: str) -> str:
    assert RIGHT.count(right) == 1, right
    return RIGHT.replace(right, wrong)


EACH = "sum(-(-n // block_size) for n in lengths)"
MUTANTS = {
    "forgets the reserved block": mutant("1 + sum", "sum"),
    "stores keys only": mutant("2 * kv_heads", "kv_heads"),
    "counts numbers, not bytes": mutant(" * number_bytes", ""),
    "takes the first layer for all": mutant(
        "sum(2 * kv_heads * head_dim for kv_heads, head_dim in layers)", "2 * layers[0][0] * layers[0][1] * len(layers)"
    ),
    "fills blocks with the tokens of all": mutant(EACH, "-(-sum(lengths) // block_size)"),
    "gives everybody a block more": mutant(EACH, "sum(n // block_size + 1 for n in lengths)"),
    "rounds down": mutant(EACH, "sum(n // block_size for n in lengths)"),
    "forgets the size of a block": mutant("blocks * block_size * token", "blocks * token"),
    "holds tokens, not blocks": mutant("blocks * block_size * token", "(block_size + sum(lengths)) * token"),
}
