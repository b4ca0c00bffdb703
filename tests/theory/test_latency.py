"""Steps, prefills and answers against numbers worked by hand, the roofline, and each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servelab import course
from servelab.errors import ServelabError
from servelab.theory import latency, roofline
from servelab.theory.latency import Machine, Step

SMOL = course.load().model("smollm2-135m")
MACHINE = Machine(peak_flops=100e9, bandwidth=20e9)
sizes = st.integers(1, 4096)


@given(n=sizes, past=st.integers(0, 4096), b=st.integers(1, 64))
def test_equal_sequences_are_the_roofline_s_own_work(n, past, b):
    by_sequence = latency.work(SMOL, Step.of(pieces=[(n, past)] * b))
    assert by_sequence.flops == pytest.approx(roofline.forward(SMOL, n, past, sequences=b).flops)
    assert by_sequence.bytes == pytest.approx(roofline.forward(SMOL, n, past, sequences=b).bytes)
    decoding = latency.work(SMOL, Step.of(decodes=[past] * b))
    assert decoding.flops == pytest.approx(roofline.forward(SMOL, 1, past, sequences=b).flops)
    assert decoding.bytes == pytest.approx(roofline.forward(SMOL, 1, past, sequences=b).bytes)


def test_one_token_by_hand():
    """538 MB of weights at 20 GB/s: 26.9 ms, and the arithmetic hides behind it."""
    assert latency.decode_step_s(SMOL, 1, 0, MACHINE) == pytest.approx(SMOL.bytes / 20e9, rel=1e-3)
    slow = Machine(100e9, 20e9, mbu=0.5, t0_s=0.01)
    assert latency.decode_step_s(SMOL, 1, 0, slow) == pytest.approx(2 * SMOL.bytes / 20e9 + 0.01, rel=1e-3)


def test_without_overlap_a_step_is_the_sum():
    apart = Machine(100e9, 20e9, overlap=0.0)
    work = roofline.forward(SMOL, 1, 100, sequences=16)
    assert latency.decode_step_s(SMOL, 16, 100, apart) == pytest.approx(work.flops / 100e9 + work.bytes / 20e9)
    assert latency.decode_step_s(SMOL, 16, 100, MACHINE) == pytest.approx(roofline.seconds(work, 100e9, 20e9))


def test_a_long_prefill_is_bound_by_arithmetic():
    n = 1024
    flops = 2 * roofline.matrix_weights(SMOL) * n + 2 * 30 * 9 * 64 * n * (n + 1) + 2 * 576 * 49_152
    assert latency.prefill_s(SMOL, n, Machine(100e9, 20e9, mfu=0.5)) == pytest.approx(flops / 50e9)


@given(prompt=st.integers(2, 5000), budget=st.integers(1, 2048), past=st.integers(0, 4999))
def test_pieces_lose_no_token_and_no_pair(prompt, budget, past):
    past = min(past, prompt - 1)
    cut, whole = latency.in_pieces(prompt, budget, past), latency.in_pieces(prompt, prompt, past)
    assert cut.prefill.sum() == prompt - past and cut.prefill.max() <= budget
    assert cut.chunk.sum() == pytest.approx(whole.chunk.sum())


@given(prompt=st.integers(2, 4096), budget=st.integers(1, 4096))
def test_cutting_a_prompt_never_makes_it_faster(prompt, budget):
    assert latency.ttft_s(SMOL, prompt, MACHINE, budget) >= latency.ttft_s(SMOL, prompt, MACHINE, prompt) * (1 - 1e-12)


@given(b=st.integers(1, 256), context=st.integers(0, 8192), k=st.floats(1.01, 10))
def test_more_work_takes_longer_and_a_better_machine_less(b, context, k):
    base = latency.decode_step_s(SMOL, b, context, MACHINE)
    assert latency.decode_step_s(SMOL, b + 1, context, MACHINE) > base
    assert latency.decode_step_s(SMOL, b, context + 1, MACHINE) > base
    assert latency.decode_step_s(SMOL, b, context, Machine(100e9 * k, 20e9 * k)) == pytest.approx(base / k)


@given(n=st.integers(1, 512), k=st.integers(1, 512))
def test_an_answer_s_arithmetic_is_its_steps(n, k):
    steps = latency.work(SMOL, Step(decode=np.ones(k), context=n + np.arange(k)))
    assert latency.answer_flops(SMOL, n, k) == pytest.approx(steps.flops.sum())


def test_arrays_are_the_numbers_one_by_one():
    lengths = np.array([1, 16, 512, 2048])
    together = latency.prefill_s(SMOL, lengths, MACHINE)
    assert together.tolist() == pytest.approx([float(latency.prefill_s(SMOL, n, MACHINE)) for n in lengths])
    steps = latency.step_time(SMOL, MACHINE)(Step(decode=np.array([1, 8]), context=np.array([100, 800])))
    assert steps.shape == (2,)


def test_an_answer_is_its_prefill_and_its_steps():
    whole = latency.e2e_s(SMOL, 100, 3, MACHINE, batch=4)
    parts = latency.prefill_s(SMOL, 100, MACHINE, sequences=4) + sum(
        latency.decode_step_s(SMOL, 4, context, MACHINE) for context in (100, 101)
    )
    assert whole == pytest.approx(float(parts))
    assert latency.e2e_s(SMOL, 100, 1, MACHINE) == pytest.approx(latency.ttft_s(SMOL, 100, MACHINE))


def test_attention_overtakes_the_matrices_at_six_thousand_tokens():
    n = latency.crossover(SMOL)
    assert n == pytest.approx(6144, rel=1e-3)
    weights = 2 * roofline.matrix_weights(SMOL) * n
    assert 2 * SMOL.layers * SMOL.heads * SMOL.head_dim * n**2 == pytest.approx(weights)


def test_the_seed_s_prefill_is_off_by_hundreds():
    right = latency.prefill_s(SMOL, 512, MACHINE)
    seed = latency.seed_prefill_s(512, SMOL.hidden, 100e9)
    assert seed == pytest.approx(0.0017, rel=0.01)
    assert right / seed == pytest.approx(690, rel=0.02)


def test_the_seed_s_decode_forgets_the_weights_that_are_read():
    seed = latency.seed_decode_s(1, SMOL.hidden, SMOL.vocab, 100e9)
    assert seed == pytest.approx(0.00028, rel=0.02)
    assert latency.decode_step_s(SMOL, 1, 0, MACHINE) / seed == pytest.approx(95, rel=0.01)
    faster = Machine(1e15, 20e9)
    assert latency.seed_decode_s(1, SMOL.hidden, SMOL.vocab, 1e15) < 1e-7
    assert latency.decode_step_s(SMOL, 1, 0, faster) == pytest.approx(latency.decode_step_s(SMOL, 1, 0, MACHINE))


@pytest.mark.parametrize(
    "bad", [{"peak_flops": 0}, {"bandwidth": -1}, {"mfu": 0}, {"mfu": 1.2}, {"mbu": 2}, {"t0_s": -1}, {"overlap": 1.1}]
)
def test_impossible_machines_are_refused(bad):
    with pytest.raises(ServelabError):
        Machine(**{"peak_flops": 1e9, "bandwidth": 1e9, **bad})


@pytest.mark.parametrize(("prompt", "budget", "past"), [(0, 1, 0), (5, 0, 0), (5, 8, 5)])
def test_prompts_without_work_are_refused(prompt, budget, past):
    with pytest.raises(ServelabError):
        latency.in_pieces(prompt, budget, past)
