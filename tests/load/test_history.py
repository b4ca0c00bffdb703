"""What a client can tell of an engine's steps: held against a simulated engine, whose steps are known."""

import math

import numpy as np
import pandas as pd
import pytest

from servelab.load.history import (
    BACK,
    DECODE,
    PREFILL,
    QUEUE,
    Moment,
    Places,
    Turn,
    begins,
    observed,
    on_steps,
    phases,
    queue,
    steps,
)
from servelab.load.metrics import Record
from servelab.load.workload import synthetic
from servelab.simulate import EngineConfig, Linear, simulate
from servelab.simulate.history import moments

TIME = Linear(0.04, 0.005, prefill_s=0.001)
CROWD = synthetic(8, prompt_tokens=192, output_tokens=96, seed=7)
SMALL = EngineConfig(num_blocks=66, block_size=32, max_num_seqs=8)


def record(id, sent, tokens, prompt=10):
    return Record(
        id,
        sent,
        sent,
        tokens[0] if tokens else math.nan,
        list(tokens),
        tokens[-1] if tokens else sent + 1,
        prompt,
        len(tokens),
    )


def moment(**changes):
    fields = {
        "step": 3, "start_s": 1.0, "end_s": 1.5, "num_blocks": 10, "block_size": 4, "turns": (Turn(0, 5, 1, 1),),
        "admitted": (), "preempted": (), "finished": (), "running": (0, 1), "waiting": (), "cached": {0: 6, 1: 9},
        "tables": {0: (1, 2), 1: (1, 5, 3, 7)},
    }  # fmt: skip
    return Moment(**fields | changes)


def test_a_moment_counts_shared_blocks_once_and_fills_in_order():
    one = moment()
    assert one.used == 5 and one.holders[1] == (0, 1) and one.seconds == pytest.approx(0.5)
    assert one.fills(0) == [4, 2]
    assert one.fills(1) == [4, 4, 1, 0], "a block taken for drafts that were not kept is empty"
    assert moment(turns=(Turn(0, 5, 1, 1), Turn(1, 0, 9, 3, drafts=2, accepted=2))).tokens == 12


def test_places_are_stable_lowest_first_and_go_on_beyond_the_pool():
    places = Places(5)
    assert places.hold("a", 2) == (1, 2) and places.hold("b") == (3,)
    assert places.hold("a", 3) == (1, 2, 4)
    places.name("a", ["prefix"])
    assert places.hold("prefix") == (1,) and places.hold("a", 2) == (2, 4)
    places.keep(["b", "prefix"])
    assert places.hold("c", 2) == (2, 4)
    assert places.hold("d", 2) == (5, 6)


def test_a_client_sees_the_simulated_engine_s_steps_as_they_were():
    real = moments(CROWD, SMALL, TIME, concurrency=8)
    records = simulate(CROWD, SMALL, TIME, concurrency=8).records
    seen = observed(records, SMALL.num_blocks, SMALL.block_size)
    assert len(seen) == len(real)
    for a, b in zip(seen, real, strict=True):
        for name in ("used", "admitted", "preempted", "finished", "running", "waiting"):
            assert getattr(a, name) == getattr(b, name), (a.step, name)
        assert a.end_s == pytest.approx(b.end_s) and not a.numbered
        assert a.cached == b.cached and {t.request for t in a.turns} == {t.request for t in b.turns}
    assert sum(len(one.preempted) for one in seen) == 1


@pytest.mark.parametrize("seed", range(5))
def test_a_client_that_reads_late_and_several_steps_at_once_counts_the_same_steps(seed):
    rng = np.random.default_rng(seed)
    records = simulate(CROWD, SMALL, TIME, concurrency=8).records
    true = steps(records)
    stalls = np.sort(rng.uniform(0, true[-1][0], 12))
    for one in records:
        times = np.array(one.token_times_s) + rng.uniform(0, 0.008, len(one.token_times_s))
        for began in stalls:
            inside = (times > began) & (times < began + 0.2)
            times[inside] = began + 0.2 + rng.uniform(0, 0.004)
        one.token_times_s = np.maximum.accumulate(times).tolist()
        one.first_token_s = one.token_times_s[0]
    assert [wrote for _end, wrote in steps(records)] == [wrote for _end, wrote in true]


def test_answers_of_one_token_are_apart_where_they_came_apart():
    a, b, c = record(0, 0.0, [1.0]), record(1, 0.1, [1.0]), record(2, 0.2, [2.0])
    assert steps([a, b, c]) == [(1.0, {0: 0, 1: 0}), (2.0, {2: 0})]


