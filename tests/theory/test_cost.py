"""Cost and utilisation against numbers worked by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servelab.errors import ServelabError
from servelab.theory import cost


def test_a_thousand_tokens_a_second_at_one_dollar_an_hour():
    assert cost.cost_per_million(1.0, 1000) == pytest.approx(1 / 3.6)


def test_a_machine_that_serves_nothing_has_no_price_a_token():
    assert cost.cost_per_million(1.0, 0) is None


def test_energy_in_both_units_agrees():
    assert cost.joules_per_token(300, 1000) == pytest.approx(0.3)
    assert cost.kwh_per_million(300, 1000) == pytest.approx(0.3e6 / 3.6e6)


def test_utilisation_by_hand_and_in_no_units():
    assert cost.mfu(tokens_per_s=100, flops=2e8, peak_flops=1e11) == pytest.approx(0.2)
    assert cost.mbu(bytes_per_step=5e8, step_s=0.05, bandwidth=2e10) == pytest.approx(0.5)
    assert cost.mfu([100, 200], 2e8, 1e11).tolist() == pytest.approx([0.2, 0.4])


def test_half_empty_costs_twice_as_much_a_request():
    full, half, none = cost.request_cost(3.6, 1.0, np.array([1, 0.5, 0]))
    assert (full, half) == (pytest.approx(0.001), pytest.approx(0.002)) and none == float("inf")


def test_machines_by_hand():
    assert cost.machines(100, 30) == 4 and cost.machines(90, 30) == 3
    assert cost.machines([90, 91], 30, 0.5, spare=1).tolist() == [7, 8]
    with pytest.raises(ServelabError):
        cost.machines(1, 0)


@given(st.floats(1, 500), st.floats(0, 700), st.floats(0.01, 1), st.floats(1, 1e4))
def test_an_emptier_machine_spends_more_a_token(idle, more, u, rate):
    spent = cost.joules_per_token_at(idle, idle + more, u, rate)
    assert spent >= cost.joules_per_token_at(idle, idle + more, 1.0, rate) * (1 - 1e-12)
    assert spent == pytest.approx(cost.joules_per_token(cost.watts(idle, idle + more, u), u * rate))
    assert cost.watts(idle, idle + more, 1) == pytest.approx(idle + more)


@given(st.floats(0.01, 100), st.floats(0.1, 1e4), st.floats(0.01, 1))
def test_machines_hold_their_load(rate, capacity, u):
    n = cost.machines(rate, capacity, u)
    assert rate <= n * capacity * u * (1 + 1e-6) and rate >= (n - 1) * capacity * u * (1 - 1e-6)
