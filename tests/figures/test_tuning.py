"""The ladder, a knob's sweep and the Pareto front: every point where it belongs."""

import pytest

from servelab.figures import tuning as figures
from servelab.tuning import Bounds, Ladder, Score, names, verdicts

BOUNDS = Bounds(1.0, 0.1, 0.3)


def score(met=0.5, goodput=1.0, tpot=0.1):
    return Score(met, goodput, 0.5, tpot, 0.6, 10.0, {"ttft": 1 - met, "tpot": 0.0, "gap": 0.0})


@pytest.fixture
def rungs():
    ladder = Ladder({"a": 1})
    ladder.begin(score(0.2), score(0.25))
    ladder.change("seats", {"a": 2}, "ttft", score(0.6), score(0.5))
    ladder.change("int8", {"a": 3}, "tpot", None, score(0.5))
    ladder.change("block", {"a": 4}, "ttft", score(0.9))
    return ladder.rungs


def test_bars_are_measured_and_diamonds_predicted(rungs):
    fig = figures.ladder(rungs, 0.9)
    told, words = names(), verdicts()
    bars = {t.name.split(" (")[0]: list(zip(t.x, t.y, strict=True)) for t in fig.data if t.type == "bar"}
    assert bars == {
        words["start"]: [(told["start"], 25)],
        words["kept"]: [(told["seats"], 50)],
        words["dropped"]: [(told["int8"], 50)],
    }
    said = next(t for t in fig.data if t.type == "scatter")
    assert dict(zip(said.x, said.y, strict=True)) == {told["start"]: 20, told["seats"]: 60, told["block"]: 90}
    assert list(fig.layout.xaxis.categoryarray) == [told[r.name] for r in rungs]
    assert fig.layout.shapes[0].y0 == 90


def test_a_sweep_draws_shares_of_the_bounds():
    fig = figures.sweep("block_size", [16, 32], [score(), score(tpot=0.2)], BOUNDS)
    assert [list(t.y) for t in fig.data] == [[0.5, 0.5], [1, 2], [2, 2]]
    assert "block_size" in fig.layout.xaxis.title.text


def test_the_front_leaves_out_who_is_beaten():
    points = {
        "a": score(goodput=2.0, tpot=0.060),
        "b": score(goodput=2.4, tpot=0.055),
        "c": score(goodput=1.6, tpot=0.048),
    }
    fig = figures.front(points, BOUNDS)
    best, beaten = fig.data
    assert list(best.text) == ["c", "b"] and list(beaten.text) == ["a"]
    assert list(best.x) == pytest.approx([48, 55])
    assert fig.layout.shapes[0].x0 == pytest.approx(100)


def test_no_points_is_an_empty_figure():
    assert figures.front({}).data
