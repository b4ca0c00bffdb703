"""The roofline explorer: steps that move the right way, a machine of another shape, and the sentence's verdicts."""

import numpy as np
import pytest

from servelab import course
from servelab.calibrate import Sample
from servelab.theory.latency import Machine
from servelab.widgets.roofline import roofline

MODEL = course.load().model("smollm2-135m")
MACHINE = Machine(100e9, 20e9)


@pytest.fixture(scope="module")
def explorer():
    return roofline(MODEL, MACHINE)


def placed(explorer, kind, **changes):
    return next(t for t in explorer.figures(**changes)[0].data if t.name == kind)


def test_a_larger_batch_moves_decoding_to_the_right_and_up(explorer):
    points = [placed(explorer, "decode step", batch=b) for b in (1, 8, 64)]
    assert np.all(np.diff([p.x[0] for p in points]) > 0) and np.all(np.diff([p.y[0] for p in points]) >= 0)


def test_more_context_moves_it_back(explorer):
    assert placed(explorer, "decode step", context=2048).x[0] < placed(explorer, "decode step", context=16).x[0]


def test_the_sentence_tells_which_limit_holds(explorer):
    assert "Decode step: 0.511 FLOP/byte, memory is the limit" in explorer.say(1, 128, 256, 1, 1)
    assert "Decode step: 12.2 FLOP/byte, arithmetic is the limit" in explorer.say(32, 128, 256, 1, 1)
    assert "nor to the ridge" in explorer.say(32, 4096, 256, 1, 1)
    assert "nor to the ridge" not in explorer.say(32, 128, 256, 1, 1)


def test_a_machine_with_more_bandwidth_has_its_ridge_further_left(explorer):
    assert "The ridge is at 5 FLOP" in explorer.say(8, 128, 256, 1, 1)
    assert "The ridge is at 1.25 FLOP" in explorer.say(8, 128, 256, 1, 4)


def test_samples_bring_a_third_view_and_fade_on_another_machine():
    inside = Sample("a", (1.0, 4.0, 400.0, 0.0, 0.0, 0.0, 0.0), 0.05)
    idle = Sample("b", (1.0, 0.0, 0.0, 64.0, 2080.0, 1.0, 1.0), 0.2)
    explorer = roofline(MODEL, MACHINE, [inside, idle])
    shown = explorer.figures()
    assert len(shown) == 3
    points = next(t for t in shown[0].data if t.name == "steps (measured)")
    assert len(points.x) == 1 and points.opacity == 1
    assert next(t for t in explorer.figures(peak=2)[0].data if t.name == "steps (measured)").opacity < 1


def test_the_measured_point_moves_with_the_batch():
    seen = [Sample("a", (1.0, b, 100.0 * b, 0.0, 0.0, 0.0, 0.0), 0.01 * b) for b in (4.0, 16.0)]
    explorer = roofline(MODEL, MACHINE, seen)

    def star(batch):
        return [t for t in explorer.figures(batch=batch)[0].data if t.name == "this batch (measured)"]

    assert star(16)[0].x[0] > star(4)[0].x[0] and not star(8)
    assert "took 40 ms (measured)" in explorer.say(4, 128, 256, 1, 1)
    assert "(measured)" not in explorer.say(8, 128, 256, 1, 1) + explorer.say(4, 128, 256, 2, 1)
