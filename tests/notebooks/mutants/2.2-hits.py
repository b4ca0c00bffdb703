"""Plausible wrong answers to 2.2-hits."""

from tests.notebooks.variants import but

RIGHT = """
def cached_tokens(prompt, earlier, block_size):
    most = (len(prompt) - 1) // block_size
    blocks = 0
    for kept in earlier:
        shared = 0
        while shared < min(len(prompt), len(kept)) and prompt[shared] == kept[shared]:
            shared += 1
        blocks = max(blocks, shared // block_size)
    return min(blocks, most) * block_size
"""

SETS = """
def cached_tokens(prompt, earlier, block_size):
    cut = lambda text: [tuple(text[i : i + block_size]) for i in range(0, len(text) - block_size + 1, block_size)]
    known = {block for kept in earlier for block in cut(kept)}
    hits = 0
    for block in cut(prompt)[: (len(prompt) - 1) // block_size]:
        if block not in known:
            STOP
        hits += 1
    return hits * block_size
"""

MUTANTS = {
    "counts tokens, not blocks": but(RIGHT, "max(blocks, shared // block_size)", "max(blocks, shared / block_size)"),
    "computes nothing of a known prompt": but(RIGHT, "min(blocks, most)", "blocks"),
    "never uses the last block": but(RIGHT, "(len(prompt) - 1) // block_size", "len(prompt) // block_size - 1"),
    "has no chain: a block counts anywhere": but(SETS, "STOP", "continue"),
    "hashes a block without the one before it": but(SETS, "STOP", "break"),
    "asks the last prompt only": but(RIGHT, "max(blocks, shared // block_size)", "shared // block_size"),
    "adds up what several prompts share": but(
        RIGHT, "max(blocks, shared // block_size)", "blocks + shared // block_size"
    ),
    "counts a block that is not full": but(RIGHT, "shared // block_size)", "-(-shared // block_size))"),
    "returns blocks": but(RIGHT, " * block_size\n", "\n"),
}
