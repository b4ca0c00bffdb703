"""Calibration without an engine: loads served by a simulated one whose prices are known must give them back."""

import json
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servelab import calibrate, course
from servelab.calibrate import FEATURES, Calibration, Fit, Probe, Sample
from servelab.errors import ServelabError
from servelab.load.metrics import Record
from servelab.simulate import EngineConfig, Linear, simulate
from servelab.theory.latency import Machine, Step, step_time

PRICES = Linear(0.040, 0.002, 3e-6, 0.0015, 1.2e-7, 0.003)
CONFIG = EngineConfig(num_blocks=2000, block_size=16, max_num_seqs=32)
LOADS = calibrate.probes(32, 2048)


def observed(loads, prices=PRICES, delay_s=0.008, noise=0.0, rounds=2, config=CONFIG):
    """What `calibrate.run` would have seen at a simulated engine; reads of one step come within a millisecond."""
    rng, seen = np.random.default_rng(0), []
    for turn in range(rounds):
        for i, load in enumerate(loads):
            slower = 1 + noise * rng.normal()
            asked = load.requests(1000 * turn + i)
            records = simulate(asked, config, prices, concurrency=load.concurrency, delay_s=delay_s).records
            for r in records:
                late = rng.uniform(0, 1e-3, len(r.token_times_s)) if noise else np.zeros(len(r.token_times_s))
                r.token_times_s = [t * slower + d for t, d in zip(r.token_times_s, late, strict=True)]
                r.sent_s, r.first_token_s = r.sent_s * slower, r.token_times_s[0]
            seen += calibrate.gather(calibrate.timed(calibrate.observe(records, load.name), load))
    return calibrate.gather(seen, calibrate.QUARTILE)


def test_known_prices_come_back():
    made = calibrate.fit(observed(LOADS))
    for name in FEATURES[:-1]:
        assert getattr(made, name) == pytest.approx(getattr(PRICES, name), rel=1e-6), name
    assert made.request_s == pytest.approx(0.008)
    assert made.held_out.worst < 1e-6 and made.held_out.samples >= 15


def test_every_observed_step_is_what_the_engine_ran():
    for one in observed(LOADS):
        assert one.seconds == pytest.approx(float(PRICES(one.step)) + 0.008 * one.features[-1], rel=1e-9)


def test_noise_of_three_percent_leaves_a_few_percent():
    made = calibrate.fit(observed(LOADS, noise=0.03, rounds=3))
    assert made.held_out.median < 0.05 and made.held_out.p95 < 0.15
    step = Step.of(decodes=[100] * 12, pieces=[(200, 0)])
    assert made(step) == pytest.approx(float(PRICES(step)), rel=0.06)


@settings(max_examples=15)
@given(st.lists(st.floats(0, 1), min_size=6, max_size=6), st.integers(0, 3))
def test_prices_are_never_negative_and_predict_what_they_saw(random, gone):
    top = np.array([0.1, 0.01, 1e-5, 0.005, 1e-6, 0.02])
    values = np.array(random) * top
    values[0] += 0.005
    values[1 + gone] = 0
    samples = observed(LOADS, Linear(*values.tolist()), rounds=1)
    made = calibrate.fit(samples)
    assert min(made.prices.values()) >= 0
    assert made.predict(samples).tolist() == pytest.approx([s.seconds for s in samples], rel=1e-5)


def test_it_is_a_step_time_for_the_simulator():
    made = Calibration(*(getattr(PRICES, name) for name in FEATURES[:-1]), request_s=0.008)
    asked = Probe(8, 32, 20, 64, 3).requests(5)
    mine = simulate(asked, CONFIG, made, concurrency=9, delay_s=made.request_s).records
    plain = simulate(asked, CONFIG, PRICES, concurrency=9, delay_s=0.008).records
    assert [r.token_times_s for r in mine] == [pytest.approx(r.token_times_s) for r in plain]
    arrays = made(Step(decode=np.array([1, 8]), context=np.array([10, 80])))
    assert arrays.shape == (2,)


def record(i, sent, times, prompt):
    return Record(i, sent, sent, times[0], list(times), times[-1], prompt, len(times), len(times))


