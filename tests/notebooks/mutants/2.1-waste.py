"""Plausible wrong answers to 2.1-waste."""

TEMPLATE = """
def padding_waste(prompts, answers, slots):
    computed = 0
    for first in range(0, len(prompts), slots):
        p, a = prompts[first : first + slots], answers[first : first + slots]
        computed += {each}
    return {share}
"""
EACH = "len(p) * (max(p) + max(a))"
SHARE = "1 - (sum(prompts) + sum(answers)) / computed"


def mutant(each: str = EACH, share: str = SHARE) -> str:
    return TEMPLATE.format(each=each, share=share)


MUTANTS = {
    "counts the last group as full": mutant(each="slots * (max(p) + max(a))"),
    "takes each row by itself": mutant(each="len(p) * max(x + y for x, y in zip(p, a))"),
    "pads all groups alike": mutant(each="len(p) * (max(prompts) + max(answers))"),
    "forgets that prompts are padded": mutant(each="sum(p) + len(p) * max(a)"),
    "forgets that answers end early": mutant(each="len(p) * max(p) + sum(a)"),
    "looks at the answers only": mutant(each="len(p) * max(a)", share="1 - sum(answers) / computed"),
    "returns what was of use": mutant(share="(sum(prompts) + sum(answers)) / computed"),
    "divides by what was of use": mutant(share="computed / (sum(prompts) + sum(answers)) - 1"),
    "counts a group once": mutant(each="max(p) + max(a)"),
    "averages the groups": """
def padding_waste(prompts, answers, slots):
    shares = []
    for first in range(0, len(prompts), slots):
        p, a = prompts[first : first + slots], answers[first : first + slots]
        shares.append(1 - (sum(p) + sum(a)) / (len(p) * (max(p) + max(a))))
    return sum(shares) / len(shares)
""",
    "sorts before it groups": """
def padding_waste(prompts, answers, slots):
    pairs, computed = sorted(zip(prompts, answers)), 0
    for first in range(0, len(pairs), slots):
        group = pairs[first : first + slots]
        computed += len(group) * (max(p for p, _ in group) + max(a for _, a in group))
    return 1 - (sum(prompts) + sum(answers)) / computed
""",
}
