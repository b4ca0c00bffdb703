"""The latency budget: a perfect model lies on the measurement, each price moves its own part, parts add up."""

import time

import numpy as np
import pytest

from servelab.errors import ServelabError
from servelab.load.arrivals import poisson
from servelab.load.report import Result
from servelab.load.workload import synthetic
from servelab.simulate import EngineConfig, Linear, simulate
from servelab.widgets.latency import latency, split

TIME = Linear(0.04, 0.005, prefill_s=0.001)
LOAD = synthetic(20, prompt_tokens=(128, 0.5), output_tokens=(24, 0.5), seed=2)
ENGINE = EngineConfig(num_blocks=60, block_size=32, max_num_seqs=8, max_num_batched_tokens=256)


@pytest.fixture(scope="module")
def real():
    return simulate(LOAD, ENGINE, TIME, arrivals=poisson(2.0, seed=2))


@pytest.fixture(scope="module")
def explorer(real):
    return latency(LOAD, TIME, ENGINE, measured=real)


def bars(explorer, **changes):
    return np.array([t.x for t in explorer.figures(**changes)[0].data if t.type == "bar"]).sum(axis=1)


def test_parts_add_up_to_each_requests_latency(real):
    parts = split(real.records, TIME, 256)
    e2e = real.frame().set_index("id").e2e_s[parts.id].to_numpy()
    assert parts[["queue_s", "prefill_s", "decode_s", "fixed_s"]].sum(axis=1).to_numpy() == pytest.approx(e2e)
    assert (parts.drop(columns="id") >= 0).all(axis=None)


def test_a_perfect_model_lies_on_the_measurement(explorer):
    first, second = explorer.figures()
    stacked = np.sum([t.x for t in first.data if t.type == "bar"], axis=0)
    assert stacked == pytest.approx(first.data[-1].x)
    for points in second.data[1:]:
        assert points.x == pytest.approx(points.y)
    assert "+0%" in explorer.caption()


def test_a_closed_loop_is_played_as_one():
    real = simulate(LOAD, ENGINE, TIME, concurrency=3)
    points = latency(LOAD, TIME, ENGINE, measured=real, concurrency=3).figures()[1].data[1]
    assert points.x == pytest.approx(points.y)


def test_each_price_moves_its_own_part(explorer):
    at_rest = bars(explorer)
    for control, part in (("prompt", 1), ("each", 2), ("fixed", 3)):
        assert bars(explorer, **{control: 2.0})[part] > 1.2 * at_rest[part]
        assert bars(explorer, **{control: 0.5})[part] < 0.9 * at_rest[part]
    assert bars(explorer, seats=1)[0] > 2 * at_rest[0]


def test_what_was_measured_stays(explorer):
    assert list(explorer.figures(fixed=3.0)[0].data[-1].x) == list(explorer.figures()[0].data[-1].x)


def test_nothing_measured_is_one_sentence(real):
    with pytest.raises(ServelabError, match="nothing to compare"):
        latency(LOAD, TIME, ENGINE, measured=Result([], {}))


def test_drawing_is_quick_enough_for_a_slider(explorer):
    began = time.process_time()
    for times in (0.5, 0.75, 1.0, 1.5, 2.0):
        explorer.figures(fixed=times)
    assert (time.process_time() - began) / 5 < 1
