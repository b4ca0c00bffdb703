"""The sampling figures draw percent of what they were given, and tokens one can see."""

import numpy as np
import pytest

from servelab.figures import sampling as figures

TOKENS, OWN = [" the", "\n"], [0.75, 0.25]


def test_distribution_is_in_percent_with_visible_tokens():
    fig = figures.distribution(TOKENS, OWN, changed=[1, 0], drawn=[0.7, 0.3])
    assert [t.y.tolist() for t in fig.data] == [[75, 25], [100, 0], pytest.approx([70, 30])]
    assert fig.data[0].x == ("1 ␣the", "2 ⏎")


def test_variety_is_one_when_greedy():
    fig = figures.variety(np.log(OWN), 0.0)
    assert fig.data[0].y[0] == 1 == fig.data[1].y[0]
    assert fig.data[0].y[20] == pytest.approx(2, abs=0.01)
