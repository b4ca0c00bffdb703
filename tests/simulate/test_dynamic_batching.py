"""The dynamic batcher: by hand, at its limits, and against the queue that it is where batches are of one."""

import numpy as np
import pytest

from servelab.errors import ServelabError
from servelab.simulate.dynamic_batching import batched, capacity, crowd
from servelab.simulate.queueing import waits


def test_four_requests_by_hand():
    run = batched([0.0, 0.01, 0.02, 0.5], 0.1, 0.01, max_batch=4)
    assert run.sizes == [1, 2, 1]
    assert run.latency_s == pytest.approx([0.11, 0.11 - 0.01 + 0.12, 0.11 - 0.02 + 0.12, 0.11])
    assert run.counts() == {1: 2, 2: 1} and run.batch == pytest.approx(4 / 3)
    assert run.ended_s == pytest.approx(0.61) and run.busy == pytest.approx(0.34 / 0.61)


def test_a_delay_holds_the_head_of_the_line_until_it_ends_or_the_batch_is_full():
    held = batched([0.0, 0.01, 0.02], 0.1, 0.0, max_batch=4, delay_s=0.05)
    assert held.sizes == [3] and held.waits_s == pytest.approx([0.05, 0.04, 0.03])
    full = batched([0.0, 0.01, 0.02], 0.1, 0.0, max_batch=2, delay_s=0.05)
    assert full.sizes == [2, 1] and full.waits_s == pytest.approx([0.01, 0.0, 0.09])


def test_a_delay_is_over_for_one_who_waited_for_a_busy_instance():
    run = batched([0.0, 0.03], 0.1, 0.0, max_batch=4, delay_s=0.02)
    assert run.waits_s == pytest.approx([0.02, 0.09])


def test_batches_of_one_are_the_single_server_queue():
    rng = np.random.default_rng(3)
    came = np.cumsum(rng.exponential(0.02, 500))
    run = batched(came, 0.01, 0.005, max_batch=1, delay_s=0.0)
    assert run.waits_s == pytest.approx(waits(came, np.full(500, 0.015)), abs=1e-9)


def test_far_beyond_capacity_every_batch_is_full_and_throughput_is_the_capacity():
    run = batched(np.zeros(640), 0.01, 0.001, max_batch=32, instances=2)
    assert run.sizes == [32] * 20
    assert run.throughput == pytest.approx(capacity(0.01, 0.001, 32, 2))
    assert capacity(0.01, 0.001, 32, 2) == pytest.approx(2 * 32 / 0.042)


def test_what_cannot_be_is_told():
    for wrong in ({"max_batch": 0}, {"instances": 0}, {"delay_s": -1.0}):
        with pytest.raises(ServelabError, match="A batcher needs"):
            batched([0.0], 0.01, 0.001, **wrong)
    with pytest.raises(ServelabError):
        batched([], 0.01, 0.001)


def test_a_crowd_without_batching_waits_for_all_the_others():
    run = crowd(4, 0.1, 0.01)
    assert run.throughput == pytest.approx(1 / 0.11) and run.busy == pytest.approx(1)
    assert run.latency_s[-1] == pytest.approx(4 * 0.11)


def test_one_user_waits_for_nobody():
    run = crowd(1, 0.1, 0.01, max_batch=8, around_s=0.05, executions=100)
    assert run.batch == 1 and run.waits_s.max() == 0 and run.ended_s == pytest.approx(100 * 0.11 + 99 * 0.05)


def test_a_crowd_whose_way_is_short_comes_in_full_batches_and_one_whose_way_is_longer_in_two_groups():
    assert set(crowd(16, 0.1, 0.01, max_batch=32).sizes) == {16}
    assert crowd(16, 0.1, 0.01, max_batch=8, around_s=0.05).sizes[:4] == [8, 8, 8, 8]


def test_a_client_that_works_longer_than_the_model_sets_the_pace():
    run = crowd(16, 0.001, 0.0, max_batch=16, client_s=0.01, executions=2000)
    assert run.throughput == pytest.approx(100, rel=0.02) and run.batch < 2


def test_a_crowd_needs_users():
    with pytest.raises(ServelabError, match="at least one"):
        crowd(0, 0.1, 0.01)
