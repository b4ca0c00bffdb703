"""Simulated queues: the fast forms against an event list, and against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from servelab.errors import ServelabError
from servelab.simulate.queueing import Estimate, by_load, events, queue, service, waits
from servelab.theory import queueing


@pytest.mark.parametrize("servers", [1, 2, 5])
@pytest.mark.parametrize("kind", ["exponential", "lognormal", "deterministic"])
def test_the_fast_forms_are_the_event_list(servers: int, kind: str) -> None:
    rng = np.random.default_rng(1)
    came = np.cumsum(rng.exponential(1, (3, 400)), axis=1)
    took = service(kind, 0.9 * servers, 1.2)(rng, (3, 400))
    fast = waits(came, took, servers)
    for i in range(3):
        assert fast[i] == pytest.approx(events(came[i], took[i], servers), abs=1e-9)
        assert waits(came[i], took[i], servers) == pytest.approx(fast[i], abs=1e-9)


@pytest.mark.parametrize(
    ("kind", "cv", "servers", "truth"),
    [
        ("exponential", 1.0, 1, queueing.mm1(0.7, 1)),
        ("deterministic", 0.0, 1, queueing.md1(0.7, 1)),
        ("gamma", 0.5, 1, queueing.mg1(0.7, 1, 0.5)),
        ("hyperexponential", 2.0, 1, queueing.mg1(0.7, 1, 2.0)),
        ("exponential", 1.0, 3, queueing.mmc(2.1, 1, 3)),
    ],
)
def test_means_are_those_of_mathematics(kind: str, cv: float, servers: int, truth: queueing.Queue) -> None:
    got = queue(0.7 * servers, service(kind, 1.0, cv), servers, jobs=2_000_000, runs=100, seed=2)
    for estimate, exact in ((got.wait_s, truth.wait_s), (got.response_s, truth.response_s)):
        assert abs(estimate.mean - exact) < 2 * estimate.half  # four deviations
        assert estimate.half < 0.03 * exact
    assert got.in_system.mean == pytest.approx(got.rate * got.response_s.mean, rel=0.01)


@pytest.mark.parametrize("kind", ["exponential", "lognormal", "gamma", "hyperexponential", "deterministic"])
def test_service_times_have_their_mean_and_spread(kind: str) -> None:
    cv = {"exponential": 1.0, "deterministic": 0.0}.get(kind, 1.5)
    drawn = service(kind, 2.0, 1.5)(np.random.default_rng(3), (1_000_000,))
    assert drawn.mean() == pytest.approx(2.0, rel=0.01)
    assert drawn.std() / drawn.mean() == pytest.approx(cv, rel=0.02, abs=1e-9)


def test_what_cannot_be_is_told() -> None:
    for bad in (("exponential", 0.0, 1.0), ("hyperexponential", 1.0, 0.5), ("gamma", 1.0, -1.0)):
        with pytest.raises(ServelabError):
            service(*bad)
    with pytest.raises(ServelabError, match="kind"):
        service("pareto", 1.0, 1.0)
    with pytest.raises(ServelabError, match="two runs"):
        queue(0.5, service("exponential", 1.0), jobs=10, runs=1)


def test_estimates_and_numbers() -> None:
    assert Estimate(1.0, 0.1).covers(1.05) and not Estimate(1.0, 0.1).covers(1.2)


@pytest.mark.parametrize(("service_cv", "servers"), [(1.0, 1), (0.5, 1), (1.0, 4)])
def test_a_small_simulation_by_load_covers_the_closed_form(service_cv: float, servers: int) -> None:
    loads = (0.4, 0.6, 0.8)
    waited = by_load(loads, 1.0, service_cv, servers)
    assert waited.shape == (3, 16, 1750)
    rate = np.array(loads) * servers
    truth = queueing.mmc(rate, 1, servers) if servers > 1 else queueing.mg1(rate, 1, service_cv)
    for of_load, wait in zip(waited, truth.wait_s, strict=True):
        assert Estimate.of(of_load.mean(axis=1)).covers(wait)


def test_by_load_a_higher_load_is_the_same_jobs_waiting_longer() -> None:
    waited = by_load((0.5, 0.7, 0.9), 1.5, 2.0, jobs=300, runs=4)
    assert (np.diff(waited, axis=0) >= -1e-9).all()
