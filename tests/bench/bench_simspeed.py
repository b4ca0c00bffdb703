"""How fast the simulator is on one core: tokens a second, times real time, and a sweep of 1,000 configurations.

Seconds are processor time of this process, the making of the records included, the making of the requests not. A
jump takes many tokens for the price of one event, so what counts is requests a second: long answers give more tokens.
Step prices are those of the packaged model on two cores (49, 66 and 118 ms at 1, 8 and 32 sequences).
"""

from __future__ import annotations

import itertools
import statistics
import time

from servelab.bench import Bench
from servelab.load import Request, poisson, synthetic, trace
from servelab.simulate import EngineConfig, Linear, simulate

SLOW = Linear(0.047, 0.0022, 1e-8, 0.0015, 1e-7)
"""Seconds of a step of a 135M model on two cores, about."""
FAST = Linear(0.02, 0.0005, 1e-7, 2e-5, 1e-9)
"""Of an 8B model on a data-centre card, about."""
ROOMY = {"num_blocks": 20_000, "block_size": 16, "max_num_seqs": 256, "max_num_batched_tokens": 8_192}
TIMES = 3


def loads(quick: bool) -> dict[str, tuple[list[Request], EngineConfig, Linear, dict, bool]]:
    """What is simulated: requests, engine, step prices, how they come, and whether it may jump."""
    n = 2_000 if quick else 20_000
    chat = synthetic(n, (300, 1.0), (250, 0.8), seed=1)
    reasoning = synthetic(n // 8, (300, 1.0), (4_000, 0.5), seed=2)
    shared = synthetic(n // 4, (600, 0.5), (250, 0.8), seed=3, shared_prefix=256)
    roomy, tight = EngineConfig(**ROOMY), EngineConfig(**{**ROOMY, "num_blocks": 4_000})
    return {
        "chat": (chat, roomy, FAST, {"arrivals": poisson(5)}, True),
        "chat, step by step": (chat[: n // 10], roomy, FAST, {"arrivals": poisson(5)}, False),
        "chat, closed loop of 64": (chat, roomy, FAST, {"concurrency": 64}, True),
        "reasoning": (reasoning, roomy, FAST, {"arrivals": poisson(0.15)}, True),
        "shared prefixes": (shared, roomy, FAST, {"arrivals": poisson(5)}, True),
        "memory short": (chat[: n // 4], tight, FAST, {"concurrency": 256}, True),
        "two cores": (
            synthetic(n // 4, (128, 0.5), (64, 0.5), seed=4),
            EngineConfig(),
            SLOW,
            {"arrivals": poisson(1.5)},
            True,
        ),
    }


def sweep(bench: Bench) -> float:
    """Processor seconds of 1,000 engines, each with 200 requests of the course's trace."""
    requests = trace(n=200, max_prompt_tokens=2_000, max_output_tokens=500)
    grid = itertools.product(
        (8, 16, 32, 64, 128),  # max_num_seqs
        (128, 256, 512, 1_024, 2_048),  # max_num_batched_tokens
        (16, 32, 64, 128),  # block_size
        (4_096, 8_192, 16_384, 32_768, 65_536),  # tokens of memory
        (True, False),  # prefix cache
    )
    done, start = 0, time.process_time()
    for seats, budget, size, memory, cache in itertools.islice(grid, 100 if bench.quick else None):
        config = EngineConfig(
            num_blocks=memory // size + 1,
            block_size=size,
            max_num_seqs=seats,
            max_num_batched_tokens=budget,
            max_model_len=4_096,
            enable_prefix_caching=cache,
        )
        simulate(requests, config, SLOW)
        done += 1
    return (time.process_time() - start) * 1_000 / done


def run(bench: Bench) -> None:
    """Each load several times, the median; then the sweep."""
    rates = {}
    for name, (requests, config, prices, how, jump) in loads(bench.quick).items():
        taken, result = [], None
        for _time in range(1 if bench.quick else TIMES):
            start = time.process_time()
            result = simulate(requests, config, prices, jump=jump, **how)
            taken.append(time.process_time() - start)
        seconds = statistics.median(taken)
        out = sum(r.output_tokens for r in result.records)
        prompts = sum(r.prompt_tokens for r in result.records)
        rates[name] = {
            "output_tok_s": out / seconds,
            "all_tok_s": (out + prompts) / seconds,
            "requests_s": len(requests) / seconds,
            "real_time": max(r.finished_s for r in result.records) / seconds,
            "seconds": taken,
            **{k: result.about[k] for k in ("steps", "preemptions", "hit_tokens")},
        }
        bench.say(
            f"{name}: {out / seconds / 1e6:.2f} M output tok/s, {(out + prompts) / seconds / 1e6:.2f} M with prompts; "
            f"{len(requests) / seconds:,.0f} requests/s, {rates[name]['real_time']:,.0f} x real time"
        )
    bench.data["loads"] = rates

    def figure(name: str, key: str, aim: float, unit: str = "M output tokens/s") -> None:
        value = rates[key]["output_tok_s"] / 1e6
        bench.figure(name, value, unit, f"{aim:g} or more", value >= aim)

    figure("chat", "chat", 3)
    figure("long-answers", "reasoning", 20)
    gain = rates["chat"]["output_tok_s"] / rates["chat, step by step"]["output_tok_s"]
    bench.figure("gain-of-jumping", gain, "x", "above 1", gain > 1)
    real_time = rates["two cores"]["real_time"]
    bench.figure("times-real-time", real_time, "x", "10,000 or more", real_time >= 10_000)
    seconds = sweep(bench)
    bench.figure("sweep-of-1000", seconds, "s", "180 or less", seconds <= 180)
