"""The same traces through servelab's scheduler and through vLLM's own, step by step.

vLLM's `Scheduler` runs here without an engine, a model or a server: a configuration made by hand, and in place of a
model an executor that answers every request that has caught up with the token the trace gives it. A trace is a list
of requests, each with the step before which it arrives; both schedulers get them at the same steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from servelab import model
from servelab.load.workload import Request
from servelab.simulate.prefix import chain, request_tokens, shared
from servelab.simulate.scheduler import EngineConfig, Scheduler, Sequence

MODEL = "smollm2-135m"
"""Of it vLLM reads the configuration only."""


@dataclass(frozen=True)
class Row:
    """One step: tokens for each request in order, blocks held after its decision, who was preempted, who ended."""

    tokens: tuple[tuple[int, int], ...]
    used: int
    preempted: tuple[int, ...]
    ended: tuple[int, ...]


@dataclass
class Trace:
    """A named workload: requests, the step before which each arrives, and the engine's settings."""

    name: str
    config: EngineConfig
    requests: list[Request]
    arrive: list[int]
    arrival_s: list[float] = field(default_factory=list)
    """What vLLM's priority queue calls the arrival time; by default the order of arrival."""

    def __post_init__(self) -> None:
        self.arrival_s = self.arrival_s or [float(i) for i in range(len(self.requests))]


def answer(request: Request) -> list[int]:
    """The tokens a request gets: those of its trace, or ids no prompt has."""
    return request.extra.get("answer") or [100_000 + request.id * 1_000 + i for i in range(request.output_tokens)]


def ours(trace: Trace, trim: bool = True) -> list[Row]:
    """The steps servelab's scheduler takes; `trim` names only the blocks that requests share, as `simulate` does."""
    scheduler, rows, step = Scheduler(trace.config), [], 0
    keys = [chain(request_tokens(r), trace.config.block_size) for r in trace.requests]
    keys = shared(keys) if trim else keys
    todo = sorted(range(len(trace.requests)), key=lambda i: trace.arrive[i])
    while todo or scheduler.running or scheduler.waiting:
        while todo and trace.arrive[todo[0]] <= step:
            i = todo.pop(0)
            r = trace.requests[i]
            scheduler.add(
                Sequence(
                    r.id,
                    len(r.prompt),
                    r.output_tokens,
                    trace.arrival_s[i],
                    r.extra.get("priority", 0),
                    keys[i],
                )
            )
        plan = scheduler.schedule()
        used = scheduler.pool.used
        _wrote, ended = scheduler.complete(plan)
        rows.append(
            Row(
                tuple((s.id, n) for s, n in plan.tokens.items()),
                used,
                tuple(s.id for s in plan.preempted),
                tuple(s.id for s in ended),
            )
        )
        step += 1
    return rows


