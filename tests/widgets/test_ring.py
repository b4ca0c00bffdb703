"""The ring explorer: more points are more even, a bound holds and costs locality, recorded keys are laid over."""

import numpy as np
import pytest

from servelab.widgets.ring import ring, zipf


@pytest.fixture(scope="module")
def explorer():
    return ring()


def loads(explorer, bar=0, **changes):
    return np.array(explorer.figures(**changes)[1].data[bar].y)


def test_without_skew_more_points_are_more_even(explorer):
    uneven = [loads(explorer, vnodes=v, skew=0.0, nodes=6).std() for v in (1, 10, 100)]
    assert uneven == sorted(uneven, reverse=True)


def test_points_do_not_help_against_a_hot_key_and_a_bound_does(explorer):
    hot = {"skew": 1.5, "vnodes": 100}
    assert loads(explorer, **hot).max() > 1.5 * 25
    assert loads(explorer, epsilon=0.1, **hot).max() <= 1.1 * 25 + 0.1
    assert "went to another node" in explorer.caption(epsilon=0.1, **hot)
    assert "went to another node" not in explorer.caption(**hot)


@pytest.mark.parametrize("nodes", [2, 5, 10])
def test_a_ring_moves_few_keys_and_a_modulus_most(explorer, nodes):
    by_ring, by_modulo = explorer.figures(nodes=nodes, vnodes=100)[2].data
    assert by_ring.y == pytest.approx((100 / (nodes + 1), 100 / nodes), abs=6)
    assert by_modulo.y == pytest.approx((100 * nodes / (nodes + 1), 100 * (nodes - 1) / nodes), abs=6)


def test_recorded_keys_are_counted_on_the_same_ring():
    explorer = ring(recorded=["alone"] * 30)
    assert sorted(loads(explorer, bar=1)) == [0, 0, 0, 100]
    assert "With the recorded keys it is 4.00 times" in explorer.caption()


def test_zipf_keys_are_the_same_every_time_and_skewed():
    assert zipf(1.0) == zipf(1.0)
    hottest = [np.bincount(zipf(skew)).max() for skew in (0.0, 0.8, 1.5)]
    assert hottest == sorted(hottest) and hottest[0] < 15
