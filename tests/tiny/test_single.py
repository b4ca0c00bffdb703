"""One sequence and its cache: as transformers reads it, in pieces too, and over a cache that was tampered with."""

import pytest
import torch

from servelab.errors import ServelabError
from servelab.tiny import Single


def prompt(n):
    return torch.randint(0, 61, (n,), generator=torch.Generator().manual_seed(n)).tolist()


@pytest.fixture
def ids():
    return prompt(30)


def test_reads_as_transformers_does(llama, reference, ids):
    want = reference(torch.tensor([ids])).logits[0]
    torch.testing.assert_close(Single(llama, 30, 4)(ids, wanted=30), want, rtol=1e-4, atol=1e-4)


def test_the_rest_is_read_behind_what_the_cache_holds(llama, reference, ids):
    one = Single(llama, 32)
    one(ids[:21])
    want = reference(torch.tensor([ids])).logits[0, 21:]
    torch.testing.assert_close(one(ids[21:], 21, wanted=9), want, rtol=1e-4, atol=1e-4)


def test_another_cache_is_read_and_written_in_place_of_its_own(llama, ids):
    one = Single(llama, 32)
    one(ids[:21])
    before, other = one.cache.clone(), torch.zeros_like(one.cache)
    told, blind = one(ids[21:], 21, cache=one.cache.clone()), one(ids[21:], 21, cache=other)
    assert torch.equal(one.cache, before) and other.any()
    assert not torch.allclose(told, blind)


def test_what_does_not_fit_is_told(llama, ids):
    with pytest.raises(ServelabError, match="holds 16 tokens, not 30"):
        Single(llama, 10, 16)(ids)
