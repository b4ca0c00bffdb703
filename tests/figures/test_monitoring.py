"""A dashboard, a quantile from buckets, an alert, one request's story, and symptoms: each where it belongs."""

import numpy as np
import pandas as pd
import pytest

from servelab.figures import monitoring as figures
from servelab.theory.reliability import Alert


def test_a_board_has_a_panel_each_in_the_units_of_the_dashboard():
    frame = pd.DataFrame({"t_s": [0.0, 1.0], "a": [0.5, 0.25]})
    fig = figures.board({"Share": ("percentunit", frame), "Time": ("s", frame), "Many": ("short", frame)}, columns=2)
    assert [list(t.y) for t in fig.data] == [[50, 25], [500, 250], [0.5, 0.25]]
    assert [a.text for a in fig.layout.annotations] == ["Share (%)", "Time (ms)", "Many"]
    assert fig.layout.xaxis3.title.text == fig.layout.xaxis4.title.text != ""


def test_a_quantile_is_read_between_buckets():
    seconds = [0.05, 0.2, 0.3, 0.4, 0.9]
    fig = figures.quantile(seconds, [0.1, 0.25, 0.5, 1, 2, 4], 0.5, 0.31)
    each, lines = fig.data
    assert list(each.x) == sorted(seconds) and each.y[-1] == 100
    assert list(lines.x) == [0, 0.1, 0.25, 0.5, 1] and list(lines.y) == pytest.approx([0, 20, 40, 80, 100])
    assert [s.x0 for s in fig.layout.shapes if s.x0 == s.x1] == [0.3, 0.31]


def test_an_alert_is_shaded_while_it_fires():
    bad = np.zeros(240)
    bad[120:160] = 5
    alert = Alert(14.4, 3600, 300)
    fig = figures.burn(bad, np.full(240, 10.0), 60, alert, 0.99)
    (shade,) = [s for s in fig.layout.shapes if s.type == "rect"]
    fires = np.flatnonzero(alert.fires(bad, np.full(240, 10.0), 60, 0.99)) + 1
    assert (shade.x0, shade.x1) == (fires[0], fires[-1]) and len(fig.data) == 2
    assert not [s for s in figures.burn(0 * bad, bad + 1, 60, alert, 0.99).layout.shapes if s.type == "rect"]


def test_a_story_is_one_bar_a_request():
    phases = dict(zip(("gate", "queue", "prefill", "decode", "rest"), (1.0, 0, 0.5, 2, 0.1), strict=True))
    fig = figures.story({"a": phases, "b": phases})
    assert len(fig.data) == 5 and sum(t.x[0] for t in fig.data) == pytest.approx(3.6)
    assert list(fig.data[0].y) == ["a", "b"]


def test_symptoms_stand_out():
    usual = {"waiting": 0.0, "pace": 0.05}
    fig = figures.symptoms({"usual": usual, "seats": {"waiting": 7.0, "pace": float("nan")}}, usual)
    shown = fig.data[0]
    assert list(shown.z[0]) == [0, 0] and shown.z[1][0] == 4 and shown.text[1][1] == "-"