def test_steps_by_hand():
    """Two sequences decode; a prompt of 30 comes in the third step; the first step's members are not known."""
    loaded = [
        record(0, 0.0, [1.0, 2.0, 4.0, 5.0], 10),
        record(1, 0.0, [1.001, 2.001, 4.002, 5.001], 20),
        record(2, 1.5, [4.001, 5.002], 30),
    ]
    samples = calibrate.observe(loaded, "hand")
    assert [s.features for s in samples] == [
        (1.0, 2, 30, 0, 0, 0, 0.0),
        (1.0, 2, 32, 30, 465.0, 1, 0.0),
        (1.0, 3, 64, 0, 0, 0, 0.0),
    ]
    assert [s.seconds for s in samples] == pytest.approx([1, 2, 1])
    assert [end for end, _sample in calibrate.observe_over_time(loaded)] == [2.0, 4.0, 5.0]
    assert calibrate.observe(loaded, budget=31)[1].features[1] == 3  # 30 + 2 tokens do not fit: that step is left out


def test_a_lone_request_pays_for_its_way_in():
    (first, *rest) = calibrate.observe([record(0, 0.5, [1.0, 1.1, 1.2], 16)])
    assert first.features == (1.0, 0, 0, 16, 136.0, 1, 1.0) and first.seconds == pytest.approx(0.5)
    assert [s.features[-1] for s in rest] == [0, 0]


def test_who_was_waiting_makes_a_step_uncertain():
    loaded = [record(0, 0.0, [1.0, 2.0, 3.0, 4.0], 10), record(1, 0.5, [3.001, 4.001], 30)]
    assert [s.features[5] for s in calibrate.observe(loaded)] == [1, 1, 0]  # the second step may hold half of it


def test_steps_that_were_told_of_at_once_have_no_time_of_their_own():
    """A server on busy cores sends the tokens of the second and the third step together, at 3.0 s."""
    samples = calibrate.observe([record(0, 0.5, [1.0, 3.0, 3.0, 4.0, 5.0], 16)])
    assert [s.seconds for s in samples] == pytest.approx([0.5, 1.0, 1.0])
    assert [s.features[2] for s in samples] == [0, 18, 19]


def test_one_step_that_was_interrupted_does_not_move_the_median():
    one = Sample("p", (1.0, 1, 100, 0, 0, 0, 0.0), 0.05)
    slow = replace(one, seconds=3.0, features=(1.0, 1, 103, 0, 0, 0, 0.0))
    (sample,) = calibrate.gather([one, one, slow])
    assert sample.seconds == 0.05 and sample.steps == 3 and sample.features[2] == 100


@pytest.mark.parametrize("overlap", [1.0, 0.3])
def test_the_roofline_s_constants_predict_what_they_saw(overlap):
    model = course.load().models[0]
    truth = Machine(150e9, 25e9, mfu=0.6, mbu=0.8, t0_s=0.004, overlap=overlap)
    samples = observed(LOADS, step_time(model, truth), rounds=1)
    found = calibrate.fit_machine(samples, model, 150e9, 25e9)
    assert found.mfu == pytest.approx(0.6, rel=0.05)
    for step in (Step.of(decodes=[50]), Step.of(decodes=[300] * 20), Step.of(decodes=[80] * 6, pieces=[(400, 0)])):
        right = float(step_time(model, truth)(step))
        assert float(step_time(model, found)(step)) == pytest.approx(right, rel=0.03)


@pytest.mark.parametrize(("seats", "length"), [(1, 512), (8, 160), (32, 2048), (256, 8192), (1024, 131_072)])
def test_probes_fit_the_engine(seats, length):
    for load in calibrate.probes(seats, length):
        assert load.decoders <= max(seats, 2) and max(load.context + load.tokens, load.prompt) <= length
        assert load.prompt + load.decoders <= calibrate.BUDGET
        assert len(load.requests(0)) == load.decoders + load.newcomers
    with pytest.raises(ServelabError):
        calibrate.probes(8, 64)


def test_newcomers_are_new_every_time_and_decoders_the_same():
    first, second = Probe(2, 32, 8, 64, 1).requests(0), Probe(2, 32, 8, 64, 1).requests(1)
    assert [r.prompt for r in first[:2]] == [r.prompt for r in second[:2]]
    assert first[2].prompt != second[2].prompt and [r.id for r in first] == [0, 1, 2]


def test_too_little_is_refused():
    with pytest.raises(ServelabError):
        calibrate.fit(observed(LOADS[:2], rounds=1))


def test_a_machine_that_slows_down_is_found_out_by_its_steps():
    made = calibrate.fit(observed(LOADS, rounds=1))
    now = observed(calibrate.PACE, Linear(*(1.4 * p for p in asdict(PRICES).values())), delay_s=0.0112, rounds=1)
    assert calibrate.lag(made, now) == pytest.approx(1.4)
    slow = made.slower(1.4)
    assert slow.predict(now) == pytest.approx([s.seconds for s in now]) and slow.request_s == pytest.approx(0.0112)
    assert calibrate.lag(slow, now) == pytest.approx(1)
    assert calibrate.lags(made, now) == pytest.approx((1.4, 1.4))
    with pytest.raises(ServelabError):
        calibrate.lag(made, [])
    with pytest.raises(ServelabError):
        calibrate.lags(made, [s for s in now if not s.features[3]])


