"""Sampling against cases worked by hand, and what must hold for any distribution."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servelab.errors import ServelabError
from servelab.theory.sampling import distinct, entropy_bits, probabilities

LOGS = np.log([0.1, 0.5, 0.4])
logits = st.lists(st.floats(-20, 0), min_size=1, max_size=30, unique=True)


def test_temperature_one_is_the_model_and_zero_is_greedy():
    assert probabilities(LOGS) == pytest.approx([0.1, 0.5, 0.4])
    assert probabilities(LOGS, temperature=0).tolist() == [0, 1, 0]


def test_temperature_half_squares_the_odds():
    assert probabilities(LOGS, temperature=0.5) == pytest.approx(np.array([1, 25, 16]) / 42)


def test_top_k_and_top_p_cut_the_tail():
    assert probabilities(LOGS, top_k=2) == pytest.approx([0, 5 / 9, 4 / 9])
    assert probabilities(LOGS, top_p=0.5).tolist() == [0, 1, 0]
    assert probabilities(LOGS, top_p=0.51) == pytest.approx([0, 5 / 9, 4 / 9])


def test_top_p_counts_after_top_k():
    assert probabilities(LOGS, top_k=2, top_p=0.55).tolist() == [0, 1, 0]


@pytest.mark.parametrize("wrong", [{"temperature": -1}, {"top_k": -1}, {"top_p": 0}, {"top_p": 1.5}])
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(ServelabError):
        probabilities(LOGS, **wrong)


@given(logits, st.floats(0, 3), st.integers(0, 30), st.floats(0.01, 1))
def test_it_is_a_distribution_and_keeps_the_order(logs, temperature, top_k, top_p):
    share = probabilities(logs, temperature, top_k, top_p)
    assert share.sum() == pytest.approx(1) and (share >= 0).all()
    assert share[int(np.argmax(logs))] == share.max()
    assert not top_k or (share > 0).sum() <= top_k


@given(logits, st.floats(0.1, 2))
def test_a_higher_temperature_is_less_certain(logs, temperature):
    cool, warm = probabilities(logs, temperature), probabilities(logs, temperature * 1.5)
    assert entropy_bits(warm) >= entropy_bits(cool) - 1e-9


def test_distinct_by_hand():
    assert distinct([0.5, 0.5], 1) == pytest.approx(1)
    assert distinct([0.5, 0.5], 2) == pytest.approx(1.5)
    assert distinct([1.0, 0.0], 20) == 1
