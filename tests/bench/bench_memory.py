"""Memory foretold: blocks and bytes of the KV cache against the engine's own, and what its blocks waste.

Blocks and bytes come from the model's shape alone and must be equal to the last byte: to what running engines report
and hold (the bytes are those of the tensors themselves, told by a method that is added to vLLM's worker), and to what
vLLM's own allocator decides for every model of the course, three number formats, five block sizes and four memories.

Waste is foretold from the lengths of the course's trace and nothing else, every step counted alike. Against it: the
simulator's pool and the tiny engine's block tables, step by step, and a real engine's usage, read while it serves the
trace, with the tokens that its client had by then. A reading counts time: steps that take a prompt in last longer,
so by time the waste is a little other than by steps (`by_time` of simulator and tiny engine says by how much).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np

from servelab import course, hardware
from servelab.bench import FOLDER, Bench
from servelab.engines import Server, vllm
from servelab.load import Request, drive, trace
from servelab.simulate import Engine, EngineConfig, Linear, sequences
from servelab.theory import kv_cache

USAGE = "vllm:kv_cache_usage_perc"
READ_S = 0.05
PRICES = Linear(0.04, 0.0025, 1e-7, 0.0015, 1e-7)
"""Seconds of a step for the simulator, about those of two cores."""

CONFIGS: dict[str, dict[str, Any]] = {
    "as the course starts it": {},
    "a memory that no block divides": {"kv_cache_memory_bytes": 700_000_001, "block_size": 32},
    "two bytes a number": {"dtype": "bfloat16", "block_size": 64},
    "blocks by number": {"num_gpu_blocks_override": 97, "block_size": 32},
}
SERVING = ("as the course starts it", "a memory that no block divides")
"""Those that serve the trace: blocks of 128 and of 32 tokens."""


class Inside:
    """Added to vLLM's worker (`--worker-extension-cls`): what its cache's tensors take."""

    def cache_bytes(self) -> dict[str, int]:
        """Bytes of memory behind the tensors of all layers, each counted once."""
        stores = [tensor.untyped_storage() for tensor in self.model_runner.kv_caches]
        return {"bytes": sum({store.data_ptr(): store.nbytes() for store in stores}.values())}


# ------------------------------------------------------------------------------------------------ blocks and bytes


def start(name: str, flags: dict[str, Any]) -> Server:
    """An engine with `Inside` in its worker, which is asked over vLLM's own route for developers."""
    inside = {
        "VLLM_SERVER_DEV_MODE": "1",
        "PYTHONPATH": os.pathsep.join([str(FOLDER), os.environ.get("PYTHONPATH", "")]),
    }
    with mock.patch.dict(os.environ, inside):
        return vllm(name=name, worker_extension_cls="bench_memory.Inside", **flags)


def foretold(flags: dict[str, Any], budget: int) -> dict[str, int]:
    """Blocks, tokens and bytes of a configuration; `budget` is the memory in bytes that the cache may take."""
    tier = hardware.tier()
    size = kv_cache.model_token_bytes(course.load().model(tier.model), flags.get("dtype", tier.dtype))
    block = flags.get("block_size") or tier.block_size or 128  # vLLM's own on a CPU
    pool = kv_cache.pool(budget, size, block)
    if "num_gpu_blocks_override" in flags:
        pool = kv_cache.Pool(flags["num_gpu_blocks_override"], block)
    return {"block_size": block, "blocks": pool.num_blocks, "tokens": pool.tokens, "bytes": pool.tokens * size}


def reported(server: Server) -> dict[str, int]:
    """The same from a running engine: its metrics, and its tensors."""
    import httpx

    cache = server.kv_cache
    answer = httpx.post(f"{server.url}/collective_rpc", json={"method": "cache_bytes"}, timeout=60, trust_env=False)
    answer.raise_for_status()
    told = next(iter(server.metrics().samples("vllm:cache_config_info"))).labels
    return {
        "block_size": cache.block_size,
        "blocks": cache.num_blocks,
        "tokens": int(told["kv_cache_size_tokens"]),
        "bytes": answer.json()["results"][0]["bytes"],
    }


