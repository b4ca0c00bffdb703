"""Make a model smaller, and measure what that costs: quantise, prune, cut layers, distil.

Everything works on a `transformers` Llama on the processor and gives back another model; what did not change is
shared with the first. Sizes are of the numbers that are really kept, in bytes. Quantised layers run in torch's own
kernels (`_weight_int8pack_mm`, `_weight_int4pack_mm_for_cpu`, `linear_dynamic`), no layer is simulated in float.

- Quantise: fewer bits a number. Weights on a grid of 2^bits values, with one scale for a row or for a group of
  neighbours (Dettmers & Zettlemoyer, "The case for 4-bit precision", ICML 2023).
- Prune: fewer numbers. Single weights, the smallest of each matrix (Han et al., "Learning both Weights and
  Connections", NeurIPS 2015), or whole neurons, which leaves smaller dense matrices.
- Distil: a smaller model learns to predict what the larger one predicts (Hinton et al., "Distilling the Knowledge in
  a Neural Network", 2015).
"""

from __future__ import annotations

import copy
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from servelab import model as models
from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.paths import ASSETS

TEXT = ASSETS / "texts" / "harbour.txt"
"""A story written for this course: no model has seen it in training."""
KERNEL = torch.bfloat16
"""The type of activations in torch's weight-only kernels for a processor; in float32 they are many times slower."""
INT8, INT4 = 127, 15
"""Largest code of a symmetric 8-bit grid and of a 4-bit one that counts from its lowest value."""
SENSIBLE_GROUPS = (32, 64, 128, 256)
"""Weights that may share a scale in torch's 4-bit kernel."""


def load(model_id: str = "smollm2-135m") -> nn.Module:
    """The packaged model in float32 on the processor, for reading only."""
    from transformers import AutoModelForCausalLM, logging

    folder = models.prepare(model_id)
    logging.disable_progress_bar()
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval().requires_grad_(False)


def text_ids(tokens: int = 512, start: int = 0) -> list[int]:
    """`tokens` token ids of the course's own text from `start` on; in all there are some 1,600."""
    return models.tokenizer("smollm2-135m")(TEXT.read_text()).input_ids[start : start + tokens]


def size_bytes(model: nn.Module) -> int:
    """Bytes of all numbers a model keeps; what two layers share counts once."""
    kept: dict[Any, int] = {}
    for module in model.modules():
        for tensor in (*module._parameters.values(), *module._buffers.values()):
            if tensor is not None and tensor.layout == torch.strided:
                kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        if hasattr(module, "packed_bytes"):
            kept[id(module)] = module.packed_bytes
    return sum(kept.values())


# -- quantise ---------------------------------------------------------------------------------------------------------


def int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Codes (out, in) int8 and one scale a row, (out,): weight is about codes x scale; symmetric around 0."""
    scale = weight.abs().amax(1).clamp_min(1e-12) / INT8
    return (weight / scale[:, None]).round().to(torch.int8), scale


def int4(weight: Tensor, group: int) -> tuple[Tensor, Tensor, Tensor]:
    """Codes 0 to 15 (out, in), lowest value and step of each group of neighbours in a row, (out, in / group).

    weight is about low + codes x step; the error is at most half a step.

    Raises:
        ServelabError: rows that cannot be cut into such groups.
    """
    if weight.shape[1] % group:
        text = _("Rows of {n} weights cannot be cut into groups of {group}.")
        raise ServelabError(text.format(n=weight.shape[1], group=group))
    grouped = weight.unflatten(1, (-1, group))
    low, high = grouped.amin(-1), grouped.amax(-1)
    step = (high - low).clamp_min(1e-12) / INT4
    codes = ((grouped - low[..., None]) / step[..., None]).round().clamp(0, INT4).to(torch.uint8)
    return codes.flatten(1), low, step


def restored(codes: Tensor, low: Tensor, step: Tensor) -> Tensor:
    """The weights that `int4` codes stand for, (out, in)."""
    grouped = codes.unflatten(1, (low.shape[1], -1))
    return (low[..., None] + grouped * step[..., None]).flatten(1)


class Int8Linear(nn.Module):
    """x W^T with 8-bit weights and 16-bit activations (weight-only)."""

    def __init__(self, codes: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("codes", codes)
        self.register_buffer("scale", scale.to(KERNEL))

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in) to (..., out)."""
        rows = x.reshape(-1, x.shape[-1]).to(KERNEL)
        return torch.ops.aten._weight_int8pack_mm(rows, self.codes, self.scale).view(*x.shape[:-1], -1).to(x.dtype)


