"""Plausible wrong answers to vllm-2.2-shortlist; each must lose points."""

from tests.notebooks.variants import but

RIGHT = """
def shortlist(configs, predict, measure, k):
    said = [predict(config) for config in configs]
    order = sorted(range(len(configs)), key=lambda i: -said[i])[:k]
    found = [measure(configs[i]) for i in order]
    best = max(range(len(order)), key=lambda n: found[n])
    return configs[order[best]], len(order)
"""

MUTANTS = {
    "believes the prediction": but(RIGHT, "key=lambda n: found[n]", "key=lambda n: -n"),
    "measures everything": but(RIGHT, "[:k]", ""),
    "measures the worst predicted": but(RIGHT, "-said[i]", "said[i]"),
    "takes the least measured": but(RIGHT, "best = max(", "best = min("),
    "counts k where there are fewer": but(RIGHT, "len(order)\n", "k\n"),
    "prefers the later on a tie": but(
        RIGHT,
        "sorted(range(len(configs)), key=lambda i: -said[i])",
        "sorted(range(len(configs)), key=lambda i: (-said[i], -i))",
    ),
    "predicts anew in each comparison": but(RIGHT, "-said[i]", "-predict(configs[i])"),
    "measures the winner twice": but(RIGHT, "return configs", "measure(configs[order[best]])\n    return configs"),
    "mixes up places and numbers": but(RIGHT, "configs[order[best]]", "configs[best]"),
}
