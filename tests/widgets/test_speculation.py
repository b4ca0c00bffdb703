"""The acceptance explorer: best depths, counted acceptance laid over, and a batch where drafts stop paying."""

import numpy as np
import pytest

from servelab.theory import speculation as theory
from servelab.theory.batching import StepModel
from servelab.widgets.speculation import speculation

COUNTED = [0.7, 0.5, 0.35]


def test_the_sentence_is_the_theory():
    told = speculation().say(0.8, 1.0, 4, 0.0)
    assert "a step gives 3.36 tokens and is 3.36 times as fast" in told
    assert "report 59% of the drafted tokens" in told


def test_a_draft_dearer_than_its_acceptance_is_best_left_out():
    assert "depth 0 would be best" in speculation().say(0.2, 1.0, 4, 0.3)


def test_it_begins_at_the_acceptance_that_fits_what_was_counted():
    explorer = speculation(measured=COUNTED)
    assert explorer.values["acceptance"] == pytest.approx(theory.iid_of(COUNTED), abs=0.005)
    assert "Counted: best at depth 3" in explorer.caption()
    bars = next(t for t in explorer.figures()[0].data if t.name == "counted (measured)")
    assert bars.y == pytest.approx(100 * np.array(COUNTED))


def test_fading_acceptance_is_a_curve_of_its_own_and_lower():
    explorer = speculation(0.8)
    flat, fading = explorer.figures(), explorer.figures(fade=0.8)
    assert len(fading[1].data) > len(flat[1].data)
    iid, by_position = (
        next(t for t in fading[1].data if (t.name or "").startswith(name)) for name in ("i.i.d.", "by position")
    )
    assert by_position.y[1] == pytest.approx(iid.y[1]) and by_position.y[-1] < iid.y[-1]


def test_a_step_model_brings_the_batch_and_its_verdict():
    explorer = speculation(0.7, step_s=StepModel(0.04, 0.002).tpot_s)
    assert len(explorer.figures()) == 3 and "batch" in explorer.controls
    assert "and depth 0 would be best" in explorer.caption(batch=128)
    assert len(speculation(0.7).figures()) == 2
