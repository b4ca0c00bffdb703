"""Speculation against sums, limits, and drafts drawn at random."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servelab.errors import ServelabError
from servelab.theory import speculation
from servelab.theory.batching import StepModel

shares = st.floats(0, 1)
depths = st.integers(0, 20)


@given(a=shares, g=depths)
def test_the_closed_form_is_its_sum(a, g):
    assert speculation.expected_tokens(a, g) == pytest.approx(sum(a**i for i in range(g + 1)))


def test_limits_and_a_number_by_hand():
    assert speculation.expected_tokens(0.8, 4) == pytest.approx(3.3616)
    assert speculation.expected_tokens([0, 1], 5).tolist() == [1, 6]


@given(a=shares, g=st.integers(1, 20))
def test_equal_positions_are_the_iid_form(a, g):
    by_position = speculation.reached(np.full(g, a))
    assert speculation.expected_tokens_by_position(by_position) == pytest.approx(speculation.expected_tokens(a, g))


def drafts(a, depth, n=100_000):
    judged = np.random.default_rng(0).random((n, depth)) < a
    return np.cumprod(judged, axis=1)


def test_means_by_position_hold_even_when_positions_depend_on_each_other():
    """Half of the texts are easy (0.95), half hard (0.2): i.i.d. at the mean acceptance of position 1 is wrong."""
    accepted = np.concatenate([drafts(0.95, 5), drafts(0.2, 5)])
    real = 1 + accepted.sum(axis=1).mean()
    assert speculation.expected_tokens_by_position(accepted.mean(axis=0)) == pytest.approx(real)
    assert speculation.expected_tokens(accepted[:, 0].mean(), 5) < 0.85 * real


@pytest.mark.parametrize("a", [0.3, 0.8])
def test_the_estimate_finds_the_acceptance_that_the_reported_rate_understates(a):
    accepted = drafts(a, 4).sum(axis=1)
    assert speculation.estimate(accepted, 4) == pytest.approx(a, abs=0.01)
    assert accepted.sum() / accepted.size / 4 == pytest.approx(speculation.draft_rate(a, 4), abs=0.01)
    assert speculation.draft_rate(0.8, 4) == pytest.approx(0.59, abs=0.001)


@given(a=st.floats(0.01, 0.99), c=st.floats(0.01, 0.99))
def test_it_gains_exactly_where_acceptance_exceeds_the_cost(a, c):
    depth = speculation.best_depth(a, c)
    if a > c * (1 + 1e-6):
        assert depth >= 1 and speculation.speedup(a, 1, c) == pytest.approx((1 + a) / (1 + c))
    if a < c:
        assert depth == 0


@given(a=shares, c=st.floats(0, 1))
def test_the_best_depth_is_the_best(a, c):
    depth = speculation.best_depth(a, c, most=12)
    assert speculation.speedup(a, depth, c) >= speculation.speedup(a, np.arange(13), c).max() * (1 - 1e-9)


@given(st.lists(shares, min_size=1, max_size=8), st.floats(0, 1))
def test_the_best_depth_by_position_is_the_best(conditional, c):
    reached = speculation.reached(conditional)
    gain = speculation.speedup_by_position(reached, c)
    assert gain[0] == 1 and gain.shape == (len(conditional) + 1,)
    assert gain[speculation.best_depth_by_position(reached, c)] == gain.max()
    assert gain[-1] == pytest.approx(speculation.expected_tokens_by_position(reached) / (1 + len(conditional) * c))


def test_depths_for_many_acceptances_at_once():
    grid = speculation.best_depth(np.array([[0.2], [0.6], [0.9]]), np.array([0.01, 0.3]))
    assert grid.shape == (3, 2) and (np.diff(grid, axis=0) >= 0).all() and (grid[:, 0] >= grid[:, 1]).all()


def test_a_full_batch_eats_the_gain():
    step = StepModel(fixed_s=0.05, each_s=0.002).tpot_s
    gain = speculation.speedup_at_batch(0.7, 4, np.array([1, 8, 32, 128]), step)
    assert gain[0] > 2 and gain[-1] < 1 and (np.diff(gain) < 0).all()
    free = StepModel(fixed_s=0.05, each_s=0.0).tpot_s
    assert speculation.speedup_at_batch(0.7, 4, 32, free, 0.005) == pytest.approx(speculation.speedup(0.7, 4, 0.1))


def test_overlap_is_the_chance_that_the_rule_accepts():
    rng = np.random.default_rng(2)
    p, q = rng.dirichlet(np.ones(6), 2)
    token = rng.choice(6, 200_000, p=q)
    accepted = rng.random(token.size) < np.minimum(1, p / q)[token]
    assert accepted.mean() == pytest.approx(speculation.overlap(p, q), abs=0.005)
    assert speculation.overlap(p, p) == pytest.approx(1) and speculation.overlap([1, 0], [0, 1]) == 0


def test_impossible_shares_are_refused():
    for call in (
        lambda: speculation.expected_tokens(1.2, 3),
        lambda: speculation.expected_tokens_by_position([0.5, 0.6]),
        lambda: speculation.estimate([], 4),
        lambda: speculation.estimate([5], 4),
    ):
        with pytest.raises(ServelabError):
            call()


def test_counting_by_position_takes_a_short_draft_for_no_rejection():
    rng = np.random.default_rng(0)
    conditional = np.array([0.9, 0.6, 0.8, 0.5])
    drafted = rng.integers(1, 5, 40_000)
    accepted = np.cumprod(rng.random((40_000, 4)) < conditional, axis=1)
    accepted = np.minimum(accepted.sum(axis=1), drafted)
    assert speculation.conditional(accepted, drafted) == pytest.approx(conditional, abs=0.02)
    by_all = [(accepted >= i).mean() for i in range(1, 5)]
    assert by_all[3] < 0.5 * speculation.reached(conditional)[3]


def test_counting_stops_where_no_draft_was_judged():
    assert speculation.conditional([1, 0], [3, 3]).tolist() == [0.5, 0.0]
    for accepted, drafted in (([], []), ([2], [1]), ([0], [0]), ([1, 1], [2])):
        with pytest.raises(ServelabError, match="Counting needs"):
            speculation.conditional(accepted, drafted)


@given(a=st.floats(0, 0.99), g=st.integers(1, 12))
def test_the_best_iid_acceptance_of_iid_shares_is_theirs(a, g):
    assert speculation.iid_of(speculation.reached(np.full(g, a))) == pytest.approx(a)


def test_the_best_iid_acceptance_is_the_estimate_s():
    accepted = drafts(0.7, 5, 500)
    assert speculation.iid_of(accepted.mean(axis=0)) == pytest.approx(speculation.estimate(accepted.sum(axis=1), 5))
