"""The ladder says what each idea gave; the plane splits it into steps and the time of a step."""

import pandas as pd
import pytest

from servelab.figures import engines as figures

RUNGS = pd.DataFrame(
    {
        "rung": ["one by one", "static", "continuous"],
        "tokens": [160, 160, 160],
        "steps": [160, 54, 33],
        "seconds": [8.0, 4.0, 2.0],
    }
)


def test_the_ladder_shows_rates_and_what_each_rung_gave():
    bars, words = figures.ladder(RUNGS).data
    assert bars.x == (20, 40, 80) and bars.y == ("one by one", "static", "continuous")
    assert ["×" in text for text in words.text] == [False, True, True]
    assert "× 2.00" in words.text[2]


def test_the_plane_puts_each_rung_at_its_steps_and_its_step():
    fig = figures.plane(RUNGS)
    points = [t for t in fig.data if t.mode == "markers+text"]
    assert [p.x[0] for p in points] == [160, 54, 33]
    assert [p.y[0] for p in points] == pytest.approx([50, 4000 / 54, 2000 / 33])
    assert points[2].name == "3 continuous"


def test_its_diagonals_are_equal_times():
    fig = figures.plane(RUNGS)
    diagonals = [t for t in fig.data if t.line.dash == "dot"]
    times = sorted({round(float(x * y) / 1000, 6) for t in diagonals for x, y in zip(t.x, t.y, strict=True)})
    assert times == [2, 5, 10] and [a.text for a in fig.layout.annotations] == ["2 s", "5 s", "10 s"]


def test_one_rung_can_be_drawn_too():
    assert figures.plane(RUNGS[:1]).data and len(figures.ladder(RUNGS[:1]).data[0].x) == 1
