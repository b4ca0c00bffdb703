"""An engine in simulated time: what its records say, how loads reach it, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from servelab.errors import ServelabError
from servelab.load import SLO, Request, Result, constant, poisson, synthetic
from servelab.simulate import Engine, EngineConfig, Linear, Sequence, Step, sequences, simulate
from servelab.simulate.blocks import Pool
from servelab.simulate.prefix import chain, shared
from servelab.theory.batching import StepModel
from servelab.theory.kv_cache import blocks_over_time

CONFIG = EngineConfig(num_blocks=400, block_size=16, max_num_seqs=8, max_num_batched_tokens=128)
TIME = Linear(0.01, 0.001, 0.0, 0.0001)


def test_one_request_by_hand() -> None:
    record = simulate([Request(0, list(range(1_000, 1_100)), 5)], CONFIG, TIME, concurrency=1).records[0]
    prefill, step = 0.01 + 100 * 0.0001, 0.01 + 0.001
    assert record.token_times_s == pytest.approx([prefill + i * step for i in range(5)])
    assert (record.prompt_tokens, record.output_tokens, record.asked_tokens, record.status) == (100, 5, 5, "ok")
    assert record.ttft_s == pytest.approx(prefill)
    assert record.tpot_s == pytest.approx(step)


def test_a_long_prompt_comes_in_pieces_beside_who_decodes() -> None:
    requests = [Request(0, [1] * 10, 50, arrival_s=0.0), Request(1, [2] * 300, 5, arrival_s=0.1)]
    config = EngineConfig(num_blocks=400, block_size=16, max_num_seqs=8, max_num_batched_tokens=101)
    engine = Engine(config, TIME, history=True)
    for sequence in sequences(requests, config):
        engine.add(sequence)
    engine.run()
    pieces = engine.steps().query("prefill > 0")["prefill"].tolist()
    assert pieces == [10, 100, 100, 100]  # one token of the budget is the decoding one's
    stalls = np.diff(engine.token_times(engine.ended[1]))
    assert stalls.max() == pytest.approx(0.01 + 0.001 + 100 * 0.0001)


def test_it_is_a_result_like_any_other(tmp_path) -> None:
    result = simulate(synthetic(50, 40, 20, seed=1), CONFIG, TIME, arrivals=poisson(5))
    assert len(result.frame()) == len(result) == 50
    assert result.summary(SLO(ttft_s=10)).attainment == 1
    assert len(Result.load(result.save(tmp_path / "r.jsonl"))) == 50
    assert result.timeline()["tokens_per_s"].sum() == pytest.approx(50 * 20)
    assert [r.id for r in result.records] == list(range(50))


def test_the_same_load_gives_the_same_result() -> None:
    twice = [simulate(synthetic(80, 40, (20, 1.0), seed=2), CONFIG, TIME, arrivals=poisson(20)) for _time in range(2)]
    assert twice[0].records == twice[1].records and twice[0].about == twice[1].about


def test_a_closed_loop_keeps_so_many_in_flight() -> None:
    result = simulate(synthetic(40, 20, (30, 0.5), seed=3), CONFIG, TIME, concurrency=4)
    edges = np.sort([r.finished_s for r in result.records])[:-4] + 1e-9
    flying = [sum(r.sent_s <= t < r.finished_s for r in result.records) for t in edges]
    assert set(flying) == {4}


def test_the_way_to_the_engine_is_part_of_ttft() -> None:
    near = simulate(synthetic(5, 20, 5), CONFIG, TIME, arrivals=constant(1))
    far = simulate(synthetic(5, 20, 5), CONFIG, TIME, arrivals=constant(1), delay_s=0.2)
    assert [b.ttft_s - a.ttft_s for a, b in zip(near.records, far.records, strict=True)] == pytest.approx([0.2] * 5)


@pytest.mark.parametrize("rate", [2, 10])
def test_blocks_held_are_those_of_theory(rate: float) -> None:
    requests = synthetic(60, (50, 0.5), (40, 0.5), seed=4)
    config = EngineConfig(num_blocks=2_000, block_size=16, max_num_seqs=64, max_num_batched_tokens=4_096)
    engine = Engine(config, TIME, history=True, jump=False)
    for sequence in sequences(requests, config, poisson(rate).offsets(60)):
        engine.add(sequence)
    engine.run()
    steps, records = engine.steps(), engine.records()
    kept = steps[~steps["end_s"].isin([r.finished_s for r in records])]  # whoever ends gives its blocks back at once
    assert len(kept) > 200
    assert (blocks_over_time(records, 16, kept["end_s"] + 1e-9) == kept["used"]).all()


def test_a_cached_prefix_is_not_computed_again_but_the_last_token_is() -> None:
    prompt = list(range(2_000, 2_064))  # four blocks exactly
    result = simulate([Request(i, prompt, 4, arrival_s=float(i)) for i in range(3)], CONFIG, TIME)
    assert result.about["hit_tokens"] == 2 * 48
    assert result.records[1].ttft_s == pytest.approx(0.01 + 16 * 0.0001)


def test_preempted_work_is_done_again_and_nothing_is_lost() -> None:
    config = EngineConfig(num_blocks=41, block_size=16, max_num_seqs=16, max_num_batched_tokens=256)
    result = simulate(synthetic(40, 60, 100, seed=5), config, TIME, concurrency=16)
    assert result.about["preemptions"] > 5
    assert all(r.ok and r.output_tokens == 100 and (np.diff(r.token_times_s) > 0).all() for r in result.records)


def test_urgent_requests_pass() -> None:
    config = EngineConfig(num_blocks=400, block_size=16, max_num_seqs=2, max_num_batched_tokens=128, policy="priority")
    requests = [Request(i, [i] * 20, 30, extra={"priority": int(i != 9)}) for i in range(10)]
    result = simulate(requests, config, TIME, arrivals=[0.0] * 9 + [0.05])
    assert sum(r.first_token_s < result.records[9].first_token_s for r in result.records) == 2


def test_a_step_model_is_a_step_time() -> None:
    model = StepModel(0.02, 0.002, 0.0001)
    record = simulate(synthetic(1, 30, 3), CONFIG, model, concurrency=1).records[0]
    assert record.tpot_s == pytest.approx(model.tpot_s(1))
    assert record.ttft_s == pytest.approx(model.ttft_s(1, 30))


def test_any_step_time_will_do_and_sees_arrays() -> None:
    seen = []

    def time(step: Step):
        seen.append(np.ndim(step.context))
        return np.maximum(0.01, 1e-5 * np.asarray(step.context))

    jumps = simulate(synthetic(20, 40, 60, seed=6), CONFIG, time, arrivals=poisson(3))
    assert set(seen) == {0, 1}
    singles = simulate(synthetic(20, 40, 60, seed=6), CONFIG, time, arrivals=poisson(3), jump=False)
    assert jumps.records == singles.records


def test_little_holds() -> None:
    result = simulate(synthetic(400, 40, (20, 1.0), seed=7), CONFIG, TIME, arrivals=poisson(15))
    line = result.timeline(0.05)
    spent = sum(r.finished_s - r.sent_s for r in result.records)
    assert line["in_flight"].sum() * 0.05 == pytest.approx(spent, rel=1e-6)


def test_who_can_never_fit_is_told() -> None:
    with pytest.raises(ServelabError, match="does not fit"):
        simulate([Request(0, [1] * 7_000, 1)], CONFIG, TIME, concurrency=1)
    with pytest.raises(ServelabError, match="one block is reserved"):
        EngineConfig(num_blocks=64, block_size=32, max_model_len=2_048)
    EngineConfig(num_blocks=65, block_size=32, max_model_len=2_048)
    with pytest.raises(ServelabError, match="at least max_num_seqs"):
        EngineConfig(max_num_seqs=300, max_num_batched_tokens=256)
    with pytest.raises(ServelabError, match="chunked prefill"):
        EngineConfig(enable_chunked_prefill=False, max_num_batched_tokens=512)
    with pytest.raises(ServelabError, match="token ids"):
        simulate([Request(0, "a text", 5)], CONFIG, TIME, concurrency=1)
    with pytest.raises(ServelabError, match="at least one request"):
        simulate([], CONFIG, TIME)
    with pytest.raises(ServelabError, match="not both"):
        simulate(synthetic(2), CONFIG, TIME, arrivals=poisson(1), concurrency=2)
    engine = Engine(CONFIG, TIME)
    engine.add(Sequence(0, 10, 5, arrival_s=2.0))
    with pytest.raises(ServelabError, match="backwards"):
        engine.add(Sequence(1, 10, 5, arrival_s=1.0))


def test_an_answer_ends_where_the_model_ends() -> None:
    config = EngineConfig(num_blocks=400, block_size=16, max_num_seqs=8, max_num_batched_tokens=128, max_model_len=64)
    assert simulate([Request(0, [1] * 60, 100)], config, TIME, concurrency=1).records[0].output_tokens == 4


def test_running_up_to_a_time_and_on_is_running_through() -> None:
    requests, times = synthetic(60, 60, (40, 1.0), seed=8), poisson(6).offsets(60)
    ends = []
    for stops in ([math.inf], [0.5, 1.0, 1.5, 4.0, 4.01, math.inf]):
        engine = Engine(CONFIG, TIME)
        for sequence in sequences(requests, CONFIG, times):
            engine.add(sequence)
        for stop in stops:
            engine.run(stop)
            assert engine.now >= stop or not engine.scheduler.running or math.isinf(stop)
        ends.append(engine.ends)
    assert ends[0] == ends[1]


def test_blocks_go_blank_first_then_the_least_recently_freed() -> None:
    pool = Pool(8)
    assert (pool.usable, pool.free) == (7, 7)
    pool.take(4)
    named = [pool.publish(key) for key in "abc"]
    pool.release(named, 0, 1)
    assert (pool.blank, pool.free, pool.used) == (4, 7, 0)
    assert [b.key for b in pool.hits("abcd", 9)] == ["a", "b", "c"]
    pool.take(5)  # four blank ones and the tail of the freed: a prefix outlives what follows it
    assert [b.key for b in pool.hits("abc", 9)] == ["a", "b"]
    pool.hold(pool.hits("abc", 1))
    assert pool.free == 1
    pool.take(1)
    assert [b.key for b in pool.hits("abc", 9)] == ["a"] and pool.free == 0 and pool.evictions == 2
    with pytest.raises(ServelabError):
        Pool(1)


def test_keys_name_prefixes() -> None:
    a, b = chain(range(100), 16), chain([*range(48), *range(1_000, 1_052)], 16)
    assert len(a) == 6 and a[:3] == b[:3] and not set(a[3:]) & set(b[3:])
    assert chain([5, *range(1, 100)], 16)[1] != a[1]
    assert [len(keys) for keys in shared([a, b, chain(range(500, 600), 16)])] == [3, 3, 0]
