"""How long a step, a prefill and an answer take: the roofline's floor, this machine's share of it, and an overhead.

One step of an engine takes a batch of sequences through the model once. Some of them decode (one new token each),
some bring a piece of their prompt (chunked prefill). With N weights in matrices, L layers, H heads of d_h, width d,
vocabulary V:

    FLOPs  = 2 N tokens + 4 L H d_h pairs + 2 d V outputs
    bytes  = weights + KV bytes a token x (tokens read + tokens written)
    step   = max(FLOPs / (MFU peak), bytes / (MBU bandwidth)) + t0

(Pope et al., "Efficiently Scaling Transformer Inference", 2022, section 2; Zhong et al., "DistServe", OSDI'24,
appendix A; Kaplan et al. 2020, section 2.1). t0 is what a step costs beside the model: scheduling, launching,
sampling, sending. MFU, MBU = 1 and t0 = 0 is the uncalibrated roofline, which no engine reaches.

The larger of the two is right where arithmetic and reading overlap completely, as a GPU's kernels come near to. Where
they do not, as on a processor's few cores, the step is nearer to their sum: `Machine.overlap` says how near.

Holds for one device and dense models. Times are in seconds. Every function takes numbers or numpy arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from servelab.course import Model
from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.theory.batching import StepModel
from servelab.theory.roofline import Work, kv_bytes_per_token, matrix_weights


@dataclass(frozen=True)
class Machine:
    """What a device can do and how much of it an engine gets.

    Attributes:
        peak_flops: FLOP/s. bandwidth: bytes/s. Measured (`servelab.hardware.measure`) or from a data sheet.
        mfu: share of the peak that large matrix products reach, 0 to 1.
        mbu: share of the bandwidth that reading the weights reaches, 0 to 1.
        t0_s: seconds that every step costs beside the model.
        overlap: share of the shorter of arithmetic and reading that hides behind the longer: 1 is the roofline's
            maximum, 0 their sum.
    """

    peak_flops: float
    bandwidth: float
    mfu: float = 1.0
    mbu: float = 1.0
    t0_s: float = 0.0
    overlap: float = 1.0

    def __post_init__(self) -> None:
        shares = 0 < self.mfu <= 1 and 0 < self.mbu <= 1 and 0 <= self.overlap <= 1
        if min(self.peak_flops, self.bandwidth) <= 0 or not shares or self.t0_s < 0:
            text = _("A machine needs a peak and a bandwidth above 0, shares up to 1, and no negative overhead.")
            raise ServelabError(text)

    @property
    def ridge(self) -> float:
        """FLOP/byte from which arithmetic is the limit of what is reached."""
        return self.peak_flops * self.mfu / (self.bandwidth * self.mbu)


@dataclass(frozen=True)
class Step:
    """What one step has to do, or many steps: each field a number or an array of one shape.

    Attributes:
        decode: sequences that decode, one new token each.
        context: their tokens in the cache before this step, summed over them.
        prefill: prompt tokens that go through, summed over the pieces.
        chunk: (new token, token it attends to) pairs of the pieces: the sum of n past + n (n + 1) / 2.
        pieces: how many there are.
        past: tokens in the cache before the pieces, summed over them; 0 where no prompt is cut or hits a prefix.
    """

    decode: ArrayLike = 0
    context: ArrayLike = 0
    prefill: ArrayLike = 0
    chunk: ArrayLike = 0
    pieces: ArrayLike = 0
    past: ArrayLike = 0

    @classmethod
    def of(cls, decodes: Iterable[int] = (), pieces: Iterable[tuple[int, int]] = ()) -> Step:
        """One step, sequence by sequence: cached tokens of each that decodes, (new, cached) tokens of each piece."""
        decodes, pieces = list(decodes), list(pieces)
        return cls(
            decode=len(decodes),
            context=sum(decodes),
            prefill=sum(n for n, _past in pieces),
            chunk=sum(n * past + n * (n + 1) / 2 for n, past in pieces),
            pieces=len(pieces),
            past=sum(past for _n, past in pieces),
        )


@dataclass(frozen=True)
class Linear:
    """A step's time as a sum of its features, each with its price in seconds.

    Attributes:
        fixed_s .. pieces_s: of a step, a decoding sequence, a cached token it reads, a prompt token, a pair of a
            prompt's attention, a prompt's piece.
    """

    fixed_s: float
    decode_s: float = 0.0
    context_s: float = 0.0
    prefill_s: float = 0.0
    chunk_s: float = 0.0
    pieces_s: float = 0.0

    def __call__(self, step: Step) -> Any:
        """Seconds of `step`, whose features are numbers or arrays."""
        return (
            self.fixed_s
            + self.decode_s * step.decode
            + self.context_s * step.context
            + self.prefill_s * step.prefill
            + self.chunk_s * step.chunk
            + self.pieces_s * step.pieces
        )

    @classmethod
    def of(cls, model: StepModel) -> Linear:
        """The three constants of a `StepModel`."""
        return cls(model.fixed_s, model.each_s, prefill_s=model.prefill_s)


def work(model: Model, step: Step, bytes_per_number: float = 4) -> Work:
    """FLOPs and bytes of a step. Every piece is given one output position, as vLLM computes it.

    Equal to `roofline.forward` where all sequences of a step are alike. A step of the simulator fits too; it does not
    say `past`, which matters only where memory is the limit.
    """
    tokens = np.add(step.decode, step.prefill)
    outputs = np.add(step.decode, step.pieces)
    pairs = np.add(step.context, step.decode) + step.chunk
    flops = 2 * matrix_weights(model) * tokens + 4 * model.layers * model.heads * model.head_dim * pairs
    flops = flops + 2 * model.hidden * model.vocab * outputs
    weights = (matrix_weights(model) + model.hidden * model.vocab) * bytes_per_number
    cache = kv_bytes_per_token(model, bytes_per_number) * (np.add(step.context, getattr(step, "past", 0)) + tokens)
    return Work(flops, weights + cache)


def seconds(work: Work, machine: Machine) -> NDArray[np.float64]:
    """Seconds for a step's work: the longer of arithmetic and memory traffic, what of the shorter does not hide behind
    it, and the overhead."""
    compute = np.asarray(work.flops) / (machine.peak_flops * machine.mfu)
    memory = np.asarray(work.bytes) / (machine.bandwidth * machine.mbu)
    return np.maximum(compute, memory) + (1 - machine.overlap) * np.minimum(compute, memory) + machine.t0_s


def step_s(model: Model, step: Step, machine: Machine, bytes_per_number: float = 4) -> NDArray[np.float64]:
    """Seconds of one step (or of each, for arrays)."""
    return seconds(work(model, step, bytes_per_number), machine)


def step_time(model: Model, machine: Machine, bytes_per_number: float = 4) -> Callable[[Step], NDArray[np.float64]]:
    """`step_s` of one model on one machine, as the simulator takes it."""
    return lambda step: step_s(model, step, machine, bytes_per_number)


def prefill_s(
    model: Model,
    prompt: ArrayLike,
    machine: Machine,
    *,
    sequences: ArrayLike = 1,
    past: ArrayLike = 0,
    bytes_per_number: float = 4,
) -> NDArray[np.float64]:
    """Seconds of one step that takes `sequences` prompts of `prompt` tokens through, `past` of each cached before."""
    n, past, count = np.asarray(prompt, float), np.asarray(past, float), np.asarray(sequences, float)
    chunk = count * (n * past + n * (n + 1) / 2)
    step = Step(prefill=count * n, chunk=chunk, pieces=count, past=count * past)
    return step_s(model, step, machine, bytes_per_number)


def decode_step_s(
    model: Model, batch: ArrayLike, context: ArrayLike, machine: Machine, bytes_per_number: float = 4
) -> NDArray[np.float64]:
    """Seconds of one step in which `batch` sequences decode, each with `context` tokens in the cache: TPOT."""
    batch = np.asarray(batch, float)
    return step_s(model, Step(decode=batch, context=batch * context), machine, bytes_per_number)


def in_pieces(prompt: int, budget: int, past: int = 0) -> Step:
    """The steps of a prompt that is alone: pieces of at most `budget` tokens, arrays of shape (steps,).

    Raises:
        ServelabError: no token to compute, or no budget.
    """
    if prompt <= past or budget < 1:
        raise ServelabError(_("A prompt needs at least one token that is not cached yet, and a budget of at least 1."))
    start = np.arange(past, prompt, budget)
    n = np.minimum(budget, prompt - start)
    return Step(prefill=n, chunk=n * start + n * (n + 1) / 2, pieces=np.ones_like(n), past=start)


def ttft_s(
    model: Model, prompt: int, machine: Machine, budget: int = 2048, past: int = 0, bytes_per_number: float = 4
) -> float:
    """Seconds to the first token of a prompt that is alone: the sum over its pieces."""
    return float(step_s(model, in_pieces(prompt, budget, past), machine, bytes_per_number).sum())


def e2e_s(
    model: Model,
    prompt: int,
    output: int,
    machine: Machine,
    *,
    batch: int = 1,
    bytes_per_number: float = 4,
) -> float:
    """Seconds from request to last token when `batch` equal requests walk in step: prefill, then output - 1 steps."""
    first = prefill_s(model, prompt, machine, sequences=batch, bytes_per_number=bytes_per_number)
    rest = decode_step_s(model, batch, prompt + np.arange(output - 1), machine, bytes_per_number)
    return float(first + rest.sum())


def crossover(model: Model) -> float:
    """Prompt length at which prefill's attention costs as much as its matrices: n = N / (L H d_h).

    From 2 N n = 2 L H d_h n^2, output layer left out (Kaplan et al. 2020, section 2.1). SmolLM2-135M: 6,144 tokens;
    below it a prefill grows about linearly, above it with the square.
    """
    return matrix_weights(model) / (model.layers * model.heads * model.head_dim)


def answer_flops(model: Model, prompt: ArrayLike, output: ArrayLike) -> NDArray[np.float64]:
    """FLOPs of a whole answer after its prefill: `output` tokens, each through all layers and over all before it.

    k tokens cost O(k (N + L H d_h n)); the vocabulary enters once a token.
    """
    n, k = np.asarray(prompt, float), np.asarray(output, float)
    pairs = k * (n + 1) + k * (k - 1) / 2
    attention = 4 * model.layers * model.heads * model.head_dim * pairs
    return k * (2 * matrix_weights(model) + 2 * model.hidden * model.vocab) + attention


def seed_prefill_s(prompt: ArrayLike, hidden: ArrayLike, peak_flops: float) -> NDArray[np.float64]:
    """The short form n d^2 / FLOPS: one product of one layer, a multiply-add counted once.

    SmolLM2-135M, 512 tokens at 100 GFLOP/s: it gives 1.7 ms, the arithmetic alone takes 1.2 s, 690 times as much.
    """
    return np.asarray(prompt, float) * np.square(hidden) / peak_flops


def seed_decode_s(tokens: ArrayLike, hidden: ArrayLike, vocab: ArrayLike, peak_flops: float) -> NDArray[np.float64]:
    """The short form k d V / FLOPS: the output layer only, and as if arithmetic were the limit.

    SmolLM2-135M in float32, one token at 100 GFLOP/s and 20 GB/s: it gives 0.28 ms; the 538 MB of weights alone take
    26.9 ms to read.
    """
    return np.asarray(tokens, float) * hidden * vocab / peak_flops
