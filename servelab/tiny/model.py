"""One forward pass of a Llama over a flat batch, with the keys and values of earlier tokens read from pages.

The batch has no padding: the new tokens of all sequences stand end to end, a whole prompt beside a single decode
token. Every layer but attention treats them as N unrelated rows. Attention writes the new keys and values to their
slots, then reads each sequence's pages through its block table (Kwon et al., "Efficient Memory Management for Large
Language Model Serving with PagedAttention", SOSP 2023, section 4.1).

N tokens in the batch, d the width, H query heads, G KV heads, D a head's size. A slot is the place of one token in
the cache: block x block size + offset.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor

from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.model import require


@dataclass(frozen=True)
class Shape:
    """A Llama's sizes, in the words of its config.json."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    max_position_embeddings: int
    rms_norm_eps: float
    rope_theta: float
    eos: frozenset[int]

    @classmethod
    def read(cls, folder: Path) -> Shape:
        """The shape of the model in `folder`.

        Raises:
            ServelabError: it is not a plain Llama (another family, scaled rotary positions, biases).
        """
        text = json.loads((folder / "config.json").read_text())
        rope = text.get("rope_parameters") or text.get("rope_scaling") or {}
        plain = (
            text.get("model_type") == "llama"
            and text.get("hidden_act", "silu") == "silu"
            and rope.get("rope_type", "default") == "default"
            and not text.get("attention_bias")
            and not text.get("mlp_bias")
        )
        if not plain:
            sentence = _("The tiny engine runs plain Llama models only, and {folder} is none: choose another model.")
            raise ServelabError(sentence.format(folder=folder))
        heads, eos = text["num_attention_heads"], text.get("eos_token_id")
        return cls(
            hidden_size=text["hidden_size"],
            num_hidden_layers=text["num_hidden_layers"],
            num_attention_heads=heads,
            num_key_value_heads=text.get("num_key_value_heads") or heads,
            head_dim=text.get("head_dim") or text["hidden_size"] // heads,
            vocab_size=text["vocab_size"],
            max_position_embeddings=text["max_position_embeddings"],
            rms_norm_eps=text["rms_norm_eps"],
            rope_theta=rope.get("rope_theta") or text.get("rope_theta") or 10_000.0,
            eos=frozenset([eos] if isinstance(eos, int) else eos or ()),
        )


@dataclass(frozen=True)
class Run:
    """What one sequence brings to a batch: new tokens, the position of the first, its block table, and of how many
    of its last tokens the logits are wanted."""

    tokens: Sequence[int]
    start: int
    table: Sequence[int]
    wanted: int = 0


@dataclass(frozen=True)
class Group:
    """S sequences with equally many new tokens n and similarly long tables, which attend as one tensor.

    rows (S, n): their rows in the batch. tables (S, blocks): their block tables, padded with block 0.
    mask (S, 1, n, blocks x block size): True where a new token may look: at itself and what came before.
    """

    rows: Tensor
    tables: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Batch:
    """The input of one forward pass: tokens, positions and slots (N,); groups; wanted (M,), rows to get logits of."""

    tokens: Tensor
    positions: Tensor
    slots: Tensor
    groups: list[Group]
    wanted: Tensor


