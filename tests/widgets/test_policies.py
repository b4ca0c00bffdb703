"""The policy explorer: five policies over three replicas, each view from the same simulated runs."""

from __future__ import annotations

import time

import numpy as np
import pytest

from servelab.widgets.policies import REQUESTS, policies, simulated

EVEN = {"slower": 1.0, "rate": 1.0, "sessions": 12, "prefix": 256}


def test_every_request_is_answered_and_counted_under_each_policy():
    for policy in ("round_robin", "least_conn", "weighted", "consistent_hash", "bounded_hash"):
        run = simulated(policy, **EVEN)
        assert sum(run.requests.values()) == REQUESTS == len(run.ttft_s) and np.isfinite(run.ttft_s).all()


def test_what_each_policy_is_for_shows():
    runs = {p: simulated(p, **EVEN) for p in ("round_robin", "weighted", "consistent_hash", "bounded_hash")}
    assert set(runs["round_robin"].requests.values()) <= {REQUESTS // 3, REQUESTS // 3 + 1}
    assert runs["weighted"].requests == runs["round_robin"].requests  # equal weights
    assert runs["consistent_hash"].hit_rate > 1.2 * runs["round_robin"].hit_rate
    assert runs["consistent_hash"].hit_rate >= runs["bounded_hash"].hit_rate
    assert max(runs["consistent_hash"].requests.values()) > max(runs["round_robin"].requests.values())
    late = simulated("weighted", 3.0, 1.0, 12, 256).requests
    assert list(late.values())[-1] == pytest.approx(REQUESTS / 7, abs=1)


def test_without_a_shared_prefix_there_is_nothing_to_keep():
    no_prefix = {**EVEN, "prefix": 0}
    assert simulated("consistent_hash", **no_prefix).hit_rate == simulated("round_robin", **no_prefix).hit_rate == 0


def test_one_control_moves_every_view_and_the_sentence():
    explorer = policies()
    before, told = [f.to_dict() for f in explorer.figures()], explorer.caption()
    after = [f.to_dict() for f in explorer.figures(slower=4.0)]
    assert len(before) == 3 and all(one != other for one, other in zip(before, after, strict=True))
    assert "slow one" in str(after) and explorer.caption(slower=4.0) != told and "Shortest tail" in told
    assert "simulated" in str(before)


def test_drawing_is_quick_enough_for_a_slider():
    explorer = policies()
    explorer.figures()
    began = time.process_time()
    for rate in (0.5, 1.0, 1.5, 3.0):
        explorer.figures(rate=rate)
    assert (time.process_time() - began) / 4 < 1
