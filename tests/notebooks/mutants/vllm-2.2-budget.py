"""Plausible wrong answers to vllm-2.2-budget; each must lose points."""

from tests.notebooks.variants import but

RIGHT = """
import math


def budget(fixed_s, reader_s, prompt_s, readers, prompt, gap_s, most):
    fits = math.floor((gap_s - fixed_s - reader_s * readers) / prompt_s)
    if fits >= prompt:
        fits = most - readers
    fits = min(fits, most - readers)
    if fits < 1:
        return None
    return fits + readers, math.ceil(prompt / fits)
"""

MUTANTS = {
    "forgets the readers' time": but(RIGHT, " - reader_s * readers", ""),
    "forgets the step's fixed part": but(RIGHT, "gap_s - fixed_s", "gap_s"),
    "forgets the readers' tokens in the budget": but(RIGHT, "return fits + readers,", "return fits,"),
    "rounds up": but(RIGHT, "math.floor((", "math.ceil(("),
    "rounds the steps down": but(RIGHT, "math.ceil(prompt / fits)", "prompt // fits"),
    "ignores the largest budget": but(RIGHT, "fits = min(fits, most - readers)", "pass"),
    "gives readers no room below the largest": but(RIGHT, "min(fits, most - readers)", "min(fits, most)"),
    "never says None": but(RIGHT, "return None", "fits = 1"),
    "limits a prompt that fits whole": but(RIGHT, "fits >= prompt", "False"),
    "counts steps by the whole budget": but(RIGHT, "prompt / fits)", "prompt / (fits + readers))"),
}