def lay_out(runs: Sequence[Run], block_size: int, device: torch.device | str = "cpu") -> Batch:
    """The flat batch of some sequences: every token gets its position, its slot and its group."""
    tokens, positions, slots, wanted = [], [], [], []
    alike: dict[tuple[int, int], list[tuple[int, int, Sequence[int]]]] = defaultdict(list)
    for run in runs:
        row, n = len(tokens), len(run.tokens)
        span = range(run.start, run.start + n)
        tokens += run.tokens
        positions += span
        slots += [run.table[p // block_size] * block_size + p % block_size for p in span]
        wanted += range(row + n - run.wanted, row + n)
        table = run.table[: -(-(run.start + n) // block_size)]  # blocks with something in them
        # Tables are padded to the longest of their group: grouped by powers of two, at most half is padding.
        alike[n, (len(table) - 1).bit_length()].append((row, run.start, table))

    def tensor(values) -> Tensor:
        return torch.tensor(values, device=device)

    groups = []
    for (n, _size), members in alike.items():
        longest = max(len(table) for _, _, table in members)
        mine = tensor([range(start, start + n) for _, start, _ in members])
        keys = torch.arange(longest * block_size, device=device)
        groups.append(
            Group(
                rows=tensor([range(row, row + n) for row, _, _ in members]),
                tables=tensor([[*table, *[0] * (longest - len(table))] for _, _, table in members]),
                mask=(keys <= mine[:, :, None])[:, None],
            )
        )
    return Batch(tensor(tokens), tensor(positions), tensor(slots), groups, tensor(wanted).long())


def attention(queries: Tensor, keys: Tensor, values: Tensor, groups: Sequence[Group]) -> Tensor:
    """Each new token's look at its own sequence, shape (N, H x D).

    Args:
        queries: (N, H, D).
        keys, values: the cache of this layer, (blocks, block size, G, D); the new tokens' are already written.
        groups: who attends together.
    """
    out = torch.empty_like(queries)
    for group in groups:
        mine = queries[group.rows].transpose(1, 2)  # (S, H, n, D)
        k, v = gather(keys, group.tables), gather(values, group.tables)
        seen = F.scaled_dot_product_attention(mine, k, v, attn_mask=group.mask, enable_gqa=True)
        out[group.rows] = seen.transpose(1, 2)
    return out.flatten(1)


def gather(pages: Tensor, tables: Tensor) -> Tensor:
    """The pages of S sequences put in order, (S, G, tokens, D). A page is fetched by its number, as an embedding is.

    This copies what a paged attention kernel reads in place: the price of staying in plain torch.
    """
    rows = F.embedding(tables, pages.flatten(1))
    return rows.view(len(tables), -1, *pages.shape[2:]).transpose(1, 2)


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """x (N, in) times weight (out, in), shape (N, out).

    One product, written in two ways: with few rows a CPU's BLAS can be half as fast again when the tall matrix
    stands on the left.
    """
    if len(x) > 64 or x.is_cuda:
        return F.linear(x, weight)
    return (weight @ x.T).T.contiguous()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions (Su et al., "RoFormer", 2021): x (N, heads, D), turned by angles whose cos, sin are (N, D/2)."""
    a, b = x.chunk(2, dim=-1)
    cos, sin = cos[:, None], sin[:, None]
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


@dataclass(frozen=True)
class Layer:
    """One layer's weights. Products that read the same input are one matrix: q over k over v, gate over up."""

    norm_in: Tensor  # (d,)
    qkv: Tensor  # ((H + 2 G) D, d)
    out: Tensor  # (d, H D)
    norm_post: Tensor  # (d,)
    gate_up: Tensor  # (2 x intermediate, d)
    down: Tensor  # (d, intermediate)


@dataclass(frozen=True)
class Llama:
    """A Llama's weights and its forward pass. It keeps no state: what it remembers stands in the cache it is given."""

    shape: Shape
    embedding: Tensor  # (vocabulary, d)
    layers: list[Layer] = field(repr=False)
    norm: Tensor  # (d,)
    head: Tensor  # (vocabulary, d)
    angles: tuple[Tensor, Tensor] = field(repr=False)  # cos, sin: (context, D/2)

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Llama:
        """The model in a folder of safetensors.

        Raises:
            ServelabError: the folder is not whole, or holds no plain Llama.
        """
        folder = require(Path(folder))
        shape = Shape.read(folder)
        weights = {}
        for file in sorted(folder.glob("*.safetensors")):
            with safe_open(file, framework="pt") as stored:
                for name in stored.keys():  # noqa: SIM118 (it is no dict)
                    weights[name] = stored.get_tensor(name).to(device, dtype)

        def layer(i: int) -> Layer:
            def take(*names: str) -> Tensor:
                parts = [weights.pop(f"model.layers.{i}.{name}.weight") for name in names]
                return torch.cat(parts) if len(parts) > 1 else parts[0]

            return Layer(
                norm_in=take("input_layernorm"),
                qkv=take("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
                out=take("self_attn.o_proj"),
                norm_post=take("post_attention_layernorm"),
                gate_up=take("mlp.gate_proj", "mlp.up_proj"),
                down=take("mlp.down_proj"),
            )

        embedding = weights["model.embed_tokens.weight"]
        rate = shape.rope_theta ** -(torch.arange(0, shape.head_dim, 2) / shape.head_dim)
        angle = torch.outer(torch.arange(shape.max_position_embeddings), rate)
        return cls(
            shape=shape,
            embedding=embedding,
            layers=[layer(i) for i in range(shape.num_hidden_layers)],
            norm=weights["model.norm.weight"],
            head=weights.get("lm_head.weight", embedding),
            angles=(angle.cos().to(device, dtype), angle.sin().to(device, dtype)),
        )

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.embedding.device

    def first_layers(self, n: int) -> Llama:
        """The same model cut after its first `n` layers: a draft model without training (and a poor one)."""
        return replace(self, shape=replace(self.shape, num_hidden_layers=n), layers=self.layers[:n])

    def new_cache(self, num_blocks: int, block_size: int) -> Tensor:
        """An empty cache for this model, (layers, 2, blocks, block size, G, D): keys are 0, values 1."""
        s = self.shape
        size = (s.num_hidden_layers, 2, num_blocks, block_size, s.num_key_value_heads, s.head_dim)
        return torch.zeros(size, device=self.device, dtype=self.embedding.dtype)

    def __call__(self, batch: Batch, cache: Tensor) -> Tensor:
        """Logits of the wanted rows, (M, vocabulary); the new tokens' keys and values are written to `cache`."""
        s = self.shape
        heads, kv_heads = s.num_attention_heads, s.num_key_value_heads
        cos, sin = (table[batch.positions] for table in self.angles)
        x = F.embedding(batch.tokens, self.embedding)
        for layer, (keys, values) in zip(self.layers, cache, strict=True):
            h = F.rms_norm(x, x.shape[-1:], layer.norm_in, s.rms_norm_eps)
            qkv = linear(h, layer.qkv).view(len(x), -1, s.head_dim)
            q, k = rotate(qkv[:, : heads + kv_heads], cos, sin).split((heads, kv_heads), dim=1)
            keys.flatten(0, 1)[batch.slots] = k
            values.flatten(0, 1)[batch.slots] = qkv[:, heads + kv_heads :]
            x = x + linear(attention(q, keys, values, batch.groups), layer.out)
            h = F.rms_norm(x, x.shape[-1:], layer.norm_post, s.rms_norm_eps)
            gate, up = linear(h, layer.gate_up).chunk(2, dim=-1)
            x = x + linear(F.silu(gate) * up, layer.down)
        x = F.rms_norm(x[batch.wanted], x.shape[-1:], self.norm, s.rms_norm_eps)
        return linear(x, self.head)
