"""The operating-point explorer: it begins at what was measured, its views follow, and it says what it means."""

import time

import numpy as np
import pandas as pd
import pytest

from servelab.theory.batching import StepModel
from servelab.widgets.batching import batching

MODEL = StepModel(fixed_s=0.04, each_s=0.005, prefill_s=0.001)


@pytest.fixture
def explorer():
    batch = np.array([1, 8, 32])
    sweep = pd.DataFrame(
        {"concurrency": batch, "tok_s": MODEL.throughput(batch, 16, 32), "tpot_s": MODEL.tpot_s(batch), "ttft_s": 0.1}
    )
    return batching(sweep, MODEL, prompt_tokens=16, output_tokens=32, kv_tokens=2000)


def star(fig):
    return next(t for t in fig.data if t.name == "operating point")


def test_begins_at_the_measured_lengths(explorer):
    assert (explorer.values["prompt"], explorer.values["output"]) == (16, 32)
    assert len(explorer.figures()) == 3


def test_one_slider_moves_every_view(explorer):
    explorer.live()
    before = [star(v).x[0] for v in explorer.views]
    explorer.controls["batch"].value = 32
    after = [star(v).x[0] for v in explorer.views]
    assert all(a != b for a, b in zip(before, after, strict=True))
    assert star(explorer.views[0]).y[0] == pytest.approx(MODEL.throughput(32, 16, 32))


def test_says_whether_the_slo_holds_and_when_the_cache_is_full(explorer):
    assert "misses the SLO" in explorer.caption(batch=32, slo_ms=100)
    assert "meets the SLO" in explorer.caption(batch=4, slo_ms=100)
    assert "KV cache" in explorer.caption(batch=32, output=1024) and "KV cache" not in explorer.caption()


def test_drawing_is_quick_enough_for_a_slider(explorer):
    began = time.process_time()
    for batch in range(1, 11):
        explorer.figures(batch=batch)
    assert (time.process_time() - began) / 10 < 1
