"""The first lesson's figures: the numbers on them, and one mark here for one mark there."""

import pytest

from servelab.figures import serving
from servelab.theory.kitchen import Kitchen

STATE = Kitchen(cooks=3, batch=8, space=6, guests=10, recipes_s=0.02, dish_s=0.004)


def test_speeds_hold_measurement_and_ceiling():
    rows = [serving.Speed("a", 400.0, 500.0), serving.Speed("b", 20.0)]
    fig = serving.speeds(rows)
    assert list(fig.data[0].x) == [400.0, 20.0]
    assert list(fig.data[1].x) == [500.0] and "modelled" in fig.data[1].name
    assert "80 %" in fig.data[2].text[0] and list(fig.data[2].x) == [500.0, 20.0]
    assert fig.layout.xaxis.title.text


def test_jobs_keep_their_order_and_may_lack_a_ceiling():
    fig = serving.jobs({"write": 1.0, "read": 3.0, "learn": 2.0})
    assert list(fig.data[0].x) == [3.0, 2.0, 1.0] and len(fig.data) == 2
    assert len(serving.jobs({"read": 1.0}, {"read": 2.0}).data) == 3


def test_floors_are_multiples_of_the_shortest():
    fig = serving.floors(1.5, 1.0, 0.05, 0.025)
    assert list(fig.data[0].x) == [1.5, 2.0]
    assert "1,500 ms" in fig.data[1].text[0] and "25 ms" in fig.data[1].text[1]
    assert fig.layout.shapes[0].x0 == 1


def test_passes_draw_measured_and_modelled_and_the_double():
    fig = serving.passes([1, 2, 4], [0.1, 0.11, 0.12], [0.09, 0.09, 0.1])
    assert list(fig.data[0].y) == pytest.approx([100, 110, 120])
    assert [t.line.dash for t in fig.data] == ["solid", "dash"]
    assert fig.layout.shapes[0].y0 == pytest.approx(200)


def test_both_systems_stand_side_by_side():
    fig = serving.systems()
    boxes = [s for s in fig.layout.shapes if s.type == "rect"]
    assert len(boxes) == 14
    assert sum(s.line.color == serving.style.ORANGE for s in boxes) == 2


def test_the_restaurant_and_the_engine_are_one_state():
    fig = serving.kitchen(STATE)
    left, right = fig.data[:4], fig.data[4:]
    assert [len(t.x) for t in left] == [len(t.x) for t in right] == [3, 8, 6, 4]
    for one, other in zip(left, right, strict=True):
        assert list(one.y) == list(other.y)
        assert list(one.marker.color) == list(other.marker.color)


def test_rounds_mark_where_the_kitchen_stands():
    fig = serving.rounds(STATE)
    curve, here, spans, now = fig.data
    assert here.x[0] == now.x[0] == STATE.running
    assert here.y[0] == pytest.approx(curve.y[STATE.running - 1])
    assert now.y[0] == pytest.approx(spans.y[STATE.running - 1])