class Int8Embedding(nn.Module):
    """Rows of the same 8-bit table that the head multiplies with."""

    def __init__(self, head: Int8Linear) -> None:
        super().__init__()
        self.register_buffer("codes", head.codes)
        self.register_buffer("scale", head.scale)

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids (...) to vectors (..., d)."""
        return self.codes[ids].float() * self.scale[ids].float()[..., None]


class Int4Linear(nn.Module):
    """x W^T with two 4-bit weights in a byte, a 16-bit lowest value and step a group, and 16-bit activations."""

    def __init__(self, weight: Tensor, group: int) -> None:
        super().__init__()
        codes, low, step = int4(weight, group)
        self.group = group
        self.register_buffer("packed", torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes.int(), 1))
        grid = torch.stack((step, low + 8 * step), -1)  # the kernel counts its codes from the middle: (q - 8) x step
        self.register_buffer("grid", grid.transpose(0, 1).contiguous().to(KERNEL))

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in) to (..., out)."""
        rows = x.reshape(-1, x.shape[-1]).to(KERNEL)
        out = torch.ops.aten._weight_int4pack_mm_for_cpu(rows, self.packed, self.group, self.grid)
        return out.view(*x.shape[:-1], -1).to(x.dtype)


class DynamicLinear(nn.Module):
    """x W^T with 8-bit weights AND 8-bit activations: one scale for all of x, found anew at each call (W8A8)."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        scale = (weight.abs().amax(1).clamp_min(1e-12) / INT8).double()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch will move its quantised tensors to another package
            zeros = torch.zeros(len(weight), dtype=torch.long)
            codes = torch.quantize_per_channel(weight, scale, zeros, 0, torch.qint8)
            self.packed = torch.ops.quantized.linear_prepack(codes, None)
        self.packed_bytes = weight.numel() + 4 * len(weight)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in) to (..., out)."""
        return torch.ops.quantized.linear_dynamic(x, self.packed, True)


def quantised(model: nn.Module, linear: Callable[[Tensor], nn.Module]) -> nn.Module:
    """Every matrix of the layers through `linear(weight)`; the table of tokens, embedding and head, in 8 bits."""
    new = _with(model, lambda old: linear(old.weight))
    new.lm_head = Int8Linear(*int8(model.lm_head.weight))
    new.model.embed_tokens = Int8Embedding(new.lm_head)
    return new


def int8_weights(model: nn.Module) -> nn.Module:
    """Weights in 8 bits, one scale a row."""
    return quantised(model, lambda weight: Int8Linear(*int8(weight)))


def int8_dynamic(model: nn.Module) -> nn.Module:
    """Weights and activations in 8 bits."""
    return quantised(model, DynamicLinear)


def int4_weights(model: nn.Module, group: int = 32) -> nn.Module:
    """Weights in 4 bits, with a scale for each `group` of neighbours.

    Raises:
        ServelabError: a group that torch's kernel does not have.
    """
    if group not in SENSIBLE_GROUPS:
        text = _("torch's 4-bit kernel knows groups of {known} weights, not of {group}.")
        raise ServelabError(text.format(known=", ".join(map(str, SENSIBLE_GROUPS)), group=group))
    return quantised(model, lambda weight: Int4Linear(weight, group))


def half(model: nn.Module) -> nn.Module:
    """The whole model in bfloat16."""
    return copy.deepcopy(model).to(torch.bfloat16)


# -- prune ------------------------------------------------------------------------------------------------------------


class SparseLinear(nn.Module):
    """x W^T that keeps the weights other than 0 only, with their places (compressed sparse rows)."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "in beta state", since 2021
            rows = weight.to_sparse_csr()
            places = rows.crow_indices().int(), rows.col_indices().int()
            self.weight = torch.sparse_csr_tensor(*places, rows.values(), weight.shape)
        self.packed_bytes = sum(part.numel() * part.element_size() for part in (*places, rows.values()))

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in) to (..., out)."""
        rows = x.reshape(-1, x.shape[-1])
        return (self.weight @ rows.T).T.reshape(*x.shape[:-1], -1)


