"""How the next token is drawn: temperature, top-k and top-p, in the order an engine applies them.

vLLM divides the logits by the temperature, keeps the k likeliest tokens, then the smallest set of likeliest tokens
that holds at least the share p (nucleus sampling: Holtzman et al., "The Curious Case of Neural Text Degeneration",
ICLR 2020, section 3.1), and draws from what is left. Temperature 0 means greedy: the likeliest token, always.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from servelab.errors import ServelabError
from servelab.i18n import _

GREEDY = 1e-5
"""Below this temperature the engine takes the likeliest token (vLLM's own bound)."""


def probabilities(
    logprobs: ArrayLike, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0
) -> NDArray[np.float64]:
    """Probability of each token to be drawn, shape (tokens,); sums to 1.

    Args:
        logprobs: logits or log-probabilities, shape (tokens,); of all tokens, or of the likeliest few, which then
            stand for all.
        temperature: 0 for greedy; 1 leaves the model's own distribution.
        top_k: keep this many; 0 keeps all.
        top_p: keep the smallest set with at least this share.

    Raises:
        ServelabError: a negative temperature or top_k, or a top_p outside (0, 1].
    """
    if temperature < 0 or top_k < 0 or not 0 < top_p <= 1:
        raise ServelabError(_("Temperature and top_k must not be negative, and top_p lies between 0 and 1."))
    logits = np.asarray(logprobs, dtype=float)
    order = np.argsort(-logits, kind="stable")
    if temperature < GREEDY:
        chosen = np.zeros(logits.size)
        chosen[order[0]] = 1.0
        return chosen
    ordered = np.exp((logits[order] - logits[order[0]]) / temperature)
    if top_k:
        ordered[top_k:] = 0
    ordered /= ordered.sum()
    before = np.cumsum(ordered) - ordered
    if top_p < 1:
        ordered[before >= top_p] = 0
    result = np.empty(logits.size)
    result[order] = ordered / ordered.sum()
    return result


def entropy_bits(share: ArrayLike) -> float:
    """Shannon entropy of a distribution, in bits."""
    p = np.asarray(share, dtype=float)
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum())


def distinct(share: ArrayLike, draws: int) -> float:
    """How many different tokens `draws` draws give on average: the sum of 1 - (1 - p)^draws."""
    return float((1 - (1 - np.asarray(share, dtype=float)) ** draws).sum())
