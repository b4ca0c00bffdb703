"""What a stop breaks off: the closed form against answers that come at random."""

import numpy as np
import pytest

from servelab.theory.draining import cut, open_answers, remaining


def test_the_formula_is_what_random_arrivals_give():
    rng = np.random.default_rng(3)
    durations, rate, drain = rng.exponential(2.0, 4000), 3.0, 1.5
    found = []
    for _stop in range(2000):
        starts = rng.uniform(-60, 0, rng.poisson(rate * 60))
        ends = starts + rng.choice(durations, len(starts))
        found.append(int((ends > drain).sum()))
    assert np.mean(found) == pytest.approx(cut(rate, durations, drain), rel=0.06)


def test_a_stop_at_once_breaks_off_all_that_is_open():
    assert cut(2.0, [1.0, 3.0], 0) == pytest.approx(open_answers(2.0, [1.0, 3.0])) == 4.0
    assert cut(2.0, [1.0, 3.0], 3.0) == 0


def test_open_answers_are_the_long_ones():
    left = remaining([1.0, 9.0], n=20_000)
    assert left.mean() == pytest.approx((1 + 81) / (2 * 10), rel=0.05)
    assert left.max() < 9
