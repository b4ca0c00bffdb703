"""Who runs, who waits, who is put back: the scheduler alone, with a model that writes a counter."""

from __future__ import annotations

import torch

from servelab.tiny import Request, Sampling
from servelab.tiny.blocks import BlockPool
from servelab.tiny.scheduler import Scheduler


def make(num_blocks=20, block_size=4, seqs=4, tokens=16, drafts=0, caching=True):
    return Scheduler(BlockPool(num_blocks, block_size, caching), seqs, tokens, drafts)


def add(scheduler, n, max_tokens=8, first=0):
    request = Request(
        len(scheduler.waiting), list(range(first, first + n)), n, max_tokens, Sampling(), frozenset(), torch.Generator()
    )
    scheduler.waiting.append(request)
    return request


def step(scheduler, accept=0):
    plan = scheduler.schedule()
    for work in plan.work:
        if work.catches_up:
            work.accepted = min(accept, work.room)
            work.written = [900 + i for i in range(work.accepted + 1)]
    scheduler.update(plan)
    return plan


def shape(plan):
    return [(work.start, work.count, work.room) for work in plan.work]


def test_a_long_prompt_is_read_in_chunks_and_decodes_come_first():
    s = make()
    a = add(s, 6)
    assert shape(step(s)) == [(0, 6, 0)]
    b = add(s, 20, first=100)
    assert shape(step(s)) == [(6, 1, 0), (0, 15, 0)] and not b.output
    assert shape(step(s)) == [(7, 1, 0), (15, 5, 0)] and len(b.output) == 1
    assert shape(step(s)) == [(8, 1, 0), (20, 1, 0)]
    assert a.computed == 9 and len(a.tokens) == 10, "the last token written is not in the cache yet"


def test_the_budget_bounds_every_step_and_nobody_overtakes():
    s = make(num_blocks=200, seqs=3, tokens=10)
    requests = [add(s, n, first=50 * n) for n in (4, 9, 2, 1)]
    first = step(s)
    assert [w.request for w in first.work] == requests[:2] and shape(first) == [(0, 4, 0), (0, 6, 0)]
    second = step(s)
    assert shape(second) == [(4, 1, 0), (6, 3, 0), (0, 2, 0)]
    assert s.waiting[0] is requests[3], "three run at once, the fourth waits"


def test_a_prompt_is_admitted_only_if_all_of_it_fits():
    s = make(num_blocks=6, tokens=4)
    add(s, 8)
    step(s)
    b = add(s, 16, first=100)
    step(s)
    assert list(s.waiting) == [b], "three blocks are left and it needs four"


def test_the_newest_gives_way_and_is_first_in_line():
    s = make(num_blocks=6, block_size=2, tokens=16, caching=False)
    a, b = add(s, 4), add(s, 4, first=50)
    step(s)
    c = add(s, 1, first=90)
    plan = step(s)
    assert plan.preempted == [b] and s.running == [a] and list(s.waiting) == [b, c]
    assert b.table == [] and b.computed == 0 and len(b.tokens) == 5, "its tokens are kept"
    assert not plan.admitted, "who was just put back is not let in again in the same step"


def test_who_comes_back_reads_what_it_had_written_too():
    s = make(num_blocks=6, block_size=2, caching=False)
    a, b = add(s, 4, max_tokens=3), add(s, 4, max_tokens=3, first=50)
    while not a.reason:
        step(s)
    plan = step(s)
    assert [w.request for w in plan.work] == [b] and plan.work[0].count == 5 and b.preemptions == 1


def test_a_known_prefix_is_not_run_again_but_the_last_token_always_is():
    s = make(tokens=32)
    add(s, 8)
    step(s)
    b = add(s, 8)
    assert shape(step(s))[-1] == (4, 4, 0) and b.found == 4, "two blocks are known, the second holds the last token"
    c = add(s, 9)
    step(s)
    assert c.found == 8 and c.table[:2] == s.running[0].table[:2]


def test_two_of_one_prefix_share_it_within_one_step():
    s = make(tokens=32)
    a, b = add(s, 9), add(s, 9)
    assert shape(step(s)) == [(0, 9, 0), (8, 1, 0)]
    assert a.table[:2] == b.table[:2] and s.pool.blocks[a.table[0]].users == 2


def test_drafts_have_room_only_where_it_costs_nobody_anything():
    s = make(drafts=3, tokens=5, seqs=2)
    add(s, 4, max_tokens=9)
    assert shape(step(s)) == [(0, 4, 0)], "none before the first token"
    assert shape(step(s, accept=3)) == [(4, 1, 3)]
    assert shape(step(s, accept=1)) == [(8, 1, 3)], "four came, three of them drafts"
    assert shape(step(s)) == [(10, 1, 1)], "two are left to write: one draft, one of the model's own"
    tight = make(num_blocks=4, block_size=4, drafts=3, caching=False)
    add(tight, 4, max_tokens=20)
    add(tight, 3, max_tokens=20)
    step(tight)
    plan = step(tight)
    assert shape(plan) == [(4, 1, 3), (3, 1, 0)] and not plan.preempted, "a bet puts nobody back"


def test_abort_gives_everything_back():
    s = make()
    a, b = add(s, 4), add(s, 4, first=60)
    step(s)
    c = add(s, 4, first=90)
    for request in (a, c, a):
        s.abort(request)
    assert s.running == [b] and not s.waiting and a.reason == "abort" and a.table == []
    s.abort(b)
    assert len(s.pool.free) == 19
