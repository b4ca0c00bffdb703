"""Tests of two shares against published numbers, other implementations and counting."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from servelab.errors import ServelabError
from servelab.theory import experiments


def test_the_z_test_is_the_chi_square_test_without_correction():
    for right_a, n_a, right_b, n_b in ((30, 80, 48, 81), (5, 50, 9, 40), (99, 100, 90, 100)):
        found = experiments.compare(right_a, n_a, right_b, n_b)
        table = [[right_a, n_a - right_a], [right_b, n_b - right_b]]
        chi2, p, *_rest = stats.chi2_contingency(table, correction=False)
        assert found.z**2 == pytest.approx(chi2) and found.p == pytest.approx(p)
        assert np.sign(found.z) == np.sign(right_b / n_b - right_a / n_a) == np.sign(found.difference)


def test_newcombes_own_examples():
    # Newcombe (1998), table II, method 10: 56/70 - 48/80 and 9/10 - 3/10
    for (b, m, a, n), (low, high) in {(56, 70, 48, 80): (0.0524, 0.3339), (9, 10, 3, 10): (0.1705, 0.8090)}.items():
        found = experiments.compare(a, n, b, m)
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_the_interval_holds_the_true_difference_as_often_as_it_says():
    rng, held, rounds = np.random.default_rng(0), 0, 1500
    for a, b in rng.binomial(60, [0.3, 0.55], (rounds, 2)).tolist():
        found = experiments.compare(a, 60, b, 60)
        held += found.low <= 0.25 <= found.high
    assert 0.935 < held / rounds < 0.97


def test_nothing_seen_tells_nothing():
    assert experiments.compare(0, 10, 0, 20).p == experiments.compare(10, 10, 20, 20).p == 1
    assert experiments.z_score([0, 3], 10, [0, 6], 10).tolist() == pytest.approx(
        [0, experiments.compare(3, 10, 6, 10).z]
    )


def test_users_of_a_textbook_example_and_their_power():
    # Fleiss, Levin & Paik, table A.4 without the continuity correction: 0.60 against 0.70, alpha 0.05, power 0.80
    assert experiments.users(0.60, 0.70) == 356
    assert experiments.users(0.60, 0.70) == experiments.users(0.70, 0.60) == experiments.users(0.4, 0.3)
    for a, b in ((0.2, 0.3), (0.5, 0.7), (0.9, 0.95)):
        n = experiments.users(a, b)
        assert experiments.power_of(a, b, n) >= 0.8 - 1e-6 > experiments.power_of(a, b, n - 1) - 1e-3
    ratio = experiments.users(0.5, 0.51) / experiments.users(0.5, 0.52)
    assert ratio == pytest.approx(4, rel=0.01)


def test_power_is_what_counting_finds():
    rng, n = np.random.default_rng(1), experiments.users(0.45, 0.7)
    a, b = rng.binomial(n, 0.45, 20_000), rng.binomial(n, 0.7, 20_000)
    found = np.abs(experiments.z_score(a, n, b, n)) > stats.norm.isf(0.025)
    assert found.mean() == pytest.approx(0.8, abs=0.02)
    assert experiments.power_of(0.5, 0.5, 100) == pytest.approx(0.05, abs=1e-6)


def test_arms_that_are_not_as_large_as_planned_are_noticed():
    assert experiments.sample_ratio(500, 500) == 1
    assert experiments.sample_ratio(480, 520) > 0.1
    assert experiments.sample_ratio(4500, 5000) < 1e-4
    assert experiments.sample_ratio(900, 100, 0.9) == pytest.approx(1)


@pytest.mark.parametrize(("looks", "chance"), {1: 0.05, 2: 0.083, 5: 0.142, 10: 0.193, 20: 0.248, 50: 0.320}.items())
def test_looking_early_inflates_as_published(looks, chance):
    # Armitage, McPherson & Rowe (1969); Jennison & Turnbull (2000), table 2.1
    assert experiments.crossing(experiments.boundaries(looks, "naive")) == pytest.approx(chance, abs=6e-4)


def test_published_boundaries():
    # Jennison & Turnbull (2000), tables 2.1 and 2.3
    for looks, pocock, fleming in ((2, 2.178, 1.977), (5, 2.413, 2.040), (10, 2.555, 2.087)):
        assert experiments.boundaries(looks, "pocock") == pytest.approx(np.full(looks, pocock), abs=6e-4)
        assert experiments.boundaries(looks, "obrien_fleming")[-1] == pytest.approx(fleming, abs=6e-4)


@pytest.mark.parametrize("kind", ["bonferroni", "pocock", "obrien_fleming"])
def test_a_boundary_keeps_alpha_as_counting_finds(kind):
    bounds, rng = experiments.boundaries(8, kind), np.random.default_rng(2)
    z = np.cumsum(rng.standard_normal((40_000, 8)), axis=1) / np.sqrt(np.arange(1, 9))
    seen = (np.abs(z) >= bounds).any(axis=1).mean()
    assert seen == pytest.approx(experiments.crossing(bounds), abs=0.004)
    assert seen < 0.054 and (np.diff(bounds) <= 1e-12).all()


@pytest.mark.parametrize(
    "call",
    [
        lambda: experiments.compare(1, 0, 1, 5),
        lambda: experiments.compare(6, 5, 1, 5),
        lambda: experiments.users(0.5, 0.5),
        lambda: experiments.users(0.5, 1.2),
        lambda: experiments.boundaries(0),
        lambda: experiments.boundaries(3, "hopeful"),
    ],
)
def test_what_cannot_be_is_one_sentence(call):
    with pytest.raises(ServelabError):
        call()
