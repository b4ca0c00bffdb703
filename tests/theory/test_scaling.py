"""The scalability law: its peak, its special cases, and fits that find what made the data."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servelab.errors import ServelabError
from servelab.theory import scaling
from servelab.theory.batching import StepModel

alphas, betas, gammas = st.floats(0, 0.9), st.floats(0, 0.05), st.floats(0.1, 1e4)
SIZES = np.array([1, 2, 4, 8, 16, 32])


@given(alphas, betas, gammas)
def test_a_fit_finds_the_law_that_made_the_data(alpha, beta, gamma):
    law = scaling.USL(alpha, beta, gamma)
    found = scaling.USL.fit(SIZES, law(SIZES))
    assert found(SIZES).tolist() == pytest.approx(law(SIZES).tolist(), rel=1e-6)
    assert found.alpha == pytest.approx(alpha, abs=1e-5) and found.beta == pytest.approx(beta, abs=1e-6)


@given(alphas, st.floats(1e-5, 0.05))
def test_the_peak_is_the_highest_point(alpha, beta):
    law = scaling.USL(alpha, beta)
    assert law(law.peak) >= law(np.linspace(1, 4 * law.peak, 200)).max() * (1 - 1e-9)
    assert law.limit == pytest.approx(law(law.peak))


def test_by_hand():
    """alpha = 0.05, beta = 0.001: the peak at sqrt(950) = 30.8 workers, 9.04 times one of them."""
    law = scaling.USL(0.05, 0.001)
    assert law.peak == pytest.approx(30.82, abs=0.01) and law.limit == pytest.approx(9.04, abs=0.01)
    assert law(1) == 1 and law.efficiency(1) == 1
    assert scaling.USL(0.1, 0).limit == pytest.approx(10) and scaling.USL(0, 0).limit == float("inf")
    assert scaling.USL(0, 0).peak == float("inf")


@given(alphas, st.integers(1, 1000))
def test_without_coherency_it_is_amdahl_s(alpha, n):
    assert scaling.USL(alpha, 0)(n) == pytest.approx(scaling.amdahl(n, alpha))


@given(st.floats(0.001, 1), st.floats(0.0001, 0.1), st.integers(1, 256))
def test_batching_is_amdahl_s_law(fixed, each, b):
    step = StepModel(fixed, each)
    law = scaling.USL.of_batching(step)
    assert law(b) == pytest.approx(b / step.tpot_s(b)) and law.limit == pytest.approx(step.limit)


def test_noise_of_a_few_percent_moves_the_curve_by_a_few_percent():
    law = scaling.USL(0.08, 0.002, 20)
    noisy = law(SIZES) * (1 + 0.03 * np.random.default_rng(0).normal(size=SIZES.size))
    assert scaling.USL.fit(SIZES, noisy)(24) == pytest.approx(law(24), rel=0.08)


def test_too_little_is_refused():
    for n, x in (([1, 2], [1, 2]), ([1, 2, 4], [1, 0, 2]), ([0, 1, 2], [1, 1, 1])):
        with pytest.raises(ServelabError):
            scaling.USL.fit(n, x)
