"""The scheduler against vLLM's own class, and the engine's jumps against its single steps."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from servelab import model
from servelab.simulate import Engine, Linear, sequences
from tests.simulate import parity

TRACES = parity.traces(1)
PRICES = Linear(0.02, 0.001, 1e-6, 1e-4, 1e-8, 1e-3)

needs_vllm = pytest.mark.skipif(
    importlib.util.find_spec("vllm") is None or model.damage(model.folder(parity.MODEL)) is not None,
    reason="needs vLLM and the packaged model's folder",
)


@needs_vllm
@pytest.mark.timeout(120)
@pytest.mark.parametrize("trace", TRACES, ids=lambda t: t.name)
def test_every_step_is_vllms(trace: parity.Trace) -> None:
    simulated, real = parity.ours(trace), parity.theirs(trace)
    assert not parity.blame(simulated, real)
    assert len(real) > 20


@pytest.mark.parametrize("trace", TRACES, ids=lambda t: t.name)
def test_names_that_no_other_request_has_change_nothing(trace: parity.Trace) -> None:
    assert not parity.blame(parity.ours(trace), parity.ours(trace, trim=False))


def test_the_traces_do_what_they_are_named_for() -> None:
    rows = {trace.name.rsplit("-", 1)[0]: (trace, parity.ours(trace)) for trace in TRACES}
    assert len(rows) >= 20
    for name, (trace, steps) in rows.items():
        if "preemption" in name or name in ("everything", "odd-sizes", "cpu-blocks", "watermark"):
            assert sum(len(row.preempted) for row in steps) >= 5, name
        if "prefix" in name or "conversations" in name or name == "same-prompts":
            assert parity.cached(trace, steps) > 500, name
        if "chunked" in name or "threshold" in name:
            pieces = [request for row in steps for request, n in row.tokens if n > 1]
            assert len(pieces) > 1.5 * len(set(pieces)), name
    gave_way, prios = rows["priority-preemption"][1], rows["priority-preemption"][0].requests
    by_id = {r.id: r.extra["priority"] for r in prios}
    lost = [by_id[i] for row in gave_way for i in row.preempted]
    assert np.mean(lost) > np.mean(list(by_id.values()))


@pytest.mark.parametrize("trace", TRACES, ids=lambda t: t.name)
def test_jumps_are_single_steps_to_the_last_bit(trace: parity.Trace) -> None:
    order = sorted(range(len(trace.requests)), key=lambda i: trace.arrive[i])
    times = np.sort(np.asarray(trace.arrive)[order] * 0.03 + np.random.default_rng(3).random(len(order)) * 0.05)
    outcome = []
    for jump in (False, True):
        engine = Engine(trace.config, PRICES, jump=jump, history=True)
        for sequence in sequences([trace.requests[i] for i in order], trace.config, times):
            engine.add(sequence)
        engine.run()
        answers = [(s.id, s.hit_tokens, s.preemptions, engine.token_times(s)) for s in engine.ended]
        pool = engine.scheduler.pool
        outcome.append((answers, engine.ends, pool.evictions, pool.blank, engine.steps()))
    (*singles, each), (*jumps, fewer) = outcome
    assert singles == jumps
    assert len(fewer) <= len(each) == len(singles[1])
    assert fewer["steps"].sum() == len(each)
    assert fewer["decode"].sum() == each["decode"].sum()
    assert fewer["used"].max() == each["used"].max()
