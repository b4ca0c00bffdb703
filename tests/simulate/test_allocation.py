"""Three allocators: nothing is given twice, the account adds up, and paging is what vLLM's scheduler does."""

import random

import numpy as np
import pytest

from servelab.errors import ServelabError
from servelab.load.traces import read
from servelab.simulate import EngineConfig, Scheduler, Sequence
from servelab.simulate.allocation import EMPTY, FREE, PARTS, TOKENS, FirstFit, Paged, Slots, replay
from servelab.theory.kv_cache import contiguous_share, paged_share

TRACE = [(e.prompt_tokens, e.output_tokens) for e in read("assets/traces/course.jsonl")]


def lengths(rng, n=40):
    return [(rng.randint(1, 90), rng.randint(1, 40)) for _ in range(n)]


def allocators():
    return {
        "fixed": lambda: Slots(1000, 130),
        "dynamic": lambda: FirstFit(1000),
        "paged 1": lambda: Paged(1000, 1),
        "paged 16": lambda: Paged(60, 16),
        "paged 128": lambda: Paged(8, 128),
    }


@pytest.fixture(params=allocators())
def make(request):
    return allocators()[request.param]


@pytest.mark.parametrize("seed", range(5))
def test_the_account_adds_up_at_every_step(make, seed):
    rng = random.Random(seed)
    one = make()
    done = replay(one, lengths(rng), max_num_seqs=rng.choice([None, 3, 12]))
    assert (done.frame[list(PARTS)].sum(axis=1) == one.capacity).all()
    assert (done.frame[list(PARTS)] >= 0).all().all()
    assert sum(done.shares().values()) == pytest.approx(1)
    assert one.pieces == {} and one.left == one.capacity - one.kept, "everything came back"


@pytest.mark.parametrize("seed", range(5))
def test_no_token_of_memory_is_held_twice(make, seed):
    requests = lengths(random.Random(seed))
    done = replay(make(), requests)
    for pieces in done.layout:
        owned = np.zeros(done.capacity, int)
        for start, length, tokens in pieces:
            assert 0 <= tokens <= length and start + length <= done.capacity
            owned[start : start + length] += 1
        assert owned.max() == 1


@pytest.mark.parametrize("seed", range(5))
def test_all_are_served_in_their_order(make, seed):
    requests = lengths(random.Random(seed))
    done = replay(make(), requests)
    assert done.order == list(range(len(requests)))
    assert done.frame.running.sum() == sum(output for _prompt, output in requests), "a step is a token of each"
    assert done.steps >= max(output for _prompt, output in requests)


@pytest.mark.parametrize("block", [1, 8, 16, 128])
@pytest.mark.parametrize("memory", [1024, 2048, 8192])
def test_paged_is_what_vllms_scheduler_does(memory, block):
    requests = [pair for pair in TRACE if sum(pair) < memory - block]
    done = replay(Paged(memory // block, block), requests, max_num_seqs=32)
    config = EngineConfig(memory // block, block, 32, 10**6, enable_prefix_caching=False)
    scheduler = Scheduler(config)
    for i, (prompt, output) in enumerate(requests):
        scheduler.add(Sequence(i, prompt, output))
    for _step, row in done.frame.iterrows():
        plan = scheduler.schedule()
        assert len(plan.tokens) == row.running
        assert scheduler.pool.used * block == row.tokens + row.reserved + row.internal
        scheduler.complete(plan)
    assert not scheduler.running and not scheduler.waiting
    assert scheduler.preemptions == done.preemptions


def test_paging_wastes_less_than_a_block_a_sequence():
    for block in (8, 32):
        done = replay(Paged(2048 // block, block), TRACE)
        empty = done.frame.reserved + done.frame.internal
        assert (empty < block * done.frame.running).all()
        assert (done.frame.external == 0).all(), "every free block serves everybody"


def test_slots_hold_as_many_as_there_are_slots():
    done = replay(Slots(2100, 1024), TRACE[:60])
    assert done.frame.running.max() == 2
    assert done.preemptions == 0
    held = done.frame.tokens + done.frame.reserved + done.frame.internal
    assert (held == 1024 * done.frame.running).all()


def test_first_fit_takes_the_lowest_gap_that_is_long_enough():
    one = FirstFit(100)
    for sequence, claim in enumerate((10, 20, 10, 30)):
        assert one.admit(sequence, 1, claim)
    one.free(0)
    one.free(2)
    assert one.gaps() == [(0, 10), (30, 10), (70, 30)]
    assert one.admit(4, 1, 9) and one.pieces[4] == [(0, 9)]
    assert one.admit(5, 1, 11) and one.pieces[5] == [(70, 11)]


def test_holes_that_are_enough_together_and_nowhere():
    one = FirstFit(100)
    for sequence in range(5):
        assert one.admit(sequence, 1, 20)
    one.free(1)
    one.free(3)
    assert one.left == 40 and not one.admit(9, 1, 25) and 9 not in one.pieces
    # The same in a replay: the third request waits although 40 tokens are free.
    done = replay(FirstFit(100), [(9, 12), (9, 2), (9, 12), (9, 2), (9, 12), (9, 17)], claims=[12, 12, 12, 12, 12, 17])
    row = done.frame.iloc[2]
    assert (row.waiting, row.external) == (1, 40) and row.free == 0


def test_who_asks_for_more_holds_more_empty():
    known, asked = replay(FirstFit(2048), TRACE), replay(FirstFit(2048), TRACE, 128)
    assert known.shares()["internal"] == 0 < asked.shares()["internal"]
    assert asked.steps > known.steps and asked.concurrency < known.concurrency


def test_a_growing_sequence_takes_from_the_last_admitted():
    done = replay(Paged(4, 4), [(4, 4), (4, 4)])  # 3 usable blocks; each needs 2 at the end
    assert done.preemptions == 1 and done.order == [0, 1]
    assert done.frame.running.tolist() == [2, 1, 1, 1, 1, 1, 1]


def test_shares_of_full_grown_sequences_are_the_closed_form():
    """Answers of one token: nothing grows, so each step's account is the formula's."""
    prompts = [prompt for prompt, _output in TRACE]
    done = replay(Slots(1024 * len(prompts), 1024), [(prompt, 1) for prompt in prompts])
    assert done.shares()["tokens"] == pytest.approx(contiguous_share(prompts, 1024))
    done = replay(Paged(1 + sum(-(-p // 16) for p in prompts), 16), [(prompt, 1) for prompt in prompts])
    row = done.frame.iloc[0]
    assert row.tokens / (row.tokens + row.internal) == pytest.approx(paged_share(prompts, 16))


def test_the_map_shows_who_is_where():
    cells = replay(Slots(20, 10), [(4, 3), (2, 2)]).map(20, 10)
    assert cells.shape == (20, 3)
    assert cells[:10, 0].tolist() == [TOKENS] * 4 + [EMPTY] * 6
    assert cells[10:, 1].tolist() == [TOKENS] * 3 + [EMPTY] * 7
    assert (cells[10:, 2] == FREE).all()


def test_what_cannot_be_served_is_told():
    with pytest.raises(ServelabError, match="asks for 56 tokens"):
        replay(FirstFit(50), [(50, 7)])
    with pytest.raises(ServelabError, match="asks for 60 tokens"):
        replay(Paged(4, 16), [(50, 11)])
    with pytest.raises(ServelabError, match="more tokens than it asked for"):
        replay(FirstFit(500), [(50, 7)], 6)
