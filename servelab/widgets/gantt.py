"""Change one setting of a batching engine, and see in simulated time who waits, is read and writes, and how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from servelab.errors import ServelabError
from servelab.figures import gantt as figures
from servelab.figures import style
from servelab.i18n import _, sentences
from servelab.load.history import phases, queue
from servelab.load.report import Result
from servelab.load.workload import Request
from servelab.simulate.engine import StepTime, simulate
from servelab.simulate.scheduler import EngineConfig
from servelab.theory.batching import StepModel
from servelab.widgets.base import Explorer, choice, steps

FASTER = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
"""The load's own rate, times so much."""
SEATS = (1, 2, 4, 8, 16, 32, 64)
BUDGETS = (64, 128, 256, 512, 1024, 2048, 4096, 8192)
POOLS = (1, 1.5, 2, 3, 4, 6, 8, 16)
"""KV blocks, in those that the longest request needs."""


class Run(NamedTuple):
    """A simulated load: one row a request, one row a phase, and how often one was put back."""

    frame: pd.DataFrame
    phases: pd.DataFrame
    preemptions: int


def gantt(
    requests: Sequence[Request],
    step_time: StepTime | StepModel,
    config: EngineConfig | None = None,
    *,
    arrivals: Sequence[float] | None = None,
    measured: Result | None = None,
) -> Explorer:
    """Explorer: a load simulated anew at each change of arrival rate, seats, token budget, blocks or policy.

    Args:
        requests: the load; prompts as token ids.
        step_time: seconds of the engine's steps, such as a calibration.
        config: the engine's settings; the explorer begins there.
        arrivals: when each request was sent, in s; by default as `measured` sent them, or the requests' own times.
        measured: the same load at a real engine of these settings, laid over the simulated one.

    Raises:
        ServelabError: no arrival times, or all the same: there is no rate to change.
    """
    config = config or EngineConfig()
    if arrivals is None and measured is not None:
        sent = {r.id: r.intended_s for r in measured.records}
        arrivals = [sent[r.id] for r in requests]
    times = np.array([r.arrival_s for r in requests] if arrivals is None else arrivals, float)
    if len(times) < 2 or np.isnan(times).any() or np.ptp(times) <= 0:
        raise ServelabError(_("Give the load arrival times: an explorer of its rate needs an open loop."))
    order = np.argsort(times, kind="stable")
    requests, times = [requests[i] for i in order], times[order] - times.min()
    own_rate = (len(times) - 1) / float(times[-1])
    longest = max(-(-(r.prompt_tokens + r.output_tokens) // config.block_size) for r in requests) + 1
    orders = {"fcfs": None, "prompt": lambda r: r.prompt_tokens, "answer": lambda r: r.output_tokens}
    real = measured_frame = None
    if measured is not None:
        measured_frame = measured.frame()
        early = min(r.intended_s for r in measured.records)
        real = phases(measured.records, config.max_num_batched_tokens)
        real = real.assign(start_s=real.start_s - early, end_s=real.end_s - early)

    @lru_cache(maxsize=32)
    def run(rate: float, seats: int, budget: int, blocks: int, policy: str) -> Run:
        by = orders.get(policy)
        asked = [replace(r, extra={**r.extra, "priority": by(r)}) for r in requests] if by else requests
        settings = replace(
            config,
            max_num_seqs=seats,
            max_num_batched_tokens=budget,
            num_blocks=blocks,
            max_model_len=min(config.max_model_len, (blocks - 1) * config.block_size),
            policy="fcfs" if policy == "fcfs" else "priority",
        )
        result = simulate(asked, settings, step_time, arrivals=times * own_rate / rate)
        return Run(result.frame(), phases(result.records, budget), result.about["preemptions"])

    def both(simulated: pd.DataFrame, real: pd.DataFrame | None) -> dict[style.Kind, pd.DataFrame]:
        return {"simulated": simulated} | ({} if real is None else {"measured": real})

    def draw(**values: float) -> list[go.Figure]:
        one = run(**values)
        return [figures.timeline(both(one.phases, real)), figures.latencies(both(one.frame, measured_frame))]

    def say(**values: float) -> str:
        one = run(**values)
        text = _(
            "Half of the requests have their first token after {ttft} s and their last after {e2e} s, one in twenty "
            "only after {ttft95} s and {e2e95} s; at most {queue} wait; put back {back} times (simulated)."
        )
        told = text.format(**_quantiles(one.frame), queue=queue(one.phases).waiting.max(), back=one.preemptions)
        if measured is None:
            return told
        text = _("Measured at the engine's own settings: {ttft} s and {e2e} s, {ttft95} s and {e2e95} s.")
        return sentences(told, text.format(**_quantiles(measured_frame)))

    policies = {
        _("first come, first served"): "fcfs",
        _("priority: the shortest prompt first"): "prompt",
        _("priority: the shortest answer first (which nobody knows before)"): "answer",
    }
    if config.policy == "priority":
        policies[_("priority: the load's own")] = "own"
    rates = [(style.number(own_rate * times), own_rate * times) for times in FASTER]
    own_budget, seats = config.max_num_batched_tokens, min(config.max_num_seqs, len(requests))
    least = seats if config.enable_chunked_prefill else config.max_model_len
    budgets = sorted({*(b for b in BUDGETS if b >= least), own_budget})
    pools = sorted({int(np.ceil(times * longest)) for times in POOLS} | {config.num_blocks})
    controls = {
        "rate": steps(_("Arrivals (requests/s)"), rates, own_rate),
        "seats": steps(
            _("Requests at once (max_num_seqs)"), sorted({*(s for s in SEATS if s <= budgets[0]), seats}), seats
        ),
        "budget": steps(_("Tokens a step (max_num_batched_tokens)"), budgets, own_budget),
        "blocks": steps(_("KV blocks"), pools, config.num_blocks),
        "policy": choice(_("Who is next"), policies, "own" if config.policy == "priority" else "fcfs"),
    }
    return Explorer(controls, draw, say=say, columns=2)


def _quantiles(frame: pd.DataFrame) -> dict[str, str]:
    found = {}
    for metric in ("ttft", "e2e"):
        values = figures.succeeded(frame, f"{metric}_s")
        for name, q in ((metric, 0.5), (f"{metric}95", 0.95)):
            found[name] = style.number(float(np.quantile(values, q))) if values.size else "–"
    return found
