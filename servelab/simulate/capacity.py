"""How many requests a second an engine can take: what it completes while more wait than it has seats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from servelab.load.workload import Request, renewed
from servelab.simulate.engine import StepTime, simulate
from servelab.simulate.scheduler import EngineConfig
from servelab.theory.batching import StepModel


def capacity(
    requests: Sequence[Request], config: EngineConfig, step_time: StepTime | StepModel, least: int = 20
) -> float:
    """Requests/s that a simulated engine completes of a load like `requests`, in the middle of a long run.

    The requests are repeated until there are `least` for each seat, every time in other words (`renewed`): a prefix
    that they share among each other is shared in every repeat anew. Three times as many users as seats keep all seats
    taken; the first and the last fifth of the completions do not count.

    Raises:
        ServelabError: no requests, prompts that are not token ids, or one that can never fit.
    """
    times = math.ceil(least * config.max_num_seqs / max(1, len(requests)))
    many = [r for turn in range(times) for r in renewed(requests, turn)]
    many = [replace(r, id=i, arrival_s=None) for i, r in enumerate(many)]
    result = simulate(many, config, step_time, concurrency=3 * config.max_num_seqs)
    ends = np.sort([r.finished_s for r in result.records])
    low, high = len(ends) // 5, 4 * len(ends) // 5
    return (high - low) / float(ends[high] - ends[low])
