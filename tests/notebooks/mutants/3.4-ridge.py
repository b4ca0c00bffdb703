"""Plausible wrong answers to 3.4-ridge."""

from tests.notebooks.variants import but

RIGHT = """
def ridge_batch(ridge, flops, weight_bytes, kv_bytes):
    from math import ceil

    gain = flops - ridge * kv_bytes
    return max(1, ceil(ridge * weight_bytes / gain)) if gain > 0 else None
"""

MUTANTS = {
    "leaves the cache out": but(RIGHT, "flops - ridge * kv_bytes", "flops"),
    "has the cache shared by all": but(
        but(RIGHT, "flops - ridge * kv_bytes", "flops"), "ridge * weight_bytes", "ridge * (weight_bytes + kv_bytes)"
    ),
    "rounds down": but(RIGHT, "ceil(ridge * weight_bytes / gain)", "int(ridge * weight_bytes / gain)"),
    "rounds to the nearest": but(RIGHT, "ceil(ridge * weight_bytes / gain)", "round(ridge * weight_bytes / gain)"),
    "takes one more than is enough": but(
        RIGHT, "ceil(ridge * weight_bytes / gain)", "int(ridge * weight_bytes / gain) + 1"
    ),
    "begins with no sequence": but(RIGHT, "max(1, ceil(ridge * weight_bytes / gain))", "weight_bytes // gain"),
    "gives a number where there is none": but(RIGHT, "if gain > 0 else None", "if gain > 0 else 1"),
    "turns the ridge around": but(RIGHT, "ridge * weight_bytes / gain", "weight_bytes / (ridge * gain)"),
    "forgets the ridge beside the weights": but(RIGHT, "ridge * weight_bytes / gain", "weight_bytes / gain"),
}
