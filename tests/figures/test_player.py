"""What the player draws of a moment: whose block is whose, how full, who waits, and the present within the whole."""

import pandas as pd
import pytest

from servelab.figures import player as figures
from servelab.load.history import Moment, Turn


def moment(step=0, tables=None, **changes):
    tables = {0: (1, 2), 1: (1, 5, 3)} if tables is None else tables
    fields = {
        "step": step, "start_s": 1.0 * step, "end_s": step + 1.0, "num_blocks": 9, "block_size": 4,
        "turns": tuple(Turn(r, 5, 1, 1) for r in tables), "admitted": (), "preempted": (), "finished": (),
        "running": tuple(tables), "waiting": (), "tables": tables, "cached": {0: 6, 1: 9}, "known": (1, 7),
    }  # fmt: skip
    return Moment(**fields | changes)


def named(fig, part):
    return next(t for t in fig.data if t.name and part in t.name)


def green(fig):
    frames = fig.data[0]
    return [x for x, edge in zip(frames.x, frames.marker.line.color, strict=True) if edge == figures.style.GREEN]


def test_the_pool_names_the_holders_of_every_block():
    fig = figures.pool(moment())
    assert [text.split("<b>")[1].split("<")[0] for text in fig.data[2].text] == [
        "&nbsp;", "R0 R1", "R0", "R1", "&nbsp;", "R1", "&nbsp;", "&nbsp;", "&nbsp;",
    ]  # fmt: skip
    assert green(fig) == [7], "a known block that is held is not free"
    assert "green" in fig.layout.xaxis.title.text and "made up" not in fig.layout.xaxis.title.text


def test_places_that_the_engine_did_not_tell_are_said_to_be_made_up():
    fig = figures.pool(moment(numbered=False, known=()))
    assert "made up" in fig.layout.xaxis.title.text and "green" not in fig.layout.xaxis.title.text


def test_the_pool_fills_each_block_as_far_as_tokens_stand_in_it():
    fills = figures.pool(moment()).data[1]
    widths = dict(zip(fills.x, fills.width, strict=True))
    full = 0.92
    assert widths == pytest.approx({1: full, 2: full / 2, 3: full / 4, 5: full})


def test_a_large_pool_is_drawn_smaller_and_not_all_of_it():
    fig = figures.pool(moment(num_blocks=1000, tables={0: (1, 2)}))
    assert len(fig.data[2].text) == 400 and "1<br>" not in fig.data[2].text[1]


def test_a_block_beyond_the_pool_is_drawn():
    assert len(figures.pool(moment(tables={0: (1, 10)}, numbered=False)).data[2].text) == 11


def test_tables_leave_room_for_the_longest_and_cut_what_is_longer():
    fig = figures.tables(moment(), rows=5, longest=9)
    assert fig.layout.yaxis.range[0] > 4 and fig.layout.xaxis.range[1] > 8
    assert fig.data[2].text == ("<b>1</b>", "<b>2</b>", "<b>1</b>", "<b>5</b>", "<b>3</b>")
    long = figures.tables(moment(tables={0: tuple(range(1, 31))}, cached={0: 119}, num_blocks=40), longest=30)
    assert long.data[2].text[0] == "<b>7</b>" and len(long.data[2].text) == figures.LONGEST_TABLE
    assert "last 24" in long.layout.xaxis.title.text
    assert min(long.data[1].width) == pytest.approx(0.92 * 3 / 4)


def test_queues_stand_in_their_order_with_their_marks():
    one = moment(
        running=(4, 0), waiting=(2, 3), admitted=(0,), preempted=(2,), finished=(4,), tables={4: (1,), 0: (2,)}
    )
    waiting, running, admitted, back, ends = figures.queues(one).data
    assert waiting.text == ("R2", "R3") and running.text == ("R4", "R0")
    assert (int(admitted.x[0]), admitted.y[0]) == (2, "running")
    assert (int(back.x[0]), back.y[0]) == (1, "waiting") and (int(ends.x[0]), ends.y[0]) == (1, "running")
    assert figures.queues(moment(), 12).layout.xaxis.range[1] > 12


def test_the_run_is_told_by_step_or_on_the_clock_of_the_readings():
    history = [moment(0), moment(1, {0: (1,)}), moment(2)]
    plain = figures.run(history, 1, name="tiny", kind="measured")
    assert plain.data[0].y == (4, 1, 4, 4) and plain.data[0].x == (0, 1, 2, 3)
    assert plain.layout.shapes[1].x0 == 1 and plain.layout.xaxis.title.text == "Step"
    by_step = pd.DataFrame({"step": [0.5], "t_s": [9.0], "blocks": [4]})
    assert figures.run(history, 1, name="a", kind="simulated", readings=by_step).data[0].x.tolist() == [0.5]
    timed = figures.run(history, 2, name="a", kind="simulated", readings=by_step.drop(columns="step"))
    assert timed.data[0].x.tolist() == [9.0] and timed.layout.xaxis.title.text == "Time (s)"
    assert "measured" in timed.data[0].name and timed.data[1].line.dash == "dot"
    assert timed.layout.shapes[1].x0 == 2.0
