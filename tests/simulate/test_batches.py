"""Three ways to batch: small cases by hand, and the laws of `theory.batching` where they hold."""

import math

import numpy as np
import pytest

from servelab.errors import ServelabError
from servelab.simulate.batches import Batching, by_load, serve
from servelab.theory.batching import StepModel, active, efficiency, makespan_s, schedule, stretch

STEP = StepModel(1.0, 0.5)


def test_a_static_batch_waits_until_it_is_full_and_until_its_longest_ends():
    done = serve([0, 10, 11], [1, 3, 1], STEP, Batching(2))
    # two at 10: a step of 2 s, two of 1.5 s; the third begins when they have ended
    assert done.first_s.tolist() == [12, 12, 16.5]
    assert done.end_s.tolist() == [12, 15, 16.5]


def test_a_dynamic_batch_waits_so_long_and_no_longer():
    done = serve([0, 10, 11], [1, 3, 1], STEP, Batching(2, 4.0))
    assert done.first_s[0] == 5.5, "alone after 4 s"
    assert done.first_s[1] == 13, "full at 11"
    assert serve([0, 10], [1, 1], STEP, Batching(2, 0.0)).first_s.tolist() == [1.5, 11.5]


def test_continuous_batching_lets_in_between_two_steps():
    done = serve([0, 1, 1.2], [3, 2, 1], STEP, Batching(2, None))
    # 0 alone until 1.5; with 1 until 3.5 and 5.5, where both end; then 2
    assert done.first_s.tolist() == [1.5, 3.5, 7.0]
    assert done.end_s.tolist() == [5.5, 5.5, 7.0]
    assert done.latency_s.tolist() == [5.5, 4.5, 5.8]
    assert done.tpot_s[:2].tolist() == [2.0, 2.0] and math.isnan(done.tpot_s[2])


@pytest.mark.parametrize("policy", ["static", "continuous"])
def test_all_at_once_is_the_schedule(policy):
    lengths = np.random.default_rng(3).integers(1, 30, 50).tolist()
    rule = Batching(4, None if policy == "continuous" else math.inf)
    done = serve(np.zeros(50), lengths, STEP, rule)
    planned = schedule(lengths, 4, policy == "continuous")
    assert done.end_s.max() == pytest.approx(makespan_s(planned, STEP))
    assert done.tokens_per_s == pytest.approx(sum(active(planned)) / makespan_s(planned, STEP))


def test_full_batches_reach_the_derived_efficiency():
    step, rng = StepModel(0.04, 0.002), np.random.default_rng(0)
    sample = np.maximum(1, rng.lognormal(3, 0.8, 4000).astype(int))
    lengths = rng.choice(sample, 8000)
    for policy, wide in ((Batching(16), stretch(sample, 16)), (Batching(16, None), 1.0)):
        reached = serve(np.zeros(8000), lengths, step, policy).tokens_per_s / step.limit
        assert reached == pytest.approx(float(efficiency(16, step.knee, wide)), rel=0.02)


def test_under_part_load_the_laws_hold():
    step = StepModel(0.04, 0.002)
    loads = (0.02, 0.1, 0.3)
    wide = by_load(step, [20] * 10, {"continuous": Batching(400, None)}, loads, requests=4000, seed=2)
    assert wide.tpot_s.to_numpy() == pytest.approx(step.step_under_load(np.array(loads) * step.limit), rel=0.06)
    few = by_load(step, [20] * 10, {"static": Batching(16), "dynamic": Batching(16, 0.5)}, [0.02], requests=4000)
    rate = 0.02 * step.limit / 20
    static, dynamic = few.latency_s
    assert static == pytest.approx(15 / (2 * rate) + 20 * step.tpot_s(16), rel=0.05)
    assert dynamic < 0.5 + 20 * step.tpot_s(16)


def test_a_load_that_cannot_be_carried_has_no_latency():
    found = by_load(STEP, [4, 8], {"static": Batching(2), "continuous": Batching(64, None)}, [0.9], requests=100)
    assert math.isnan(found.latency_s[0]) and found.latency_s[1] > 0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: serve([], [], STEP, Batching(1)),
        lambda: serve([1, 0], [1, 1], STEP, Batching(1)),
        lambda: serve([0], [0], STEP, Batching(1)),
        lambda: Batching(0),
        lambda: Batching(1, -1.0),
        lambda: by_load(STEP, [1], {"static": Batching(1)}, [1.0]),
    ],
)
def test_what_cannot_be_is_one_sentence(wrong):
    with pytest.raises(ServelabError):
        wrong()
