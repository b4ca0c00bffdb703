"""Scale to zero against a simulation of single requests, and at its ends."""

from __future__ import annotations

import numpy as np
import pytest

from servelab.errors import ServelabError
from servelab.theory.serverless import OnDemand

ONE = OnDemand(cold_s=30, service_s=2, keep_s=60)


def simulated(one: OnDemand, rate: float, n: int = 200_000, seed: int = 0) -> tuple[float, float, float]:
    """Share of the time up, share of cold requests and mean wait, of `n` requests one by one."""
    gaps = np.random.default_rng(seed).exponential(1 / rate, n).tolist()
    now, ready, end, up, waits = 0.0, 0.0, -1.0, 0.0, []
    for gap in gaps:
        now += gap
        if now >= end:  # it is down
            ready = now + one.cold_s
            up, end = up + one.cold_s, ready
        waits.append(max(0.0, ready - now))
        new = max(now, ready) + one.service_s + one.keep_s
        up, end = up + new - end, new
    waits = np.array(waits)
    return up / now, float((waits > 0).mean()), float(waits.mean())


@pytest.mark.parametrize("rate", [1 / 600, 1 / 120, 1 / 40, 1 / 15])
@pytest.mark.parametrize("one", [ONE, OnDemand(30, 2, 0), OnDemand(3, 10, 20)])
def test_the_formulas_are_what_single_requests_do(one, rate):
    up, cold, wait = simulated(one, rate)
    assert one.up(rate) == pytest.approx(up, rel=0.03)
    assert one.cold(rate) == pytest.approx(cold, rel=0.05, abs=2e-4)
    assert one.wait_s(rate) == pytest.approx(wait, rel=0.06, abs=5e-3)


def test_its_ends():
    assert ONE.cold(1e-9) == pytest.approx(1) and ONE.up(1e-9) == pytest.approx(92e-9, rel=1e-3)
    assert ONE.cold(10) == pytest.approx(0) and ONE.up(10) == pytest.approx(1) == ONE.up(1e9)
    rates = np.geomspace(1e-5, 1, 50)
    assert (np.diff(ONE.up(rates)) >= 0).all() and (np.diff(ONE.cold(rates)) <= 0).all()


def test_break_even_is_where_both_cost_the_same():
    for premium in (1.2, 2.0, 5.0):
        assert premium * ONE.up(ONE.break_even(premium)) == pytest.approx(1)
    assert ONE.break_even(3) < ONE.break_even(2) < OnDemand(30, 2, 0).break_even(2)
    with pytest.raises(ServelabError):
        ONE.break_even(1)
    with pytest.raises(ServelabError):
        OnDemand(1, 0, 1)