def pruned(model: nn.Module, share: float, sparse: bool = False) -> nn.Module:
    """The smallest `share` of the weights of each matrix set to 0; kept dense, or (`sparse`) without the zeros."""

    def linear(old: nn.Linear) -> nn.Module:
        keep = old.weight.abs() > old.weight.abs().flatten().kthvalue(max(1, round(share * old.weight.numel()))).values
        return SparseLinear(old.weight * keep) if sparse else _linear(old.weight * keep)

    return _with(model, linear)


@torch.inference_mode()
def contributions(model: nn.Module, ids: Sequence[int]) -> list[Tensor]:
    """What each feed-forward neuron adds to its layer's output on a text: root mean square times its column's norm.

    One vector (neurons,) a layer. Weights alone do not tell: a few neurons with small ones are active like no other.
    """
    found: list[Tensor] = []

    def listen(down: nn.Linear, given: tuple[Tensor, ...]) -> None:
        found.append(given[0].flatten(0, -2).pow(2).mean(0).sqrt() * down.weight.norm(dim=0))

    hooks = [layer.mlp.down_proj.register_forward_pre_hook(listen) for layer in model.model.layers]
    try:
        model(torch.tensor([ids]), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def narrowed(model: nn.Module, share: float, ids: Sequence[int]) -> nn.Module:
    """Without the `share` of each layer's feed-forward neurons that contribute least on a text (`ids`)."""
    new = _shell(model)
    for layer, weight in zip(new.model.layers, contributions(model, ids), strict=True):
        gate, up, down = layer.mlp.gate_proj.weight, layer.mlp.up_proj.weight, layer.mlp.down_proj.weight
        keep = weight.topk(round(len(gate) * (1 - share))).indices.sort().values
        layer.mlp.gate_proj, layer.mlp.up_proj = _linear(gate[keep]), _linear(up[keep])
        layer.mlp.down_proj = _linear(down[:, keep])
    return new


def shortened(model: nn.Module, layers: Sequence[int]) -> nn.Module:
    """Only these layers, in this order: what a student begins as."""
    new = _shell(model)
    new.model.layers = nn.ModuleList(new.model.layers[i] for i in layers)
    for place, layer in enumerate(new.model.layers):
        layer.self_attn.layer_idx = place  # its place in the cache
    new.config.num_hidden_layers = len(layers)
    return new


def _shell(model: nn.Module) -> nn.Module:
    """A copy of the modules that shares every weight."""
    return copy.deepcopy(model, {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())})


def _with(model: nn.Module, linear: Callable[[nn.Linear], nn.Module]) -> nn.Module:
    """A copy in which `linear` has replaced each matrix of the layers."""
    new = _shell(model)
    for layer in new.model.layers:
        for part in (layer.self_attn, layer.mlp):
            for name, old in list(part.named_children()):
                if isinstance(old, nn.Linear):
                    setattr(part, name, linear(old))
    return new


def _linear(weight: Tensor) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    made.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
    return made


# -- distil -----------------------------------------------------------------------------------------------------------


