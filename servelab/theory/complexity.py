"""How work and memory grow with length: orders of growth as they are often written, beside counts that judge them.

An order says nothing about the size at hand: O(n^2) and 2 N n + 2 L H d_h n^2 are no contradiction, and at a thousand
tokens the first is wrong by what it leaves out. So each short form stands beside the count, and `growth` reads off any
of them, or off a measurement, the exponent that holds between two sizes: a straight line in a log-log plot.

N weights in matrices, L layers, H heads of d_h, width d, vocabulary V, n tokens. Kaplan et al., "Scaling Laws for
Neural Language Models" (2020), section 2.1; the scores: Dao et al., "FlashAttention" (2022), section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from servelab.course import Model
from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.theory.roofline import matrix_weights


@dataclass(frozen=True)
class Parts:
    """FLOPs of a pass by where they are spent: numbers, or arrays for many lengths.

    Attributes:
        matrices: the layers' weights, 2 N a token.
        attention: scores and weighted values, 4 L H d_h a pair of tokens.
        output: the vocabulary, 2 d V for each token that is chosen.
    """

    matrices: NDArray[np.float64]
    attention: NDArray[np.float64]
    output: NDArray[np.float64]

    @property
    def total(self) -> NDArray[np.float64]:
        """All of them."""
        return self.matrices + self.attention + self.output


def _parts(model: Model, tokens: NDArray, pairs: NDArray, outputs: NDArray) -> Parts:
    return Parts(
        2.0 * matrix_weights(model) * tokens,
        4.0 * model.layers * model.heads * model.head_dim * pairs,
        2.0 * model.hidden * model.vocab * outputs,
    )


def prefill(model: Model, prompt: ArrayLike) -> Parts:
    """A prompt's pass: O(L (n d^2 + n^2 d)), the first term for the matrices, the second for causal attention.

    The second overtakes at `servelab.theory.latency.crossover`.
    """
    n = np.asarray(prompt, float)
    return _parts(model, n, n * (n + 1) / 2, np.ones_like(n))


def decode(model: Model, context: ArrayLike, tokens: ArrayLike = 1) -> Parts:
    """`tokens` passes after `context` cached tokens, one token each: k tokens cost O(k (N + d V + L d n))."""
    n, k = np.broadcast_arrays(np.asarray(context, float), np.asarray(tokens, float))
    return _parts(model, k, k * (n + 1) + k * (k - 1) / 2, k)


def seed_prefill(prompt: ArrayLike, hidden: ArrayLike) -> NDArray[np.float64]:
    """The short form O(n^2 d): attention alone, which a prompt twice as long makes four times as dear.

    SmolLM2-135M, from 512 tokens to 1,024: the pass takes 2.16 times as much, not 4.
    """
    return np.square(np.asarray(prompt, float)) * hidden


def seed_decode(context: ArrayLike, hidden: ArrayLike, vocab: ArrayLike) -> NDArray[np.float64]:
    """The short form O(n d V): as if every cached token were compared with the whole vocabulary.

    SmolLM2-135M, one token after 1,024: it counts 29 billion steps and doubles with the context. The pass takes 0.34
    GFLOP, and 1.2 times as much after 2,048: the vocabulary enters once, the context through attention only.
    """
    return np.asarray(context, float) * hidden * vocab


def seed_memory(length: ArrayLike, heads: ArrayLike, head_dim: ArrayLike) -> NDArray[np.float64]:
    """The short form O(n^2 h d) for "traditional" attention's memory: two things multiplied.

    The cache, contiguous or paged, grows with n (`servelab.theory.kv_cache`). What grows with n^2 is the matrix of
    scores, which has no d (`score_bytes`), lives for one layer of one pass, and is avoided by FlashAttention.
    """
    return np.square(np.asarray(length, float)) * heads * head_dim


def seed_paged(length: ArrayLike, head: ArrayLike) -> NDArray[np.float64]:
    """The short form O(n d) for PagedAttention: true, and no gain. A contiguous cache reads the same n keys and values.

    The paper's kernel is 20 to 26 % slower than one that reads them in place (Kwon et al., SOSP 2023, section 7.1). The
    gain is memory, so batch, so throughput: `servelab.theory.kv_cache.batch_gain`.
    """
    return np.asarray(length, float) * head


def score_bytes(length: ArrayLike, heads: ArrayLike, bytes_per_number: ArrayLike = 4) -> NDArray[np.float64]:
    """Bytes of one layer's scores where they are written out: H n^2 numbers; FlashAttention keeps a tile of them."""
    return np.square(np.asarray(length, float)) * heads * bytes_per_number


def growth(sizes: ArrayLike, cost: ArrayLike) -> NDArray[np.float64]:
    """The exponent p between neighbours, cost ~ size^p: slopes in a log-log plot, shape (sizes - 1,).

    Raises:
        ServelabError: fewer than two sizes, sizes that do not rise, or something that is not above 0.
    """
    sizes, cost = np.asarray(sizes, float), np.asarray(cost, float)
    if sizes.size < 2 or (np.diff(sizes) <= 0).any() or min(sizes.min(), cost.min()) <= 0:
        raise ServelabError(_("Growth needs two sizes or more that rise, and costs above 0."))
    return np.diff(np.log(cost)) / np.diff(np.log(sizes))
