"""The token-budget explorer: its views follow, measurement shows where it belongs, and it says what it means."""

import pandas as pd
import pytest

from servelab.simulate import Linear
from servelab.widgets.chunking import chunking

STEP = Linear(fixed_s=0.04, decode_s=0.002, prefill_s=0.005)


@pytest.fixture
def explorer():
    measured = pd.DataFrame({"budget": [128, 2048], "stall_s": [0.7, 2.0], "ttft_s": [2.3, 2.1]})
    return chunking(STEP, measured, prompt=384, decoding=4)


def drawn(fig, kind):
    return [trace.name for trace in fig.data if trace.name and kind in trace.name]


def test_begins_where_it_was_measured(explorer):
    assert explorer.values == {"budget": 128, "prompt_tokens": 384, "readers": 4}
    assert len(drawn(explorer.figures()[1], "measured")) == 2


def test_points_measured_at_other_lengths_are_not_shown(explorer):
    assert not drawn(explorer.figures(prompt_tokens=512)[1], "measured")
    assert not drawn(explorer.figures(readers=8)[1], "measured")


def test_a_smaller_budget_shows_lower_and_more_squares(explorer):
    tall, low = (max(explorer.figures(budget=b)[0].data[0].y) for b in (2048, 64))
    assert low < tall / 4


def test_says_pieces_stall_and_wait(explorer):
    assert "pieces of the prompt: 4." in explorer.caption() and "(simulated)" in explorer.caption()
    assert "pieces of the prompt: 1." in explorer.caption(budget=2048)


def test_draws_without_a_measurement():
    plain = chunking(STEP)
    assert len(plain.figures()) == 2 and not drawn(plain.figures()[1], "measured")
