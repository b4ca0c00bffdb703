"""The roofline's arithmetic, against numbers worked out by hand and against its own limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servelab import course
from servelab.errors import ServelabError
from servelab.theory import roofline

SMOL = course.load().model("smollm2-135m")
positive = st.floats(1e-3, 1e15)


def test_matrix_weights_of_the_packaged_model():
    norms = SMOL.layers * 2 * SMOL.hidden + SMOL.hidden
    assert roofline.matrix_weights(SMOL) + SMOL.hidden * SMOL.vocab + norms == SMOL.parameters


def test_a_decoded_token_takes_two_operations_a_weight():
    work = roofline.forward(SMOL, 1)
    assert work.flops == pytest.approx(2 * SMOL.parameters, rel=0.01)
    assert work.bytes == pytest.approx(4 * SMOL.parameters, rel=0.01)
    assert work.intensity == pytest.approx(0.5, rel=0.01)


def test_kv_bytes_of_the_packaged_model():
    assert roofline.kv_bytes_per_token(SMOL) == 46_080


def test_reading_in_one_pass_or_one_by_one_is_the_same_arithmetic():
    n = 37
    together = roofline.forward(SMOL, n, logits=n)
    apart = [roofline.forward(SMOL, 1, past) for past in range(n)]
    assert together.flops == pytest.approx(sum(w.flops for w in apart))
    assert together.bytes < sum(w.bytes for w in apart) / (n / 2)


@given(n=st.integers(1, 4096), b=st.integers(1, 64))
def test_more_tokens_a_pass_raise_the_intensity(n, b):
    assert roofline.forward(SMOL, n + 1).intensity > roofline.forward(SMOL, n).intensity
    assert roofline.forward(SMOL, 1, 8, sequences=b + 1).intensity > roofline.forward(SMOL, 1, 8, sequences=b).intensity


def test_training_is_three_forward_passes():
    assert roofline.training_step(SMOL, 512).flops == 3 * roofline.forward(SMOL, 512, logits=512).flops


@given(flops=positive, size=positive, peak=positive, bandwidth=positive)
def test_time_limit_and_ridge_agree(flops, size, peak, bandwidth):
    work = roofline.Work(flops, size)
    took = roofline.seconds(work, peak, bandwidth)
    reached = roofline.attainable(peak, bandwidth, work.intensity)
    assert work.flops / took == pytest.approx(reached, rel=1e-9)
    if roofline.limit(work, peak, bandwidth) == "compute":
        assert reached == pytest.approx(peak, rel=1e-9)
    else:
        assert took == pytest.approx(size / bandwidth, rel=1e-9)


def test_the_inverted_form_fails():
    """FLOPS_peak > bandwidth x intensity is where memory, not arithmetic, is the limit."""
    work = roofline.Work(flops=1.0, bytes=2.0)
    peak, bandwidth = 100.0, 10.0
    assert peak > bandwidth * work.intensity
    assert roofline.limit(work, peak, bandwidth) == "memory"


@given(weights=positive, bandwidth=positive, kv=st.floats(0, 1e9))
def test_a_batch_shares_the_weights_but_not_the_cache(weights, bandwidth, kv):
    one = roofline.decode_ceiling(weights, bandwidth, 1, kv)
    assert roofline.decode_ceiling(weights, bandwidth, 8) == pytest.approx(8 * bandwidth / weights)
    assert one <= roofline.decode_ceiling(weights, bandwidth, 8, kv) * (1 + 1e-12)
    if kv:
        assert roofline.decode_ceiling(weights, bandwidth, 10**9, kv) <= bandwidth / kv * (1 + 1e-9)


def test_an_empty_pass_is_refused():
    with pytest.raises(ServelabError, match="at least one new token"):
        roofline.forward(SMOL, 0)


def test_the_seed_s_form_calls_decoding_compute_bound():
    peak, bandwidth, intensity = 100e9, 20e9, roofline.forward(SMOL, 1).intensity
    assert roofline.seed_form(peak, bandwidth, intensity)
    assert not roofline.compute_bound(peak, bandwidth, intensity)
    assert roofline.limit(roofline.forward(SMOL, 1), peak, bandwidth) == "memory"


@given(peak=positive, bandwidth=positive, intensity=positive)
def test_the_seed_s_form_is_wrong_everywhere(peak, bandwidth, intensity):
    assert roofline.seed_form(peak, bandwidth, intensity) != roofline.compute_bound(peak, bandwidth, intensity)


def test_arrays_are_the_numbers_one_by_one():
    n, past = np.array([1, 64, 512]), np.array([0, 7, 300])
    together = roofline.forward(SMOL, n, past, sequences=2)
    apart = [roofline.forward(SMOL, a, b, sequences=2) for a, b in zip(n.tolist(), past.tolist(), strict=True)]
    assert together.flops.tolist() == [w.flops for w in apart]
    assert together.bytes.tolist() == [w.bytes for w in apart]
    assert roofline.seconds(together, 1e11, 2e10).shape == (3,)
    with pytest.raises(ServelabError):
        roofline.forward(SMOL, np.array([1, 0]))


@given(past=st.integers(1, 5000), size=st.sampled_from([1, 2, 4]))
def test_a_batch_lifts_the_intensity_towards_its_limit_and_no_further(past, size):
    batches = [roofline.forward(SMOL, 1, past, sequences=b, bytes_per_number=size).intensity for b in (1, 8, 64, 10**9)]
    limit = roofline.batch_limit(SMOL, past, size)
    assert batches == sorted(batches) and batches[-2] < limit
    assert batches[-1] == pytest.approx(limit, rel=1e-3)
    assert roofline.batch_limit(SMOL, [past, 2 * past], size)[1] < limit


@pytest.mark.parametrize("kind", [{"new": 1, "past": 128, "sequences": 8}, {"new": 200}, {"new": 16, "past": 48}])
def test_the_operations_of_a_pass_add_up_to_it(kind):
    parts, whole = roofline.operations(SMOL, **kind), roofline.forward(SMOL, **kind)
    assert tuple(parts) == roofline.OPERATIONS
    assert sum(one.flops for one in parts.values()) == pytest.approx(whole.flops)
    assert sum(one.bytes for one in parts.values()) == pytest.approx(whole.bytes)


def test_a_batch_moves_every_operation_but_attention():
    one, many = (roofline.operations(SMOL, 1, 128, sequences=b) for b in (1, 32))
    for name in roofline.OPERATIONS:
        moved = many[name].intensity / one[name].intensity
        assert moved == pytest.approx(1 if name == "attention" else 32), name
    assert one["attention"].intensity == pytest.approx(2 * 9 / (3 * 4)), "2 H / (H_kv b)"
    assert one["gate_up"].intensity == pytest.approx(0.5), "2 B / b"
