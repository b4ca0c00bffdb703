"""A newcomer among running readers: by hand, its limits, and what a smaller budget can and cannot do."""

import pytest

from servelab.errors import ServelabError
from servelab.simulate import Linear
from servelab.simulate.chunking import budgets, interrupt

STEP = Linear(fixed_s=0.04, decode_s=0.002, prefill_s=0.005)


def test_a_prompt_in_one_piece_by_hand():
    """Two readers, a step of 44 ms; 100 prompt tokens add 500 ms. The newcomer arrives halfway through a step."""
    one = interrupt(STEP, budget=512, prompt=100, decoding=2)
    assert one.stall_s == pytest.approx(0.544)
    assert one.ttft_s == pytest.approx(0.022 + 0.544)
    assert sorted(one.gaps_s)[-2:] == pytest.approx([0.044, 0.544])


def test_a_prompt_in_pieces_by_hand():
    """52 tokens a step, two of them the readers': 100 tokens are two pieces of 50."""
    one = interrupt(STEP, budget=52, prompt=100, decoding=2)
    assert one.stall_s == pytest.approx(0.294)
    assert one.ttft_s == pytest.approx(0.022 + 2 * 0.294)
    assert sum(gap == pytest.approx(0.294) for gap in one.gaps_s) == 2


@pytest.mark.parametrize("decoding", [1, 4, 31])
def test_a_smaller_budget_shortens_the_stall_and_delays_the_newcomer(decoding):
    curve = budgets(STEP, (33, 64, 128, 256, 512, 1024), prompt=700, decoding=decoding)
    assert curve.stall_s.is_monotonic_increasing and curve.ttft_s.is_monotonic_decreasing


def test_a_budget_beyond_the_prompt_changes_nothing():
    small, large = (interrupt(STEP, budget, prompt=100, decoding=4) for budget in (104, 4096))
    assert (small.stall_s, small.ttft_s) == (pytest.approx(large.stall_s), pytest.approx(large.ttft_s))


def test_readers_write_before_and_after_the_newcomer():
    one = interrupt(STEP, budget=40, prompt=1000, decoding=32, context=64)
    assert one.ends_s[0] < 0 < one.ttft_s < one.ends_s[-1]
    assert len(one.ends_s) == len(one.gaps_s)


def test_budgets_without_room_are_left_out():
    assert budgets(STEP, (8, 9, 64), prompt=100, decoding=8).budget.tolist() == [9, 64]


@pytest.mark.parametrize(("budget", "decoding"), [(4, 4), (64, 0)])
def test_no_room_is_told(budget, decoding):
    with pytest.raises(ServelabError):
        interrupt(STEP, budget, prompt=100, decoding=decoding)
