"""Capacity where it can be worked out by hand, and what it must not depend on."""

import pytest

from servelab.errors import ServelabError
from servelab.load import Request, synthetic, trace
from servelab.simulate import EngineConfig, Linear
from servelab.simulate.capacity import capacity


def test_one_seat_completes_one_service_after_the_other() -> None:
    config = EngineConfig(400, 16, max_num_seqs=1, max_num_batched_tokens=64)
    step = Linear(0.01, 0.001, prefill_s=0.0005)
    service = (0.01 + 40 * 0.0005) + 4 * 0.011  # the prompt's step writes the first of five tokens
    assert capacity(synthetic(10, 40, 5), config, step) == pytest.approx(1 / service)


def test_full_seats_share_a_step() -> None:
    """Eight in step, each with 100 tokens to write: a step of 8 ms writes eight, prompts cost next to nothing."""
    config = EngineConfig(400, 16, max_num_seqs=8, max_num_batched_tokens=64)
    assert capacity(synthetic(16, 1, 100), config, Linear(0.0, 0.001, pieces_s=0.001)) == pytest.approx(10, rel=0.02)


def test_a_shared_prefix_counts_and_a_repeat_does_not() -> None:
    prices = Linear(0.01, prefill_s=0.001)
    some = synthetic(12, 96, 4, shared_prefix=64)
    on, off = (EngineConfig(400, 16, 4, 64, enable_prefix_caching=cache) for cache in (True, False))
    assert capacity(some, on, prices) > 1.5 * capacity(some, off, prices)
    alone = synthetic(12, 96, 4)
    assert capacity(alone, on, prices) == capacity(alone, off, prices)


def test_times_of_a_trace_do_not_matter() -> None:
    config = EngineConfig(400, 16, 8, 64)
    slow, fast = (capacity(trace(n=20, time_scale=s), config, Linear(0.01, 0.001, prefill_s=1e-3)) for s in (9, 0.1))
    assert slow == fast


def test_texts_are_refused() -> None:
    with pytest.raises(ServelabError):
        capacity([Request(0, "hello", 5)], EngineConfig(), Linear(0.01))
    with pytest.raises(ServelabError):
        capacity([], EngineConfig(), Linear(0.01))
