"""What one forward pass costs in arithmetic and in memory traffic, and which of the two sets its speed.

A decoder-only transformer with `N` weights in matrices (embedding rows are only looked up) does about two
floating-point operations, a multiply and an add, per weight and token: Kaplan et al., "Scaling Laws for Neural
Language Models" (2020), section 2.1. Attention adds 4 x heads x head_dim operations per layer for every (token,
earlier token) pair; the output layer 2 x hidden x vocab for every token whose next one is wanted. The weights are
read from memory once a pass, however many tokens share it: Pope et al., "Efficiently Scaling Transformer
Inference" (2022), section 2; Zhong et al., "DistServe" (OSDI'24), appendix A.

The roofline says what such a pass can reach: attainable = min(peak, bandwidth x intensity), so arithmetic is the
limit where intensity >= peak / bandwidth, and memory below it: Williams, Waterman and Patterson, "Roofline: An
Insightful Visual Performance Model for Multicore Architectures", CACM 52(4), 2009.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from servelab.course import Model
from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.theory.kv_cache import token_bytes

Limit = Literal["compute", "memory"]


@dataclass(frozen=True)
class Work:
    """Arithmetic and memory traffic of a piece of work: numbers, or arrays for many pieces."""

    flops: ArrayLike
    bytes: ArrayLike

    @property
    def intensity(self) -> NDArray[np.float64]:
        """Arithmetic intensity in FLOP per byte."""
        return self.flops / self.bytes

    def __add__(self, other: Work) -> Work:
        return Work(self.flops + other.flops, self.bytes + other.bytes)


def matrix_weights(model: Model) -> int:
    """Weights in the layers' matrices: attention (query, key, value, output) and the gated MLP's three.

    Norms (a few thousand numbers), biases and the embedding are left out.
    """
    query = model.hidden * model.heads * model.head_dim
    key_value = 2 * model.hidden * model.kv_heads * model.head_dim
    return model.layers * (2 * query + key_value + 3 * model.hidden * model.intermediate)


def kv_bytes_per_token(model: Model, bytes_per_number: float = 4) -> float:
    """Bytes one token leaves in the KV cache: a key and a value per layer and KV head."""
    return float(token_bytes(model.layers, model.kv_heads, model.head_dim, bytes_per_number))


def forward(
    model: Model,
    new: ArrayLike,
    past: ArrayLike = 0,
    *,
    sequences: ArrayLike = 1,
    logits: int = 1,
    bytes_per_number: float = 4,
) -> Work:
    """One forward pass of `sequences` sequences, each with `new` tokens after `past` cached ones.

    Prefill of a prompt is `forward(model, n)`, one decode step of a batch `forward(model, 1, past, sequences=b)`.

    Args:
        new: tokens of each sequence that go through the layers in this pass; at least 1.
        past: tokens of each sequence whose keys and values are already cached.
        logits: positions of each sequence for which the output layer runs. An engine needs the last one only;
            training needs all.
        bytes_per_number: size of weights and cache, 4 for float32, 2 for float16 and bfloat16.

    Returns:
        FLOPs, and the bytes that cannot stay in a cache of the processor: weights once, the cached keys and
        values read, the new ones written. Activations are left out.
    """
    if np.less(new, 1).any() or np.less(past, 0).any() or np.less(sequences, 1).any():
        raise ServelabError(_("A forward pass needs at least one sequence with at least one new token."))
    new, past, sequences = (np.asarray(x) if np.ndim(x) else x for x in (new, past, sequences))
    tokens = sequences * new
    pairs = sequences * (new * past + new * (new + 1) / 2)
    attention = 4 * model.layers * model.heads * model.head_dim * pairs
    output = 2 * model.hidden * model.vocab * sequences * logits
    weights = matrix_weights(model) + (model.hidden * model.vocab if logits else 0)
    cache = sequences * (past + new) * kv_bytes_per_token(model, bytes_per_number)
    return Work(2 * matrix_weights(model) * tokens + attention + output, weights * bytes_per_number + cache)


OPERATIONS = ("qkv", "attention", "output", "gate_up", "down", "logits")
"""The operations of a pass that move weights or cache, in their order; the first five once a layer."""


def operations(
    model: Model, new: ArrayLike, past: ArrayLike = 0, *, sequences: ArrayLike = 1, bytes_per_number: float = 4
) -> dict[str, Work]:
    """The work of `forward`, operation by operation, all layers together: {name of `OPERATIONS`: work}.

    The products of activations with weights: query, key and value together (`qkv`), attention's output, the MLP's gate
    and up together, its down, and the output layer for the last position of each sequence. `attention` is scores and
    weighted values, with the cache read and written. What works number by number (norms, rotary embedding, softmax,
    activation) is left out: less than a FLOP a byte, and fused with its neighbours where an engine can.
    """
    whole = forward(model, new, past, sequences=sequences, bytes_per_number=bytes_per_number)
    wide, tokens = model.heads * model.head_dim, np.multiply(sequences, new)
    shapes = {
        "qkv": model.hidden * (wide + 2 * model.kv_heads * model.head_dim),
        "output": wide * model.hidden,
        "gate_up": 2 * model.hidden * model.intermediate,
        "down": model.intermediate * model.hidden,
    }
    each = {
        name: Work(2.0 * model.layers * n * tokens, model.layers * n * bytes_per_number) for name, n in shapes.items()
    }
    head = model.hidden * model.vocab
    each["logits"] = Work(2.0 * head * np.asarray(sequences), head * bytes_per_number)
    each["attention"] = Work(
        whole.flops - sum(one.flops for one in each.values()), whole.bytes - sum(one.bytes for one in each.values())
    )
    return {name: each[name] for name in OPERATIONS}


def batch_limit(model: Model, past: ArrayLike, bytes_per_number: float = 4) -> NDArray[np.float64]:
    """Intensity in FLOP/byte that decoding nears as its batch grows, and never reaches: a sequence's own FLOPs over
    its own cache.

    The weights are shared by the whole batch, keys and values by nobody. SmolLM2-135M in float32: 47 at 128 cached
    tokens, 4.3 at 2,048; where the ridge is higher no batch makes decoding a matter of arithmetic.

    Args:
        past: tokens that each sequence has in the cache.
    """
    one = forward(model, 1, past, bytes_per_number=bytes_per_number)
    return one.flops / (kv_bytes_per_token(model, bytes_per_number) * (np.asarray(past, float) + 1))


def training_step(model: Model, tokens: int, bytes_per_number: float = 4) -> Work:
    """Forward and backward pass over one text of `tokens` tokens, without the optimizer's update.

    The backward pass does twice the forward pass's arithmetic: once for the gradient of the activations, once
    for that of the weights (Kaplan 2020, section 2.1). Traffic: weights read twice, gradients written once.
    """
    once = forward(model, tokens, logits=tokens, bytes_per_number=bytes_per_number)
    weights = (matrix_weights(model) + model.hidden * model.vocab) * bytes_per_number
    return Work(3 * once.flops, 3 * weights)


def attainable(peak: ArrayLike, bandwidth: ArrayLike, intensity: ArrayLike) -> NDArray[np.float64]:
    """FLOP/s that work of `intensity` FLOP/byte can reach on `peak` FLOP/s and `bandwidth` bytes/s."""
    return np.minimum(peak, np.multiply(bandwidth, intensity))


def compute_bound(peak: ArrayLike, bandwidth: ArrayLike, intensity: ArrayLike) -> NDArray[np.bool_]:
    """Whether arithmetic is the limit: where bandwidth x intensity reaches the peak."""
    return np.greater_equal(np.multiply(bandwidth, intensity), peak)


def seed_form(peak: ArrayLike, bandwidth: ArrayLike, intensity: ArrayLike) -> NDArray[np.bool_]:
    """The short form "compute bound: FLOPS_peak > BW x AI", which is inverted: it is the condition for memory.

    One sequence decoding in float32 does 0.5 FLOP a byte. On 100 GFLOP/s and 20 GB/s memory allows 10 GFLOP/s, and
    the form calls it compute bound because 100 > 10.
    """
    return np.greater(peak, np.multiply(bandwidth, intensity))


def ridge(peak: float, bandwidth: float) -> float:
    """Intensity in FLOP/byte from which arithmetic, not memory, is the limit."""
    return peak / bandwidth


def limit(work: Work, peak: float, bandwidth: float) -> Limit:
    """Which of the two sets the speed of one piece of work (`compute_bound` for many)."""
    return "compute" if work.intensity >= ridge(peak, bandwidth) else "memory"


def seconds(work: Work, peak: ArrayLike, bandwidth: ArrayLike) -> NDArray[np.float64]:
    """The shortest time `work` can take, arithmetic and memory traffic fully overlapped."""
    return np.maximum(np.divide(work.flops, peak), np.divide(work.bytes, bandwidth))


def decode_ceiling(
    weight_bytes: ArrayLike, bandwidth: ArrayLike, batch: ArrayLike = 1, kv_bytes: ArrayLike = 0
) -> NDArray[np.float64]:
    """Tokens per second that memory traffic allows when `batch` sequences take one token each a pass.

    Args:
        weight_bytes: bytes of weights read once a pass.
        bandwidth: bytes per second.
        kv_bytes: cached keys and values read for each sequence.
    """
    return np.multiply(batch, bandwidth) / (weight_bytes + np.multiply(batch, kv_bytes))
