import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servelab.errors import ServelabError
from servelab.load import constant, gamma, poisson, replay, synthetic
from servelab.load.workload import Request


@given(st.floats(0.01, 1000), st.integers(0, 10_000), st.integers(1, 200))
def test_seeded_and_never_backwards(rate, seed, n):
    for process in (poisson(rate, seed), gamma(rate, 3, seed), constant(rate)):
        times = process.offsets(n)
        assert times.shape == (n,) and times[0] >= 0 and (np.diff(times) >= 0).all()
        assert (times == process.offsets(n)).all()


def test_another_seed_gives_other_times():
    assert (poisson(1, 0).offsets(5) != poisson(1, 1).offsets(5)).all()


@pytest.mark.parametrize("cv", [0.5, 1.0, 3.0])
def test_rate_and_burstiness(cv):
    gaps = np.diff(gamma(4.0, cv, seed=1).offsets(200_000))
    assert gaps.mean() == pytest.approx(0.25, rel=0.03)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.05)


def test_poisson_counts_have_equal_mean_and_variance():
    counts = np.bincount(poisson(5.0, seed=2).offsets(100_000).astype(int))[:-1]
    assert counts.var() / counts.mean() == pytest.approx(1, abs=0.05)


def test_constant():
    assert constant(4).offsets(3).tolist() == [0, 0.25, 0.5]


def test_replay_of_seconds_and_of_requests():
    assert replay([0, 1, 3], speed=2).offsets(3).tolist() == [0, 0.5, 1.5]
    assert replay([Request(0, [1], 1, arrival_s=2.0)]).offsets(1).tolist() == [2.0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: poisson(0),
        lambda: gamma(1, -1),
        lambda: constant(float("nan")),
        lambda: replay([]),
        lambda: replay([2, 1]),
        lambda: replay(synthetic(2)),
        lambda: replay([0, 1]).offsets(3),
    ],
)
def test_bad_arrivals_are_one_sentence(make):
    with pytest.raises(ServelabError):
        make()
