"""What the KV cache takes: bytes a token, blocks a sequence, tokens a memory, and what a block wastes.

Attention needs the keys and values of every earlier token, so an engine keeps them: one key and one value vector
for each layer and KV head. Grouped-query attention lets several query heads share a KV head (Ainslie et al., "GQA",
EMNLP 2023, section 2.2); with one for all it is multi-query attention, with as many as query heads multi-head.

Paged engines hand the memory out in blocks of `block_size` tokens, and a sequence holds whole blocks (Kwon et al.,
"Efficient Memory Management for Large Language Model Serving with PagedAttention", SOSP 2023, sections 4.1-4.3).
So waste is at most one block a sequence. vLLM keeps one block of the pool for itself (the null block, a
placeholder); its capacity in tokens counts it, its usage does not.

Lengths are in tokens, sizes in bytes. Every function takes numbers or numpy arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from servelab.course import Model
from servelab.errors import ServelabError
from servelab.i18n import _

NUMBER_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "fp8": 1}
"""Bytes of one number of the cache, by dtype."""

RESERVED_BLOCKS = 1
"""Blocks of the pool that vLLM never gives to a sequence."""


def token_bytes(layers: ArrayLike, kv_heads: ArrayLike, head_dim: ArrayLike, number_bytes: ArrayLike) -> NDArray:
    """Bytes one token leaves in the cache: 2 x layers x KV heads x head size x bytes a number.

    The 2 is for the key and the value. SmolLM2-135M in float32: 2 x 30 x 3 x 64 x 4 = 46,080.
    Not for models that store something else for a token, such as DeepSeek's latent attention (`latent_token_bytes`),
    or that keep only a window of it in some layers, such as Gemma's.
    """
    return 2 * np.asarray(layers) * kv_heads * head_dim * number_bytes


def latent_token_bytes(layers: ArrayLike, latent: ArrayLike, rotary: ArrayLike, number_bytes: ArrayLike) -> NDArray:
    """Bytes one token leaves under multi-head latent attention: layers x (latent + rotary) x bytes a number.

    One compressed vector stands for the keys and values of all heads (no factor 2, no heads), and beside it one key
    that carries the position, shared by all heads. DeepSeek-AI, "DeepSeek-V2" (2024), sections 2.1.2, 2.1.3 and
    table 1. DeepSeek-V3 in bfloat16: 61 x (512 + 64) x 2 = 70,272; its 128 heads with keys of 192 and values of 128
    would take 4,997,120.
    """
    return np.asarray(layers) * (np.asarray(latent) + rotary) * number_bytes


def model_token_bytes(model: Model, dtype: str = "float32", kv_heads: int | None = None) -> int:
    """`token_bytes` of a model of course.toml; `kv_heads` asks what another number of KV heads would take.

    Raises:
        ServelabError: a dtype the course does not know.
    """
    if dtype not in NUMBER_BYTES:
        text = _("There is no dtype {dtype} here: choose one of {known}.")
        raise ServelabError(text.format(dtype=dtype, known=", ".join(NUMBER_BYTES)))
    return int(token_bytes(model.layers, kv_heads or model.kv_heads, model.head_dim, NUMBER_BYTES[dtype]))


def seed_form(batch: ArrayLike, length: ArrayLike, heads: ArrayLike, head_dim: ArrayLike) -> NDArray:
    """The short form 2 x B x L x H x D (L is the sequence's length): numbers of ONE layer of a multi-head model.

    It leaves out the layers, the bytes of a number and grouped-query attention. For SmolLM2-135M in float32, eight
    sequences of 1,024 tokens: it gives 9,437,184, the cache takes 377,487,360 bytes; 30 layers x 4 bytes x 3/9 of
    the heads = 40 times as much.
    """
    return 2 * np.asarray(batch) * length * heads * head_dim


def blocks(tokens: ArrayLike, block_size: ArrayLike) -> NDArray[np.int64]:
    """Blocks that sequences of `tokens` tokens hold: each rounded up to a whole block.

    Raises:
        ServelabError: a block of less than one token, or a negative length.
    """
    tokens, block_size = np.asarray(tokens), np.asarray(block_size)
    if (block_size < 1).any() or (tokens < 0).any():
        raise ServelabError(_("A block holds at least one token, and a sequence has no negative length."))
    return -(-tokens // block_size)


def cached_tokens(prompt: ArrayLike, written: ArrayLike) -> NDArray:
    """Tokens in the cache after `written` tokens of the answer: prompt + written - 1 (the prompt, before the first).

    The newest token has been chosen but has not been through the model yet: its key and value come with the next
    step.
    """
    return np.asarray(prompt) + np.maximum(np.asarray(written) - 1, 0)


@dataclass(frozen=True)
class Pool:
    """A paged cache: `num_blocks` blocks of `block_size` tokens, the reserved one included (vLLM counts so too)."""

    num_blocks: int
    block_size: int

    @property
    def tokens(self) -> int:
        """Capacity in tokens as vLLM reports it: all blocks."""
        return self.num_blocks * self.block_size

    @property
    def usable_blocks(self) -> int:
        """Blocks that sequences can hold."""
        return self.num_blocks - RESERVED_BLOCKS

    def held(self, usage: ArrayLike) -> NDArray:
        """Blocks held at a reading of `vllm:kv_cache_usage_perc` (a share from 0 to 1 of the usable blocks)."""
        return np.round(np.asarray(usage) * self.usable_blocks).astype(np.int64)

    def fits(self, tokens: int) -> int:
        """How many sequences of `tokens` tokens fit at once."""
        return self.usable_blocks // int(blocks(max(tokens, 1), self.block_size))


def pool(memory_bytes: float, bytes_a_token: float, block_size: int) -> Pool:
    """The pool that fits into `memory_bytes`: whole blocks only.

    1 GiB, 46,080 bytes a token, blocks of 128: 182 blocks, 23,296 tokens (23,301 would fit without blocks).
    """
    return Pool(int(memory_bytes // (bytes_a_token * block_size)), block_size)


class Timed(Protocol):
    """What is known of one request: its prompt's length, and when each token of its answer came."""

    prompt_tokens: int
    token_times_s: Sequence[float]


def blocks_over_time(requests: Sequence[Timed], block_size: int, times_s: ArrayLike) -> NDArray[np.int64]:
    """Blocks that `requests` hold at each of `times_s`, shape (times,), from when their tokens came.

    A request holds blocks from its first token (when the engine has told of its prefill) to its last, which frees
    them. Right while no two prompts share a prefix and nothing is preempted.
    """
    times = np.asarray(times_s, dtype=float)
    total = np.zeros(times.shape, dtype=np.int64)
    for request in requests:
        came = np.asarray(request.token_times_s, dtype=float)
        if not came.size:
            continue
        written = np.searchsorted(came, times, side="right")
        alive = (written > 0) & (written < came.size)
        total += np.where(alive, blocks(cached_tokens(request.prompt_tokens, written), block_size), 0)
    return total


def tokens_over_time(requests: Sequence[Timed], times_s: ArrayLike) -> NDArray[np.int64]:
    """Tokens in the cache at each of `times_s`, shape (times,): what fills the blocks of `blocks_over_time`."""
    return blocks_over_time(requests, 1, times_s)


def waste(tokens: ArrayLike, block_size: ArrayLike) -> NDArray[np.float64]:
    """Share of the held memory that is empty: 1 - tokens / (blocks x block size), for each length above 0."""
    tokens = np.asarray(tokens)
    return 1 - tokens / (blocks(tokens, block_size) * np.asarray(block_size))


def typical_waste(tokens: ArrayLike, block_size: ArrayLike) -> NDArray[np.float64]:
    """The same where lengths around `tokens` end anywhere in their last block: (b - 1)/2 tokens empty on average.

    At 64 tokens: 50 % with blocks of 128, about 10 % with blocks of 16.
    """
    empty = (np.asarray(block_size) - 1) / 2
    return empty / (np.asarray(tokens) + empty)


def held_while_serving(prompts: ArrayLike, outputs: ArrayLike, block_size: int) -> float:
    """Tokens of memory that a running request holds, on average over all steps of all requests.

    In the step that writes token k a request holds whole blocks for prompt + k - 1 tokens (`cached_tokens`); a step
    counts once for each request in it, whoever is there beside it. With blocks of one token: the tokens themselves.

    Raises:
        ServelabError: no request writes a token.
    """
    prompts, outputs = np.broadcast_arrays(np.asarray(prompts), np.asarray(outputs))
    prompts, outputs = prompts.ravel(), outputs.ravel()
    if not outputs.size or (outputs < 0).any() or not outputs.sum():
        raise ServelabError(_("A waste while answers are written needs at least one token that is written."))
    step = np.arange(outputs.sum()) - np.repeat(outputs.cumsum() - outputs, outputs)
    return float(blocks(np.repeat(prompts, outputs) + step, block_size).mean() * block_size)


def serving_waste(prompts: ArrayLike, outputs: ArrayLike, block_size: int) -> float:
    """Share of the held memory that is empty while answers are written, over all steps (`held_while_serving`).

    Not the waste of the lengths with which requests end: on the way there they hold less, and long answers hold it
    for longer.

    Raises:
        ServelabError: no request writes a token.
    """
    return 1 - held_while_serving(prompts, outputs, 1) / held_while_serving(prompts, outputs, block_size)


def at_once(prompts: ArrayLike, outputs: ArrayLike, pool: Pool, max_num_seqs: int | None = None) -> float:
    """Requests that run at once, on average, while more wait than fit: usable tokens / tokens held by one.

    Holds where many fit, so that what is left over for nobody is little, and where memory is what they wait for: with
    `max_num_seqs`, never more than that. With slots of n_max it would be tokens / n_max; the ratio is the gain of
    paging, 1 / (1 - savings).
    """
    most = np.inf if max_num_seqs is None else max_num_seqs
    return min(most, pool.usable_blocks * pool.block_size / held_while_serving(prompts, outputs, pool.block_size))


def waste_bounds(mean_tokens: ArrayLike, block_size: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least and most of the held memory that can be empty, for any lengths of this mean: 0 and (b - 1)/(n + b - 1).

    A sequence leaves 0 to b - 1 tokens of its last block empty, whatever its length (SOSP 2023, section 4.3); the
    share grows with the sum of these. Both ends are reached: by lengths of whole blocks, by one token more.
    """
    most = np.asarray(block_size, float) - 1
    high = most / (np.asarray(mean_tokens, float) + most)
    return np.zeros_like(high), high


def savings_bounds(
    mean_tokens: ArrayLike, reserved: ArrayLike, block_size: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least and most memory that paging can save against reserving `reserved` tokens for each: 1 - held / reserved.

    The most is 1 - n / n_max: paging cannot hold less than the tokens themselves. The least is that minus
    (b - 1) / n_max; it can be negative where every sequence fills its reservation.
    """
    mean, reserved = np.asarray(mean_tokens, float), np.asarray(reserved, float)
    return 1 - (mean + np.asarray(block_size, float) - 1) / reserved, 1 - mean / reserved


def savings(lengths: ArrayLike, reserved: int, block_size: int) -> float:
    """Share of the memory that paging saves: 1 - paged / contiguous, on bytes or tokens that are really held."""
    return 1 - contiguous_share(lengths, reserved) / paged_share(lengths, block_size)


def seed_savings(tokens: ArrayLike) -> NDArray[np.float64]:
    """The short form 1 - O(n h d) / O(n^2 h d): 1 - 1/n, which is not about the KV cache.

    A cache grows with n in both forms; n^2 is the matrix of scores, which FlashAttention avoids, not paging. At 1,024
    tokens of 2,048 reserved it says 99.9 % are saved; it is 50 %, and 0 % where all 2,048 are used.
    """
    return 1 - 1 / np.asarray(tokens, float)


def contiguous_share(lengths: ArrayLike, reserved: int) -> float:
    """Share of the held memory with real tokens where every sequence reserves `reserved` tokens in advance.

    Earlier systems were measured at 20.4 to 38.2 %, vLLM at 96.3 % (SOSP 2023, figure 2).

    Raises:
        ServelabError: a sequence is longer than what is reserved for it.
    """
    lengths = np.asarray(lengths)
    if (lengths > reserved).any():
        raise ServelabError(_("A sequence is longer than the {n} tokens reserved for it.").format(n=reserved))
    return float(lengths.mean() / reserved)


def paged_share(lengths: ArrayLike, block_size: int) -> float:
    """Share of the held memory with real tokens where sequences hold whole blocks."""
    lengths = np.asarray(lengths)
    return float(lengths.sum() / (blocks(lengths, block_size).sum() * block_size))


def batch_gain(lengths: ArrayLike, reserved: int, block_size: int) -> float:
    """How many times more sequences the same memory holds when paged: 1 / (1 - savings)."""
    return 1 / (1 - savings(lengths, reserved, block_size))


def batch_gain_bounds(
    mean_tokens: ArrayLike, reserved: ArrayLike, block_size: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least and most of that gain, for any lengths of this mean: n_max / (n + b - 1) and n_max / n."""
    low, high = savings_bounds(mean_tokens, reserved, block_size)
    return 1 / (1 - low), 1 / (1 - high)
