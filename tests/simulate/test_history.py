"""The simulator's steps as moments: the scheduler's own counts, and places that are nobody's twice."""

import numpy as np
import pytest

from servelab.load.arrivals import poisson
from servelab.load.workload import Request, synthetic
from servelab.simulate import EngineConfig, Linear, simulate
from servelab.simulate.engine import Engine, sequences
from servelab.simulate.history import moments

TIME = Linear(0.04, 0.005, prefill_s=0.001)


def crowded(seed):
    requests = synthetic(24, prompt_tokens=(60, 0.6), output_tokens=(40, 0.6), seed=seed, shared_prefix=32)
    return requests, EngineConfig(num_blocks=30, block_size=16, max_num_seqs=8, max_num_batched_tokens=64)


@pytest.mark.parametrize("seed", range(4))
def test_moments_say_what_the_engine_counted(seed):
    requests, config = crowded(seed)
    arrivals = poisson(4, seed=seed)
    history = moments(requests, config, TIME, arrivals=arrivals)
    engine = Engine(config, TIME, jump=False, history=True)
    for sequence in sequences(requests, config, arrivals.offsets(len(requests))):
        engine.add(sequence)
    engine.run()
    steps = engine.steps()
    assert len(history) == len(steps)
    assert [one.used for one in history] == steps.used.tolist()
    assert [len(one.running) for one in history] == steps.running.tolist()
    assert [len(one.waiting) for one in history] == steps.waiting.tolist()
    assert [len(one.preempted) for one in history] == steps.preempted.tolist()
    assert [one.tokens for one in history] == (steps.decode + steps.prefill).tolist()
    assert np.allclose([(one.start_s, one.end_s) for one in history], steps[["t_s", "end_s"]])


@pytest.mark.parametrize("seed", range(4))
def test_places_are_real_room_and_shared_blocks_are_shared(seed):
    requests, config = crowded(seed)
    shared = 0
    for one in moments(requests, config, TIME, arrivals=poisson(4, seed=seed)):
        held = {number for table in one.tables.values() for number in table}
        assert all(len(set(table)) == len(table) for table in one.tables.values())
        assert 0 not in held | set(one.known) and max(held | set(one.known)) < config.num_blocks
        assert set(one.tables) == set(one.running) == set(one.cached) and not set(one.running) & set(one.waiting)
        for request, table in one.tables.items():
            assert len(table) * config.block_size >= one.cached[request] > (len(table) - 1) * config.block_size
        owners = [who for who in one.holders.values() if len(who) > 1]
        shared += len(owners)
    assert shared, "these prompts begin alike"


def test_it_changes_nothing_of_the_simulation():
    requests, config = crowded(0)
    seen = []
    plain = simulate(requests, config, TIME, arrivals=poisson(4))
    watched = simulate(requests, config, TIME, arrivals=poisson(4), on_step=lambda *about: seen.append(about))
    assert [r.token_times_s for r in watched.records] == [r.token_times_s for r in plain.records]
    assert len(seen) == plain.about["steps"]


def test_who_comes_back_finds_what_is_left_of_its_blocks():
    crowd = [Request(i, list(range(1000 * i, 1000 * i + 192)), 96) for i in range(8)]
    history = moments(crowd, EngineConfig(66, 32, 8), TIME, concurrency=8)
    (gone,) = [one for one in history if one.preempted]
    (back,) = [one for one in history if one.admitted and one.step]
    turn = back.turns[-1]
    assert gone.preempted == back.admitted == (7,) == gone.waiting and turn.request == 7
    assert turn.found == turn.start == 64 and turn.tokens == 192 + gone.step - 64, "two blocks were left of it"
    assert set(gone.known) - {n for table in gone.tables.values() for n in table}, "free, and known"
