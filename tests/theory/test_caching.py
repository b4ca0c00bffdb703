"""Replacement: against all choices of short traces, against each other, and where the optimum's optimality ends."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servelab.errors import ServelabError
from servelab.theory import caching

traces = st.lists(st.integers(0, 6), max_size=30)
BELADY = [1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5]


def misses(trace, capacity, policy):
    return int((~caching.hits(trace, capacity, policy)).sum())


def test_belady_s_own_trace():
    """FIFO with four pages misses once more than with three (Belady's anomaly); LRU and the optimum never do that."""
    assert [misses(BELADY, k, "fifo") for k in (3, 4)] == [9, 10]
    assert [misses(BELADY, k, "lru") for k in (3, 4)] == [10, 8]
    assert [misses(BELADY, k, "optimal") for k in (3, 4)] == [7, 6]


@given(traces, st.integers(1, 4))
def test_at_one_cost_the_optimum_is_the_least_of_all_choices(trace, capacity):
    best = caching.least_cost(trace, capacity, dict.fromkeys(range(7), 1.0))
    assert misses(trace, capacity, "optimal") == best
    assert all(misses(trace, capacity, policy) >= best for policy in ("lru", "fifo"))


def test_at_different_costs_the_optimum_is_none():
    trace, costs = "xyzyzyx", {"x": 10.0, "y": 1.0, "z": 1.0}
    found = caching.hits(trace, 2, "optimal")
    assert (~found).sum() == 4 and caching.cost(trace, found, costs) == 22
    assert caching.least_cost(trace, 2, costs) == 15
    kept = np.array([page == "x" for page in trace]) & (np.arange(7) > 0)
    assert (~kept).sum() == 6 and caching.cost(trace, kept, costs) == 15


@given(traces, st.integers(1, 7), st.data())
def test_lru_is_within_its_ratio_and_more_room_never_hurts_it(trace, k, data):
    h = data.draw(st.integers(1, k))
    bound = caching.competitive_ratio(k, h) * misses(trace, h, "optimal") + h
    assert misses(trace, k, "lru") <= bound + 1e-9
    for policy in ("lru", "optimal"):
        more, less = caching.hits(trace, k + 1, policy), caching.hits(trace, k, policy)
        assert more.sum() >= less.sum()
    assert (caching.hits(trace, k + 1, "lru") >= caching.hits(trace, k, "lru")).all()


def test_a_trace_made_against_lru_reaches_the_ratio():
    """k + 1 pages in turn: LRU always gives up the next one; the optimum misses once in k references."""
    k = 4
    trace = [i % (k + 1) for i in range(400)]
    assert misses(trace, k, "lru") == 400
    assert misses(trace, k, "lru") / misses(trace, k, "optimal") == pytest.approx(
        caching.competitive_ratio(k, k), rel=0.05
    )
    assert caching.competitive_ratio(8, 4) == pytest.approx(1.6)


@given(traces, st.integers(1, 8))
def test_one_walk_gives_every_capacity(trace, capacity):
    assert (caching.hits(trace, capacity, "lru") == (caching.reuse_distances(trace) <= capacity)).all()


@given(traces, st.integers(1, 12))
def test_a_working_set_counts_its_window(trace, window):
    sizes = caching.working_set(trace, window)
    assert sizes.tolist() == [len(set(trace[max(0, i + 1 - window) : i + 1])) for i in range(len(trace))]


@given(traces)
def test_next_uses(trace):
    for i, at in enumerate(caching.next_uses(trace)):
        assert at == len(trace) or trace[at] == trace[i]
        assert trace[i] not in trace[i + 1 : at]


def test_the_impossible_is_refused():
    for call in (
        lambda: caching.hits([1], 0),
        lambda: caching.hits([1], 2, "clock"),
        lambda: caching.least_cost([1], 0, {1: 1}),
        lambda: caching.working_set([1], 0),
    ):
        with pytest.raises(ServelabError):
            call()