def test_decoding_and_prompts_may_slow_down_by_different_factors():
    """Who takes memory's bandwidth slows what reads memory more than what computes."""
    made = calibrate.fit(observed(LOADS, rounds=1))
    slow = made.slower(1.5, 1.1)
    assert (slow.fixed_s, slow.prefill_s) == pytest.approx((1.5 * made.fixed_s, 1.1 * made.prefill_s))
    prices = Linear(*list(slow.prices.values())[:-1])
    now = observed(calibrate.PACE, prices, delay_s=slow.request_s, rounds=1)
    assert calibrate.lags(made, now) == pytest.approx((1.5, 1.1))


def test_what_a_server_was_started_with_is_what_is_simulated():
    told = {"enable_prefix_caching": "False"}
    server = SimpleNamespace(
        command=["vllm", "serve", "m", "--max-num-seqs", "8", "--max-model-len", "512", "--no-enable-prefix-caching"],
        config={"max_num_batched_tokens": 256},
        kv_cache=SimpleNamespace(num_blocks=66, block_size=32),
        metrics=lambda: SimpleNamespace(samples=lambda name: [SimpleNamespace(labels=told)]),
    )
    assert calibrate.settings(server) == EngineConfig(66, 32, 8, 256, 512, enable_prefix_caching=False)
    server.command += ["--long-prefill-token-threshold", "64", "--scheduling-policy", "priority"]
    told["enable_prefix_caching"] = "True"
    assert calibrate.settings(server) == EngineConfig(
        66, 32, 8, 256, 512, long_prefill_token_threshold=64, policy="priority"
    )


def test_it_is_kept_with_its_stamp_and_read_back(tmp_path):
    made = replace(calibrate.fit(observed(LOADS, rounds=1)), about={"key": "here"})
    path = made.save(tmp_path)
    assert json.loads(path.read_text())["stamp"]["hardware"]["cores"] >= 1
    again = Calibration.read(path)
    assert again == made and again.about["stamp"]["date"]


def test_a_kept_one_gives_back_its_samples_and_its_machine(tmp_path):
    samples, machine = observed(LOADS, rounds=1), Machine(1e11, 2e10, 0.7, 0.8, 0.004, 0.3)
    about = {"key": "here", "samples": [asdict(s) for s in samples], "machine": asdict(machine)}
    again = Calibration.read(calibrate.fit(samples, about).save(tmp_path))
    assert again.samples == samples and again.machine == machine
    for sample, inside in zip(samples, again.inside, strict=True):
        assert inside.step == sample.step and inside.features[-1] == 0
        assert inside.seconds == sample.seconds - again.request_s * sample.features[-1]
    assert calibrate.fit(samples).samples == [] and calibrate.fit(samples).machine is None


def test_a_key_is_one_configuration_s():
    def server(port="8123", **config):
        command = ["/x/bin/vllm", "serve", "/x/model", "--port", port, "--max-model-len", "2048"]
        return SimpleNamespace(model="m", config=config, command=command, env={"OMP_NUM_THREADS": "2"})

    assert calibrate.key(server(block_size=16)) == calibrate.key(server(block_size=16))
    assert calibrate.key(server(block_size=16)) != calibrate.key(server(block_size=32))
    assert calibrate.key(server()) == calibrate.key(server(port="9000"))
    assert calibrate.description(server())["words"] == ["serve", "--port", "--max-model-len", "2048"]


def test_the_budget_comes_from_the_configuration_or_the_log(tmp_path):
    log = tmp_path / "log"
    log.write_text("INFO Chunked prefill is enabled with max_num_batched_tokens=512.\n")
    assert calibrate.token_budget(SimpleNamespace(config={"max_num_batched_tokens": 256}, log_path=log)) == 256
    assert calibrate.token_budget(SimpleNamespace(config={}, log_path=log)) == 512
    assert calibrate.token_budget(SimpleNamespace(config={})) == calibrate.BUDGET


def test_errors_by_hand():
    assert Fit.of([1.1, 2.0, 0.5], [1.0, 2.0, 1.0]) == Fit(pytest.approx(0.1), pytest.approx(0.46), 0.5, 3)
