"""What the chunking figures draw: gaps as squares, budgets with measurement beside simulation."""

import pandas as pd
import pytest

from servelab.figures import chunking as figures

CURVE = pd.DataFrame({"budget": [64, 128, 256], "stall_s": [0.3, 0.6, 1.2], "ttft_s": [2.4, 2.2, 2.1]})


def test_gaps_are_squares_that_end_when_the_token_comes():
    fig = figures.gaps([0.1, 0.6], [0.1, 0.5], ttft_s=0.6)
    bars = fig.data[0]
    assert list(bars.x) == pytest.approx([0.05, 0.35]) and list(bars.width) == pytest.approx([0.1, 0.5])
    assert list(bars.y) == pytest.approx([100, 500]) and "simulated" in bars.name
    assert fig.layout.shapes[0].x0 == 0.6


def test_tradeoff_shows_both_costs_over_the_budget():
    fig = figures.tradeoff(CURVE, chosen=128)
    assert [t.name for t in fig.data] == ["longest stall (simulated)", "newcomer's TTFT (simulated)"]
    assert fig.data[0].y.tolist() == CURVE.stall_s.tolist() and fig.layout.xaxis.type == "log"
    assert fig.layout.shapes[0].x0 == 128


def test_measured_points_stand_beside_the_curves():
    fig = figures.tradeoff(CURVE, CURVE.iloc[[1]])
    measured = [t for t in fig.data if "measured" in t.name]
    assert [(list(t.x), t.mode) for t in measured] == [([128], "markers")] * 2
