"""Throughput and latency over concurrency 1 to 32 on this machine's vLLM, and how far two points predict the rest."""

from __future__ import annotations

import numpy as np
import pandas as pd

from servelab import hardware, records
from servelab.bench import Bench
from servelab.engines import vllm
from servelab.load import drive, synthetic
from servelab.theory.batching import StepModel

PROMPT = 16


def run(bench: Bench) -> None:
    """Sweep the tier's default launch, several times interleaved, and keep the median of each level."""
    tier = hardware.tier()
    output, rounds = (16, 1) if bench.quick else (48, 3)
    rows = []
    with vllm() as server:
        drive(server, synthetic(n=2, prompt_tokens=PROMPT, output_tokens=8, seed=1))
        for turn in range(rounds):
            for c in (1, 2, 4, 8, 16, 32):
                load = synthetic(n=max(4, 2 * c), prompt_tokens=PROMPT, output_tokens=output, seed=1000 * turn + c)
                s = drive(server, load, concurrency=c).summary()
                rows.append({"concurrency": c, "tok_s": s.throughput_tok_s, "tpot_s": s.tpot.p50, "ttft_s": s.ttft.p50})
    sweep = pd.DataFrame(rows).groupby("concurrency", as_index=False).median()
    ends = sweep.iloc[[0, -1]]
    model = StepModel.fit(ends.concurrency, ends.tpot_s, ends.ttft_s, prompt_tokens=PROMPT)
    rate = model.throughput(sweep.concurrency, PROMPT, output)
    off = float(np.abs(sweep.tok_s / rate - 1).iloc[1:-1].max())
    gain = float(sweep.tok_s.iloc[-1] / sweep.tok_s.iloc[0])
    bench.figure("gain at 32", gain, "x", "5 or more", gain >= 5)
    bench.figure("knee", model.knee, "requests", "between 1 and 32", 1 < model.knee < 32)
    bench.figure("two-point model's largest error", 100 * off, "%", "under 30 %", off < 0.3)
    bench.data = {"tier": tier.id, "output_tokens": output, "prompt_tokens": PROMPT, "sweep": sweep.to_dict("records")}
    if not bench.quick:
        records.save(f"batching-{tier.id}", bench.data)
