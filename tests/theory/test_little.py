"""Little's law: exact where nothing crosses an edge, off by exactly what crosses where something does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servelab.errors import ServelabError
from servelab.theory import little

visits = st.lists(st.tuples(st.floats(0, 100), st.floats(0.01, 20)), min_size=1, max_size=40)


def both(made):
    arrived = np.array([a for a, _ in made])
    return arrived, arrived + np.array([w for _, w in made])


def test_by_hand():
    """Two requests of 4 s and 2 s in 10 s: L = 0.6, lambda = 0.2, W = 3."""
    law = little.law([1, 5], [5, 7], start_s=0, end_s=10)
    assert (law.in_system, law.rate, law.time_s) == (pytest.approx(0.6), pytest.approx(0.2), pytest.approx(3))
    assert law.gap == pytest.approx(0) and law.edge_share == 0 and law.requests == 2


@given(visits)
def test_it_is_an_identity_where_nothing_crosses_the_edges(made):
    arrived, left = both(made)
    law = little.law(arrived, left, start_s=arrived.min(), end_s=left.max() + 1)
    assert law.in_system == pytest.approx(law.product)


@given(visits, st.floats(0, 50), st.floats(1, 60))
def test_the_gap_never_exceeds_what_crosses_the_edges(made, start, length):
    arrived, left = both(made)
    if not ((arrived >= start) & (arrived < start + length)).any():
        with pytest.raises(ServelabError):
            little.law(arrived, left, start, start + length)
        return
    law = little.law(arrived, left, start, start + length)
    assert abs(law.gap) <= law.edge_share + 1e-9


@given(visits, st.floats(0, 50), st.floats(1, 60))
def test_the_area_is_the_curve_s(made, start, length):
    arrived, left = both(made)
    edges = np.unique(np.concatenate([[start, start + length], arrived, left]))
    edges = edges[(edges >= start) & (edges <= start + length)]
    middle = (edges[1:] + edges[:-1]) / 2
    area = (little.number_at(arrived, left, middle) * np.diff(edges)).sum() / length
    assert little.time_average(arrived, left, start, start + length) == pytest.approx(area, abs=1e-9)


def test_a_real_queue_meets_it_when_trimmed_and_misses_when_not():
    rng, n = np.random.default_rng(0), 4000
    arrived = np.cumsum(rng.exponential(0.125, n))
    left, free = np.empty(n), 0.0
    for i, (at, service) in enumerate(zip(arrived, rng.exponential(0.1, n), strict=True)):
        free = left[i] = max(at, free) + service
    assert abs(little.law(arrived, left).gap) < 0.01
    short = little.law(arrived[:40], left[:40], arrived[20], arrived[30])
    assert abs(short.gap) > 0.01


def test_who_never_left_counts_in_l_and_must_not_be_in_the_window():
    assert little.number_at([0, 1], [5, np.nan], [2, 6]).tolist() == [2, 1]
    assert little.law([0, 1], [4, np.nan], 0, 1).requests == 1
    with pytest.raises(ServelabError):
        little.law([0, 1], [5, np.nan], 0, 10)


def test_nothing_and_the_impossible_are_refused():
    for arrived, left in (([], []), ([2], [1]), ([1, 2], [3])):
        with pytest.raises(ServelabError):
            little.law(arrived, left)


def test_a_closed_loop_by_hand():
    """32 users, 8 requests/s: 4 s each, or 3 s when they think for 1 s."""
    assert little.response_s(32, 8) == 4 and little.response_s(32, 8, 1) == 3
    assert little.closed_loop_rate_bound([1, 4, 100], 0.5, 10).tolist() == [2, 8, 10]