def theirs(trace: Trace) -> list[Row]:
    """The steps vLLM's scheduler takes."""
    import torch
    from vllm.config import CacheConfig, ModelConfig, SchedulerConfig, VllmConfig
    from vllm.sampling_params import SamplingParams
    from vllm.utils.hashing import sha256
    from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
    from vllm.v1.core.sched.scheduler import Scheduler as VllmScheduler
    from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
    from vllm.v1.outputs import ModelRunnerOutput
    from vllm.v1.request import Request as VllmRequest
    from vllm.v1.structured_output import StructuredOutputManager

    config = trace.config
    about = ModelConfig(
        model=str(model.prepare(MODEL, progress=False)), dtype="float32", seed=0, max_model_len=config.max_model_len
    )
    cache = CacheConfig(block_size=config.block_size, enable_prefix_caching=config.enable_prefix_caching)
    cache.num_gpu_blocks = config.num_blocks
    names = (
        "max_num_seqs",
        "max_num_batched_tokens",
        "max_model_len",
        "enable_chunked_prefill",
        "long_prefill_token_threshold",
        "long_prefill_token_threshold_adaptive",
        "policy",
        "scheduler_reserve_full_isl",
        "watermark",
    )
    settings = SchedulerConfig(
        **{name: getattr(config, name) for name in names}, is_encoder_decoder=False, async_scheduling=False
    )
    whole = VllmConfig(model_config=about, cache_config=cache, scheduler_config=settings)
    spec = FullAttentionSpec(block_size=config.block_size, num_kv_heads=1, head_size=1, dtype=torch.float32)
    scheduler = VllmScheduler(
        vllm_config=whole,
        kv_cache_config=KVCacheConfig(config.num_blocks, [], [KVCacheGroupSpec(["layer"], spec)]),
        structured_output_manager=StructuredOutputManager(whole),
        block_size=config.block_size,
        log_stats=False,
    )
    init_none_hash(sha256)
    hasher = get_request_block_hasher(config.block_size, sha256)
    by_id, rows, step = {r.id: r for r in trace.requests}, [], 0
    preempted: list[int] = []
    give_way = scheduler._preempt_request

    def watched(request, *args, **kwargs):
        preempted.append(int(request.request_id))
        return give_way(request, *args, **kwargs)

    scheduler._preempt_request = watched
    todo = sorted(range(len(trace.requests)), key=lambda i: trace.arrive[i])
    live: dict[str, VllmRequest] = {}
    while todo or scheduler.has_requests():
        while todo and trace.arrive[todo[0]] <= step:
            i = todo.pop(0)
            r = trace.requests[i]
            name = f"{r.id:06d}"
            live[name] = VllmRequest(
                request_id=name,
                prompt_token_ids=list(r.prompt),
                sampling_params=SamplingParams(max_tokens=r.output_tokens, ignore_eos=True, temperature=0),
                pooling_params=None,
                arrival_time=trace.arrival_s[i],
                priority=r.extra.get("priority", 0),
                block_hasher=hasher,
            )
            scheduler.add_request(live[name])
        preempted.clear()
        output = scheduler.schedule()
        pool = scheduler.kv_cache_manager.block_pool
        used = config.num_blocks - 1 - pool.get_num_free_blocks()
        names_now = list(output.num_scheduled_tokens)
        sampled = []
        for name in names_now:
            request = live[name]
            caught_up = request.num_computed_tokens >= request.num_tokens
            sampled.append([answer(by_id[int(name)])[request.num_output_tokens]] if caught_up else [])
        scheduler.update_from_output(
            output,
            ModelRunnerOutput(
                req_ids=names_now,
                req_id_to_index={name: i for i, name in enumerate(names_now)},
                sampled_token_ids=sampled,
            ),
        )
        ended = tuple(int(name) for name in names_now if live[name].is_finished())
        rows.append(
            Row(
                tuple((int(name), n) for name, n in output.num_scheduled_tokens.items()),
                used,
                tuple(preempted),
                ended,
            )
        )
        step += 1
        if step > 100_000:
            raise RuntimeError(f"{trace.name}: no end in sight")
    # vLLM takes one empty step more where the last to end has to be told to the workers
    while rows and not rows[-1].tokens:
        rows.pop()
    return rows


def same(a: list[Row], b: list[Row]) -> int:
    """How many steps are equal, position by position."""
    return sum(x == y for x, y in zip(a, b, strict=False))


def _requests(
    rng: np.random.Generator,
    n: int,
    prompt: tuple[int, int],
    output: tuple[int, int],
    prefixes: int = 0,
    prefix_tokens: int = 0,
    priorities: int = 1,
) -> list[Request]:
    heads = [rng.integers(1_000, 30_000, prefix_tokens).tolist() for _head in range(prefixes)]
    made = []
    for i in range(n):
        own = rng.integers(1_000, 30_000, int(rng.integers(*prompt))).tolist()
        head = heads[int(rng.integers(prefixes))] if prefixes and rng.random() < 0.8 else []
        extra = {"priority": int(rng.integers(priorities))} if priorities > 1 else {}
        made.append(Request(i, head + own, int(rng.integers(*output)), extra=extra))
    return made


def _turns(rng: np.random.Generator, talks: int, turns: int, gap: int) -> tuple[list[Request], list[int]]:
    """Conversations: each turn's prompt repeats the last prompt and answer and adds a question."""
    requests, arrive = [], []
    for talk in range(talks):
        past: list[int] = []
        for turn in range(turns):
            prompt = past + rng.integers(1_000, 30_000, int(rng.integers(5, 60))).tolist()
            said = rng.integers(1_000, 30_000, int(rng.integers(5, 40))).tolist()
            requests.append(Request(len(requests), prompt, len(said), extra={"answer": said}))
            arrive.append(talk * 3 + turn * gap)
            past = prompt + said
    return requests, arrive


def _arrivals(rng: np.random.Generator, n: int, every: float) -> list[int]:
    return np.floor(np.cumsum(rng.exponential(every, n))).astype(int).tolist() if every else [0] * n


