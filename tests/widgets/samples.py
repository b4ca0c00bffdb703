"""Every explorer of the course over plausible data, for the tests and the bench that treat all alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from servelab.theory.batching import StepModel
from servelab.widgets.base import Explorer
from servelab.widgets.batching import batching
from servelab.widgets.kv_cache import kv_cache
from servelab.widgets.restaurant import restaurant
from servelab.widgets.sampling import sampling
from servelab.widgets.slo import slo


def _batching() -> Explorer:
    model = StepModel(fixed_s=0.04, each_s=0.005, prefill_s=0.001)
    n = np.array([1, 2, 4, 8, 16, 32])
    measured = {"tok_s": model.throughput(n, 64, 32), "tpot_s": model.tpot_s(n), "ttft_s": model.ttft_s(n, 64)}
    sweep = pd.DataFrame({"concurrency": n, **measured})
    return batching(sweep, model, prompt_tokens=64, output_tokens=32, kv_tokens=20_000)


def _slo() -> Explorer:
    rng = np.random.default_rng(0)
    n = 200
    frame = pd.DataFrame(
        {"status": ["ok"] * n, "ttft_s": rng.gamma(2, 0.4, n), "tpot_s": rng.gamma(9, 0.01, n)},
    )
    return slo(frame, duration_s=60)


EXPLORERS: dict[str, Callable[[], Explorer]] = {
    "batching": _batching,
    "kv_cache": kv_cache,
    "restaurant": lambda: restaurant(0.5, 0.05),
    "sampling": lambda: sampling([" the", " a", " its", " that", " one"], [-0.5, -1.6, -2.2, -3.0, -4.0]),
    "slo": _slo,
}
