"""What the Gantt chart draws: every phase where it was, both loads in a row, and all requests in the histograms."""

import pandas as pd
import pytest

from servelab.figures import gantt as figures
from servelab.load.history import BACK, DECODE, PREFILL, QUEUE

PHASES = pd.DataFrame(
    [
        (5, PREFILL, 0.0, 1.0), (5, DECODE, 1.0, 3.0),
        (2, QUEUE, 0.5, 2.0), (2, PREFILL, 2.0, 3.0), (2, DECODE, 3.0, 4.0), (2, BACK, 4.0, 5.0), (2, DECODE, 5.0, 6.0),
    ],
    columns=["id", "phase", "start_s", "end_s"],
)  # fmt: skip
FRAME = pd.DataFrame(
    {"status": ["ok", "ok", "cut"], "ttft_s": [1.0, 3.0, 9.0], "tpot_s": [0.1, float("nan"), 0.5], "e2e_s": [2.0, 4, 9]}
)


def named(fig, part):
    return next(t for t in fig.data if t.name and part in t.name)


def test_each_phase_is_a_bar_where_it_was():
    fig = figures.timeline({"measured": PHASES})
    writes = named(fig, "writes")
    assert list(zip(writes.base, writes.x, strict=True)) == [(1, 2), (3, 1), (5, 1)]
    assert writes.y.tolist() == [0, 1, 1] and writes.customdata.tolist() == [5, 2, 2]
    assert named(fig, "put back").base.tolist() == [4]


def test_the_queue_stands_below_on_the_same_time_axis():
    fig = figures.timeline({"simulated": PHASES})
    waiting = named(fig, "waiting (simulated)")
    assert waiting.yaxis == "y2" and waiting.xaxis is None and waiting.line.dash == "dot"
    assert dict(zip(waiting.x, waiting.y, strict=True))[0.5] == 1 and max(waiting.y) == 1


def test_two_loads_share_a_row_the_measured_one_full_and_below():
    later = PHASES.assign(end_s=PHASES.end_s + 1)
    fig = figures.timeline({"simulated": PHASES, "measured": later})
    above, below = [t for t in fig.data if t.name == "writes"]
    assert above.y[0] == pytest.approx(-below.y[0]) and above.y[0] < 0
    assert "rgba" in above.marker.color and below.marker.color.startswith("#")
    assert not above.showlegend and below.showlegend
    assert fig.layout.xaxis.range[1] >= later.end_s.max()


def test_only_the_first_requests_have_rows_and_all_are_counted():
    many = pd.DataFrame([(i, DECODE, 0.0, 1.0) for i in range(70)], columns=PHASES.columns)
    fig = figures.timeline({"simulated": many})
    assert len(fig.data[0].y) == figures.MOST_ROWS and max(named(fig, "running").y) == 70


def test_histograms_count_what_succeeded_on_shared_edges():
    fig = figures.latencies({"simulated": FRAME, "measured": FRAME})
    assert [sum(t.y) for t in fig.data] == [2, 2, 1, 1, 2, 2]
    assert fig.layout.xaxis2.title.text == "TPOT (ms)" and fig.layout.xaxis2.range[1] == pytest.approx(102)
    outline, bars = fig.data[0], fig.data[1]
    assert outline.y[0] == outline.y[-1] == 0 and outline.x[1] == 0 and outline.x[-1] == pytest.approx(3)
    assert bars.type == "bar" and bars.y[-1] == 1


def test_nothing_that_succeeded_draws_empty_histograms():
    assert [sum(t.y) for t in figures.latencies({"measured": FRAME[FRAME.status == "cut"]}).data] == [0, 0, 0]
