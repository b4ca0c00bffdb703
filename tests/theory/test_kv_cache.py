"""Numbers worked by hand, the seed's form where it fails, and what must hold for any lengths and blocks."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servelab import course
from servelab.errors import ServelabError
from servelab.simulate.allocation import Paged, replay
from servelab.theory import kv_cache as kv

lengths = st.lists(st.integers(1, 2000), min_size=1, max_size=40)
sizes = st.sampled_from([1, 16, 32, 128])


@dataclass
class Request:
    prompt_tokens: int
    token_times_s: list[float] = field(default_factory=list)


def test_the_packaged_model_takes_46080_bytes_a_token():
    model = course.load().model("smollm2-135m")
    assert kv.model_token_bytes(model) == 46_080
    assert kv.model_token_bytes(model, "float16") == 23_040
    assert kv.model_token_bytes(model, kv_heads=model.heads) == 3 * 46_080
    with pytest.raises(ServelabError, match="int3"):
        kv.model_token_bytes(model, "int3")


def test_the_seed_form_fails_and_the_right_one_holds():
    model = course.load().model("smollm2-135m")
    seed = kv.seed_form(8, 1024, model.heads, model.head_dim)
    right = 8 * 1024 * kv.model_token_bytes(model)
    assert seed == 9_437_184 and right == 377_487_360
    assert right / seed == pytest.approx(model.layers * 4 * model.kv_heads / model.heads)


def test_one_gib_is_what_the_engine_says():
    """vLLM 0.32.0 with VLLM_CPU_KVCACHE_SPACE=1 reports 23,296 tokens with blocks of 128 and of 32 (its own log)."""
    assert kv.pool(2**30, 46_080, 128) == kv.Pool(182, 128)
    assert kv.pool(2**30, 46_080, 128).tokens == kv.pool(2**30, 46_080, 32).tokens == 23_296


def test_one_block_is_reserved():
    """Readings of vLLM 0.32.0 with 66 blocks: eight sequences of three blocks each say 0.369."""
    pool = kv.Pool(66, 32)
    assert pool.held([0.0, 24 / 65, 64 / 65]).tolist() == [0, 24, 64]
    assert pool.fits(2080) == 1 and pool.fits(2081) == 0 and pool.fits(32) == 65


def test_the_newest_token_is_not_cached_yet():
    assert kv.cached_tokens(60, [0, 1, 5, 6]).tolist() == [60, 60, 64, 65]


def test_blocks_over_time_by_hand():
    requests = [Request(60, [1.0, 2.0, 3.0, 4.0]), Request(32, [2.5, 3.5]), Request(10)]
    assert kv.blocks_over_time(requests, 32, [0.5, 1, 2.6, 3.2, 3.5, 4]).tolist() == [0, 2, 3, 3, 2, 0]
    long = Request(31, [float(i) for i in range(1, 10)])
    assert kv.blocks_over_time([long], 32, [1, 2, 3]).tolist() == [1, 1, 2]


def test_tokens_over_time_by_hand():
    requests = [Request(60, [1.0, 2.0, 3.0, 4.0]), Request(32, [2.5, 3.5]), Request(10)]
    assert kv.tokens_over_time(requests, [0.5, 1, 2.6, 3.2, 3.5, 4]).tolist() == [0, 60, 93, 94, 62, 0]


def test_waste_while_serving_by_hand():
    """31, 32, 33 tokens in blocks of 32, and 8 beside them for one step: 1 + 1 + 2 + 1 blocks."""
    assert kv.serving_waste([31, 8], [3, 1], 32) == pytest.approx(1 - (31 + 32 + 33 + 8) / (5 * 32))
    assert kv.serving_waste(64, [0, 1], 128) == 0.5
    with pytest.raises(ServelabError):
        kv.serving_waste([31], [0], 32)


def test_waste_of_the_chat_of_64_tokens():
    assert kv.waste(64, 128) == 0.5
    assert kv.typical_waste(64, 128) == pytest.approx(0.5, abs=0.005)
    assert kv.typical_waste(64, 16) == pytest.approx(0.10, abs=0.01)


def test_gain_by_hand():
    assert kv.contiguous_share([256, 256], 1024) == 0.25
    assert kv.batch_gain([256, 256], 1024, 16) == pytest.approx(4)
    with pytest.raises(ServelabError):
        kv.contiguous_share([2000], 1024)


@pytest.mark.parametrize(("tokens", "block"), [(-1, 16), (5, 0)])
def test_impossible_blocks_are_refused(tokens, block):
    with pytest.raises(ServelabError):
        kv.blocks(tokens, block)


@given(lengths, sizes)
def test_blocks_hold_everything_and_never_a_block_too_many(tokens, size):
    held = kv.blocks(tokens, size) * size
    assert ((held >= tokens) & (held - tokens < size)).all()


@given(st.integers(1, 2000), sizes)
def test_waste_is_less_than_one_block(tokens, size):
    assert 0 <= kv.waste(tokens, size) < 1
    assert kv.waste(tokens, size) * kv.blocks(tokens, size) * size <= size - 1 + 1e-9


@given(st.integers(1, 400))
def test_typical_waste_is_the_waste_of_the_mean_over_a_block(count):
    size = 16
    tokens = np.arange(size * count - size + 1, size * count + 1)
    empty = kv.blocks(tokens, size) * size - tokens
    assert empty.mean() == (size - 1) / 2
    assert kv.typical_waste(tokens.mean(), size) == pytest.approx(empty.sum() / (empty + tokens).sum())


@given(lengths, sizes)
def test_gain_is_how_many_times_the_memory_shrinks(tokens, size):
    shrunk = len(tokens) * 2048 / (kv.blocks(tokens, size).sum() * size)
    assert kv.batch_gain(tokens, 2048, size) == pytest.approx(shrunk)


@given(st.integers(1, 10**9), st.integers(1, 10**6), sizes)
def test_a_pool_fits_its_memory(memory, each, size):
    pool = kv.pool(memory, each, size)
    assert pool.tokens * each <= memory < (pool.tokens + size) * each


@given(st.lists(st.tuples(st.integers(1, 200), st.integers(1, 60)), min_size=1, max_size=8), sizes)
def test_waste_while_serving_is_what_requests_in_step_hold(shapes, size):
    requests = [Request(p, [float(i + 1) for i in range(n)]) for p, n in shapes]
    times = np.arange(1.0, 61.0)
    held = kv.blocks_over_time(requests, size, times).sum() * size
    if held:  # between two steps: who ends with a step has freed its blocks
        empty = 1 - kv.tokens_over_time(requests, times).sum() / held
        assert kv.serving_waste([p for p, _n in shapes], [n - 1 for _p, n in shapes], size) == pytest.approx(empty)


@given(st.lists(st.tuples(st.integers(1, 200), lengths), max_size=5), sizes)
def test_blocks_over_time_never_exceed_the_final_lengths(requests, size):
    made = [Request(prompt, sorted(map(float, times))) for prompt, times in requests]
    held = kv.blocks_over_time(made, size, np.linspace(0, 2001, 50))
    most = sum(int(kv.blocks(r.prompt_tokens + len(r.token_times_s), size)) for r in made)
    assert (held >= 0).all() and (held <= most).all()
    assert held[0] == held[-1] == 0


def test_latent_attention_by_hand():
    """DeepSeek-V3: one vector of 512 + 64 numbers a layer; its 128 heads would take 71 times as much."""
    assert kv.latent_token_bytes(61, 512, 64, 2) == 70_272
    assert 61 * 128 * (192 + 128) * 2 / kv.latent_token_bytes(61, 512, 64, 2) == pytest.approx(71, abs=0.2)
    assert kv.latent_token_bytes([60, 61], 512, 64, 2).tolist() == [69_120, 70_272]


@given(lengths, sizes)
def test_waste_savings_and_gain_lie_within_their_bounds(tokens, size):
    low, high = kv.waste_bounds(np.mean(tokens), size)
    assert low - 1e-12 <= 1 - kv.paged_share(tokens, size) <= high + 1e-12
    low, high = kv.savings_bounds(np.mean(tokens), 2048, size)
    assert low - 1e-12 <= kv.savings(tokens, 2048, size) <= high + 1e-12
    low, high = kv.batch_gain_bounds(np.mean(tokens), 2048, size)
    assert low * (1 - 1e-12) <= kv.batch_gain(tokens, 2048, size) <= high * (1 + 1e-12)


@given(st.integers(0, 100), sizes)
def test_both_bounds_are_reached(full, size):
    assert 1 - kv.paged_share([full * size + size], size) == pytest.approx(0)
    one_more = full * size + 1
    assert 1 - kv.paged_share([one_more], size) == pytest.approx(kv.waste_bounds(one_more, size)[1])


def test_the_seed_s_savings_do_not_depend_on_what_is_saved():
    used = kv.savings([1024], 2048, 16)
    assert kv.seed_savings(1024) == pytest.approx(0.999, abs=1e-4)
    assert used == pytest.approx(0.5)
    assert kv.savings([2048], 2048, 16) == 0 and kv.seed_savings(2048) > 0.999


def test_what_runs_at_once_by_hand():
    # 30 tokens and 4 to write: 1, 1, 1, 2 blocks of 32; 100 and 1: 4 blocks. 9 blocks in 5 steps.
    assert kv.held_while_serving([30, 100], [4, 1], 32) == pytest.approx(9 * 32 / 5)
    pool = kv.Pool(19, 32)
    assert kv.at_once([30, 100], [4, 1], pool) == pytest.approx(10)
    assert kv.at_once([30, 100], [4, 1], pool, max_num_seqs=3) == 3


def test_what_runs_at_once_is_what_the_replay_runs():
    rng = np.random.default_rng(3)
    shapes = [(int(p), int(o)) for p, o in zip(rng.integers(10, 150, 400), rng.integers(5, 80, 400), strict=True)]
    ran = replay(Paged(401, 16), shapes).concurrency
    assert ran == pytest.approx(kv.at_once(*np.array(shapes).T, kv.Pool(401, 16)), rel=0.06)
