"""What the speculation figures draw: shares by position, what they add up to, and where a draft stops paying."""

import numpy as np
import pytest

from servelab.figures import speculation as figures
from servelab.figures import style
from servelab.theory import speculation as theory
from servelab.theory.batching import StepModel

SHARES = theory.reached(np.full(6, 0.8))
CURVES = {"i.i.d.": ("modelled", style.ORANGE, SHARES), "counted": ("measured", style.BLUE, [0.7, 0.5])}
STEP = StepModel(fixed_s=0.04, each_s=0.002).tpot_s


def named(fig, part):
    return next(t for t in fig.data if t.name and part in t.name)


def test_positions_draw_what_was_counted_as_bars():
    fig = figures.positions(CURVES, 2)
    assert named(fig, "counted (measured)").type == "bar" and named(fig, "counted").y == pytest.approx((70, 50))
    assert named(fig, "i.i.d. (modelled)").y == pytest.approx(100 * SHARES)


def test_tokens_begin_at_one_and_a_draft_that_costs_nothing_gives_them_as_speed():
    fig = figures.speedup(CURVES, 0.1, 2)
    tokens, gain = named(fig, "tokens a step"), named(fig, "i.i.d. (modelled)")
    assert tokens.y[0] == 1 and tokens.y[4] == pytest.approx(theory.expected_tokens(0.8, 4))
    assert (gain.y[1:] < tokens.y[1:]).all()
    assert named(figures.speedup(CURVES, 0.0, 2), "i.i.d.").y == pytest.approx(tokens.y)


def test_the_star_stands_at_the_best_depth():
    fig = figures.speedup(CURVES, 0.1, 1)
    star = named(fig, "best depth")
    best = theory.best_depth(0.8, 0.1, 6)
    assert star.x == (best,) and star.y[0] == pytest.approx(theory.speedup(0.8, best, 0.1))


def test_a_curve_without_that_depth_has_no_dot():
    count = [len(figures.speedup(CURVES, 0.1, depth).data) for depth in (2, 5)]
    assert count[0] == count[1] + 1


@pytest.mark.parametrize("batch", [1, 16])
def test_by_batch_is_the_theory_s(batch):
    gain = figures.gain_at_batch(SHARES, 0.1, [batch], STEP)[0]
    for depth in range(7):
        draft = 0.1 * float(STEP(batch))
        assert gain[depth] == pytest.approx(theory.speedup_at_batch(0.8, depth, batch, STEP, draft))


def test_by_batch_falls_below_one_and_the_best_depth_does_not():
    fig = figures.by_batch(SHARES, 0.1, 4, 8, STEP)
    this, best = named(fig, "this depth").y, named(fig, "the best depth").y
    assert this[0] > 1 > this[-1] and min(best) >= 1
