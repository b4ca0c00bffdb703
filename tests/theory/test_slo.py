"""The outline's targets, worked by hand."""

import pytest

from servelab.theory.slo import SEED, Targets, attained, ceiling_tokens_per_s


def test_the_outlines_targets_leave_twenty_tokens_a_request():
    assert SEED.tokens_per_request == 20


def test_a_chat_answer_needs_ten_times_the_stated_throughput():
    assert SEED.required_tokens_per_s(200) == 20_000
    assert SEED.required_tokens_per_s(10) == 2000


def test_in_flight_follows_littles_law():
    targets = Targets(ttft_s=0.5, itl_s=0.05, tokens_per_s=1, requests_per_s=100)
    assert targets.e2e_s(201) == pytest.approx(10.5)
    assert targets.in_flight(201) == pytest.approx(1050)


def test_two_cores_end_at_a_few_hundred_tokens_a_second():
    assert ceiling_tokens_per_s(100e9, 0.27e9) == pytest.approx(370, abs=1)
    assert ceiling_tokens_per_s(100e9, 0.27e9) < SEED.tokens_per_s


def test_a_mean_at_half_the_bound_leaves_an_eighth_outside():
    assert 1 - attained(0.5, 1.0) == pytest.approx(0.135, abs=0.001)
    assert attained(1 / 4.605, 1.0) == pytest.approx(0.99, abs=1e-4)
