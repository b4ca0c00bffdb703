"""The memory explorer: linked views, a sentence with the right numbers, and quick enough to slide."""

import numpy as np
import pandas as pd
import pytest

from servelab.load.metrics import Record
from servelab.theory.kv_cache import blocks_over_time
from servelab.widgets.kv_cache import kv_cache


@pytest.fixture(scope="module")
def explorer():
    return kv_cache()


def test_the_defaults_draw_four_views(explorer):
    assert len(explorer.figures()) == 4
    assert "46,080" in explorer.caption()


def test_one_change_moves_the_views_it_concerns(explorer):
    before, after = explorer.figures(), explorer.figures(block=128)
    assert len(after[1].data[0].x) == 2 < len(before[1].data[0].x)
    assert after[0].data[-1].y[0] > before[0].data[-1].y[0]


@pytest.mark.parametrize(("change", "bytes_a_token"), [("MHA", "138,240"), ("MQA", "15,360")])
def test_heads_change_the_bytes(explorer, change, bytes_a_token):
    assert bytes_a_token in explorer.caption(heads=change)


def test_weights_that_do_not_fit_are_said(explorer):
    assert "do not fit" in explorer.caption(model="qwen2.5-32b", memory=24)


def test_every_model_and_dtype_draws(explorer):
    for model in explorer.controls["model"].options:
        for dtype in explorer.controls["dtype"].options:
            assert explorer.figures(model=model[1], dtype=dtype, length=32768, batch=256)


@pytest.fixture(scope="module")
def loaded():
    requests = [Record(0, 0.0, prompt_tokens=50, token_times_s=[0.1 * k for k in range(40)])]
    times = np.arange(0, 5, 0.1)
    readings = pd.DataFrame({"t_s": times, "blocks": blocks_over_time(requests, 32, times)})
    return kv_cache(block=32, readings=readings, requests=requests)


def test_a_real_load_lies_on_the_model_at_the_engine_s_own_settings(loaded):
    measured, modelled = loaded.figures()[0].data
    assert len(loaded.figures()) == 5 and "measured" in measured.name
    assert measured.y.tolist() == modelled.y.tolist() and measured.y.max() == 3 * 32 * 46_080 / 2**20
    assert "predicted" in modelled.name


@pytest.mark.parametrize(
    ("change", "times"), [({"dtype": "bfloat16"}, 0.5), ({"heads": "MHA"}, 3), ({"block": 256}, 8 / 3)]
)
def test_other_settings_move_the_model_and_leave_the_measurement(loaded, change, times):
    measured, modelled = loaded.figures(**change)[0].data
    assert measured.y.max() == 3 * 32 * 46_080 / 2**20
    assert modelled.y.max() == pytest.approx(times * measured.y.max()) and "these settings" in modelled.name
