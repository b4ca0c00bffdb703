"""The engine: its tokens are transformers' whatever it does at the same time, and its history tells the truth."""

from __future__ import annotations

import dataclasses
import itertools
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from servelab.errors import ServelabError
from servelab.tiny import Draft, DraftModel, Engine, NGram, Sampling
from servelab.tiny.history import moments


def prompt(n, seed):
    return torch.randint(0, 61, (n,), generator=torch.Generator().manual_seed(seed)).tolist()


SHARED = prompt(21, 99)
PROMPTS = [prompt(1, 1), prompt(7, 2), SHARED, [*SHARED, 5], [*SHARED, *prompt(30, 3)], prompt(45, 4), SHARED[:10] * 4]


class Liar:
    """Drafts that are nearly always wrong, and sometimes right."""

    num_speculative_tokens = 3

    def attach(self, target, num_blocks, block_size):
        self.turn = itertools.count()

    def watch(self, batch):
        pass

    def propose(self, asked):
        return [Draft([next(self.turn) * 7 % 61 for _ in range(room)]) for _, room in asked]


SPECULATE = {
    "none": lambda m: None,
    "n-gram": lambda m: NGram(4, 3, 1),
    "draft": lambda m: DraftModel(m.first_layers(1), 2),
    "itself": lambda m: DraftModel(m, 3),
    "liar": lambda m: Liar(),
}


