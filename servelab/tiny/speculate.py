"""Speculation: guess a few tokens cheaply, let the model check them all in one pass, keep what it would have written.

Whoever guesses, the output is distributed exactly as without (Leviathan et al., "Fast Inference from Transformers via
Speculative Decoding", ICML 2023, section 2.3 and appendix A.1; Chen et al., 2023, theorem 1): a draft x that was
guessed with probability q(x), where the model says p(x), is accepted with probability min(1, p(x)/q(x)); the first
rejected one is replaced by a draw from max(0, p - q), normalised. Greedy decoding is the limit: a draft is kept if it
is the likeliest token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.tiny.model import Batch, Llama, Run, lay_out
from servelab.tiny.sampling import draw, probabilities
from servelab.tiny.scheduler import Request


@dataclass
class Draft:
    """Guessed tokens; `q` (tokens, vocabulary) is what each was drawn from, None where each was simply named."""

    tokens: list[int]
    q: Tensor | None = None


class Proposer(Protocol):
    """Whatever guesses: the hook for a draft of one's own."""

    num_speculative_tokens: int

    def attach(self, target: Llama, num_blocks: int, block_size: int) -> None:
        """Called once, by the engine it will draft for."""

    def propose(self, asked: Sequence[tuple[Request, int]]) -> list[Draft]:
        """For each request at most so many tokens that may follow its `tokens`; no token is a fine answer."""

    def watch(self, batch: Batch) -> None:
        """Called after every pass of the model, with the batch it ran."""


class NGram:
    """Prompt lookup: what followed the last time these tokens were written? (Saxena 2023; vLLM's `ngram`.)

    Looks for the longest earlier match, of `prompt_lookup_max` down to `prompt_lookup_min` tokens, of the tokens at
    the end, and among equally long ones takes the earliest.
    """

    def __init__(self, num_speculative_tokens: int = 4, prompt_lookup_max: int = 3, prompt_lookup_min: int = 2) -> None:
        if not 1 <= prompt_lookup_min <= prompt_lookup_max or num_speculative_tokens < 1:
            text = _("An n-gram needs at least one token to match, at least one to guess, and its bounds in order.")
            raise ServelabError(text)
        self.num_speculative_tokens = num_speculative_tokens
        self.longest, self.shortest = prompt_lookup_max, prompt_lookup_min

    def attach(self, target: Llama, num_blocks: int, block_size: int) -> None:
        """Nothing to prepare."""

    def watch(self, batch: Batch) -> None:
        """Nothing to learn."""

    def propose(self, asked: Sequence[tuple[Request, int]]) -> list[Draft]:
        """What followed the match, for each request."""
        return [Draft(self.look_up(request.tokens, room)) for request, room in asked]

    def look_up(self, tokens: list[int], room: int) -> list[int]:
        """At most `room` tokens that followed the longest earlier match of the end of `tokens`."""
        for n in range(min(self.longest, len(tokens) - 1), self.shortest - 1, -1):
            end = tokens[-n:]
            for i in range(len(tokens) - n):
                if tokens[i] == end[0] and tokens[i : i + n] == end:
                    return tokens[i + n : i + n + room]
        return []


class DraftModel:
    """A smaller model guesses. It has a cache of its own and reads it through the very same block tables."""

    def __init__(self, model: Llama, num_speculative_tokens: int = 4) -> None:
        self.model = model
        self.num_speculative_tokens = num_speculative_tokens

    def attach(self, target: Llama, num_blocks: int, block_size: int) -> None:
        """Make the draft's cache.

        Raises:
            ServelabError: the draft and the model do not share one vocabulary.
        """
        if self.model.shape.vocab_size != target.shape.vocab_size:
            raise ServelabError(_("A draft model must have the vocabulary of the model it drafts for."))
        self.block_size = block_size
        self.cache = self.model.new_cache(num_blocks, block_size)

    def watch(self, batch: Batch) -> None:
        """Run what the model ran: so each cache holds what the other holds, shared prefixes included."""
        self.model(batch, self.cache)

    def propose(self, asked: Sequence[tuple[Request, int]]) -> list[Draft]:
        """One token after another, all requests side by side."""
        drafts, drawn_from = [Draft([]) for _one in asked], [[] for _one in asked]
        for i in range(max(room for _one, room in asked)):
            going = [(request, drafts[k], drawn_from[k]) for k, (request, room) in enumerate(asked) if i < room]
            runs = [
                Run((draft.tokens or request.tokens)[-1:], len(request.tokens) - 1 + i, request.table, wanted=1)
                for request, draft, _rows in going
            ]
            logits = self.model(lay_out(runs, self.block_size, self.model.device), self.cache)
            for (request, draft, rows), row in zip(going, logits, strict=True):
                if request.sampling.greedy:
                    draft.tokens.append(int(row.argmax()))
                else:
                    rows.append(probabilities(row, request.sampling).cpu())
                    draft.tokens.append(draw(rows[-1], request.generator))
        for draft, rows in zip(drafts, drawn_from, strict=True):
            draft.q = torch.stack(rows) if rows else None
        return drafts


def verify_greedy(best: Sequence[int], drafts: Sequence[int]) -> list[int]:
    """The model's own choices as far as the drafts agree with them, and the one after; `best` is one longer."""
    agree = 0
    while agree < len(drafts) and drafts[agree] == best[agree]:
        agree += 1
    return list(best[: agree + 1])


def verify(p: Tensor, draft: Draft, generator: torch.Generator) -> list[int]:
    """The accepted drafts and one token more, drawn so that every token is distributed as `p` says.

    Args:
        p: the model's distribution at each draft and after the last, (drafts + 1, vocabulary).
        draft: the guesses; without `q` each stood alone, q = 1 for it and 0 for all others.
        generator: of the request's own draws.
    """
    for i, token in enumerate(draft.tokens):
        q = draft.q[i] if draft.q is not None else torch.zeros_like(p[i]).index_fill(0, torch.tensor(token), 1.0)
        if torch.rand((), generator=generator) * q[token] >= p[i, token]:
            rest = (p[i] - q).clamp(min=0)
            return [*draft.tokens[:i], draw(rest if rest.any() else p[i], generator)]
    return [*draft.tokens, draw(p[-1], generator)]
