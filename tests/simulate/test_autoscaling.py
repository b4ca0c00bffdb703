"""An autoscaler follows Kubernetes' rule: up by what the signal says, with bounds; down only after a while."""

from __future__ import annotations

import numpy as np
import pytest

from servelab.errors import ServelabError
from servelab.simulate.autoscaling import EVERY_S, FULL, autoscale, wait_s
from servelab.theory.queueing import mmc


def step(before, after, at=60, seconds=600):
    return np.where(np.arange(seconds) < at, before, after).astype(float)


def test_a_steady_load_that_is_at_its_target_moves_nothing():
    fleet = autoscale(np.full(600, 30.0), 0.02, "busy", 0.6)
    assert set(fleet.ready) == {1} and set(fleet.started) == {1} and fleet.late(0.1) == 0.0
    assert fleet.value == pytest.approx(np.full(600, 0.6)) and fleet.hours == pytest.approx(600 / 3600)


def test_what_is_wanted_is_the_rule_by_hand():
    fleet = autoscale(step(25, 45), 0.02, "busy", 0.3, start_s=30)  # 0.9 of a target of 0.3: three are wanted
    assert fleet.started[60] == 3 and fleet.ready[89] == 2 and fleet.ready[90] == 3
    assert fleet.started[0] == 2  # 0.5 over 0.3: two at the first look


def test_an_end_at_one_asks_for_little_and_a_queue_for_much():
    load = step(25, 400, seconds=200)
    busy = autoscale(load, 0.02, "busy", 0.9, start_s=10)
    pending = autoscale(load, 0.02, "pending", 1.0, start_s=10)
    assert busy.started[74] == 2 and [int(n) for n in pending.started[60:91:15]] == [5, 10, 16]
    assert busy.late(0.1) > pending.late(0.1) and busy.hours < pending.hours


def test_the_processor_says_nothing_of_an_accelerator():
    fleet = autoscale(step(25, 400), 0.02, "cpu", 0.7)
    assert set(fleet.started) == {1} and fleet.late(0.1) > 0.9


def test_bounds_hold_and_replicas_leave_after_a_while():
    load = np.concatenate([np.full(100, 10.0), np.full(200, 400.0), np.full(900, 10.0)])
    fleet = autoscale(load, 0.02, "busy", 0.6, start_s=5, least=2, most=6, down_s=120)
    assert fleet.started.min() == 2 and fleet.started.max() == 6
    empty = 300 + int(np.argmax(fleet.value[300:] < 0.5))  # the backlog is gone
    last = int(np.flatnonzero(fleet.ready == 6)[-1])
    assert empty + 120 - EVERY_S <= last <= empty + 120 + 2 * EVERY_S
    assert fleet.ready[-1] == 2


def test_nobody_is_lost_the_backlog_is_what_came_and_was_not_served():
    fleet = autoscale(step(10, 100, at=0, seconds=61), 0.02, "cpu", 0.7, least=1, most=1)
    assert fleet.wait_s[59] == pytest.approx(60 * 50 / 50 + wait_s(100, 0.02, 1))
    assert fleet.value[59] == pytest.approx(0.15)


@pytest.mark.parametrize("servers", [1, 2, 5])
def test_waits_without_a_backlog_are_half_of_random_service(servers):
    for load, near in ((0.3, 0.5), (0.6, 0.3), (0.9, 0.1)):
        rate = load * servers / 0.02
        random = mmc(rate, 1 / 0.02, servers).wait_s
        assert wait_s(rate, 0.02, servers) == pytest.approx(random / 2, rel=near, abs=1e-4)
    assert wait_s(1e9, 0.02, servers) == wait_s(FULL * servers / 0.02, 0.02, servers)


def test_slower_starts_cost_more_late_requests():
    load = np.interp(np.arange(900), [0, 120, 180, 900], [25, 25, 150, 150])
    late = [autoscale(load, 0.02, "busy", 0.6, start_s=start).late(0.1) for start in (0, 30, 120, 300)]
    assert late == sorted(late) and late[-1] > late[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"signal": "mood"}, "no signal mood"),
        ({"target": 0}, "above 0"),
        ({"service_s": -1}, "above 0"),
        ({"least": 3, "most": 2}, "bounds in order"),
        ({"least": 0}, "bounds in order"),
        ({"start_s": -1}, "above 0"),
    ],
)
def test_what_cannot_be_is_told(change, said):
    how = {"service_s": 0.02, "signal": "busy", "target": 0.6} | change
    with pytest.raises(ServelabError, match=said):
        autoscale([1.0], how.pop("service_s"), how.pop("signal"), how.pop("target"), **how)