def check(snapshot, pool):
    """What holds in every snapshot."""
    held = [block for table in snapshot.tables.values() for block in table]
    assert all(held.count(i) == users for i, users in enumerate(snapshot.users))
    assert sorted(snapshot.free) == sorted(set(range(1, len(snapshot.users))) - set(held))
    assert set(snapshot.tables) == set(snapshot.running) and not set(snapshot.running) & set(snapshot.waiting)
    slots = [slot for part in snapshot.parts for slot in part.slots]
    assert len(slots) == len(set(slots)) == snapshot.tokens, "no two tokens share a slot"
    for part in snapshot.parts:
        table, size = snapshot.tables[part.request], pool.block_size
        places = range(part.start, part.start + len(part.tokens) + len(part.drafts))
        assert list(part.slots) == [table[p // size] * size + p % size for p in places]
        assert part.accepted <= len(part.drafts) and len(part.written) <= part.accepted + 1
    assert snapshot.usage == pytest.approx(sum(u > 0 for u in snapshot.users) / (len(snapshot.users) - 1))


@pytest.mark.parametrize("caching", [True, False], ids=["cache", "no-cache"])
@pytest.mark.parametrize("speculate", SPECULATE)
@pytest.mark.parametrize(
    "sizes",
    [
        {"num_blocks": 400, "block_size": 4},
        {"num_blocks": 30, "block_size": 4, "max_num_batched_tokens": 16, "max_num_seqs": 5},
        {"num_blocks": 18, "block_size": 5, "max_num_batched_tokens": 9, "max_num_seqs": 8},
        {"num_blocks": 90, "block_size": 1, "max_num_batched_tokens": 50, "max_num_seqs": 3},
    ],
    ids=["roomy", "chunks", "preempts", "blocks-of-one"],
)
def test_greedy_tokens_are_transformers(llama, greedy, sizes, speculate, caching):
    engine = Engine(llama, speculate=SPECULATE[speculate](llama), prefix_caching=caching, **sizes)
    requests = [engine.add(p, 20) for p in PROMPTS]
    while snapshot := engine.step():
        check(snapshot, engine.pool)
        assert snapshot.tokens <= engine.scheduler.max_num_batched_tokens
    assert [r.output for r in requests] == [greedy(tuple(p), 20) for p in PROMPTS]
    assert all(r.reason == "length" for r in requests)
    assert len(engine.pool.free) == len(engine.pool.blocks) - 1, "every block came back"
    totals = engine.totals
    assert caching or not totals.found
    if speculate == "itself":
        assert totals.accepted == totals.drafted > 0
    assert totals.written == 20 * len(PROMPTS)
    assert totals.steps == len(engine.history)


@pytest.mark.parametrize("caching", [True, False], ids=["cache", "no-cache"])
@pytest.mark.parametrize("speculate", SPECULATE)
def test_who_was_put_back_loses_nothing(llama, greedy, speculate, caching):
    engine = Engine(llama, num_blocks=12, block_size=4, prefix_caching=caching, speculate=SPECULATE[speculate](llama))
    prompts = [prompt(7, seed) for seed in (2, 5, 6)]
    assert engine.generate(prompts, 20) == [greedy(tuple(p), 20) for p in prompts]
    assert engine.totals.preemptions and any(s.preempted and s.waiting for s in engine.history)


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 3), st.integers(1, 12)), min_size=1, max_size=8),
    st.integers(1, 7),
    st.integers(0, 30),
    st.integers(1, 5),
    st.integers(0, 20),
    st.sampled_from(sorted(SPECULATE)),
)
def test_greedy_tokens_are_transformers_whatever_the_sizes(
    llama, greedy, loads, block_size, spare, seqs, more_tokens, name
):
    """Any prompts (with shared beginnings) at any time, any sizes."""
    need = max(-(-(n + m) // block_size) for n, _, m in loads)
    engine = Engine(
        llama,
        num_blocks=need + spare + 2,
        block_size=block_size,
        max_num_seqs=seqs,
        max_num_batched_tokens=seqs + more_tokens,
        speculate=SPECULATE[name](llama),
    )
    requests = []
    for n, seed, m in loads:
        requests.append((prompt(40, seed)[:n], m, engine.add(prompt(40, seed)[:n], m)))
        engine.step()
    while snapshot := engine.step():
        check(snapshot, engine.pool)
    for tokens, m, request in requests:
        assert request.output == greedy(tuple(tokens), m)


def test_requests_come_and_go_between_steps(llama, greedy):
    engine = Engine(llama, num_blocks=60, block_size=4)
    first = engine.add(PROMPTS[1], 12)
    engine.step()
    second = engine.add(PROMPTS[5], 3)
    snapshot = engine.step()
    assert [len(p.tokens) for p in snapshot.parts] == [1, 45], "a decode and a whole prompt in one pass"
    engine.abort(second)
    while engine.step():
        pass
    assert second.reason == "abort" and first.output == greedy(tuple(PROMPTS[1]), 12)
    assert engine.step() is None


def test_the_end_token_ends_the_answer(tmp_path, make_llama, greedy):
    text = greedy(tuple(PROMPTS[1]), 20)
    stop = next(t for i, t in enumerate(text) if i > 2 and t not in text[:i])
    at = text.index(stop) + 1
    folder = make_llama(tmp_path, eos_token_id=stop)
    for speculate in (None, "itself"):
        engine = Engine(folder, device="cpu")
        if speculate:
            engine = Engine(engine.model, speculate=DraftModel(engine.model, 5))
        request, on = engine.add(PROMPTS[1], 20), engine.add(PROMPTS[1], 20, ignore_eos=True)
        while engine.step():
            pass
        assert request.output == text[:at] and request.reason == "stop"
        assert on.output == text and on.reason == "length"


def test_a_second_time_the_prompt_is_known(llama):
    engine = Engine(llama, block_size=4)
    once = engine.generate([PROMPTS[4]], 5)
    again = engine.generate([PROMPTS[4]], 5)
    assert once == again
    part = next(s for s in reversed(engine.history) if s.admitted).parts[0]
    assert part.found == 48 and part.start == 48 and len(part.tokens) == 3


def test_one_seed_is_one_answer_whoever_is_beside(llama):
    sampling = Sampling(0.9, seed=7)
    alone = Engine(llama).generate([PROMPTS[1]], 10, sampling)[0]
    busy = Engine(llama, max_num_batched_tokens=40)
    mine = busy.add(PROMPTS[1], 10, sampling)
    others = busy.generate(PROMPTS, 10, Sampling(0.9))
    assert mine.output == alone and others[1] != alone


def test_history_is_plain_bounded_and_does_not_change(llama):
    engine = Engine(llama, block_size=4, history=3)
    engine.add(PROMPTS[5], 6)
    first = engine.step()
    before = json.dumps(dataclasses.asdict(first))
    engine.generate([PROMPTS[1]], 8)
    assert json.dumps(dataclasses.asdict(first)) == before
    assert len(engine.history) == 3 and engine.history[-1].step == engine.totals.steps - 1
    assert engine.history[-1].finished and first.admitted == (0,) and first.parts[0].tokens == tuple(PROMPTS[5])


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (([], 5), "at least one token"),
        (([1], 0), "at least one token"),
        (([61], 5), "0 to 60"),
        (([-1], 5), "0 to 60"),
        ((["a"], 5), "tokenizer"),
        (("text", 5), "tokenizer"),
        (([1] * 250, 7), "256 that fit"),
    ],
)
def test_a_request_that_cannot_be_is_told_in_one_sentence(llama, bad, says):
    with pytest.raises(ServelabError, match=says) as caught:
        Engine(llama).add(*bad)
    assert "\n" not in str(caught.value)


