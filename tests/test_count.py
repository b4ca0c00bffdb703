"""Counts that a pencil can do."""

import pytest
import torch
import torch.nn.functional as F

from servelab import count


def test_a_product_is_counted_by_hand():
    a, b = torch.ones(3, 5), torch.ones(5, 7)
    got = count.count(torch.matmul, a, b)
    assert (got.flops, got.bytes, got.largest) == (2 * 3 * 5 * 7, 4 * (15 + 35 + 21), 4 * 21)
    assert torch.equal(got.result, a @ b)


def test_a_view_moves_nothing_and_an_expanded_tensor_is_its_memory():
    assert count.count(lambda x: x.T.unsqueeze(0), torch.ones(4, 4)).bytes == 0
    got = count.count(lambda x: x + 1, torch.ones(1, 8).expand(100, 8))
    assert got.bytes == 4 * (8 + 800) and got.flops == 0


@pytest.mark.parametrize("causal", [False, True])
def test_attention_written_out_and_fused_do_the_same_products(causal):
    q = torch.randn(1, 4, 32, 16)
    out = count.count(lambda: (q @ q.transpose(-1, -2) / 4).softmax(-1) @ q)
    fused = count.count(lambda: F.scaled_dot_product_attention(q, q, q, is_causal=causal))
    assert out.flops == fused.flops == 4 * 4 * 32 * 32 * 16
    assert out.largest == 4 * 4 * 32 * 32 and fused.bytes < out.bytes


def test_seconds_is_the_best_of_several_runs():
    calls = []
    assert 0 <= count.seconds(calls.append, 1, repeats=4) < 1
    assert calls == [1] * 5
