"""What the growth figures draw: slopes in the legend, both sources told apart, shares that fill the picture."""

import numpy as np
import pytest

from servelab import course
from servelab.figures import complexity as figures
from servelab.theory import complexity as theory


def test_the_legend_tells_source_and_slope():
    sizes = np.array([1, 2, 4, 8])
    fig = figures.growth(sizes, {"a": sizes**2}, {"a": sizes, "b": 3 * sizes**2}, "n", "s", {"here": 3})
    assert [t.name for t in fig.data] == [
        "a, slope 2.00 (measured)",
        "a, slope 1.00 (modelled)",
        "b, slope 2.00 (modelled)",
    ]
    assert fig.data[0].line.color == fig.data[1].line.color != fig.data[2].line.color
    assert fig.layout.xaxis.type == fig.layout.yaxis.type == "log" and fig.layout.annotations[0].text == "here"


@pytest.mark.parametrize(("cost", "p"), [([1, 10, 40, 160], 2), ([5, 7], np.log2(7 / 5))])
def test_the_exponent_is_that_of_the_upper_half(cost, p):
    assert figures.exponent(2.0 ** np.arange(len(cost)), cost) == pytest.approx(p)


def test_shares_of_a_pass_add_up():
    model = course.load().model("smollm2-135m")
    sizes = [64, 1024, 16384]
    fig = figures.parts(model, theory.prefill(model, sizes), sizes, 1024, "n")
    assert np.sum([t.y for t in fig.data], axis=0) == pytest.approx([100] * 3)
    attention = fig.data[1].y
    assert attention[0] < 2 and attention[2] > 70
