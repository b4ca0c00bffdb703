"""What the KV cache figures draw: the numbers they were given, their difference, and where the limit is."""

from dataclasses import dataclass

import pandas as pd
import pytest

from servelab.figures import kv_cache as figures


@dataclass
class Request:
    id: int
    token_times_s: list[float]


def named(fig, part):
    return next(t for t in fig.data if t.name and part in t.name)


def test_usage_is_in_percent():
    fig = figures.usage([0, 1], [0.0, 0.25])
    assert fig.data[0].y.tolist() == [0, 25] and "measured" in fig.data[0].name


def test_prediction_shows_both_and_the_residual():
    fig = figures.prediction([0, 1, 2], [0, 3, 4], [0, 2, 4])
    assert named(fig, "(measured)").y.tolist() == [0, 3, 4]
    assert named(fig, "(modelled)").line.dash == "dash"
    assert named(fig, "residual").y.tolist() == [0, 1, 0]
    assert fig.layout.yaxis2.range == (-2, 2)


def test_prediction_of_nothing_is_empty():
    assert len(figures.prediction([], [], []).data) == 3


def test_pressure_shows_limit_waiting_and_a_row_of_tokens_a_request():
    readings = pd.DataFrame(
        {"t_s": [0.0, 1.0], "blocks": [0, 65], "running": [8, 7], "waiting": [0, 1], "preemptions": [0, 1]}
    )
    fig = figures.pressure(readings, [Request(0, [0.5, 0.6]), Request(1, [0.7])], usable=65, block_size=32)
    assert named(fig, "2,080 tokens").y == (65, 65)
    assert named(fig, "waiting").y.tolist() == [0, 1]
    assert [t.y.tolist() for t in fig.data[-2:]] == [[0, 0], [1]]


def test_waste_is_drawn_in_percent_with_its_measurements():
    fig = figures.waste((16, 128), 128, measured={(64, 128): 0.5})
    saw16, _middle16, saw128, middle128, points = fig.data
    assert saw128.y[63] == pytest.approx(50) and saw16.y[63] == pytest.approx(0)
    assert middle128.y[63] == pytest.approx(50, abs=1) and "modelled" in middle128.name
    assert points.mode == "markers" and points.y == (50,)


def test_by_model_is_in_kib():
    fig = figures.by_model({"one": {"GQA": 46_080, "MQA": 15_360}, "two": {"GQA": 2048}})
    assert fig.data[0].x == (45, 2) and fig.data[1].x == (15,)


def test_budget_stars_the_workload_and_draws_a_limit_in_reach():
    fig = figures.budget(2**29, 46_080, 32, 200, 16, 2**30)
    star = named(fig, "workload")
    assert star.y[0] == pytest.approx(0.5 + 32 * 208 * 46_080 / 2**30)
    assert fig.layout.shapes[0].y0 == 1
    assert not figures.budget(2**29, 46_080, 1, 200, 16, 2**40).layout.shapes


@pytest.mark.parametrize(("length", "size"), [(1, 16), (16, 16), (17, 16), (100_000, 16)])
def test_block_map_holds_the_last_tokens(length, size):
    fig = figures.block_map(length, size)
    tokens, empty = fig.data[0].y, fig.data[1].y
    assert (tokens + empty == size).all() and len(tokens) <= figures.WIDEST_MAP
    assert tokens[-1] == (length - 1) % size + 1


def test_waste_by_block_marks_the_chosen_one():
    fig = figures.waste_by_block(64, 128)
    assert fig.data[0].y[5] == pytest.approx(50)
    assert [c.startswith("#") for c in fig.data[0].marker.color].index(True) == 5


def test_held_is_in_mib_and_says_whose_settings_it_stands_for():
    fig = figures.held([0, 1], [2**20, 2**21], [2**20, 2**20])
    assert named(fig, "(measured)").y.tolist() == [1, 2] and named(fig, "predicted (modelled)").y.tolist() == [1, 1]
    assert named(figures.held([0], [0], [0], same=False), "under these settings").line.dash == "dash"


def test_savings_lie_between_their_bounds_and_the_short_form_beside_them():
    fig = figures.savings(512, 32, {"mine": (128, 0.7)})
    most, least, short, point = fig.data
    assert most.y[-1] == 0 and most.y[127] == pytest.approx(75)
    assert least.y[127] == pytest.approx(100 * (1 - 159 / 512)) and least.fill == "tonexty"
    assert short.y[-1] > 99 and "(modelled)" in short.name
    assert point.y == (70,) and "(measured)" in point.name and "mine" in point.text[0]


def test_room_draws_each_source_as_what_it_is():
    fig = figures.room([0, 1024], [0, 2], [0, 8], {1024: 7.5}, {1024: 7.4})
    assert named(fig, "paged: memory").y.tolist() == [0, 8] and "(modelled)" in named(fig, "slots").name
    assert named(fig, "(simulated)").y == (7.5,) and named(fig, "(measured)").y == (7.4,)
    assert fig.layout.xaxis.title.text and fig.layout.yaxis.title.text
