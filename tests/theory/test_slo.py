"""The outline's targets, worked by hand."""

import pytest

from servelab.theory.slo import SEED, Targets


def test_the_outlines_targets_leave_twenty_tokens_a_request():
    assert SEED.tokens_per_request == 20


def test_a_chat_answer_needs_ten_times_the_stated_throughput():
    assert SEED.required_tokens_per_s(200) == 20_000
    assert SEED.required_tokens_per_s(10) == 2000


def test_in_flight_follows_littles_law():
    targets = Targets(ttft_s=0.5, itl_s=0.05, tokens_per_s=1, requests_per_s=100)
    assert targets.e2e_s(201) == pytest.approx(10.5)
    assert targets.in_flight(201) == pytest.approx(1050)
