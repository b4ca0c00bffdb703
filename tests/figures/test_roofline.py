"""What the roofline figures draw: the roof, steps at their intensity and predicted speed, and what was measured."""

import numpy as np
import pandas as pd
import pytest

from servelab import course
from servelab.calibrate import Sample
from servelab.figures import roofline as figures
from servelab.theory import roofline as theory
from servelab.theory.latency import Machine, Step, step_s, work

MODEL = course.load().model("smollm2-135m")
MACHINE = Machine(100e9, 20e9)
SLOWER = Machine(100e9, 20e9, mfu=0.5, mbu=0.5, t0_s=0.01, overlap=0.0)
STEPS = {
    "decode": Step(decode=8, context=800),
    "prompt": Step(prefill=64, chunk=64 * 65 / 2, pieces=1),
    "mixed": Step(8, 800, 64, 64 * 65 / 2, 1),
}
PLACED = {kind: work(MODEL, step) for kind, step in STEPS.items()}


def sample(step, seconds):
    features = (1.0, step.decode, step.context, step.prefill, step.chunk, step.pieces, 0.0)
    return Sample("probe", features, seconds)


@pytest.fixture
def measured():
    return figures.measured_steps(MODEL, [sample(s, 2 * float(step_s(MODEL, s, MACHINE))) for s in STEPS.values()])


def named(fig, part):
    return next(t for t in fig.data if t.name and part in t.name)


def placed(fig, kind):
    return next(t for t in fig.data if t.name == figures.kind_name(kind))


def test_a_perfect_machine_has_its_steps_on_the_roof():
    fig = figures.roof(MACHINE, PLACED)
    for kind, one in PLACED.items():
        point = placed(fig, kind)
        assert point.x[0] == pytest.approx(one.intensity)
        assert point.y[0] * 1e9 == pytest.approx(theory.attainable(100e9, 20e9, one.intensity))


def test_lost_shares_and_overhead_push_the_steps_down():
    high, low = figures.roof(MACHINE, PLACED), figures.roof(SLOWER, PLACED)
    for kind in PLACED:
        assert placed(low, kind).y[0] < placed(high, kind).y[0] / 2


def test_the_roof_bends_at_the_ridge():
    roof = figures.roof(MACHINE, PLACED).data[0]
    assert roof.x[1] == pytest.approx(5) and roof.y[1] == roof.y[2] == pytest.approx(100)
    assert roof.y[0] == pytest.approx(20 * roof.x[0])


def test_measured_steps_stand_at_their_own_speed(measured):
    points = named(figures.roof(MACHINE, PLACED, measured=measured), "steps (measured)")
    ideal = [placed(figures.roof(MACHINE, PLACED), kind).y[0] for kind in measured.kind]
    assert list(measured.kind) == ["decode", "prompt", "mixed"]
    assert points.y == pytest.approx(np.array(ideal) / 2)
    assert figures.roof(MACHINE, PLACED, measured=measured, pale=True).data[1].opacity < 0.5


def test_parts_of_a_step_are_its_arithmetic_and_its_traffic():
    fig = figures.parts(MACHINE, PLACED)
    arithmetic, traffic, whole = named(fig, "arithmetic").x, named(fig, "traffic").x, named(fig, "the step").x
    assert arithmetic == pytest.approx([w.flops / 1e8 for w in PLACED.values()])
    assert traffic == pytest.approx([w.bytes / 2e7 for w in PLACED.values()])
    assert whole == pytest.approx(np.maximum(arithmetic, traffic))


def test_parity_puts_slow_steps_below_the_diagonal(measured):
    fig = figures.parity(MACHINE, measured)
    for kind in figures.KINDS:
        point = next(t for t in fig.data if t.name == figures.kind_name(kind))
        assert point.x[0] == pytest.approx(2 * point.y[0])


def test_the_measured_step_of_a_batch_is_a_star(measured):
    fig = figures.roof(MACHINE, PLACED, measured=measured, batch=8)
    star = named(fig, "this batch")
    assert list(star.x) == pytest.approx([float(PLACED["decode"].intensity)])
    assert not [
        t for t in figures.roof(MACHINE, PLACED, measured=measured, batch=4).data if "this batch" in (t.name or "")
    ]
    assert len(figures.of_batch(measured, 8)) == 1 and figures.of_batch(None, 8).empty


def test_operations_lie_under_the_roof_where_they_were_measured():
    rows = [("qkv", 1, 0.5, 5e9), ("qkv", 64, 32.0, 80e9), ("my own", 1, 1.5, 2e9)]
    fig = figures.operations(MACHINE, pd.DataFrame(rows, columns=["operation", "rows", "intensity", "flop_s"]))
    one = named(fig, "query, key, value")
    assert list(one.x) == [0.5, 32] and list(one.y) == [5, 80] and one.text == ("batch 1", "batch 64")
    assert named(fig, "my own (measured)")
    roof = named(fig, "roof")
    assert roof.y[1] == roof.y[2] == 100 and roof.x[1] == 5
