"""One sequence with a cache of its own: what an experiment on keys and values needs, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.tiny.model import Llama, Run, lay_out


class Single:
    """A model reading one sequence of at most `tokens` tokens.

    Attributes:
        model: the Llama.
        cache: its keys and values, (layers, 2, blocks, block size, KV heads, head size); keys are 0, values 1.
    """

    def __init__(self, model: Llama, tokens: int, block_size: int = 16) -> None:
        self.model, self.block_size = model, block_size
        self.table = list(range(-(-tokens // block_size)))
        self.cache = model.new_cache(len(self.table), block_size)

    @torch.inference_mode()
    def __call__(self, tokens: Sequence[int], start: int = 0, wanted: int = 1, cache: Tensor | None = None) -> Tensor:
        """Logits after each of the last `wanted` of `tokens`, shape (wanted, vocabulary).

        Args:
            tokens: ids that stand at `start`, behind what the cache holds; their keys and values are written to it.
            cache: another one to read and write, of the same shape.

        Raises:
            ServelabError: they do not fit.
        """
        if start + len(tokens) > len(self.table) * self.block_size:
            text = _("This cache holds {room} tokens, not {n}.")
            raise ServelabError(text.format(room=len(self.table) * self.block_size, n=start + len(tokens)))
        batch = lay_out([Run(tokens, start, self.table, wanted)], self.block_size, self.model.device)
        return self.model(batch, self.cache if cache is None else cache)
