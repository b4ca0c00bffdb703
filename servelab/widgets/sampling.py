"""Temperature, top-k and top-p over a distribution that a real engine gave."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from servelab.figures import sampling as figures
from servelab.i18n import _
from servelab.theory import sampling as theory
from servelab.widgets.base import Explorer, slider, steps

SHARES = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)


def sampling(tokens: Sequence[str], logprobs: Sequence[float]) -> Explorer:
    """Explorer over the likeliest next tokens.

    Args:
        tokens: their texts, likeliest first.
        logprobs: their log-probabilities; the tokens not among them are left out.
    """
    logs = np.asarray(logprobs, float)
    own = np.exp(logs)

    def draw(temperature: float, top_k: int, top_p: float) -> list[go.Figure]:
        changed = theory.probabilities(logs, temperature, top_k, top_p)
        return [figures.distribution(tokens, own, changed), figures.variety(logs, temperature, top_k, top_p)]

    def say(temperature: float, top_k: int, top_p: float) -> str:
        changed = theory.probabilities(logs, temperature, top_k, top_p)
        told = _("{n} of {all} tokens can be drawn; the likeliest with {share:.0f} %; {bits:.1f} bits of choice.")
        return told.format(
            n=int((changed > 0).sum()), all=len(logs), share=100 * changed.max(), bits=theory.entropy_bits(changed)
        )

    controls = {
        "temperature": slider(_("Temperature"), 0, 2, 1.0, 0.1),
        "top_k": steps(_("Top-k (0: all)"), sorted({0, 1, 2, 3, 5, 10, len(logs)}), 0),
        "top_p": steps(_("Top-p"), SHARES, 1.0),
    }
    return Explorer(controls, draw, say=say, columns=2)
