"""What the queueing figures draw: every formula's numbers, simulation and measurement beside them, and the tail."""

import numpy as np
import pytest

from servelab.figures import queueing as figures
from servelab.figures.queueing import Line
from servelab.simulate.queueing import Estimate
from servelab.theory import queueing as theory
from servelab.theory.queueing import observed

LINE = Line(0.1, service_cv=0.5)


@pytest.fixture
def load():
    came = np.array([0, 0.1, 0.2, 0.3])
    return observed(came, [0.2, 0.4, 0.6, 0.8])


def named(fig, part):
    return next(t for t in fig.data if t.name and part in t.name)


def test_the_worked_example_by_every_formula():
    waits = LINE.waits(8)
    assert waits["mm1"] == pytest.approx(0.4) and waits["md1"] == pytest.approx(0.2)
    assert waits["mg1"] == pytest.approx(0.25) == waits["kingman"]
    assert waits["seed"] == pytest.approx(4) and "mmc" not in waits


def test_one_line_for_four_servers_beats_four_lines():
    four = Line(0.1, servers=4)
    waits = four.waits(32)
    assert four.capacity == pytest.approx(40)
    assert waits["mm1"] == pytest.approx(0.4) and waits["mmc"] == pytest.approx(theory.mmc(32, 10, 4).wait_s)
    assert waits["mmc"] < waits["mm1"] / 4
    assert four.names()["mmc"] == "M/M/4"


def test_curves_are_modelled_and_points_are_not(load):
    fig = figures.by_rate(LINE, 0.8, [(0.5, Estimate(0.06, 0.01))], [load])
    assert named(fig, "M/M/1").line.dash == "dash"
    simulated, measured = named(fig, "simulated"), named(fig, "measured")
    assert simulated.x == (5,) and simulated.y == (0.06,) and simulated.error_y.array == (0.01,)
    assert measured.x[0] == pytest.approx(load.rate) and measured.y[0] == pytest.approx(load.waits_s.mean())
    assert fig.layout.shapes[0].x0 == pytest.approx(8)


def test_the_short_form_does_not_set_the_scale():
    fig = figures.by_rate(Line(0.01), 0.5)
    assert fig.layout.yaxis.range[1] < 0.2 < max(named(fig, "short form").y)


def test_beside_has_a_row_for_each_and_its_number(load):
    fig = figures.beside(LINE, 8, Estimate(0.24, 0.02), load)
    rows = [name for t in fig.data for name in t.y]
    assert rows[-2:] == ["simulated", "at 10/s (measured)"] and len(rows) == 7
    assert [t.strip() for t in fig.data[0].text] == ["4", "0.4", "0.2", "0.25", "0.25"]
    assert len(figures.beside(LINE, 8).data) == 1


def test_the_tail_is_exact_for_the_exponential_queue():
    fig = figures.tail(Line(0.1), 8)
    curve = fig.data[0]
    assert curve.y[0] == pytest.approx(80) and curve.y[-1] == pytest.approx(100 * figures.FEWEST)
    assert curve.y == pytest.approx(80 * np.exp(-2 * curve.x))


def test_the_tail_of_waits_is_their_own(load):
    waited = np.arange(1, 101) / 100
    fig = figures.tail(LINE, 8, waited, load)
    simulated = named(fig, "simulated")
    half = np.interp(50, simulated.y[::-1], simulated.x[::-1])
    assert half == pytest.approx(0.5, abs=0.03)
    assert named(fig, "at 10/s (measured)").x.max() == pytest.approx(load.waits_s.max(), rel=0.3)


def test_each_request_has_its_wait_foretold_and_measured():
    fig = figures.by_request([0, 0.1, 0.2], [0, 0.2, 0.1])
    assert list(named(fig, "measured").x) == [1, 2, 3] and list(named(fig, "measured").y) == [0, 0.2, 0.1]
    assert list(named(fig, "Lindley").y) == [0, 0.1, 0.2] and named(fig, "Lindley").line.dash == "dash"
    assert "(s)" in fig.layout.yaxis.title.text


def test_a_stall_is_drawn_by_both_clocks_and_without_the_tool():
    fig = figures.omission([0, 1, 2], [0.1, 5, 0.1], [0.1, 5, 4.1], [0.1, 5, 4.2])
    assert [t.y[2] for t in fig.data] == [0.1, 4.1, 4.2] and all(list(t.x) == [0, 1, 2] for t in fig.data)
    assert all("measured" in t.name for t in fig.data) and "from sending" in fig.data[0].name
