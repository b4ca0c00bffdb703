"""The Gantt explorer: simulated anew at each change, the measured load laid over it, and right about who waits."""

import time
from dataclasses import replace

import numpy as np
import pytest

from servelab.errors import ServelabError
from servelab.load.arrivals import poisson
from servelab.load.workload import synthetic
from servelab.simulate import EngineConfig, Linear, simulate
from servelab.widgets.gantt import gantt

TIME = Linear(0.04, 0.005, prefill_s=0.001)
LOAD = synthetic(40, prompt_tokens=(128, 0.5), output_tokens=(32, 0.5), seed=2)
ENGINE = EngineConfig(num_blocks=60, block_size=32, max_num_seqs=8, max_num_batched_tokens=256)


@pytest.fixture(scope="module")
def real():
    return simulate(LOAD, ENGINE, TIME, arrivals=poisson(2.0, seed=2))


@pytest.fixture(scope="module")
def explorer(real):
    return gantt(LOAD, TIME, ENGINE, measured=real)


def named(fig, part):
    return next(t for t in fig.data if t.name and part in t.name)


def waits(explorer, **changes):
    return max(named(explorer.figures(**changes)[0], "waiting (simulated)").y)


def test_it_begins_at_the_engine_s_own_settings_and_the_load_s_own_rate(explorer, real):
    values = explorer.values
    sent = [r.intended_s for r in real.records]
    assert values["rate"] == pytest.approx(39 / (max(sent) - min(sent)))
    assert (values["seats"], values["budget"], values["blocks"], values["policy"]) == (8, 256, 60, "fcfs")


def test_at_its_own_settings_a_perfect_model_lies_on_the_measurement(explorer):
    timeline, histograms = explorer.figures()
    for column in ("waiting", "running"):
        simulated, measured = (named(timeline, f"{column} ({kind})") for kind in ("simulated", "measured"))
        assert simulated.x == pytest.approx(measured.x, abs=1e-9) and simulated.y.tolist() == measured.y.tolist()
    for outline, bars in zip(histograms.data[::2], histograms.data[1::2], strict=True):
        assert list(outline.y[1:-1]) == list(bars.y)


def test_one_change_moves_the_simulated_load_and_leaves_the_measured_one(explorer):
    before, after = explorer.figures()[0], explorer.figures(seats=2)[0]
    assert named(after, "waiting (measured)").y.tolist() == named(before, "waiting (measured)").y.tolist()
    assert max(named(after, "running (simulated)").y) == 2
    assert waits(explorer, seats=2) > waits(explorer)


def test_more_arrivals_wait_longer_and_fewer_do_not(explorer):
    slow, fast = (
        min(v for _t, v in explorer.controls["rate"].options),
        max(v for _t, v in explorer.controls["rate"].options),
    )
    assert waits(explorer, rate=slow) < waits(explorer) < waits(explorer, rate=fast)


def test_few_blocks_put_requests_back(explorer):
    least = explorer.controls["blocks"].options[0]
    assert "put back 0 times" in explorer.caption() and "put back 0 times" not in explorer.caption(blocks=least * 2)
    assert "put back, waits" in {t.name for t in explorer.figures(blocks=least * 2)[0].data}


def test_the_policy_decides_who_waits(explorer):
    rate = max(value for _text, value in explorer.controls["rate"].options)
    frame = {}
    for policy, key in (("prompt", "prompt_tokens"), ("answer", "output_tokens")):
        fig = explorer.figures(policy=policy, rate=rate)[0]
        queue = named(fig, "waits")
        size = {r.id: getattr(r, key) for r in LOAD}
        waited = [(size[i], x) for i, x in zip(queue.customdata, queue.x, strict=True)]
        frame[policy] = np.corrcoef(np.array(waited).T)[0, 1]
    assert frame["prompt"] > 0.3 and frame["answer"] > 0.3


def test_a_load_may_bring_its_own_priorities():
    load = [replace(r, arrival_s=0.2 * r.id, extra={"priority": r.id % 2}) for r in LOAD]
    own = gantt(load, TIME, replace(ENGINE, policy="priority"))
    assert own.values["policy"] == "own" and len(own.controls["policy"].options) == 4


def test_every_setting_at_its_end_can_be_drawn_together(explorer):
    for pick in (0, -1):
        values = {name: control._options_values[pick] for name, control in explorer.controls.items()}
        assert len(explorer.figures(**values)) == 2


def test_without_chunked_prefill_a_budget_holds_the_longest_prompt():
    whole = replace(ENGINE, enable_chunked_prefill=False, max_num_batched_tokens=2048, max_model_len=600)
    made = gantt(LOAD, TIME, whole, arrivals=np.arange(40) * 0.3)
    assert min(made.controls["budget"].options) >= 600


def test_a_load_that_comes_all_at_once_is_refused():
    with pytest.raises(ServelabError, match="open loop"):
        gantt(LOAD, TIME, ENGINE)
    with pytest.raises(ServelabError, match="open loop"):
        gantt(LOAD, TIME, ENGINE, arrivals=[0.0] * 40)


def test_it_is_simulated_anew_fast_enough_for_a_slider(explorer):
    began = time.process_time()
    for seats in explorer.controls["seats"].options:
        explorer.figures(seats=seats)
    assert (time.process_time() - began) / len(explorer.controls["seats"].options) < 1
