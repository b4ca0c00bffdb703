"""The memory explorer: linked views, a sentence with the right numbers, and quick enough to slide."""

import pytest

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
