"""What the compression figures draw: who is beaten, what was not measured here, and the student's way."""

import numpy as np
import pandas as pd
import pytest

from servelab.figures import compression as figures


@pytest.fixture
def frame():
    rows = {
        "float32": (538, 30.0, 20.0, 1.0, 1.0, 1.0),
        "int8": (136, 30.2, 40.0, 2.0, 0.4, 1.0),
        "zeros": (538, 60.0, 20.0, 1.0, 1.0, 1.9),
        "int4": (100, 33.0, 35.0, 1.75, 0.4, 1.0),
        "student": (325, 90.0, 39.0, 1.95, 2.0, np.nan),
    }
    frame = pd.DataFrame(rows, index=["bytes", "perplexity", "decode", "faster", "sooner", "low"]).T
    return frame.assign(bytes=frame.bytes * 1e6)


def test_the_front_joins_what_nothing_beats(frame):
    fig = figures.front(frame)
    lines = [t for t in fig.data if t.mode == "lines"]
    assert [list(line.x) for line in lines] == [[100, 136, 538], [20, 40]]
    assert list(lines[0].y) == [33.0, 30.2, 30.0]
    points = [t for t in fig.data if t.mode == "markers"]
    assert len(points) == 10 and points[0].x[0] == 538
    assert any(t.name == "student (record)" for t in points), "what was measured elsewhere is said"
    assert "MB" in fig.layout.xaxis.title.text and "tokens/s" in fig.layout.xaxis2.title.text


def test_unbeaten_keeps_the_equal():
    assert figures.unbeaten(pd.Series([1, 1, 2, 2]), pd.Series([5, 5, 4, 6])) == [True, True, True, False]


def test_speeds_leave_out_the_first_and_what_was_not_timed_here(frame):
    fig = figures.speeds(frame)
    assert list(fig.data[0].y) == ["int8", "zeros", "int4"]
    assert list(fig.data[0].x) == [2.0, 1.0, 1.75] and list(fig.data[1].x) == [0.4, 1.0, 0.4]


def test_rounding_draws_a_line_a_matrix():
    fig = figures.rounding([16, 32], {"a": [0.0, 0.1], "b": [0.0, 0.2]})
    assert list(fig.data[1].y) == [0, 20] and list(fig.data[0].x) == ["16", "32"]


def test_learning_shows_the_student_and_its_teacher():
    curve = [{"tokens": 0, "perplexity": 9e4}, {"tokens": 1000, "perplexity": 300.0}]
    fig = figures.learning({"curve": curve, "layers": [0, 2, 4], "teacher_perplexity": 30.0})
    assert list(fig.data[0].y) == [9e4, 300.0] and "3 layers" in fig.data[0].name
    assert fig.layout.shapes[0].y0 == 30.0