def allocated(quick: bool) -> tuple[int, list[dict[str, Any]]]:
    """vLLM's allocator and the formula for a grid of caches: how many there are, and those that differ."""
    from types import SimpleNamespace

    import torch
    from vllm.config import CacheConfig
    from vllm.v1.core.kv_cache_utils import get_kv_cache_config_from_groups
    from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheGroupSpec

    models = course.load().models[: 2 if quick else None]
    grid = list(
        itertools.product(
            models,
            ("float32", "bfloat16", "float16"),
            (16, 32, 64, 128, 256),
            (2**30, 700_000_001, 123_456_789_012, 24 * 2**30),
        )
    )
    wrong = []
    for model, dtype, block, budget in grid:
        spec = FullAttentionSpec(
            block_size=block, num_kv_heads=model.kv_heads, head_size=model.head_dim, dtype=getattr(torch, dtype)
        )
        cache = CacheConfig(block_size=block)
        cache.kv_cache_layout = "LBHNC"  # each layer's blocks for itself: the one of vLLM's CPU backend
        config = SimpleNamespace(cache_config=cache, attention_config=SimpleNamespace(hisparse_config=None))
        group = KVCacheGroupSpec([f"layers.{i}" for i in range(model.layers)], spec)
        theirs = get_kv_cache_config_from_groups(config, [group], budget)
        size = kv_cache.model_token_bytes(model, dtype)
        ours = kv_cache.pool(budget, size, block)
        pair = (ours.num_blocks, ours.tokens * size), (theirs.num_blocks, theirs.kv_cache_tensors[0].size)
        if pair[0] != pair[1]:
            wrong.append({"model": model.id, "dtype": dtype, "block_size": block, "memory": budget, "pair": pair})
    return len(grid), wrong


# ----------------------------------------------------------------------------------------------------------- waste


def at_engine(server: Server, requests: Sequence[Request]) -> dict[str, Any]:
    """Serve `requests` and read the engine's usage meanwhile.

    A reading shows the engine between two steps: who ended has freed its blocks, so an answer of n tokens is seen
    for n - 1 of its steps.
    """
    cache = server.kv_cache
    pool = kv_cache.Pool(cache.num_blocks, cache.block_size)
    with server.watch(USAGE, every=READ_S) as watch:
        result = drive(server, requests, progress=False)
    frame = watch.frame()
    times = frame["t_s"].to_numpy() - (result.about["started_unix_s"] - watch.started_unix_s)
    held = pool.held(frame[USAGE])
    tokens = kv_cache.tokens_over_time(result.records, times)
    by_client = kv_cache.blocks_over_time(result.records, cache.block_size, times)
    return {
        "waste": 1 - tokens.sum() / (held.sum() * cache.block_size),
        "blocks_by_client_over_engine": by_client.sum() / held.sum(),
        "readings_equal": float((by_client == held).mean()),
        "t_s": np.round(times, 3).tolist(),
        "held_blocks": held.tolist(),
        "tokens": tokens.tolist(),
    }


@dataclass
class Held:
    """Tokens and the room of their blocks, summed over steps, and over steps times their seconds."""

    tokens: float = 0.0
    room: float = 0.0
    token_s: float = 0.0
    room_s: float = 0.0

    def add(self, tokens: float, room: float, seconds: float) -> None:
        """One step."""
        self.tokens, self.room = self.tokens + tokens, self.room + room
        self.token_s, self.room_s = self.token_s + tokens * seconds, self.room_s + room * seconds

    @property
    def waste(self) -> dict[str, float]:
        """Share that is empty."""
        return {"measured": 1 - self.tokens / self.room, "by_time": 1 - self.token_s / self.room_s}


