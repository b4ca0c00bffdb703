import plotly.graph_objects as go
import pytest

from servelab.figures import lessons


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1234.5, "tok/s", "1,234 tok/s"),
        (0.04567, "s", "0.0457 s"),
        (12.0, "%", "12 %"),
        (0, "ms", "0 ms"),
        (1e-7, "s", "1e-07 s"),
        (46080, "bytes", "46,080 bytes"),
        (999999, "", "999,999"),
        (3.2e9, "", "3.2e+09"),
        (-2.5, "", "-2.5"),
        (100, "", "100"),
    ],
)
def test_quantity(value, unit, text):
    assert lessons.quantity(value, unit) == text


def drawn_text(fig: go.Figure) -> list[str]:
    return [t.strip() for trace in fig.data for t in (trace.text or ())]


def test_prediction_draws_guess_and_truth_and_states_the_unit():
    fig = lessons.prediction({"": 7.5}, 24, "requests")
    assert fig.layout.xaxis.title.text == "requests"
    assert drawn_text(fig) == ["24 requests", "7.5 requests"]
    assert fig.layout.xaxis.range[0] < 7.5 and fig.layout.xaxis.range[1] > 24


def test_prediction_without_a_guess_shows_the_truth_alone():
    assert drawn_text(lessons.prediction({"": 7.5}, None, "s")) == ["7.5 s"]


def test_prediction_draws_every_measured_value():
    fig = lessons.prediction({"vLLM": 7.5, "tiny": 70.0}, 10, "s", log=True, kind="modelled")
    assert fig.layout.xaxis.type == "log"
    assert any("vLLM (modelled)" in trace.y for trace in fig.data)


@pytest.mark.parametrize("values", [({"": 0.0}, 5), ({"": 3.0}, 0), ({"": -1.0}, 2)])
def test_prediction_leaves_the_log_axis_where_it_cannot_show_a_value(values):
    measured, guess = values
    assert lessons.prediction(measured, guess, log=True).layout.xaxis.type == "linear"


def test_prediction_of_zero_by_zero_still_has_an_axis():
    low, high = lessons.prediction({"": 0.0}, 0).layout.xaxis.range
    assert low < high


def row(name: str, throughput: float) -> dict:
    return {"name": name, "throughput_tok_s": throughput, "ttft_p50_s": 1.0, "ttft_p99_s": 3.0, "tpot_p50_s": 0.05}


def test_scorecard_keeps_the_row_that_got_worse():
    fig = lessons.scorecard([row("a", 10), row("b", 100), row("b", 50)])
    first_panel = [t for t in fig.data if t.xaxis == "x"]
    full = next(t for t in first_panel if t.mode == "markers+text")
    faint = next(t for t in first_panel if t.mode == "markers")
    assert list(full.x) == [10, 50]
    assert list(faint.x) == [100]


def test_scorecard_lives_with_missing_figures():
    lessons.scorecard([{"name": "a", "throughput_tok_s": None}])


def test_map_draws_a_tile_for_each_notebook_and_fills_what_is_done():
    tiles = [
        lessons.Tile("Start", "0", "The start", 0.5, 20),
        lessons.Tile("Level 1", "1.1", "Why serving is harder than training", 0.0, 60),
        lessons.Tile("Level 1", "1.2", "Metrics", None, 60),
    ]
    fig = lessons.course_map(tiles)
    outlines = [s for s in fig.layout.shapes if s.line.width == 1]
    assert len(outlines) == 3
    assert [s.line.dash for s in outlines] == ["solid", "solid", "dot"]
    (filled,) = [s for s in fig.layout.shapes if s.fillcolor]
    assert filled.x1 - filled.x0 == pytest.approx(0.46)
    assert len(fig.data[0].hovertext) == 3


def test_plan_splits_hours_into_done_and_to_do():
    fig = lessons.plan([lessons.PlanDay(1, "Intuition", 60, 120, 0.25)])
    assert [list(t.x) for t in fig.data] == [[0.25], [0.75], [0.5], [1.5]]


def test_graph_joins_both_sides_to_the_course():
    fig = lessons.graph([("Python", True), ("CUDA", False)], "Serving", [("Operations", True)])
    assert [t.line.dash for t in fig.data] == ["solid", "dot", "solid"]
    assert len({t.x[1] for t in fig.data}) == 2


def test_wrap_breaks_words_and_counts_chinese_twice():
    assert lessons.wrap("why serving is harder", 12) == "why serving<br>is harder"
    assert lessons.wrap("推論服務為什麼難", 8) == "推論服務<br>為什麼難"
    assert lessons.wrap("", 8) == ""
