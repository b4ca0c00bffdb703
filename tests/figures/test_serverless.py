"""Scale to zero: the bill and the cold requests of each way to keep an instance, and where always up gets cheaper."""

from __future__ import annotations

import pytest

from servelab.figures import serverless as figures
from servelab.theory.serverless import OnDemand


def test_bill_and_cold_requests_over_requests_an_hour():
    kept = {"1 min": OnDemand(30, 2, 60), "5 min": OnDemand(30, 2, 300)}
    bill, cold = figures.on_demand(kept, 2.5)
    curves = [t for t in bill.data if t.mode == "lines"]
    stars = [t for t in bill.data if t.mode == "markers"]
    assert [t.name for t in curves] == ["1 min (modelled)", "5 min (modelled)"]
    for one, curve, star in zip(kept.values(), curves, stars, strict=True):
        assert curve.y[-1] == pytest.approx(2.5, rel=1e-3) and curve.y[0] < 0.1
        assert star.x[0] == pytest.approx(one.break_even(2.5) * 3600) and star.y[0] == 1
        assert curve.y == pytest.approx(2.5 * one.up(figures.RATES_PER_HOUR / 3600))
    assert cold.data[0].y[0] > 90 and cold.data[0].y[-1] < 1
    assert "an hour" in bill.layout.xaxis.title.text and "%" in cold.layout.yaxis.title.text