def test_steps_begin_where_the_one_before_ended_or_with_an_idle_engine_s_request():
    a, b = record(0, 0.5, [1.0, 1.1]), record(1, 3.0, [3.4])
    assert begins([a, b], steps([a, b])) == [0.5, 1.0, 3.0]


def test_a_late_read_is_no_preemption_and_a_long_absence_is():
    steady = record(0, 0.0, [0.1 * k for k in range(1, 13)])
    late = record(1, 0.0, [0.1 * k for k in (1, 2, 5)])
    gone = record(2, 0.0, [0.1 * k for k in (1, 2, 8, 9)])
    seen = observed([steady, late, gone], 20, 4)
    assert [one.step for one in seen if one.preempted] == [2] and seen[2].preempted == (2,)
    assert seen[2].running == (0, 1) and seen[2].finished == (1,), "read late, and written in its turn"
    assert seen[3].running == (0,) and seen[3].waiting == (2,)
    assert seen[7].admitted == (2,) and seen[7].turns[-1] == Turn(2, 0, 12, 1)


def test_who_never_had_a_token_waits_until_it_failed():
    steady, refused = record(0, 0.0, [0.5, 1.0, 1.5, 2.0]), record(1, 0.1, [])
    seen = observed([steady, refused], 20, 4)
    assert [one.waiting for one in seen] == [(), (1,), (1,), ()]
    found = phases([steady, refused])
    assert found[found.id == 1].values.tolist() == [[1, QUEUE, 0.1, 1.1]]


def test_phases_of_a_request_follow_each_other_without_a_gap():
    records = simulate(CROWD, SMALL, TIME, arrivals=np.arange(8) * 0.3).records
    found = phases(records, 2048)
    for one in records:
        mine = found[found.id == one.id]
        assert mine.start_s.iloc[0] == one.intended_s and mine.end_s.iloc[-1] == one.last_token_s
        assert mine.end_s.iloc[:-1].tolist() == pytest.approx(mine.start_s.iloc[1:].tolist())
    back = found[found.phase == BACK]
    assert len(back) == sum(len(m.preempted) for m in moments(CROWD, SMALL, TIME, arrivals=np.arange(8) * 0.3)) > 0


def test_a_prompt_is_read_in_as_many_steps_as_the_budget_makes_of_it():
    writer = synthetic(1, 16, 40, seed=1)[0]
    long = synthetic(2, 300, 4, seed=2)[1]
    config = EngineConfig(max_num_seqs=4, max_num_batched_tokens=101)
    records = simulate([writer, long], config, TIME, arrivals=[0.0, 0.2]).records
    found = phases(records, 101)
    (read,) = found[(found.id == 1) & (found.phase == PREFILL)].itertuples()
    between = [end for end, _wrote in steps(records) if read.start_s < end <= read.end_s]
    assert len(between) == 3, "300 tokens in pieces of 100, beside one that writes"
    (read,) = phases(records)[lambda f: (f.id == 1) & (f.phase == PREFILL)].itertuples()
    assert len([end for end, _wrote in steps(records) if read.start_s < end <= read.end_s]) == 1


def test_two_prompts_share_a_budget_the_first_come_first():
    a, b, c = record(0, 0.0, [1.0, 2.0, 3.0, 4.0], 1), record(1, 0.1, [3.0], 15), record(2, 0.2, [4.0], 12)
    found = phases([a, b, c], 10)
    start = found[found.phase == PREFILL].set_index("id").start_s
    # each step has 9 places beside the writer: 12 = 9 + 3 in steps 4 and 3, then 15 = 6 + 9 in steps 3 and 2
    assert start[2] == 2.0 and start[1] == 1.0


def test_the_queue_is_counted_from_the_phases():
    found = pd.DataFrame(
        [(0, PREFILL, 0.0, 1.0), (0, DECODE, 1.0, 3.0), (1, QUEUE, 0.5, 2.0), (1, PREFILL, 2.0, 3.0)],
        columns=["id", "phase", "start_s", "end_s"],
    )
    counted = queue(found).set_index("t_s")
    assert counted.waiting.to_dict() == {0.0: 0, 0.5: 1, 1.0: 1, 2.0: 0, 3.0: 0}
    assert counted.running.to_dict() == {0.0: 1, 0.5: 1, 1.0: 1, 2.0: 2, 3.0: 0}


def test_readings_are_told_by_the_steps_that_were_over():
    a = record(0, 0.0, [1.0, 2.0, 4.0])
    readings = pd.DataFrame({"t_s": [0.5, 1.0, 1.5, 3.0, 4.5], "blocks": range(5)})
    told = on_steps(readings, [a])
    assert told.step.tolist() == [0, 0.5, 1.5] and told.blocks.tolist() == [1, 2, 3]
