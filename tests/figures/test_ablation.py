"""The forest plot: every ablation in its row, its interval and verdict where they belong."""

import pytest

from servelab.figures import ablation as figures
from servelab.load.ablation import Ablation, names, verdicts


@pytest.fixture
def found():
    return {
        "memory": {"faster": Ablation(4.0, 3.0, 5.0, 4, 4, 1), "slower": Ablation(0.5, 0.4, 0.6, 4, 1, 2)},
        "I/O": {
            "same": Ablation(1.0, 0.98, 1.02, 4, 1, 1),
            "one pair": Ablation(2.0, 0.0, float("inf"), 1, 2, 1),
            "bytes": Ablation.counted(256, 68),
        },
    }


def rows(fig):
    return {trace.name: list(trace.y) for trace in fig.data}


def test_each_row_stands_under_its_verdict(found):
    told = verdicts()
    drawn = rows(figures.forest(found))
    assert drawn[told["gain"]] == [0, 4] and drawn[told["loss"]] == [1]
    assert drawn[told["none"]] == [2] and drawn[told["undecided"]] == [3]


def test_labels_name_the_ablations_from_the_top(found):
    axis = figures.forest(found).layout.yaxis
    assert [text.split("  ")[0] for text in axis.ticktext] == ["faster", "slower", "same", "one pair", "bytes"]
    assert axis.range[0] > axis.range[1]


def test_short_names_are_written_out():
    axis = figures.forest({"memory": {"paged": Ablation.counted(2, 1)}}).layout.yaxis
    assert axis.ticktext[0].startswith(names()["paged"]) and "×2" in axis.ticktext[0]


def test_intervals_are_drawn_as_far_as_they_reach(found):
    fig = figures.forest(found)
    gain = next(t for t in fig.data if t.name == verdicts()["gain"])
    assert gain.error_x.array == pytest.approx([1.0, 0.0]) and gain.error_x.arrayminus == pytest.approx([1.0, 0.0])
    loose = next(t for t in fig.data if t.name == verdicts()["undecided"])
    assert 0 < 2 - loose.error_x.arrayminus[0] < 0.051 and 2 + loose.error_x.array[0] >= 40


def test_every_verdict_is_in_the_legend_and_one_is_marked(found):
    fig = figures.forest({"I/O": {"same": found["I/O"]["same"]}})
    assert [trace.name for trace in fig.data] == list(verdicts().values())
    assert fig.layout.shapes[0].x0 == 1


def test_families_are_named_once(found):
    names = [note.text for note in figures.forest(found).layout.annotations if "<b>" in (note.text or "")]
    assert len(names) == 2
