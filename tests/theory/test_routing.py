"""Shares, rings and choices against counts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servelab.errors import ServelabError
from servelab.theory import routing
from servelab.theory.queueing import mm1

KEYS = [f"session-{i}" for i in range(20_000)]
weights = st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(lambda w: sum(w) > 0)


def test_nginx_s_own_example():
    assert routing.smooth_round_robin([5, 1, 1], 7).tolist() == [0, 0, 1, 0, 2, 0, 0]


@given(weights, st.integers(0, 30))
def test_every_full_round_has_exactly_the_shares(w, start):
    turns = routing.smooth_round_robin(w, start + sum(w))[start:]
    assert np.bincount(turns, minlength=len(w)).tolist() == w
    assert routing.shares(w).sum() == pytest.approx(1)


def test_shares_are_blind_to_what_a_request_costs():
    """Long and short answers in turn over two equal servers: half of the requests each, nine tenths of the work."""
    turns = routing.smooth_round_robin([1, 1], 100)
    tokens = np.where(np.arange(100) % 2, 100, 900)
    assert np.bincount(turns).tolist() == [50, 50]
    assert np.bincount(turns, tokens)[0] / tokens.sum() == pytest.approx(0.9)


@given(st.lists(st.floats(0.5, 20), min_size=1, max_size=5), st.floats(0.05, 0.95), st.integers(0, 100))
def test_no_other_shares_are_faster(mu, rho, seed):
    lam = rho * sum(mu)
    best = routing.best_shares(lam, mu)
    assert best.sum() == pytest.approx(1) and (best >= 0).all()
    least = routing.split(lam, mu, best)
    assert least <= routing.split(lam, mu, mu) * (1 + 1e-9)
    other = np.abs(best + 0.02 * np.random.default_rng(seed).normal(size=len(mu)))
    assert least <= routing.split(lam, mu, other) * (1 + 1e-9)


def test_a_slow_server_is_left_out_at_low_load():
    """10/s and 1/s at 2/s: 0.22 s on average with shares in proportion, 0.125 s without the slow one."""
    assert routing.best_shares(2, [10, 1]).tolist() == [1, 0]
    assert routing.split(2, [10, 1], [1, 0]) == pytest.approx(1 / 8)
    assert routing.split(2, [10, 1], [10, 1]) == pytest.approx(2 / 9)


def test_a_new_node_takes_its_share_and_nothing_else_moves():
    before, after = routing.Ring("abcd"), routing.Ring("abcde")
    old, new = before.owners(KEYS), after.owners(KEYS)
    changed = old != new
    assert (new[changed] == 4).all()
    assert changed.mean() == routing.moved(before, after, KEYS) == pytest.approx(after.arc_shares()[4], abs=0.01)
    assert changed.mean() == pytest.approx(1 / 5, rel=0.3)
    by_modulo = routing.modulo_owner(KEYS, 4) != routing.modulo_owner(KEYS, 5)
    assert by_modulo.mean() == pytest.approx(4 / 5, abs=0.02)


def test_a_node_that_leaves_gives_only_its_own_away():
    before, after = routing.Ring("abcd"), routing.Ring("abd")
    for key in KEYS[:500]:
        assert after.owner(key) == before.owner(key) or before.owner(key) == "c"


def test_a_ring_is_the_same_in_every_process_and_in_any_order():
    assert routing.hash_key("servelab") == 0x114C24772413D186
    first, second = routing.Ring("abc"), routing.Ring("cab")
    assert all(first.owner(k) == second.owner(k) for k in KEYS[:300])


def test_the_seed_s_form_is_a_point_and_no_owner():
    ring = routing.Ring(range(4), vnodes=100)
    points = [routing.seed_form(k) for k in KEYS[:1000]]
    assert max(points) < 2**32 and len(set(points)) == 1000
    assert sum(p < len(ring.points) for p in points) == 0  # none of them names one of the 400 virtual nodes
    assert set(ring.owners(KEYS[:1000])) == {0, 1, 2, 3}


def test_a_successor_by_hand():
    ring = routing.Ring("ab", vnodes=2)
    ring.points, ring.holders = np.array([10, 20, 30, 40], np.uint64), np.array([0, 1, 0, 1])
    at = np.searchsorted(ring.points, np.array([5, 10, 11, 41], np.uint64), side="left") % 4
    assert ring.holders[at].tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize("vnodes", [1, 10, 100])
def test_unevenness_falls_with_the_root_of_the_points(vnodes):
    shares = np.array([routing.Ring([(seed, i) for i in range(8)], vnodes).arc_shares() for seed in range(60)])
    assert shares.sum(axis=1) == pytest.approx(np.ones(60))
    assert shares.std() * 8 == pytest.approx(routing.arc_cv(8, vnodes), rel=0.15)


@settings(max_examples=20)
@given(st.integers(1, 12), st.floats(0, 2), st.integers(1, 400))
def test_bounded_loads_keep_their_bound_and_place_everybody(nodes, epsilon, n):
    owners = routing.Ring(range(nodes), vnodes=20).bounded(KEYS[:n], epsilon)
    load = np.bincount(owners, minlength=nodes)
    assert load.sum() == n and load.max() <= routing.cap(n, nodes, epsilon)


def test_a_hot_key_is_spread_and_a_large_epsilon_leaves_keys_at_home():
    ring, hot = routing.Ring(range(4)), ["hot"] * 100
    assert np.bincount(ring.owners(hot), minlength=4).max() == 100
    assert np.bincount(ring.bounded(hot, 0.25), minlength=4).max() == 32
    assert (ring.bounded(KEYS[:500], 10) == ring.owners(KEYS[:500])).all()
    costs = np.where(np.arange(200) % 10, 1, 50)
    load = np.bincount(ring.bounded(KEYS[:200], 0.1, costs), costs, 4)
    assert load.max() < routing.cap(costs.sum(), 4, 0.1) + 50


def test_one_choice_is_mm1_and_two_are_far_better():
    assert routing.choices(9, 10, 1).response_s == mm1(9, 10).response_s == pytest.approx(1)
    assert routing.choices(9, 10, 2).response_s == pytest.approx(0.2614, rel=1e-3)
    assert routing.choices_tail(0.9, 1, 10) == pytest.approx(0.35, abs=0.01)
    assert routing.choices_tail(0.9, 2, 10) < 1e-46


@given(st.floats(0.05, 0.99), st.integers(2, 6))
def test_more_choices_wait_less_and_the_tail_sums_to_the_mean(rho, d):
    one, two = routing.choices(rho, 1, d), routing.choices(rho, 1, d + 1)
    assert two.wait_s <= one.wait_s * (1 + 1e-12)
    assert one.in_system == pytest.approx(routing.choices_tail(rho, d, np.arange(1, 30)).sum())


def test_two_choices_against_a_simulated_cluster():
    """200 servers at 0.8, as a jump chain: the limit of infinitely many is within a few percent."""
    rng, servers, lam, jumps = np.random.default_rng(1), 200, 0.8, 200_000
    comes = (rng.random(jumps) < lam / (lam + 1)).tolist()
    first, second = rng.integers(servers, size=(2, jumps)).tolist()
    load, inside, area = [0] * servers, 0, 0
    for i in range(jumps):
        area += inside * (i >= jumps // 4)
        a, b = first[i], second[i]
        if comes[i]:
            load[a if load[a] <= load[b] else b] += 1
            inside += 1
        elif load[a]:
            load[a] -= 1
            inside -= 1
    mean = area / (jumps - jumps // 4) / servers
    assert mean == pytest.approx(routing.choices(lam, 1, 2).in_system, rel=0.05)


def test_the_fullest_bin():
    fullest = [np.mean([routing.balls(10_000, 10_000, d, s).max() for s in range(3)]) for d in (1, 2)]
    assert fullest[0] >= 6 and fullest[1] <= 4
    assert routing.balls(1000, 10, 2).sum() == routing.balls(1000, 10).sum() == 1000


def test_the_impossible_is_refused():
    for call in (
        lambda: routing.shares([0, 0]),
        lambda: routing.shares([2, -1]),
        lambda: routing.best_shares(5, [2, 3]),
        lambda: routing.Ring([]),
        lambda: routing.Ring("aa"),
        lambda: routing.Ring("a", 0),
        lambda: routing.cap(10, 2, -0.1),
        lambda: routing.choices(1, 2, 0),
    ):
        with pytest.raises(ServelabError):
            call()
