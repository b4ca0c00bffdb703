"""The tree lights one way from the root to a leaf; the map draws the borders that the theory computes."""

from dataclasses import replace

import numpy as np
import pytest

from servelab.figures import choice as figures
from servelab.figures import style
from servelab.theory import choice as theory
from servelab.theory.batching import StepModel
from servelab.theory.choice import Case, Need, Server

CASE = Case(Need(1.0, 16, 100), Server(StepModel(0.04, 0.005, 0.001), 32))


def named(fig, part):
    return next(t for t in fig.data if t.name and part in t.name)


def lit(fig):
    """Texts that are not drawn pale."""
    return [a.text for a in fig.layout.annotations if a.opacity == 1]


def test_the_whole_tree_names_every_question_and_every_leaf():
    fig = figures.tree()
    said = " ".join(a.text for a in fig.layout.annotations).replace("<br>", " ")
    for text in (*figures.questions().values(), *(leaf.title for leaf in theory.leaves().values())):
        assert text in said
    boxes = [s for s in fig.layout.shapes if s.type == "rect"]
    assert len(boxes) == len(theory.FORKS) + len(theory.leaves())


@pytest.mark.parametrize("leaf", theory.leaves())
def test_the_way_to_a_leaf_is_lit_and_no_other_leaf(leaf):
    way, at = [], leaf
    for fork in reversed(theory.FORKS):
        said = next((answer for answer, to in fork.leads.items() if to == at), None)
        if said:
            way, at = [(fork.id, said), *way], fork.id
    fig = figures.tree(theory.Path(tuple(way), leaf))
    bold = [text for text in lit(fig) if text.startswith("<b>")]
    assert [text.replace("<br>", " ") for text in bold] == [f"<b>{theory.leaves()[leaf].title}</b>"]
    assert sum(text.replace("<br>", " ") in figures.questions().values() for text in lit(fig)) == len(way)


def test_the_outline_s_thresholds_are_read_not_typed():
    said = " ".join(a.text for a in figures.tree(by_requests=True).layout.annotations)
    assert "below 10 RPS" in said and "10 to 100 RPS" in said and "above 100 RPS" in said


def test_the_map_s_borders_are_the_theory_s_bands():
    fig = figures.load(CASE)
    for name, below, above in (("one at a time", "low", "medium"), ("one engine", "medium", "high")):
        line = named(fig, name)
        for rate, length in list(zip(line.x, line.y, strict=True))[20:50:7]:
            case = replace(CASE, need=replace(CASE.need, output_tokens=int(length)))
            bands = [
                theory.by_tokens(replace(case, need=replace(case.need, requests_per_s=rate * f))) for f in (0.99, 1.01)
            ]
            assert bands == [below, above]


def test_the_map_shows_the_load_what_was_measured_and_the_outline():
    fig = figures.load(CASE, {"vLLM": (0.7, 20)})
    assert (named(fig, "your load").x[0], named(fig, "your load").y[0]) == (1.0, 100)
    assert named(fig, "vLLM (measured)").x == (0.7,)
    assert {shape.x0 for shape in fig.layout.shapes} == set(theory.SEED_RPS)


def test_a_load_that_nothing_carries_has_no_border():
    slow = replace(CASE, need=replace(CASE.need, tpot_s=0.001))
    assert set(named(figures.load(slow), "one engine").x) == {None}


def test_the_fleet_is_what_the_theory_counts():
    rates = [0.5, 1, 10]
    line = figures.fleet({"100 tokens": CASE}, rates).data[0]
    want = [replace(CASE, need=replace(CASE.need, requests_per_s=rate)).engines for rate in rates]
    assert list(line.y) == want and np.all(np.diff(want) >= 0) and line.line.dash == "dash"
    assert style.suffix("modelled") in line.name
