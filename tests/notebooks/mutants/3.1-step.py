"""Plausible wrong answers to 3.1-step."""

from tests.notebooks.variants import but

RIGHT = """
def step_s(decodes, prompts, m, peak, bandwidth, t0):
    tokens = len(decodes) + sum(prompts)
    outputs = len(decodes) + len(prompts)
    pairs = sum(c + 1 for c in decodes) + sum(n * (n + 1) / 2 for n in prompts)
    flops = 2 * m["N"] * tokens + 4 * m["L"] * m["H"] * m["d_h"] * pairs + 2 * m["d"] * m["V"] * outputs
    cache = 2 * m["L"] * m["H_kv"] * m["d_h"] * (sum(decodes) + tokens)
    moved = (m["N"] + m["d"] * m["V"] + cache) * m["w"]
    return max(flops / peak, moved / bandwidth) + t0
"""

MUTANTS = {
    "takes the short forms": but(
        RIGHT,
        "max(flops / peak, moved / bandwidth) + t0",
        "(sum(prompts) * m['d'] ** 2 + len(decodes) * m['d'] * m['V']) / peak",
    ),
    "forgets the bytes": but(RIGHT, "max(flops / peak, moved / bandwidth)", "flops / peak"),
    "adds both times": but(RIGHT, "max(flops / peak, moved / bandwidth)", "(flops / peak + moved / bandwidth)"),
    "counts a multiply-add once": but(RIGHT, '2 * m["N"] * tokens', 'm["N"] * tokens'),
    "lets a prompt attend to all of itself": but(RIGHT, "n * (n + 1) / 2", "n * n"),
    "caches for every query head": but(RIGHT, 'm["H_kv"]', 'm["H"]'),
    "asks every prompt token for the next": but(
        RIGHT, "outputs = len(decodes) + len(prompts)", "outputs = len(decodes) + sum(prompts)"
    ),
    "reads the weights for each sequence": but(
        RIGHT, '(m["N"] + m["d"] * m["V"] + cache)', '((m["N"] + m["d"] * m["V"]) * outputs + cache)'
    ),
    "pays t0 for each token": but(RIGHT, "+ t0", "+ t0 * tokens"),
}
