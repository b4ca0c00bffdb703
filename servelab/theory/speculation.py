"""What speculative decoding gives: a cheap draft proposes tokens, the model checks all of them in one step.

A draft of depth g is accepted up to its first rejected token; the model's own step adds one token in any case. With
acceptance a at every position, independently, the tokens a step gives are 1 + a + ... + a^g (Leviathan, Kalman &
Matias, "Fast Inference from Transformers via Speculative Decoding", ICML 2023, section 3.1; Chen et al. 2023 gives
the same sampling rule). Real acceptance differs by position and is not independent; vLLM reports it by position
(`vllm:spec_decode_num_accepted_tokens_per_pos`), which is all that the mean needs.

Every function takes numbers or numpy arrays unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from servelab.errors import ServelabError
from servelab.i18n import _


def _shares(acceptance: ArrayLike) -> NDArray[np.float64]:
    acceptance = np.asarray(acceptance, float)
    if ((acceptance < 0) | (acceptance > 1)).any():
        raise ServelabError(_("An acceptance is a share from 0 to 1."))
    return acceptance


def expected_tokens(acceptance: ArrayLike, depth: ArrayLike) -> NDArray[np.float64]:
    """Mean tokens a step gives, i.i.d. acceptance: (1 - a^(g+1)) / (1 - a); g + 1 at a = 1.

    Leviathan et al. 2023, equation 1.
    """
    a, g = np.broadcast_arrays(_shares(acceptance), np.asarray(depth, float))
    sure = a == 1
    return np.where(sure, g + 1, (1 - a ** (g + 1)) / np.where(sure, 1, 1 - a))[()]


def expected_tokens_by_position(reached: ArrayLike) -> NDArray[np.float64]:
    """Mean tokens a step gives when the draft's token i is accepted in a share `reached[..., i]` of ALL steps.

    1 + the sum over positions, for any dependence between them: the expectation of a count. vLLM's accepted tokens
    per position over its number of drafts are these shares; they cannot rise from one position to the next.

    Raises:
        ServelabError: a share outside [0, 1], or one that rises.
    """
    reached = _shares(reached)
    if (np.diff(reached, axis=-1) > 1e-12).any():
        raise ServelabError(_("Position i + 1 is accepted only where position i was: these shares rise."))
    return 1 + reached.sum(axis=-1)


def reached(conditional: ArrayLike) -> NDArray[np.float64]:
    """Share of all steps that accept position i, from the acceptance of each position given the ones before it."""
    return np.cumprod(_shares(conditional), axis=-1)


def conditional(accepted: ArrayLike, drafted: ArrayLike) -> NDArray[np.float64]:
    """Acceptance of each position given the ones before it, counted from drafts of any lengths, shape (positions,).

    Position i is judged where a draft had a token there and all before it were accepted. A draft that was shorter
    says nothing about what came after its end, so dividing by ALL drafts, as an engine's counters by position do,
    would take its end for a rejection. `reached` makes shares of all steps of these, as if every draft were whole
    (the product of conditional shares: Kaplan & Meier, JASA 53, 1958).

    Args:
        accepted, drafted: tokens accepted and proposed of each draft, shape (drafts,).

    Raises:
        ServelabError: no draft with a token, or more accepted than proposed.
    """
    accepted, drafted = np.asarray(accepted), np.asarray(drafted)
    if not accepted.size or accepted.shape != drafted.shape or (accepted < 0).any() or (accepted > drafted).any():
        raise ServelabError(_("Counting needs drafts, each with no more accepted tokens than it proposed."))
    position = np.arange(1, int(drafted.max()) + 1)
    judged = (drafted[:, None] >= position) & (accepted[:, None] >= position - 1)
    kept = (accepted[:, None] >= position).sum(axis=0)
    judged = judged.sum(axis=0)
    known = int((judged > 0).sum())
    if not known:
        raise ServelabError(_("Counting needs drafts, each with no more accepted tokens than it proposed."))
    return kept[:known] / judged[:known]


def iid_of(reached: ArrayLike) -> float:
    """The i.i.d. acceptance that fits best to shares by position: `estimate` where only those are known."""
    reached = _shares(reached)
    judged = 1 + reached[:-1].sum()
    return float(reached.sum() / judged)


def speedup(acceptance: ArrayLike, depth: ArrayLike, cost: ArrayLike) -> NDArray[np.float64]:
    """How many times faster than without a draft: E[tokens] / (g c + 1).

    `cost` c is the time of one draft token over one step of the model. Checking g + 1 tokens is taken to cost one
    plain step: true while the step is bound by memory, at batch 1, and no longer at a large batch
    (`speedup_at_batch`). Leviathan et al. 2023, theorem 3.8.
    """
    return expected_tokens(acceptance, depth) / (np.asarray(depth, float) * cost + 1)


def speedup_by_position(reached: ArrayLike, cost: ArrayLike) -> NDArray[np.float64]:
    """The same from shares by position, for every depth: entry g of the last axis is the speed-up at depth g.

    `reached` has shape (..., positions), the result (..., positions + 1); entry 0, no draft, is 1.
    """
    reached = _shares(reached)
    none = np.ones((*reached.shape[:-1], 1))
    tokens = np.concatenate([none, 1 + np.cumsum(reached, axis=-1)], axis=-1)
    depth = np.arange(tokens.shape[-1])
    return tokens / (1 + depth * np.asarray(cost, float)[..., None])


def best_depth(acceptance: ArrayLike, cost: ArrayLike, most: int = 32) -> NDArray[np.int64]:
    """The depth from 0 to `most` with the highest speed-up (the smallest on a tie); 0 is no draft.

    Above 0 exactly where a > c (Leviathan et al. 2023, corollary 3.9).
    """
    depth = np.arange(most + 1)
    a, c = np.broadcast_arrays(_shares(acceptance), np.asarray(cost, float))
    gain = speedup(a[..., None], depth, c[..., None])
    return np.argmax(gain > gain.max(axis=-1, keepdims=True) * (1 - 1e-12), axis=-1)[()]


def best_depth_by_position(reached: ArrayLike, cost: ArrayLike) -> NDArray[np.int64]:
    """The best depth from shares by position, among the positions that were measured; 0 is no draft."""
    return np.argmax(speedup_by_position(reached, cost), axis=-1)[()]


def speedup_at_batch(
    acceptance: ArrayLike,
    depth: ArrayLike,
    batch: ArrayLike,
    step_s: Callable[[NDArray], NDArray],
    draft_s: ArrayLike = 0.0,
) -> NDArray[np.float64]:
    """Speed-up where checking costs what it costs: B (g + 1) tokens go through a step instead of B.

    Args:
        batch: B sequences that decode together.
        step_s: seconds of a step of so many tokens, such as `StepModel.tpot_s`.
        draft_s: seconds of one draft token for the whole batch.

    E step(B) / (step(B (g + 1)) + g draft). Once a step's time grows in proportion to its tokens every rejected
    token is time lost, and the speed-up falls below 1. A special case of the batched analysis of Liu et al.,
    "Optimizing Speculative Decoding for Serving Large Language Models Using Goodput" (2024).
    """
    batch, depth = np.asarray(batch, float), np.asarray(depth, float)
    plain = step_s(batch)
    checked = step_s(batch * (depth + 1)) + depth * np.asarray(draft_s, float)
    return expected_tokens(acceptance, depth) * plain / checked


def estimate(accepted: ArrayLike, depth: int) -> float:
    """The i.i.d. acceptance that fits best to `accepted` tokens of each draft, shape (drafts,), all `depth` deep.

    Maximum likelihood: accepted / (accepted + rejected), where a draft rejects one token or, accepted whole, none.
    Tokens behind the first rejected one were never judged: accepted over PROPOSED, which engines report as the
    acceptance rate, is too low. At a = 0.8 and depth 4 it tends to 0.59.

    Raises:
        ServelabError: no draft, or a count outside 0..depth.
    """
    accepted = np.asarray(accepted)
    if not accepted.size or depth < 1 or (accepted < 0).any() or (accepted > depth).any():
        raise ServelabError(
            _("An acceptance needs drafts, each with 0 to {depth} accepted tokens.").format(depth=depth)
        )
    taken = accepted.sum()
    return float(taken / (taken + (accepted < depth).sum()))


def draft_rate(acceptance: ArrayLike, depth: ArrayLike) -> NDArray[np.float64]:
    """Accepted over proposed tokens, the rate that engines report: (E[tokens] - 1) / g."""
    return (expected_tokens(acceptance, depth) - 1) / np.asarray(depth, float)


def overlap(target: ArrayLike, draft: ArrayLike) -> NDArray[np.float64]:
    """Chance that a token drawn from `draft` is accepted: the sum of min(p, q) over tokens, shape (..., tokens).

    1 minus the total variation distance (Leviathan et al. 2023, theorem 3.5). At temperature 0 both are one-hot, and
    it is 1 where the two agree and 0 where not.
    """
    return np.minimum(np.asarray(target, float), np.asarray(draft, float)).sum(axis=-1)
