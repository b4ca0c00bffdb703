"""Every explorer of the course over plausible data, for the tests and the bench that treat all alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from servelab import course
from servelab.calibrate import Sample
from servelab.figures.doors import Door
from servelab.load.arrivals import poisson
from servelab.load.metrics import Record
from servelab.load.traces import COURSE, read
from servelab.load.workload import synthetic
from servelab.simulate.engine import simulate
from servelab.simulate.history import moments
from servelab.simulate.queueing import service, waits
from servelab.simulate.scheduler import EngineConfig
from servelab.theory.batching import StepModel
from servelab.theory.choice import Server
from servelab.theory.kv_cache import blocks_over_time
from servelab.theory.latency import Linear, Machine, Step, step_s
from servelab.theory.queueing import observed
from servelab.widgets.allocation import allocation
from servelab.widgets.allocator import allocator
from servelab.widgets.autoscaler import autoscaler
from servelab.widgets.base import Explorer
from servelab.widgets.batching import batching
from servelab.widgets.burn import burn
from servelab.widgets.chunking import chunking
from servelab.widgets.complexity import complexity
from servelab.widgets.doors import doors
from servelab.widgets.dynamic_batching import dynamic_batching
from servelab.widgets.engine_choice import engine_choice
from servelab.widgets.gantt import gantt
from servelab.widgets.kv_cache import kv_cache
from servelab.widgets.latency import latency
from servelab.widgets.player import player
from servelab.widgets.policies import policies
from servelab.widgets.queueing import queueing
from servelab.widgets.restaurant import restaurant
from servelab.widgets.ring import ring
from servelab.widgets.roofline import roofline
from servelab.widgets.sampling import sampling
from servelab.widgets.shelf import shelf
from servelab.widgets.slo import slo
from servelab.widgets.speculation import speculation
from servelab.widgets.stopping import stopping

LENGTHS = [(e.prompt_tokens, e.output_tokens) for e in read(COURSE)][:48]
CROWD = [(40, 24), (24, 20), (64, 12), (52, 30), (16, 40), (30, 16), (90, 8)]


class Blocks:
    """A block allocator as a learner may write it (2.4-allocator)."""

    def __init__(self, num_blocks: int, block_size: int) -> None:
        self.block_size, self.unused, self.users = block_size, list(range(1, num_blocks)), [0] * num_blocks
        self.tables: dict[int, list[int]] = {}
        self.tokens: dict[int, int] = {}

    def append(self, sequence: int, tokens: int = 1) -> bool:
        length = self.tokens.get(sequence, 0) + tokens
        more = -(-length // self.block_size) - len(self.tables.get(sequence, []))
        if more > len(self.unused):
            return False
        for _ in range(more):
            self.tables.setdefault(sequence, []).append(block := self.unused.pop(0))
            self.users[block] = 1
        self.tokens[sequence] = length
        return True

    def slot(self, sequence: int, position: int) -> int:
        return self.tables[sequence][position // self.block_size] * self.block_size + position % self.block_size

    def share(self, old: int, new: int) -> int:
        self.tables[new] = self.tables[old][: self.tokens[old] // self.block_size]
        for block in self.tables[new]:
            self.users[block] += 1
        self.tokens[new] = len(self.tables[new]) * self.block_size
        return self.tokens[new]

    def free(self, sequence: int) -> None:
        del self.tokens[sequence]
        for block in self.tables.pop(sequence):
            self.users[block] -= 1
            if not self.users[block]:
                self.unused.append(block)


def _batching() -> Explorer:
    model = StepModel(fixed_s=0.04, each_s=0.005, prefill_s=0.001)
    n = np.array([1, 2, 4, 8, 16, 32])
    measured = {"tok_s": model.throughput(n, 64, 32), "tpot_s": model.tpot_s(n), "ttft_s": model.ttft_s(n, 64)}
    sweep = pd.DataFrame({"concurrency": n, **measured})
    return batching(sweep, model, prompt_tokens=64, output_tokens=32, kv_tokens=20_000)


def _chunking() -> Explorer:
    prices = Linear(fixed_s=0.045, decode_s=0.003, prefill_s=0.002)
    measured = pd.DataFrame({"budget": [128, 2048], "stall_s": [0.4, 1.1], "ttft_s": [1.3, 1.1]})
    return chunking(prices, measured, prompt=512, decoding=4)


def _gantt() -> Explorer:
    requests = synthetic(40, prompt_tokens=(128, 0.5), output_tokens=(32, 0.5), seed=2)
    engine = EngineConfig(num_blocks=40, block_size=32, max_num_seqs=8, max_num_batched_tokens=256)
    slower = simulate(requests, engine, Linear(0.05, 0.005, prefill_s=0.0012), arrivals=poisson(2.0, seed=2))
    return gantt(requests, Linear(0.045, 0.004, prefill_s=0.001), engine, measured=slower)


def _kv_cache() -> Explorer:
    starts = np.arange(6) * 1.5
    requests = [
        Record(i, t, prompt_tokens=60 + 30 * i, token_times_s=[t + 0.1 * k for k in range(80)])
        for i, t in enumerate(starts)
    ]
    times = np.arange(0, 17, 0.1)
    readings = pd.DataFrame({"t_s": times, "blocks": blocks_over_time(requests, 32, times)})
    return kv_cache(block=32, readings=readings, requests=requests)


def _latency() -> Explorer:
    requests = synthetic(20, prompt_tokens=(128, 0.5), output_tokens=(24, 0.5), seed=2)
    engine = EngineConfig(num_blocks=60, block_size=32, max_num_seqs=8, max_num_batched_tokens=256)
    slower = simulate(requests, engine, Linear(0.05, 0.005, prefill_s=0.0012), arrivals=poisson(2.0, seed=2))
    return latency(requests, Linear(0.045, 0.004, prefill_s=0.001), engine, measured=slower)


def _player() -> Explorer:
    crowd = synthetic(8, prompt_tokens=192, output_tokens=96, seed=7)
    history = moments(crowd, EngineConfig(66, 32, 8), Linear(0.04, 0.005, prefill_s=0.001), concurrency=8)
    readings = pd.DataFrame({"t_s": [one.end_s for one in history], "blocks": [one.used for one in history]})
    return player(history, "vLLM's scheduler", "simulated", readings=readings)


def _queueing() -> Explorer:
    loads = []
    for rate in (2.0, 5.0, 8.0):
        rng = np.random.default_rng(0)
        came = np.cumsum(rng.exponential(1 / rate, 200))
        took = service("gamma", 0.1, 0.5)(rng, (200,))
        loads.append(observed(came, came + waits(came, took) + took))
    return queueing(0.1, 0.5, loads=loads)


def _roofline() -> Explorer:
    model = course.load().model("smollm2-135m")
    machine = Machine(100e9, 20e9, mfu=0.7, mbu=0.8, t0_s=0.004, overlap=0.3)
    rng = np.random.default_rng(0)
    samples = []
    for decoders, context, prompt in ((1, 20, 0), (4, 200, 0), (16, 40, 0), (32, 500, 0), (0, 0, 128), (8, 40, 64)):
        work = (decoders, decoders * context, prompt, prompt * (prompt + 1) / 2, float(prompt > 0))
        step = Step(*work)
        took = float(step_s(model, step, machine)) * rng.lognormal(0, 0.1)
        samples.append(Sample("probe", (1.0, *work, 0.0), took))
    return roofline(model, machine, samples)


def _slo() -> Explorer:
    rng = np.random.default_rng(0)
    n = 200
    frame = pd.DataFrame(
        {"status": ["ok"] * n, "ttft_s": rng.gamma(2, 0.4, n), "tpot_s": rng.gamma(9, 0.01, n)},
    )
    return slo(frame, duration_s=60)


def _speculation() -> Explorer:
    step = StepModel(fixed_s=0.04, each_s=0.002)
    return speculation(measured=[0.72, 0.55, 0.45, 0.38], step_s=step.tpot_s)


def _engine_choice() -> Explorer:
    server = Server(StepModel(0.04, 0.005, 0.001), 32, 1.5 * 2**30, 0.5 * 2**30, 46_080, 128)
    return engine_choice(server, measured={"8 at once": (1.2, 16)})


EXPLORERS: dict[str, Callable[[], Explorer]] = {
    "allocation": lambda: allocation(LENGTHS),
    "allocator": lambda: allocator(Blocks, CROWD, shares={3: 0}),
    "autoscaler": lambda: autoscaler(0.02, 0.1),
    "batching": _batching,
    "burn": burn,
    "chunking": _chunking,
    "complexity": lambda: complexity(measured={"prefill": {n: 3e8 * n for n in (256, 512, 1024)}}),
    "doors": lambda: doors(Door(0.1, 0.02, 3000, 25), Door(0.12, 0.022, 3050, 30), server_mb=50, each_mb=30),
    "dynamic_batching": lambda: dynamic_batching(0.012, 0.001),
    "engine_choice": _engine_choice,
    "gantt": _gantt,
    "kv_cache": _kv_cache,
    "latency": _latency,
    "player": _player,
    "policies": policies,
    "queueing": _queueing,
    "restaurant": lambda: restaurant(0.5, 0.05),
    "ring": lambda: ring(recorded=[f"user {n * n % 37}" for n in range(600)]),
    "roofline": _roofline,
    "sampling": lambda: sampling([" the", " a", " its", " that", " one"], [-0.5, -1.6, -2.2, -3.0, -4.0]),
    "shelf": lambda: shelf(6, 2),
    "slo": _slo,
    "speculation": _speculation,
    "stopping": lambda: stopping([0.5 + 0.1 * n for n in range(40)], 2.0, [(0.0, 4.0), (1.0, 3.0)]),
}
