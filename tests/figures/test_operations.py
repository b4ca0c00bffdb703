"""Signals lie beside each other as multiples of their limits; the first reading above one is found."""

import pytest

from servelab.figures import operations as figures


def test_a_limit_is_passed_when_readings_stay_above_it():
    seconds = [0, 1, 2, 3, 4, 5]
    assert figures.first_above(seconds, [0, 3, 0, 3, 3, 3], 2) == 3
    assert figures.first_above(seconds, [0, 3, 0, 3, 3, 3], 2, times=1) == 1
    assert figures.first_above(seconds, [0, 2, 2, 2, 2, 2], 2) is None
    assert figures.first_above(seconds, [0, 0, 0, 0, 0, 3], 2) is None
    assert figures.first_above(seconds, [float("nan")] * 4 + [3, 3], 2) == 4


def test_signals_are_drawn_as_multiples_of_their_limits():
    curves = {"queue": ([0, 1], [0.02, 0.2], 0.02), "latency": ([0, 1], [0.05, 0.15], 0.1)}
    fig = figures.lead(curves, 1.0, "latency")
    queue, latency = fig.data
    assert list(queue.y) == [1.0, figures.TOP] and list(latency.y) == pytest.approx([0.5, 1.5])
    assert latency.line.width > queue.line.width and "SLO broken" in str(fig.layout.annotations)
    assert "SLO broken" not in str(figures.lead(curves, None, "latency").layout.annotations)


def test_the_axis_of_a_signal_holds_its_target_and_most_of_its_values():
    fig = figures.value([0.0] * 95 + [900.0] * 5, 1.0, "waiting")
    assert fig.layout.yaxis.range == (0, 2.0) and fig.layout.yaxis.title.text == "waiting"


def test_waits_of_nothing_still_have_a_place_on_a_logarithmic_axis():
    fig = figures.waits([0.0, 0.5], 0.1)
    assert list(fig.data[0].y) == [1e-3, 0.5] and fig.layout.yaxis.type == "log"
