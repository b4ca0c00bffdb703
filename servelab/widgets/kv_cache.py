"""How much memory a workload takes: model, heads, dtype, batch, length and block size, and what follows."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from servelab import course
from servelab.figures import kv_cache as figures
from servelab.i18n import _, sentences
from servelab.theory import kv_cache as theory
from servelab.widgets.base import Explorer, choice, steps

GIB = 2**30
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
LENGTHS = (16, 32, 64, 100, 128, 200, 256, 512, 1000, 1024, 2048, 4096, 8192, 16384, 32768)
BLOCKS = (1, 8, 16, 32, 64, 128, 256)
MEMORIES = (2, 4, 8, 16, 24, 40, 80, 160, 320)
DTYPES = ("float32", "bfloat16", "fp8")
WEIGHTS = {"float32": 4, "bfloat16": 2, "fp8": 2}


def kv_cache(
    model: str = "smollm2-135m",
    dtype: str = "float32",
    memory_gib: int = 8,
    batch: int = 32,
    length: int = 200,
    *,
    block: int = 16,
    readings: pd.DataFrame | None = None,
    requests: Sequence[theory.Timed] = (),
) -> Explorer:
    """Explorer: one workload, four views of its memory; begins with the given values.

    With `readings` a fifth view lays a real load over the model: what the engine held, and what the same requests
    hold under the settings of the controls. At the engine's own settings the two must agree.

    Args:
        model: a model of course.toml.
        dtype: of cache and weights; `fp8` is a cache of 8 bits under 16-bit weights.
        memory_gib: of the machine, for weights and cache.
        batch: sequences at once, all equally long.
        length: tokens of each.
        block: tokens a block; with `readings`, those of the engine.
        readings: what an engine with this model, dtype and block told: columns `t_s` and `blocks` (held), on the
            clock of `requests`, as `figures.pressure` takes them.
        requests: the load's records.
    """
    models = {m.id: m for m in course.load().models}

    def sizes(model: str, heads: str, dtype: str) -> dict[str, int]:
        one = models[model]
        ways = {"MHA": one.heads, "GQA": one.kv_heads, "MQA": 1}
        if one.kv_heads == one.heads:
            ways.pop("GQA")
        found = {way: theory.model_token_bytes(one, dtype, kv_heads) for way, kv_heads in ways.items()}
        return found | {"own": theory.model_token_bytes(one, dtype)}

    own, own_bytes = (model, "own", dtype, block), theory.model_token_bytes(models[model], dtype)

    def laid_over(model: str, heads: str, dtype: str, block: int, each: int) -> go.Figure:
        told = readings.blocks.to_numpy() * own[-1] * own_bytes
        same = theory.blocks_over_time(requests, block, readings.t_s) * block * each
        return figures.held(readings.t_s.to_numpy(), told, same, (model, heads, dtype, block) == own)

    def draw(model: str, heads: str, dtype: str, batch: int, length: int, block: int, memory: int) -> list[go.Figure]:
        held = sizes(model, heads, dtype)
        each = held.get(heads, held["own"])
        weights = models[model].parameters * WEIGHTS[dtype]
        ways = {way: size for way, size in held.items() if way != "own"}
        views = [
            figures.budget(weights, each, batch, length, block, memory * GIB),
            figures.block_map(length, block),
            figures.waste_by_block(length, block, BLOCKS),
            figures.by_model({models[model].title: ways}).update_layout(height=380),
        ]
        return views if readings is None else [laid_over(model, heads, dtype, block, each), *views]

    def say(model: str, heads: str, dtype: str, batch: int, length: int, block: int, memory: int) -> str:
        held = sizes(model, heads, dtype)
        each = held.get(heads, held["own"])
        left = memory * GIB - models[model].parameters * WEIGHTS[dtype]
        cache = batch * int(theory.blocks(length, block)) * block * each
        told = _(
            "{each:,} bytes a token; {batch} sequences of {length:,} tokens hold {cache:.2f} GiB, "
            "{waste:.0f} % of it empty."
        ).format(
            each=each, batch=batch, length=length, cache=cache / GIB, waste=100 * float(theory.waste(length, block))
        )
        if left <= 0:
            return sentences(told, _("The weights alone do not fit into {memory} GiB.").format(memory=memory))
        fits = theory.pool(left, each, block).fits(length)
        room = _("Beside the weights, {memory} GiB have room for {fits:,} such sequences.")
        return sentences(told, room.format(memory=memory, fits=fits))

    shared = {
        _("the model's own"): "own",
        _("MHA: one KV head a query head"): "MHA",
        _("MQA: one KV head for all"): "MQA",
    }
    controls = {
        "model": choice(_("Model"), {m.title: m.id for m in models.values()}, model),
        "heads": choice(_("KV heads"), shared, "own"),
        "dtype": choice(_("Type of the numbers"), DTYPES, dtype),
        "batch": steps(_("Sequences at once"), BATCHES, batch),
        "length": steps(_("Length of each (tokens)"), sorted({*LENGTHS, length}), length),
        "block": steps(_("Block size (tokens)"), sorted({*BLOCKS, block}), block),
        "memory": steps(_("Memory (GiB)"), sorted({*MEMORIES, memory_gib}), memory_gib),
    }
    return Explorer(controls, draw, say=say, columns=2)
