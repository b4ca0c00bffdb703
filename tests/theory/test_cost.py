"""Cost and utilisation against numbers worked by hand."""

import pytest

from servelab.theory import cost


def test_a_thousand_tokens_a_second_at_one_dollar_an_hour():
    assert cost.cost_per_million(1.0, 1000) == pytest.approx(1 / 3.6)


def test_energy_in_both_units_agrees():
    assert cost.joules_per_token(300, 1000) == pytest.approx(0.3)
    assert cost.kwh_per_million(300, 1000) == pytest.approx(0.3e6 / 3.6e6)


def test_utilisation_by_hand_and_in_no_units():
    assert cost.mfu(tokens_per_s=100, flops=2e8, peak_flops=1e11) == pytest.approx(0.2)
    assert cost.mbu(bytes_per_step=5e8, step_s=0.05, bandwidth=2e10) == pytest.approx(0.5)
