"""The step model against numbers worked by hand, the knee against its closed form, schedules against invariants."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servelab.errors import ServelabError
from servelab.theory.batching import (
    StepModel,
    active,
    efficiency,
    knee,
    makespan_s,
    operating_point,
    pareto,
    power,
    schedule,
    stretch,
)

MODEL = StepModel(fixed_s=0.04, each_s=0.005, prefill_s=0.001)


def test_two_points_give_the_constants_back():
    batch = np.array([1, 32])
    fitted = StepModel.fit(batch, MODEL.tpot_s(batch), MODEL.ttft_s(batch, 100), prompt_tokens=100)
    assert fitted.fixed_s == pytest.approx(MODEL.fixed_s)
    assert fitted.each_s == pytest.approx(MODEL.each_s)
    assert fitted.prefill_s == pytest.approx(MODEL.prefill_s)


def test_one_batch_size_is_refused():
    with pytest.raises(ServelabError, match="two different"):
        StepModel.fit([8, 8], [0.1, 0.1])


def test_worked_by_hand():
    assert MODEL.knee == pytest.approx(8)
    assert MODEL.limit == pytest.approx(200)
    assert MODEL.e2e_s(8, 100, 11) == pytest.approx(0.04 + 0.8 + 10 * 0.08)
    assert MODEL.throughput(8, 100, 11) == pytest.approx(8 * 11 / 1.64)


@settings(deadline=None)
@given(st.floats(1e-4, 1), st.floats(1e-5, 0.1))
def test_at_the_knee_half_the_limit_is_reached_and_power_is_largest(fixed, each):
    model = StepModel(fixed, each)
    batch = model.knee * np.array([0.5, 0.9, 1, 1.1, 2])
    rate = batch / model.tpot_s(batch)
    assert rate[2] == pytest.approx(model.limit / 2)
    assert np.argmax(power(rate, model.tpot_s(batch))) == 2


def test_throughput_rises_with_batch_and_stays_below_the_limit():
    rate = MODEL.throughput(np.arange(1, 500), 0, 64)
    assert (np.diff(rate) > 0).all() and rate[-1] < MODEL.limit * 64 / 63


def test_a_free_sequence_has_no_knee():
    assert StepModel(0.1, 0.0).knee == float("inf") == StepModel(0.1, 0.0).limit


def test_knee_is_the_corner_and_knows_no_units():
    x, y = [0, 1, 2, 3, 4], [0, 5, 10, 10.5, 11]
    assert knee(x, y) == 2 == knee(np.multiply(x, 1000), np.multiply(y, 1e-6))
    with pytest.raises(ServelabError):
        knee([1, 2], [1, 2])


def test_pareto_keeps_what_nothing_beats():
    assert pareto([1, 2, 3, 2], [10, 20, 15, 5]).tolist() == [True, True, False, False]
    assert pareto([1, 1], [5, 5]).tolist() == [True, True]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12))
def test_pareto_is_never_empty_and_holds_the_operating_point(points):
    latency, throughput = zip(*points, strict=True)
    front = pareto(latency, throughput)
    assert front.any()
    assert front[operating_point(throughput, latency, limit=9)]


def test_operating_point():
    assert operating_point([10, 30, 40], [1, 2, 3], limit=2.5) == 1
    assert operating_point([10, 30, 30], [1, 3, 2], limit=5) == 2
    assert operating_point([10], [1], limit=0.5) is None


lengths = st.lists(st.integers(1, 30), min_size=1, max_size=20)


@settings(deadline=None)
@given(lengths, st.integers(1, 8), st.booleans())
def test_a_schedule_serves_every_token_once_and_no_slot_twice(lengths, slots, continuous):
    spans = schedule(lengths, slots, continuous)
    assert [s.end - s.start for s in spans] == lengths
    assert active(spans).sum() == sum(lengths) and active(spans).max() <= slots
    for slot in range(slots):
        own = sorted((s.start, s.end) for s in spans if s.slot == slot)
        assert all(a[1] <= b[0] for a, b in zip(own, own[1:], strict=False))


@settings(deadline=None)
@given(lengths, st.integers(1, 8))
def test_continuous_never_takes_more_steps_and_one_slot_makes_no_difference(lengths, slots):
    steps = [len(active(schedule(lengths, slots, c))) for c in (True, False)]
    assert steps[0] <= steps[1]
    assert len(active(schedule(lengths, 1, True))) == len(active(schedule(lengths, 1, False))) == sum(lengths)


def test_makespan_prices_each_step_by_its_batch():
    spans = schedule([3, 1], slots=2, continuous=False)
    assert active(spans).tolist() == [2, 1, 1]
    assert makespan_s(spans, MODEL) == pytest.approx(0.05 + 0.045 + 0.045)


def test_the_longest_of_a_batch_by_hand_and_by_drawing():
    assert stretch([5, 5, 5], 7) == 1
    # of two drawn from 1 and 3: 1 once in four, else 3; their mean is 2
    assert stretch([1, 3], 2) == pytest.approx((1 + 3 * 3) / 4 / 2)
    rng = np.random.default_rng(0)
    lengths = rng.lognormal(3, 0.8, 500)
    drawn = rng.choice(lengths, (20_000, 8)).max(axis=1).mean() / lengths.mean()
    assert stretch(lengths, np.array([1, 8])) == pytest.approx([1, drawn], rel=0.02)
    with pytest.raises(ServelabError, match="stretch"):
        stretch([], 2)


def test_a_full_batch_nears_the_limit_and_the_stretch_puts_the_knee_off():
    assert efficiency(8, 8) == 0.5 and efficiency(8, 8, 3) == 0.25
    assert efficiency(np.array([1, 10, 1e9]), 10) == pytest.approx([1 / 11, 0.5, 1])
    assert efficiency(6, 10, 2) == efficiency(3, 10)


def test_under_load_a_step_is_what_little_says():
    rate = np.array([0.0, 50.0, 150.0, 200.0, 300.0])
    step = MODEL.step_under_load(rate)
    assert step[0] == MODEL.tpot_s(1) and np.isinf(step[3:]).all()
    assert MODEL.tpot_s(1 + rate[:3] * step[:3]) == pytest.approx(step[:3])
