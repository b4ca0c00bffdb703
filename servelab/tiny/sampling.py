"""How a request wants its next token drawn, and the distribution that follows from it.

The order is vLLM's: temperature, then top-k, then top-p (see `servelab.theory.sampling`, which this equals).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.theory.sampling import GREEDY


@dataclass(frozen=True)
class Sampling:
    """Temperature (0: greedy), top_k (0: all), top_p, and a seed of the request's own for the draws."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.temperature < 0 or self.top_k < 0 or not 0 < self.top_p <= 1:
            raise ServelabError(_("Temperature and top_k must not be negative, and top_p lies between 0 and 1."))

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.temperature < GREEDY


def probabilities(logits: Tensor, sampling: Sampling) -> Tensor:
    """What the next token is drawn from, shape as `logits` (rows, vocabulary)."""
    logits = logits.float() / sampling.temperature
    if sampling.top_k and sampling.top_k < logits.shape[-1]:
        kept = logits.topk(sampling.top_k)
        logits = torch.full_like(logits, -torch.inf).scatter_(-1, kept.indices, kept.values)
    p = logits.softmax(-1)
    if sampling.top_p < 1:
        ordered, order = p.sort(dim=-1, descending=True, stable=True)
        before = ordered.cumsum(-1) - ordered
        p = p.scatter(-1, order, ordered.masked_fill(before >= sampling.top_p, 0))
        p = p / p.sum(-1, keepdim=True)
    return p


def draw(p: Tensor, generator: torch.Generator) -> int:
    """One token from (vocabulary,) weights, which need not sum to 1."""
    return int(torch.multinomial(p.cpu(), 1, generator=generator))
