"""Plausible wrong answers to 3.3-room; each must lose points."""

RIGHT = """
def at_once(requests, num_blocks, block_size, max_num_seqs):
    held = [-(-(prompt + k) // block_size) for prompt, answer in requests for k in range(answer)]
    return min(max_num_seqs, (num_blocks - 1) * len(held) / sum(held))
"""


def mutant(right: str, wrong: str) -> str:
    assert RIGHT.count(right) == 1, right
    return RIGHT.replace(right, wrong)


STEPS = "[-(-(prompt + k) // block_size) for prompt, answer in requests for k in range(answer)]"
MUTANTS = {
    "takes final lengths": mutant(STEPS, "[-(-(prompt + answer) // block_size) for prompt, answer in requests]"),
    "takes prompts only": mutant(STEPS, "[-(-prompt // block_size) for prompt, answer in requests]"),
    "weighs all requests alike": mutant(
        STEPS,
        "[sum(-(-(prompt + k) // block_size) for k in range(answer)) / answer for prompt, answer in requests]",
    ),
    "weighs requests alike, half an answer each": mutant(
        STEPS, "[-(-(prompt + answer // 2) // block_size) for prompt, answer in requests]"
    ),
    "gives the reserved block away": mutant("(num_blocks - 1)", "num_blocks"),
    "counts tokens, not blocks": mutant(
        STEPS, "[(prompt + k) / block_size for prompt, answer in requests for k in range(answer)]"
    ),
    "caches the newest token at once": mutant("(prompt + k) //", "(prompt + k + 1) //"),
    "forgets the seats": mutant(
        "min(max_num_seqs, (num_blocks - 1) * len(held) / sum(held))", "(num_blocks - 1) * len(held) / sum(held)"
    ),
    "cuts to whole requests": mutant(
        "(num_blocks - 1) * len(held) / sum(held)", "(num_blocks - 1) * len(held) // sum(held)"
    ),
}
