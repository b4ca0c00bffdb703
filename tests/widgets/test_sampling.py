"""The sampling explorer: views linked to the three parameters."""

import numpy as np
import pytest

from servelab.widgets.sampling import sampling

EXPLORER = sampling([" a", " b", " c"], np.log([0.6, 0.3, 0.1]))


def test_it_begins_with_the_model_itself():
    bars = EXPLORER.figures()[0].data
    assert bars[0].y == pytest.approx(bars[1].y)


def test_top_k_one_leaves_one_token():
    views = EXPLORER.figures(top_k=1)
    assert views[0].data[1].y.tolist() == [100, 0, 0]
    assert views[1].data[1].y[0] == pytest.approx(1)
    assert "1 of 3" in EXPLORER.caption(top_k=1)


def test_every_setting_draws():
    for temperature in (0.0, 0.1, 2.0):
        for top_p in (0.1, 1.0):
            assert len(EXPLORER.figures(temperature=temperature, top_p=top_p)) == 2
