"""The block-table player: it begins where something happens, its views follow the step, and it says what was done."""

import pandas as pd
import pytest

from servelab.errors import ServelabError
from servelab.load.history import Moment, Turn
from servelab.load.workload import synthetic
from servelab.simulate import EngineConfig, Linear
from servelab.simulate.history import moments
from servelab.widgets.player import player, spans, told

CROWD = synthetic(8, prompt_tokens=192, output_tokens=96, seed=7)
HISTORY = moments(CROWD, EngineConfig(66, 32, 8), Linear(0.04, 0.005, prefill_s=0.001), concurrency=8)


@pytest.fixture(scope="module")
def explorer():
    return player(HISTORY, "the scheduler", "simulated")


def test_it_has_one_slider_and_begins_where_a_request_gives_way(explorer):
    (name,) = explorer.controls
    assert name == "step" and HISTORY[explorer.values["step"]].preempted == (7,)
    quiet = [one for one in HISTORY if not one.preempted][10:21]
    assert player(quiet, "a", "simulated").values["step"] == 15
    assert player(HISTORY, "a", "simulated", begin=3).values["step"] == 3


def test_a_step_forward_and_back_moves_every_view(explorer):
    explorer.live()
    seen = []
    for step in (64, 65, 64):
        explorer.controls["step"].value = step
        pool, tables, queues, run = explorer.views
        seen.append((pool.data[2].text, tables.data[2].text, queues.data[0].text, run.layout.shapes[1].x0))
    assert seen[0] == seen[2] and all(a != b for a, b in zip(*seen[:2], strict=True))


def test_axes_stand_still(explorer):
    first, last = explorer.figures(step=0), explorer.figures(step=HISTORY[-1].step)
    for a, b in zip(first, last, strict=True):
        assert (a.layout.xaxis.range, a.layout.yaxis.range) == (b.layout.xaxis.range, b.layout.yaxis.range)


def test_it_says_what_the_step_did(explorer):
    assert "admitted: R0–R7; 192 tokens read: R0–R7." in explorer.caption(step=0)
    assert "63 of 65 blocks held; put back: R7; one token run: R0–R6." in explorer.caption(step=65)
    assert "one token run: R0–R6; ended: R0–R6." in explorer.caption(step=95)
    assert "193 tokens read, 64 more found in the cache: R7" in explorer.caption(step=96)


def test_it_tells_pieces_of_a_prompt_and_drafts_apart_from_single_tokens():
    turns = (Turn(0, 0, 1, 1), Turn(1, 5, 1, 3, drafts=4, accepted=2), Turn(2, 8, 8, 0), Turn(3, 9, 1, 1))
    common = {"preempted": (), "finished": (), "waiting": (), "cached": {i: 1 for i in range(4)}}
    one = Moment(
        9, 0, 0.02, 9, 4, turns, admitted=(0,), running=(0, 1, 2, 3), tables={i: (i + 1,) for i in range(4)}, **common
    )
    assert told(one) == (
        "Step 9: 15 tokens in 20 ms, 4 of 8 blocks held; admitted: R0; 1 tokens read: R0; "
        "one token and 4 drafts run, 2 kept: R1; 8 tokens read: R2; one token run: R3."
    )


def test_requests_are_told_in_short():
    assert spans([7, 2, 3, 4, 0, 5]) == "R0, R2–R5, R7"


def test_a_real_engine_s_readings_lie_over_the_run():
    readings = pd.DataFrame({"step": [0.0, 1.5], "blocks": [48, 56]})
    run = player(HISTORY, "a", "simulated", readings=readings, readings_name="vLLM").figures()[-1]
    assert run.data[0].name == "vLLM (measured)" and run.data[0].y.tolist() == [48, 56]


def test_an_engine_that_did_nothing_is_refused():
    with pytest.raises(ServelabError, match="no step to show"):
        player([], "a")