def test_what_can_never_fit_is_refused_and_what_just_fits_is_served(llama, greedy):
    engine = Engine(llama, num_blocks=4, block_size=4)
    with pytest.raises(ServelabError, match="13 that fit"):
        engine.add(PROMPTS[1], 7)
    assert engine.generate([PROMPTS[1]], 6) == [greedy(tuple(PROMPTS[1]), 6)]


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ({"num_blocks": 1}, "two blocks"),
        ({"block_size": 0}, "at least one"),
        ({"max_num_batched_tokens": 8}, "max_num_batched_tokens=8 is less than 32"),
    ],
)
def test_an_engine_that_cannot_be(llama, sizes, says):
    with pytest.raises(ServelabError, match=says):
        Engine(llama, **sizes)


@pytest.mark.parametrize("guess", [[1] * 9, [61], [-1]])
def test_a_proposer_that_breaks_its_word_is_told(llama, guess):
    liar = Liar()
    liar.propose = lambda asked: [Draft(list(guess)) for _ in asked]
    engine = Engine(llama, speculate=liar)
    with pytest.raises(ServelabError, match="drafts were asked for"):
        engine.generate([PROMPTS[1]], 8)


@pytest.mark.parametrize("speculate", sorted(SPECULATE))
def test_moments_are_the_snapshots_in_other_words(llama, speculate):
    engine = Engine(llama, num_blocks=30, block_size=4, max_num_seqs=3, speculate=SPECULATE[speculate](llama))
    requests = [engine.add(p, 12, ignore_eos=True) for p in PROMPTS]
    ended = 0
    while snapshot := engine.step():
        *_before, one = moments(engine.history, 4)
        assert (one.step, one.running, one.waiting, one.tables) == (
            snapshot.step, snapshot.running, snapshot.waiting, snapshot.tables,
        )  # fmt: skip
        assert one.tokens == snapshot.tokens and one.num_blocks == 30
        assert one.used == round(snapshot.usage * 29)
        assert one.seconds == pytest.approx(snapshot.seconds)
        for i in set(snapshot.running) - set(snapshot.finished):
            assert one.cached[i] == requests[i].computed and sum(one.fills(i)) == requests[i].computed
        ended += len(one.finished)
    assert ended == len(PROMPTS)
    assert one.end_s == pytest.approx(sum(s.seconds for s in engine.history))


def test_who_waits_for_its_turn_keeps_what_it_has(llama):
    engine = Engine(llama, num_blocks=40, block_size=4, max_num_seqs=2, max_num_batched_tokens=8)
    for p in (prompt(20, 1), prompt(20, 2)):
        engine.add(p, 4, ignore_eos=True)
    while engine.step():
        pass
    for one in moments(engine.history, 4):
        assert all(len(one.tables[i]) * 4 >= one.cached[i] > 0 for i in one.running)
