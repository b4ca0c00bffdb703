"""What the router's figures draw: each policy's row, where it comes from, and which cost is proven."""

from __future__ import annotations

import numpy as np
import pytest

from servelab.figures import routing as figures
from servelab.figures.routing import Run
from servelab.load import Percentiles

RUNS = [
    Run("round_robin", {"a": 10, "b": 10}, 0.42, [0.5, 1.0, 2.0]),
    Run("consistent_hash", {"a": 15, "b": 5}, 0.59, [0.2, 0.3, 4.0]),
    Run("my own", {"b": 4}, 0.0, [1.0]),
]


def named(fig, part):
    return next(t for t in fig.data if t.name and part in t.name)


def test_shares_are_percent_of_each_policys_requests():
    fig = figures.shares(RUNS)
    assert list(named(fig, "a").x) == [50, 75, 0] and list(named(fig, "b").x) == [50, 25, 100]
    assert list(fig.data[0].y) == ["round robin", "consistent hashing", "my own"]
    assert fig.layout.barmode == "stack" and "measured, %" in fig.layout.xaxis.title.text


def test_hits_are_percent_of_the_prompts_tokens():
    assert figures.hits(RUNS).data[0].x == pytest.approx((42, 59, 0))
    assert "simulated" in figures.hits(RUNS, "simulated").layout.xaxis.title.text


def test_waits_show_every_request_median_and_tail():
    fig = figures.waits(RUNS)
    assert sorted(named(fig, "each request").x) == sorted(t for run in RUNS for t in run.ttft_s)
    assert list(named(fig, "median").x) == [1.0, 0.3, 1.0]
    assert named(fig, "95th").x[0] == pytest.approx(np.quantile([0.5, 1.0, 2.0], 0.95))


def test_the_first_policy_is_on_top():
    for view in (figures.shares, figures.hits, figures.waits):
        assert view(RUNS).layout.yaxis.categoryarray[-1] == "round robin"


def test_a_cost_that_is_not_proven_is_hollow():
    sure, unsure = Percentiles.of([1.0, 1.1, 0.9, 1.0]), Percentiles.of([3.0, -3.0, 1.0, -0.5])
    fig = figures.overhead({"bare call": {"nginx": sure}, "one token": {"nginx": unsure}})
    dots = fig.data[0]
    assert list(dots.y) == ["bare call, nginx", "one token, nginx"]
    assert list(dots.marker.symbol) == ["circle", "circle-open"]
    assert dots.x[0] + dots.error_x.array[0] == pytest.approx(sure.ci["mean"][1])
    assert dots.x[1] - dots.error_x.arrayminus[1] == pytest.approx(unsure.ci["mean"][0])
    assert "ms" in fig.layout.xaxis.title.text


def test_tails_fall_and_say_where_they_come_from():
    times = np.arange(1, 101) / 10
    drawn = {"random": ("simulated", times), "round robin|real": ("measured", times[:10])}
    fig = figures.tails(drawn, "services", {"random": ([0, 1], [1, 0.5])})
    names = [t.name for t in fig.data]
    assert names == ["random (simulated)", "round robin (measured)", "random (modelled)"]
    assert np.all(np.diff(fig.data[0].x) >= 0) and fig.data[0].y[0] == 100
    assert fig.data[0].line.color == fig.data[2].line.color != fig.data[1].line.color
    assert list(fig.data[2].y) == [100, 50]
    assert "service times" in fig.layout.xaxis.title.text and "(s)" in figures.tails(drawn).layout.xaxis.title.text


def test_lengths_of_queues_beside_their_law():
    fig = figures.lengths({"two choices": [1, 0.9, 0.7]}, {"two choices": [1, 0.9, 1e-9]})
    points, law = fig.data
    assert points.mode == "markers" and list(points.y) == [100, 90, 70]
    assert np.isnan(law.y[2]), "what is too rare to be seen is not drawn"


def test_response_by_share_marks_rules():
    fig = figures.response_by_share([0, 0.5, 0.9], [1.0, 2.0, np.inf], {"best": (0.0, 1.0)}, "slow")
    assert np.isnan(fig.data[0].y[2]) and list(fig.data[1].x) == [0] and "slow" in fig.layout.xaxis.title.text
