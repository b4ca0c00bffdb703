"""The queue explorer: simulation and formulas move together, the short form stands still, loads are laid over."""

import numpy as np
import pytest

from servelab.theory.queueing import observed
from servelab.widgets.queueing import LOADS, queueing


@pytest.fixture(scope="module")
def explorer():
    return queueing()


def row(explorer, name, **changes):
    fig = explorer.figures(**changes)[1]
    return next(x for t in fig.data for x, y in zip(t.x, t.y, strict=True) if y == name)


@pytest.mark.parametrize("change", [{}, {"service_cv": 0.0}, {"servers": 4}, {"busy": 0.6}])
def test_the_simulation_is_near_kingman_and_the_short_form_is_not(explorer, change):
    simulated, kingman = row(explorer, "simulated", **change), row(explorer, "Kingman", **change)
    assert simulated == pytest.approx(kingman, rel=0.25)
    assert not 0.5 < row(explorer, "short form λ/(μ − λ)", **change) / simulated < 2


def test_the_short_form_knows_no_time(explorer):
    slow, fast = ({"service": s, "busy": 0.8} for s in (10.0, 0.01))
    assert row(explorer, "M/M/1", **slow) == pytest.approx(1000 * row(explorer, "M/M/1", **fast))
    assert row(explorer, "short form λ/(μ − λ)", **slow) == pytest.approx(4)
    assert row(explorer, "short form λ/(μ − λ)", **fast) == pytest.approx(4)


def test_more_load_waits_longer_in_every_view(explorer):
    waited = [row(explorer, "simulated", busy=busy) for busy in LOADS]
    assert waited == sorted(waited)
    assert explorer.figures(busy=0.9)[2].layout.xaxis.range[1] > explorer.figures(busy=0.4)[2].layout.xaxis.range[1]


def test_the_sentence_says_what_each_says(explorer):
    told = explorer.caption(busy=0.8, servers=4)
    assert "32 of at most 40 requests/s" in told and "a line of its own" in told
    assert "The short form says 4," in explorer.caption(busy=0.8)


def test_loads_are_drawn_at_their_own_rate_and_the_nearest_is_named():
    slow, quick = (observed(np.arange(20) * gap, np.arange(20) * gap + 0.1) for gap in (0.5, 0.2))
    explorer = queueing(0.1, 0.5, loads=[slow, quick])
    stars = next(t for t in explorer.figures()[0].data if t.name == "measured")
    assert list(stars.x) == pytest.approx([2, 5])
    assert any("at 5/s" in y for t in explorer.figures(busy=0.6)[1].data for y in t.y)
    assert any("at 2/s" in y for t in explorer.figures(busy=0.2)[1].data for y in t.y)
    assert "at 50% busy" in explorer.caption(busy=0.6)
