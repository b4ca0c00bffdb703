"""What the budget's figures draw: parts that add up, and what was measured over them."""

import numpy as np
import pandas as pd
import pytest

from servelab.figures import latency as figures

FRAME = pd.DataFrame(
    {
        "queue_s": [0.1, 0.2],
        "prefill_s": [0.3, 0.1],
        "decode_s": [0.5, 0.4],
        "fixed_s": [1.0, 0.9],
        "measured_first_s": [0.5, 0.4],
        "measured_e2e_s": [2.0, 1.5],
    }
)


def test_parts_are_stacked_and_add_up_to_what_the_model_says():
    fig = figures.budget(FRAME)
    bars = [t for t in fig.data if t.type == "bar"]
    assert fig.layout.barmode == "stack"
    assert np.sum([b.x for b in bars], axis=0) == pytest.approx([1.9, 1.6])
    assert all("simulated" in b.name for b in bars)


def test_what_was_measured_lies_over_the_parts():
    marks = [t for t in figures.budget(FRAME).data if t.type == "scatter"]
    assert [list(m.x) for m in marks] == [[0.5, 0.4], [2.0, 1.5]]
    assert all("measured" in m.name for m in marks)
    assert not [
        t for t in figures.budget(FRAME[["queue_s", "prefill_s", "decode_s", "fixed_s"]]).data if t.type != "bar"
    ]


def test_many_requests_are_cut_to_what_can_be_read():
    many = pd.concat([FRAME] * 40, ignore_index=True)
    assert len(figures.budget(many).data[0].x) == figures.MOST_ROWS


def test_agreement_puts_every_point_inside_its_axes():
    fig = figures.agreement({"TTFT": (np.array([0.2, 0.4]), np.array([0.3, 0.4])), "TPOT": (np.array([0.05]),) * 2})
    low, high = fig.layout.xaxis.range
    assert low < np.log10(0.05) and high > np.log10(0.4) and fig.layout.yaxis.range == fig.layout.xaxis.range
    assert list(fig.data[1].y) == [0.3, 0.4] and list(fig.data[0].x) == list(fig.data[0].y)
