"""Smaller models: the numbers they keep, what they compute, their error bounds, and how they are compared."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from servelab import compress
from servelab.errors import ServelabError

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def base():
    """A Llama of two layers with random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=512,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        initializer_range=0.08,
    )
    return LlamaForCausalLM(config).eval().requires_grad_(False)


IDS = [int(i) for i in torch.randint(0, 512, (48,), generator=torch.Generator().manual_seed(1))]


def logits(model, ids=IDS):
    with torch.inference_mode():
        return model(torch.tensor([ids]), use_cache=False).logits[0].float()


def matrices(model):
    return [m for layer in model.model.layers for m in layer.modules() if isinstance(m, nn.Linear)]


# -- grids ------------------------------------------------------------------------------------------------------------


def test_int8_is_off_by_half_a_step_at_most():
    weight = torch.randn(7, 96) * torch.rand(7, 1) * 3
    codes, scale = compress.int8(weight)
    assert codes.dtype == torch.int8 and scale.shape == (7,)
    off = (codes * scale[:, None] - weight).abs()
    assert (off <= scale[:, None] / 2 + 1e-6).all()
    assert (codes.abs().amax(1) == 127).all(), "the largest weight of each row is the grid's end"


@pytest.mark.parametrize("group", [1, 8, 32, 96])
def test_int4_is_off_by_half_a_step_at_most(group):
    weight = torch.randn(5, 96) + 0.3
    codes, low, step = compress.int4(weight, group)
    assert codes.dtype == torch.uint8 and codes.max() <= 15 and low.shape == step.shape == (5, 96 // group)
    off = (compress.restored(codes, low, step) - weight).abs().unflatten(1, (-1, group))
    assert (off <= step[..., None] / 2 + 1e-6).all()


def test_what_lies_on_such_a_grid_comes_back_exactly():
    codes = torch.randint(0, 16, (6, 128)).float()
    codes[:, ::32], codes[:, 1::32] = 0, 15  # each group reaches both ends
    weight = codes * 0.25 - 1.5
    assert torch.equal(compress.restored(*compress.int4(weight, 32)), weight)


def test_a_group_of_equal_weights_is_no_division_by_zero():
    for weight in (torch.zeros(2, 64), torch.full((2, 64), 0.7)):
        assert torch.allclose(compress.restored(*compress.int4(weight, 32)), weight, atol=1e-6)
    assert torch.equal(compress.int8(torch.zeros(2, 8))[0], torch.zeros(2, 8, dtype=torch.int8))


def test_rows_that_cannot_be_cut_are_told(base):
    with pytest.raises(ServelabError, match="groups of 30"):
        compress.int4(torch.ones(2, 64), 30)
    with pytest.raises(ServelabError, match="not of 48"):
        compress.int4_weights(base, 48)


# -- layers: torch's kernels compute what the codes say --------------------------------------------------------------

X = torch.randn(3, 5, 128, generator=torch.Generator().manual_seed(2))
WEIGHT = torch.randn(256, 128, generator=torch.Generator().manual_seed(3))


def close(got, wanted, share):
    assert got.shape == wanted.shape and got.dtype == wanted.dtype
    assert (got - wanted).norm() / wanted.norm() < share


def test_int8_linear_is_the_product_of_its_codes():
    codes, scale = compress.int8(WEIGHT)
    close(compress.Int8Linear(codes, scale)(X), X @ (codes * scale[:, None]).T, 0.01)


@pytest.mark.parametrize("group", [32, 64, 128])
def test_int4_linear_is_the_product_of_its_codes(group):
    close(compress.Int4Linear(WEIGHT, group)(X), X @ compress.restored(*compress.int4(WEIGHT, group)).T, 0.02)


def test_dynamic_linear_is_near_the_product():
    close(compress.DynamicLinear(WEIGHT)(X), X @ WEIGHT.T, 0.03)


def test_sparse_linear_is_the_product_without_the_zeros():
    weight = WEIGHT * (WEIGHT.abs() > 0.6)
    close(compress.SparseLinear(weight)(X), X @ weight.T, 1e-5)


# -- models -----------------------------------------------------------------------------------------------------------


def test_sizes_count_every_number_once(base):
    table, d, inner = 512 * 128, 128, 256
    per_layer = d * d * 2 + d * 64 * 2 + 3 * d * inner
    rows = 2 * d + 2 * 64 + 2 * inner + d
    norms = 4 * (4 * 2 * d + d)
    rotary = sum(b.numel() * 4 for b in base.buffers())
    rotary = compress.size_bytes(base) - 4 * (table + 4 * per_layer) - norms
    assert 0 <= rotary <= 8 * 16, "head and embedding are one table"
    assert compress.size_bytes(compress.half(base)) <= compress.size_bytes(base) / 2 + rotary
    eight = compress.size_bytes(compress.int8_weights(base))
    assert eight == table + 2 * 512 + 4 * (per_layer + 2 * rows) + norms + rotary
    four = compress.size_bytes(compress.int4_weights(base, 32))
    assert four == table + 2 * 512 + 4 * (per_layer // 2 + 4 * per_layer // 32) + norms + rotary
    dynamic = compress.size_bytes(compress.int8_dynamic(base))
    assert dynamic == table + 2 * 512 + 4 * (per_layer + 4 * rows) + norms + rotary
    assert compress.size_bytes(compress.pruned(base, 0.5)) == compress.size_bytes(base)
    sparse = compress.size_bytes(compress.pruned(base, 0.75, sparse=True))
    assert sparse == pytest.approx(4 * table + 4 * (8 * per_layer / 4 + 4 * (rows + 7)) + norms + rotary, rel=0.01)


@pytest.mark.parametrize(
    ("smaller", "share"),
    [(compress.int8_weights, 0.05), (compress.int8_dynamic, 0.2), (compress.int4_weights, 0.4), (compress.half, 0.05)],
)
def test_a_quantised_model_says_nearly_the_same(base, smaller, share):
    before = logits(base)
    close(logits(smaller(base)), before, share)
    assert torch.equal(logits(base), before), "the first model is left alone"


def test_pruning_takes_the_smallest(base):
    for old, new in zip(matrices(base), matrices(compress.pruned(base, 0.3)), strict=True):
        gone = new.weight == 0
        assert float(gone.float().mean()) == pytest.approx(0.3, abs=0.002)
        assert old.weight[gone].abs().max() <= old.weight[~gone].abs().min()
        assert torch.equal(old.weight[~gone], new.weight[~gone])


def test_sparse_or_not_it_is_the_same_model(base):
    close(logits(compress.pruned(base, 0.5, sparse=True)), logits(compress.pruned(base, 0.5)), 1e-4)


def test_neurons_that_do_nothing_are_the_first_to_go(base):
    idle = copy.deepcopy(base)
    for layer in idle.model.layers:
        layer.mlp.down_proj.weight[:, torch.randperm(256)[:64]] = 0
    narrow = compress.narrowed(idle, 0.25, IDS)
    assert narrow.model.layers[0].mlp.gate_proj.weight.shape == (192, 128)
    assert narrow.model.layers[0].mlp.down_proj.weight.shape == (128, 192)
    close(logits(narrow), logits(idle), 1e-4)


def test_contributions_are_of_the_text_and_leave_no_hook(base):
    found = compress.contributions(base, IDS)
    assert len(found) == 4 and all(one.shape == (256,) and (one > 0).all() for one in found)
    assert not torch.equal(found[0], compress.contributions(base, IDS[:7])[0])
    assert not any(layer.mlp.down_proj._forward_pre_hooks for layer in base.model.layers)


def test_a_shortened_model_keeps_its_layers_and_its_cache(base):
    short = compress.shortened(base, [0, 2])
    assert short.config.num_hidden_layers == 2 and base.config.num_hidden_layers == 4
    assert base.model.layers[2].self_attn.layer_idx == 2
    assert torch.equal(short.model.layers[1].mlp.up_proj.weight, base.model.layers[2].mlp.up_proj.weight)
    with torch.inference_mode():
        first = short(torch.tensor([IDS[:-1]]), use_cache=True)
        next_ = short(torch.tensor([IDS[-1:]]), past_key_values=first.past_key_values)
    close(next_.logits[0, -1], logits(short)[-1], 1e-4)
    close(logits(compress.shortened(base, range(4))), logits(base), 1e-6)


# -- distil -----------------------------------------------------------------------------------------------------------


def test_a_student_comes_nearer_to_its_teacher(base):
    torch.manual_seed(4)
    student = compress.shortened(base, [0, 2])
    before, table = logits(base), student.model.embed_tokens.weight.clone()
    rows = torch.randint(0, 512, (240, 24))
    history = list(compress.distil(base, student, rows, batch=4, rate=2e-3))
    assert [seen for seen, _loss in history[:2]] == [96, 192] and len(history) == 60
    first, last = (np.mean([loss for _seen, loss in part]) for part in (history[:6], history[-6:]))
    assert 0 < last < 0.9 * first
    assert torch.equal(logits(base), before), "the teacher does not learn"
    assert torch.equal(student.model.embed_tokens.weight, table)
    assert not any(p.requires_grad for p in student.parameters())


# -- measure ----------------------------------------------------------------------------------------------------------


def test_surprise_is_minus_the_log_of_each_tokens_probability(base):
    p = torch.log_softmax(logits(base), -1)
    by_hand = [-float(p[n, token]) for n, token in enumerate(IDS[1:])]
    assert compress.surprise(base, IDS) == pytest.approx(by_hand, abs=1e-4)
    windows = compress.surprise(base, IDS, window=20)
    assert len(windows) == 48 - 3
    assert windows[19:38] == pytest.approx(compress.surprise(base, IDS[20:40]), abs=1e-4)


def test_a_comparison_sets_each_beside_the_first(base):
    found = compress.Comparison(base, IDS, prompt=16, tokens=3, rounds=1)
    found.add("int8", compress.int8_weights(base))
    found.add("pruned", compress.pruned(base, 0.9))
    found.learnt("learnt", like="pruned", perplexity=100.0)
    frame = found.frame()
    first = frame.iloc[0]
    assert (first.times, first.low, first.high, first.faster, first.sooner) == (1, 1, 1, 1, 1)
    assert first.perplexity == pytest.approx(np.exp(compress.surprise(base, IDS).mean()), rel=1e-5)
    eight = frame.loc["int8"]
    assert eight.low < eight.times < eight.high and 0.9 < eight.times < 1.1
    assert eight.times == pytest.approx(eight.perplexity / first.perplexity)
    assert (frame.decode > 0).all() and (frame.prefill > 0).all() and frame.loc["pruned"].times > 1
    assert frame.loc["learnt"].bytes == frame.loc["pruned"].bytes and frame.loc["learnt"].perplexity == 100
    assert np.isnan(frame.loc["learnt"].low)


def test_the_courses_text_is_long_enough():
    words = compress.TEXT.read_text().split()
    assert len(words) > 1000 and all(word.isascii() for word in words)