def at_simulator(requests: Sequence[Request], block_size: int) -> dict[str, float]:
    """Waste of a simulated engine whose pool counts blocks one by one; tokens from who wrote when."""
    config = EngineConfig(num_blocks=2**16 // block_size, block_size=block_size, max_num_seqs=32)
    engine = Engine(config, PRICES, jump=False, history=True)
    for sequence in sequences(requests, config):
        engine.add(sequence)
    engine.run()
    steps, held = engine.steps(), Held()
    tokens = np.zeros(len(steps))
    for sequence in engine.ended:
        for first, count in sequence.spans:
            tokens[first : first + count] += sequence.prompt + np.arange(count)
    for step, full in zip(steps.itertuples(), tokens.tolist(), strict=True):
        held.add(full, step.used * block_size, step.end_s - step.t_s)
    return held.waste


def at_tiny(requests: Sequence[Request], block_size: int) -> dict[str, float]:
    """Waste in the block tables of the tiny engine, which really writes these answers."""
    from servelab import tiny

    engine = tiny.Engine(num_blocks=2**15 // block_size, block_size=block_size, max_num_seqs=32)
    for request in requests:
        engine.add(request.prompt, request.output_tokens, ignore_eos=True)
    held = Held()
    while snapshot := engine.step():
        tokens = sum(part.start + len(part.tokens) for part in snapshot.parts)
        held.add(tokens, block_size * sum(len(table) for table in snapshot.tables.values()), snapshot.seconds)
    return held.waste


def lengths(requests: Sequence[Request], unseen: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Prompts and answers in tokens; `unseen` steps of each answer are not looked at."""
    return np.array([r.prompt_tokens for r in requests]), np.array([r.output_tokens for r in requests]) - unseen


def run(bench: Bench) -> None:
    """Allocator, engines one after the other, then the simulator and the tiny engine."""
    tier = hardware.tier()
    total, wrong = allocated(bench.quick)
    bench.figure("allocator-blocks-and-bytes", total - len(wrong), f"of {total} caches", "all equal", not wrong)
    configs = {name: CONFIGS[name] for name in list(CONFIGS)[: 1 if bench.quick else None]}
    requests = trace(n=10 if bench.quick else None, time_scale=0.5)
    engines, equal, wastes = {}, {"blocks": 0, "bytes": 0}, []
    for i, (name, flags) in enumerate(configs.items()):
        bench.say(f"starting: {name}")
        with start(f"bench-memory-{i}", flags) as server:
            told = next(iter(server.metrics().samples("vllm:cache_config_info"))).labels["kv_cache_memory_bytes"]
            budget = int(flags.get("kv_cache_memory_bytes") or (tier.kv_cache_gib or 0) * 2**30 or told)
            ours, theirs = foretold(flags, budget), reported(server)
            engines[name] = {"flags": flags, "foretold": ours, "reported": theirs}
            equal["blocks"] += all(ours[key] == theirs[key] for key in ("block_size", "blocks", "tokens"))
            equal["bytes"] += ours["bytes"] == theirs["bytes"]
            bench.say(f"{name}: foretold {ours}, reported {theirs}")
            if name in SERVING:
                seen = at_engine(server, requests)
                size = theirs["block_size"]
                foretell = kv_cache.serving_waste(*lengths(requests, unseen=1), size)
                engines[name]["serving"] = seen
                wastes.append({"by": "engine", "block_size": size, "foretold": foretell, "measured": seen["waste"]})
            server.stop()
    for key, count in equal.items():
        every = count == len(configs)
        bench.figure(f"engine-{key}", count, f"of {len(configs)} engines", "all equal, exactly", every)

    whole = trace(n=24 if bench.quick else None)
    for size in (16, 32, 64, 128):
        foretell = kv_cache.serving_waste(*lengths(whole), size)
        wastes.append({"by": "simulator", "block_size": size, "foretold": foretell, **at_simulator(whole, size)})
    some = trace(n=4 if bench.quick else 32)
    for size in (16,) if bench.quick else (16, 128):
        foretell = kv_cache.serving_waste(*lengths(some), size)
        wastes.append({"by": "tiny", "block_size": size, "foretold": foretell, **at_tiny(some, size)})
    for row in wastes:
        off = 100 * abs(row["measured"] - row["foretold"])
        texts = {key: f"{100 * row[key]:.1f} %" for key in ("foretold", "measured")}
        bench.say(f"waste, {row['by']}, blocks of {row['block_size']}: {texts}")
        bench.figure(f"waste-{row['by']}-{row['block_size']}", off, "points off", "1 or less", off <= 1)
    bench.data = {
        "tier": tier.id,
        "model": tier.model,
        "trace": {"engine": len(requests), "simulator": len(whole), "tiny": len(some)},
        "allocator": {"caches": total, "different": wrong},
        "engines": engines,
        "waste": wastes,
    }
