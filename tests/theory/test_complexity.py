"""Orders of growth: the counts are the roofline's, and each short form fails where its own docstring says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servelab import course
from servelab.errors import ServelabError
from servelab.theory import complexity, kv_cache, latency, roofline

SMOL = course.load().model("smollm2-135m")
sizes = st.integers(1, 8192)


@given(n=sizes, k=st.integers(1, 200))
def test_counts_are_the_roofline_s(n, k):
    assert complexity.prefill(SMOL, n).total == pytest.approx(roofline.forward(SMOL, n).flops)
    assert complexity.decode(SMOL, n).total == pytest.approx(roofline.forward(SMOL, 1, n).flops)
    assert complexity.decode(SMOL, n, k).total == pytest.approx(latency.answer_flops(SMOL, n, k))


@given(st.floats(0.1, 3), st.floats(1e-3, 1e6))
def test_growth_reads_the_exponent_off_a_power(p, scale):
    n = np.array([1, 2, 8, 100, 3000])
    assert complexity.growth(n, scale * n**p).tolist() == pytest.approx([p] * 4)


def test_a_prefill_is_not_quadratic_before_the_crossover():
    n = np.array([512, 1024])
    right = complexity.prefill(SMOL, n)
    assert complexity.growth(n, complexity.seed_prefill(n, SMOL.hidden)).tolist() == pytest.approx([2])
    assert right.total[1] / right.total[0] == pytest.approx(2.16, abs=0.01)
    assert complexity.growth(n, right.attention)[0] == pytest.approx(2, abs=0.01)
    at = complexity.prefill(SMOL, latency.crossover(SMOL))
    assert at.attention == pytest.approx(at.matrices, rel=1e-3)
    far = np.array([1e6, 2e6])
    assert complexity.growth(far, complexity.prefill(SMOL, far).total)[0] == pytest.approx(2, abs=0.01)


def test_a_token_does_not_meet_the_vocabulary_once_for_each_cached_one():
    n = np.array([1024, 2048])
    seed, right = complexity.seed_decode(n, SMOL.hidden, SMOL.vocab), complexity.decode(SMOL, n)
    assert seed[0] == pytest.approx(29e9, rel=0.01) and seed[1] == 2 * seed[0]
    assert right.total[0] == pytest.approx(0.34e9, rel=0.01)
    assert right.total[1] / right.total[0] == pytest.approx(1.2, abs=0.01)
    assert right.output[0] == right.output[1] == 2 * SMOL.hidden * SMOL.vocab


def test_no_cache_is_quadratic():
    """A sequence twice as long: four times by the form. Pages hold twice as much, a reservation of 2,048 the same."""
    n = np.array([512, 1024])
    assert complexity.growth(n, complexity.seed_memory(n, SMOL.heads, SMOL.head_dim)).tolist() == pytest.approx([2])
    paged = kv_cache.blocks(n, 16) * 16 * kv_cache.model_token_bytes(SMOL)
    assert complexity.growth(n, paged).tolist() == pytest.approx([1])
    assert [kv_cache.savings([length], 2048, 16) for length in n] == [0.75, 0.5]
    assert complexity.growth(n, complexity.score_bytes(n, SMOL.heads)).tolist() == pytest.approx([2])
    assert complexity.score_bytes(1024, 9) == 9 * 2**20 * 4


def test_paging_reads_what_contiguous_reads_and_gains_by_its_batch():
    n = np.array([512, 1024])
    assert complexity.growth(n, complexity.seed_paged(n, SMOL.head_dim)).tolist() == pytest.approx([1])
    read = roofline.forward(SMOL, 1, n - 1).bytes - roofline.forward(SMOL, 1, 0).bytes  # of either layout
    assert (read + kv_cache.model_token_bytes(SMOL)) / n == pytest.approx(kv_cache.model_token_bytes(SMOL))
    assert kv_cache.batch_gain([512], 2048, 16) == pytest.approx(4)


def test_what_cannot_be_read_is_refused():
    for n, cost in (([1], [1]), ([2, 1], [1, 1]), ([1, 2], [0, 1])):
        with pytest.raises(ServelabError, match="Growth"):
            complexity.growth(n, cost)
