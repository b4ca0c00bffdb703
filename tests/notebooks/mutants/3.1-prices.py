"""Plausible wrong answers to 3.1-prices."""

from tests.notebooks.variants import but

RIGHT = """
import numpy as np
from scipy.optimize import nnls


def prices(steps):
    batch, prompt, seconds = np.array(steps, float).T
    rows = np.column_stack([np.ones_like(batch), batch, prompt]) / seconds[:, None]
    scale = np.maximum(rows.max(axis=0), 1e-300)
    return tuple(float(x) for x in nnls(rows / scale, np.ones_like(seconds))[0] / scale)
"""

MUTANTS = {
    "fits absolute errors": but(but(RIGHT, " / seconds[:, None]", ""), "np.ones_like(seconds))[0]", "seconds)[0]"),
    "lets prices be negative": but(
        RIGHT, "nnls(rows / scale, np.ones_like(seconds))", "np.linalg.lstsq(rows / scale, np.ones_like(seconds))"
    ),
    "cuts negative prices off afterwards": but(
        RIGHT,
        "nnls(rows / scale, np.ones_like(seconds))[0]",
        "np.maximum(np.linalg.lstsq(rows / scale, np.ones_like(seconds))[0], 0)",
    ),
    "has no price of a step": but(RIGHT, "[np.ones_like(batch), batch", "[0 * batch, batch"),
    "has no price of a prompt": but(RIGHT, "batch, prompt])", "batch, 0 * prompt])"),
    "solves the first three only": but(RIGHT, "np.array(steps, float).T", "np.array(steps[:3], float).T"),
    "tells them in another order": but(RIGHT, "return tuple(", "return tuple(reversed(tuple(").rstrip() + "))\n",
    "says milliseconds": but(RIGHT, "float(x) for x", "1000 * float(x) for x"),
}
