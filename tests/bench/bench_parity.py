"""The simulator's scheduler against vLLM's own class: the same traces, every step compared.

Equal means: the same requests in the same order with the same number of tokens, as many blocks held, the same
requests preempted, the same ended. vLLM's `Scheduler` runs with an executor that answers at once (see
`tests/simulate/parity.py`); nothing of it is replaced.
"""

from __future__ import annotations

import importlib.util
import sys
import time

from servelab.bench import Bench
from servelab.paths import ROOT

SEEDS = 5
AIM = 1.0


def _parity():
    spec = importlib.util.spec_from_file_location("parity", ROOT / "tests" / "simulate" / "parity.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["parity"] = module
    spec.loader.exec_module(module)
    return module


def run(bench: Bench) -> None:
    """Every trace through both; a step is a figure's unit."""
    parity = _parity()
    import vllm

    rows = []
    for trace in parity.traces(1 if bench.quick else SEEDS):
        start = time.process_time()
        ours = parity.ours(trace)
        middle = time.process_time()
        theirs = parity.theirs(trace)
        end = time.process_time()
        steps, equal = max(len(ours), len(theirs)), parity.same(ours, theirs)
        rows.append(
            {
                "trace": trace.name,
                "steps": steps,
                "equal": equal,
                "tokens": sum(n for row in theirs for _id, n in row.tokens),
                "preemptions": sum(len(row.preempted) for row in theirs),
                "cached_tokens": parity.cached(trace, theirs),
                "simulated_s": middle - start,
                "vllm_s": end - middle,
            }
        )
        if why := parity.blame(ours, theirs):
            bench.say(f"{trace.name}: {why}")
    total = {key: sum(row[key] for row in rows) for key in ("steps", "equal", "tokens", "preemptions", "cached_tokens")}
    bench.data |= {"vllm": vllm.__version__, "traces": rows}
    bench.say(f"{len(rows)} traces, {total['steps']:,} steps, {total['tokens']:,} tokens scheduled")
    bench.figure("equal-steps", 100 * total["equal"] / total["steps"], "%", "100 %", total["equal"] == total["steps"])
    alike = sum(row["steps"] == row["equal"] for row in rows)
    bench.figure("traces", alike, "equal throughout", "at least 20, all", alike == len(rows) >= 20)
    bench.figure("preemptions", total["preemptions"], "", "at least 100 among them", total["preemptions"] >= 100)
    least = 10_000
    bench.figure("cached", total["cached_tokens"], "tokens", f"at least {least} hit", total["cached_tokens"] >= least)
