"""The A/B test's figures: the plan's star, false alarms beside their exact chance, z between its boundaries."""

from __future__ import annotations

import numpy as np
import pytest

from servelab.figures import experiments as figures
from servelab.theory import experiments as theory


def named(fig, part):
    return next(t for t in fig.data if t.name and part in t.name)


def test_the_plan_is_a_star_on_the_curve():
    fig = figures.plan(0.4, planned=0.2)
    curve, star = named(fig, "power 80%"), named(fig, "this test")
    assert star.y[0] == theory.users(0.4, 0.6) and star.x[0] == pytest.approx(20)
    assert np.interp(20, curve.x, curve.y) == pytest.approx(star.y[0], abs=1)
    assert max(curve.x) < 60 and list(curve.y) == sorted(curve.y, reverse=True)


def test_alarms_are_percent_beside_their_exact_chance():
    fig = figures.peeking((1, 5), {"naive": [0.05, 0.15], "pocock": [0.05, 0.05]})
    simulated, exact = named(fig, "only one (simulated)"), named(fig, "only one (modelled)")
    assert simulated.mode == "markers" and list(simulated.y) == pytest.approx([5, 15])
    assert list(exact.y) == pytest.approx([5, 14.2], abs=0.05)
    assert fig.layout.shapes[0].y0 == pytest.approx(5)


def test_a_test_runs_between_its_boundaries():
    fig = figures.monitor([20, 40, 60], [0.5, -1.0, 2.0], ["naive", "obrien_fleming"])
    assert list(named(fig, "this test (measured)").y) == [0.5, -1.0, 2.0]
    upper, lower = (t for t in fig.data if t.name and "O'Brien" in t.name)
    assert list(upper.y) == pytest.approx(theory.boundaries(3)) and list(lower.y) == pytest.approx(-upper.y)
    assert lower.showlegend is False
