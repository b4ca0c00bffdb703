"""What the batching figures draw: the data they were given, where it comes from, and the choice."""

import numpy as np
import pandas as pd
import pytest

from servelab.figures import batching as figures
from servelab.simulate.batches import Batching, by_load
from servelab.theory.batching import StepModel, schedule, stretch

MODEL = StepModel(fixed_s=0.04, each_s=0.005, prefill_s=0.001)


@pytest.fixture
def sweep():
    batch = np.array([1, 2, 4, 8, 16, 32])
    return pd.DataFrame(
        {
            "concurrency": batch,
            "tok_s": MODEL.throughput(batch, 16, 32) * 1.1,
            "tpot_s": MODEL.tpot_s(batch),
            "ttft_s": MODEL.ttft_s(batch, 16),
        }
    )


def named(fig, part):
    return next(t for t in fig.data if t.name and part in t.name)


def test_throughput_shows_measurement_model_and_knee(sweep):
    fig = figures.throughput(sweep, MODEL, prompt_tokens=16, output_tokens=32)
    assert named(fig, "throughput (measured)").y.tolist() == sweep.tok_s.tolist()
    assert named(fig, "step model (modelled)").line.dash == "dash"
    assert fig.layout.shapes[0].x0 == pytest.approx(MODEL.knee)
    assert "tokens/s" in fig.layout.yaxis.title.text


def test_throughput_lays_a_simulation_over_both(sweep):
    played = sweep.assign(tok_s=sweep.tok_s * 0.9)
    fig = figures.throughput(sweep, MODEL, prompt_tokens=16, output_tokens=32, simulated=played)
    dotted = named(fig, "(simulated)")
    assert dotted.y.tolist() == played.tok_s.tolist() and dotted.line.dash == "dot"


def test_latency_is_in_milliseconds_with_its_slo(sweep):
    fig = figures.latency(sweep, MODEL, slo_s=0.1)
    assert fig.data[0].y == pytest.approx(sweep.tpot_s * 1000)
    assert fig.layout.shapes[0].y0 == pytest.approx(100)


def test_residual_is_percent_of_the_model(sweep):
    fig = figures.residual(sweep, MODEL, prompt_tokens=16, output_tokens=32)
    assert named(fig, "throughput").y == pytest.approx(np.full(6, 10))
    assert named(fig, "TPOT").y == pytest.approx(np.zeros(6), abs=1e-9)


def test_tradeoff_stars_the_choice_and_shades_the_slo(sweep):
    fig = figures.tradeoff(sweep, slo_s=0.1, chosen=3)
    star = named(fig, "operating point")
    assert star.y[0] == pytest.approx(sweep.tok_s[3])
    assert fig.layout.shapes[0].x1 == pytest.approx(100)


def test_front_leaves_out_what_is_beaten(sweep):
    worse = sweep.assign(tok_s=[10, 20, 5, 30, 40, 50])
    assert len(figures.front({"one": worse}).data[0].x) == 5


def test_slots_draw_every_request_in_every_panel():
    spans = {name: schedule([3, 1, 2], 2, name == "continuous") for name in ("static", "continuous")}
    fig = figures.slots(spans, 2)
    assert [sum(t.x) for t in fig.data] == [6, 6]
    assert "simulated" in fig.layout.annotations[0].text


def test_operating_views_are_linked(sweep):
    views = figures.operating(sweep, MODEL, batch=4, prompt_tokens=16, output_tokens=32, slo_s=0.1, fits=10)
    rate = MODEL.throughput(4, 16, 32)
    assert named(views[0], "operating").y[0] == pytest.approx(rate) == named(views[2], "operating").y[0]
    assert named(views[1], "operating").y[0] == pytest.approx(MODEL.e2e_s(4, 16, 32))
    assert views[0].layout.shapes[0].x0 == 10


def test_efficiency_draws_both_laws_and_what_was_reached():
    fig = figures.efficiency(8.0, lambda b: stretch([1, 9], b), {"static": {8: 0.3}, "continuous": {8: 0.45}}, most=32)
    continuous, static = (next(t for t in fig.data if t.name == f"{p} (modelled)") for p in ("continuous", "static"))
    assert continuous.y[7] == pytest.approx(50) and np.all(static.y[1:] < continuous.y[1:])
    assert named(fig, "static (measured)").y == (30,)


def test_policies_over_load_with_their_laws():
    curves = by_load(MODEL, [4, 8], {"static": Batching(4), "continuous": Batching(4, None)}, [0.05, 0.9], requests=60)
    fig = figures.by_load(curves, {"continuous": ([0.05, 0.5], [0.3, 0.6])})
    assert list(named(fig, "static (simulated)").x) == [5, 90] and np.isnan(named(fig, "static (simulated)").y[1])
    assert list(named(fig, "continuous (modelled)").y) == [0.3, 0.6]
    assert "ms" in figures.by_load(curves, {}, "tpot_s").layout.yaxis.title.text
