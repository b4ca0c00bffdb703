"""The default launch of vLLM against vLLM's own defaults: seconds to ready, tokens/s at concurrency 1, 8 and 32.

Three servers run at once and are loaded in turns, so that drifting machine speed touches all alike: `fast`, the
course's default; `defaults`, what vLLM chooses by itself; and `float32`, the same with the tier's number format,
which tells how much of the gain is the format and how much the launch.
"""

from __future__ import annotations

import contextlib
import shlex
import statistics

from servelab import hardware
from servelab.bench import Bench
from servelab.engines import Server, vllm
from servelab.load import drive, synthetic
from servelab.paths import ROOT, home

CONCURRENCY = (1, 8, 32)
PROMPT_TOKENS = 64
OUTPUT_TOKENS = {1: 32, 8: 32, 32: 32}
ROUNDS = 2
AIM = 1.5


def tokens_per_second(server: Server, concurrency: int, seed: int) -> float:
    """One closed loop of `concurrency` users, one request each, with prompts the server has not seen."""
    requests = synthetic(
        n=concurrency, prompt_tokens=PROMPT_TOKENS, output_tokens=OUTPUT_TOKENS[concurrency], seed=seed
    )
    return drive(server, requests, concurrency=concurrency, progress=False).summary().throughput_tok_s


def as_typed(server: Server) -> str:
    """The launch as one line, without this machine's folders."""
    words = [*(f"{k}={v}" for k, v in server.env.items()), *server.command]
    return shlex.join(words).replace(str(home()), ".servelab").replace(str(ROOT), ".")


def run(bench: Bench) -> None:
    """Start each launch fresh, then load them in turns; medians over the rounds."""
    tier = hardware.tier()
    launches = {"fast": {"like": "fast"}}
    if not bench.quick:
        launches["defaults"] = {"like": "defaults"}
        if tier.kind == "cpu":
            launches["float32"] = {"like": "defaults", "dtype": tier.dtype}
    servers: dict[str, Server] = {}
    samples: dict[str, dict[int, list[float]]] = {name: {n: [] for n in CONCURRENCY} for name in launches}
    with contextlib.ExitStack() as stack:
        for name, options in launches.items():
            bench.say(f"starting: {name}")
            servers[name] = vllm(name=f"bench-{name}", **options)
            stack.callback(servers[name].stop)
        seed = 0
        for turn in range(1 if bench.quick else ROUNDS + 1):
            for n in CONCURRENCY:
                for name, server in servers.items():
                    seed += 1
                    rate = tokens_per_second(server, n, seed)
                    bench.say(f"round {turn}, {n} at once, {name}: {rate:.1f} tok/s")
                    if turn or bench.quick:  # the first round warms up
                        samples[name][n].append(rate)
    middle = {name: {n: statistics.median(s) for n, s in by_n.items()} for name, by_n in samples.items()}
    bench.data |= {
        "tier": tier.id,
        "prompt_tokens": PROMPT_TOKENS,
        "output_tokens": OUTPUT_TOKENS,
        "samples_tok_s": samples,
        "launches": {name: as_typed(s) for name, s in servers.items()},
    }
    for name, server in servers.items():
        bench.data.setdefault("ready_s", {})[name] = server.ready_seconds
        bench.say(f"{name}: ready in {server.ready_seconds:.0f} s; tok/s by concurrency: {middle[name]}")
    if bench.quick:
        bench.say("a quick run starts no second launch, so it compares nothing")
        return
    for n in CONCURRENCY:
        ratio = middle["fast"][n] / middle["defaults"][n]
        aim, met = (f"{AIM}x or better", ratio >= AIM) if n == 32 else ("1x or better", ratio >= 1)
        bench.figure(f"gain-{n}", ratio, "x", aim, met)
    if "float32" in middle:
        ratio = middle["fast"][32] / middle["float32"][32]
        bench.figure("gain-32-at-float32", ratio, "x", f"{AIM}x or better", ratio >= AIM)