def traces(seeds: int = 2) -> list[Trace]:
    """The workloads, each made from `seeds` seeds: every feature alone, and all together."""
    wide = dict(num_blocks=2_000, block_size=16, max_num_seqs=64, max_num_batched_tokens=512, max_model_len=2_048)
    tight = dict(num_blocks=66, block_size=16, max_num_seqs=32, max_num_batched_tokens=256, max_model_len=1_024)
    made: list[Trace] = []

    def add(name: str, requests: list[Request], arrive: list[int], base: dict, **more: object) -> None:
        made.append(Trace(name, EngineConfig(**{**base, **more}), requests, arrive))

    for seed in range(seeds):
        rng = np.random.default_rng(1_000 + seed)

        def name(text: str, seed: int = seed) -> str:
            return f"{text}-{seed}"

        def make(n: int, prompt: tuple, output: tuple, every: float, rng=rng, **more) -> tuple:
            return _requests(rng, n, prompt, output, **more), _arrivals(rng, n, every)

        add(name("plain"), *make(60, (5, 60), (3, 60), 3), wide, enable_prefix_caching=False)
        add(name("all-at-once"), *make(100, (5, 60), (3, 60), 0), wide)
        add(name("one-token"), *make(60, (1, 40), (1, 3), 1), wide)
        add(name("chunked-prefill"), *make(40, (200, 1_800), (5, 50), 6), wide)
        add(name("chunked-prefill-128"), *make(30, (100, 1_500), (5, 50), 10), wide, max_num_batched_tokens=128)
        no_chunks = dict(enable_chunked_prefill=False, max_num_batched_tokens=2_048)
        add(name("whole-prompts"), *make(40, (200, 1_800), (5, 50), 3), wide, **no_chunks)
        add(name("long-threshold"), *make(40, (20, 1_500), (5, 50), 4), wide, long_prefill_token_threshold=100)
        adaptive = dict(long_prefill_token_threshold=64, long_prefill_token_threshold_adaptive=True)
        add(name("long-threshold-adaptive"), *make(40, (20, 1_500), (5, 50), 4), wide, **adaptive)
        shared = dict(prefixes=4, prefix_tokens=200)
        add(name("prefix-cache"), *make(60, (5, 100), (5, 60), 3, **shared), wide)
        add(name("prefix-cache-evicting"), *make(80, (5, 100), (5, 60), 6, prefixes=8, prefix_tokens=120), tight)
        exact = [Request(i, list(range(2_000, 2_000 + 16 * (4 + i % 3))), 20) for i in range(40)]
        add(name("same-prompts"), exact, _arrivals(rng, 40, 4), wide)
        add(name("conversations"), *_turns(rng, 8, 5, 60), wide)
        add(name("conversations-tight"), *_turns(rng, 8, 5, 60), tight)
        add(name("preemption"), *make(60, (30, 100), (60, 200), 2), tight)
        add(name("preemption-no-cache"), *make(60, (30, 100), (60, 200), 2), tight, enable_prefix_caching=False)
        add(name("preemption-chunked"), *make(40, (100, 700), (60, 200), 8), tight, max_num_batched_tokens=64)
        add(name("preemption-shared"), *make(60, (5, 60), (60, 200), 2, prefixes=3, prefix_tokens=100), tight)
        add(name("first-chunk-admission"), *make(40, (100, 700), (30, 99), 8), tight, scheduler_reserve_full_isl=False)
        add(name("watermark"), *make(60, (30, 100), (60, 200), 2), tight, watermark=0.1)
        add(name("priority"), *make(60, (20, 200), (5, 60), 2, priorities=4), wide, policy="priority", max_num_seqs=8)
        urgent = dict(policy="priority", max_num_seqs=16)
        add(name("priority-preemption"), *make(60, (30, 100), (60, 200), 2, priorities=5), tight, **urgent)
        everything = make(80, (5, 400), (10, 150), 3, prefixes=4, prefix_tokens=96, priorities=3)
        add(name("everything"), *everything, tight, policy="priority", long_prefill_token_threshold=48, watermark=0.03)
        blocks_of_128 = dict(num_blocks=24, block_size=128, max_num_seqs=32, max_num_batched_tokens=2_048)
        add(name("cpu-blocks"), *make(50, (30, 900), (20, 200), 4, **shared), blocks_of_128, max_model_len=2_048)
        seven = dict(num_blocks=40, block_size=7, max_num_seqs=5, max_num_batched_tokens=20, max_model_len=260)
        add(name("odd-sizes"), *make(40, (5, 120), (5, 100), 6, prefixes=3, prefix_tokens=29), seven)
    return made


def blame(a: list[Row], b: list[Row]) -> str:
    """The first step that differs, in words."""
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return f"step {i}: simulated {x}, vLLM {y}"
    return "" if len(a) == len(b) else f"{len(a)} steps simulated, {len(b)} of vLLM"


def cached(trace: Trace, rows: list[Row]) -> int:
    """Tokens the prefix cache served: those a request did not have to compute, nor computed again."""
    computed: dict[int, int] = {}
    for row in rows:
        for request, n in row.tokens:
            computed[request] = computed.get(request, 0) + n
    spared = (len(r.prompt) + r.output_tokens - 1 - computed[r.id] for r in trace.requests)
    return sum(max(0, n) for n in spared)
