"""What the allocation figures draw: shares that add up, who is where, and the tables' numbers."""

import numpy as np
import pytest

from servelab.figures import allocation as figures
from servelab.simulate.allocation import FREE, TOKENS, FirstFit, Paged, Slots, replay

LENGTHS = [(9, 6), (20, 4), (5, 10), (14, 3), (3, 12), (11, 8)]


@pytest.fixture(scope="module")
def replays():
    return {
        "slots": replay(Slots(80, 40), LENGTHS),
        "gaps": replay(FirstFit(80), LENGTHS, 12),
        "pages": replay(Paged(10, 8), LENGTHS),
    }


def named(fig, part):
    return next(t for t in fig.data if t.name and part in t.name)


def test_the_account_adds_up_to_all_of_the_memory(replays):
    fig = figures.account(replays)
    assert [sum(values) for values in zip(*(bar.x for bar in fig.data), strict=True)] == pytest.approx([100] * 3)
    assert named(fig, "tokens").x[0] == pytest.approx(100 * replays["slots"].shares()["tokens"])
    assert list(fig.data[0].y) == ["slots", "gaps", "pages"] and "simulated" in fig.layout.xaxis.title.text


def test_a_part_that_nobody_has_is_left_out(replays):
    assert "external fragmentation" not in [bar.name for bar in figures.account({"p": replays["pages"]}).data]


def test_the_map_is_the_replays(replays):
    fig = figures.memory_map(replays["pages"], "pages")
    cells = np.asarray(fig.data[0].z)
    assert cells.shape == (80, replays["pages"].steps)
    assert (cells[:8] == FREE).all(), "block 0 is nobody's"
    assert (cells == TOKENS).any() and "pages (simulated)" in fig.layout.title.text
    assert fig.layout.yaxis.range == (0, 80)


def test_predicted_bars_and_measured_points():
    fig = figures.at_once({"fixed": 2.0, "paged": 12.3}, {"paged": 11.8})
    assert list(named(fig, "predicted").y) == [2.0, 12.3]
    assert list(named(fig, "measured").x) == ["paged"] and list(named(fig, "measured").y) == [11.8]


def test_the_pool_shows_users_and_how_full_a_block_is():
    fig = figures.pool([[], ["A", "B"], ["A"], []], [0, 8, 2, 0], 8, {"A": 0, "B": 1})
    frames, fills, labels = fig.data
    assert [text.replace("<br>", " ") for text in labels.text][1:3] == ["1 <b>A B</b>", "2 <b>A</b>"]
    assert len(frames.x) == 4 and list(fills.x) == [1, 2] and fills.width == pytest.approx([0.92, 0.23])


def test_tables_list_block_numbers_in_order():
    fig = figures.tables({"A": [5, 2], "B": [9]}, {"A": 11, "B": 8}, 8, {"A": 0, "B": 1})
    assert list(fig.data[2].text) == ["<b>5</b>", "<b>2</b>", "<b>9</b>"]
    assert list(fig.data[2].x) == [0, 1, 0] and list(fig.layout.yaxis.ticktext) == ["A", "B"]
    assert figures.tables({}, {}, 8, {}).layout.yaxis.title.text