def distil(
    teacher: nn.Module,
    student: nn.Module,
    rows: Tensor,
    batch: int = 2,
    rate: float = 5e-4,
) -> Iterator[tuple[int, float]]:
    """Let a student learn the teacher's distribution over the next token; yields (tokens seen, loss) after each step.

    The loss is KL(teacher || student) in nats a token. The student's layers are trained, its token table is not.

    Args:
        rows: token ids, (rows, length), each used once, in order.
        batch: rows a step.
        rate: peak learning rate; it rises over the first tenth of the steps and falls to 0 along a cosine.
    """
    for p in student.parameters():
        p.requires_grad_(False)
    owned = [nn.Parameter(p.clone()) for p in student.model.layers.parameters()]
    places = [(m, n) for m in student.model.layers.modules() for n, p in m._parameters.items() if p is not None]
    for (module, name), p in zip(places, owned, strict=True):
        module._parameters[name] = p
    optimizer = torch.optim.AdamW(owned, lr=rate, weight_decay=0.0)
    steps = len(rows) // batch
    for step in range(steps):
        warm = min(1.0, (step + 1) / max(1, steps // 10))
        optimizer.param_groups[0]["lr"] = rate * warm * (1 + np.cos(np.pi * step / steps)) / 2
        ids = rows[step * batch : (step + 1) * batch]
        with torch.no_grad():
            wanted = F.log_softmax(teacher(ids).logits, -1).flatten(0, 1)
        said = F.log_softmax(student(ids).logits, -1).flatten(0, 1)
        loss = F.kl_div(said, wanted, reduction="batchmean", log_target=True)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(owned, 1.0)
        optimizer.step()
        yield (step + 1) * ids.numel(), loss.item()
    for p in owned:
        p.requires_grad_(False)


# -- measure ----------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def surprise(model: nn.Module, ids: Sequence[int], window: int = 512) -> np.ndarray:
    """-ln p of each token given those before it in its window, in nats; the first of each window has none before it.

    The perplexity of the text is exp(mean).
    """
    found = []
    for start in range(0, len(ids), window):
        part = torch.tensor([ids[start : start + window]])
        if part.shape[1] > 1:
            logits = model(part, use_cache=False).logits[0, :-1].float()
            found.append(F.cross_entropy(logits, part[0, 1:], reduction="none"))
    return torch.cat(found).numpy()


@torch.inference_mode()
def seconds(model: nn.Module, ids: Sequence[int], tokens: int) -> tuple[float, float]:
    """Seconds to run `ids` through the model at once (prefill), and then to write `tokens` one by one (decode)."""
    from transformers import DynamicCache

    cache, part = DynamicCache(config=model.config), torch.tensor([ids])
    start = time.perf_counter()
    out = model(part, past_key_values=cache, use_cache=True, logits_to_keep=1)
    filled = time.perf_counter()
    for _token in range(tokens):
        out = model(out.logits[:, -1].argmax(-1, keepdim=True), past_key_values=cache, use_cache=True)
    return filled - start, time.perf_counter() - filled


@dataclass
class Comparison:
    """Compressed models against the one they came from: size, perplexity on one text, and speed in turns with it.

    Args:
        base: the model to compare with.
        ids: the text.
        prompt, tokens: how long a prompt is run, and how many tokens are written, to take the time.
        rounds: how often, by turns, so that a machine which slowly changes its speed treats both alike.
    """

    base: nn.Module
    ids: Sequence[int]
    prompt: int = 128
    tokens: int = 12
    rounds: int = 3
    rows: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._nats = surprise(self.base, self.ids)
        seconds(self.base, self.ids[:16], 2)
        self.add(_("float32"), self.base)

    def add(self, name: str, model: nn.Module) -> dict[str, Any]:
        """Measure a model and keep the row.

        The row: `bytes`; `perplexity`; `times`, its ratio to the base's, and `low`, `high`, a 95 % interval of that
        from the differences token by token; `decode`, `prefill` in tokens/s; `faster`, `sooner`, how many times the
        base's speed they are (median of the rounds).
        """
        nats = self._nats if model is self.base else surprise(model, self.ids)
        more = nats - self._nats
        mean, error = float(more.mean()), 1.96 * float(more.std(ddof=1)) / len(more) ** 0.5
        seconds(model, self.ids[:16], 2)
        turns = [
            [seconds(one, self.ids[: self.prompt], self.tokens) for one in (self.base, model)]
            for _round in range(self.rounds)
        ]
        row = {
            "name": name,
            "bytes": size_bytes(model),
            "perplexity": float(np.exp(nats.mean())),
            "times": float(np.exp(mean)),
            "low": float(np.exp(mean - error)),
            "high": float(np.exp(mean + error)),
            "decode": self.tokens / statistics.median(own[1] for _base, own in turns),
            "prefill": self.prompt / statistics.median(own[0] for _base, own in turns),
            "faster": 1.0 if model is self.base else statistics.median(base[1] / own[1] for base, own in turns),
            "sooner": 1.0 if model is self.base else statistics.median(base[0] / own[0] for base, own in turns),
        }
        self.rows.append(row)
        return row

    def learnt(self, name: str, like: str, perplexity: float) -> dict[str, Any]:
        """Keep the row of a model that was trained elsewhere, of the same shape as `like`: equal size and speed."""
        shape = next(row for row in self.rows if row["name"] == like)
        times = perplexity / self.rows[0]["perplexity"]
        row = {**shape, "name": name, "perplexity": perplexity, "times": times, "low": np.nan, "high": np.nan}
        self.rows.append(row)
        return row

    def frame(self) -> pd.DataFrame:
        """The rows so far, indexed by name."""
        return pd.DataFrame(self.rows).set_index("name")
