"""The forward pass against transformers: flat batches, chunks, padding, and what it refuses to load."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F

from servelab.errors import ServelabError
from servelab.tiny import Llama
from servelab.tiny.model import Run, lay_out, linear

BLOCK = 4


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.inference_mode():
        yield


def tables(lengths, order=None):
    """Block tables for sequences of these lengths, block numbers scattered."""
    need = [-(-n // BLOCK) for n in lengths]
    numbers = (1 + torch.randperm(sum(need), generator=torch.Generator().manual_seed(1))).tolist()
    return [[numbers.pop() for _ in range(n)] for n in need]


def prompt(n, seed):
    return torch.randint(0, 61, (n,), generator=torch.Generator().manual_seed(seed)).tolist()


def test_a_flat_batch_says_what_transformers_says_of_each_alone(llama, reference):
    prompts = [prompt(n, n) for n in (1, 5, 5, 16, 30)]
    runs = [Run(p, 0, t, wanted=len(p)) for p, t in zip(prompts, tables(map(len, prompts)), strict=True)]
    logits = llama(lay_out(runs, BLOCK), llama.new_cache(40, BLOCK))
    want = torch.cat([reference(torch.tensor([p])).logits[0] for p in prompts])
    torch.testing.assert_close(logits, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("chunk", [1, 3, 4, 7, 29])
def test_chunks_give_what_the_whole_gives(llama, reference, chunk):
    whole, (table,) = prompt(30, 0), tables([30])
    cache = llama.new_cache(40, BLOCK)
    parts = [llama(lay_out([Run(whole[i : i + chunk], i, table, 1)], BLOCK), cache) for i in range(0, 30, chunk)]
    torch.testing.assert_close(parts[-1][0], reference(torch.tensor([whole])).logits[0, -1], rtol=1e-4, atol=1e-4)


def test_what_other_sequences_do_changes_nothing(llama):
    """Decodes of very different lengths, a chunk and a whole prompt in one batch: padding and grouping are silent."""
    prompts = [prompt(n, n) for n in (2, 60, 17, 9)]
    tabled = tables(map(len, prompts))
    together, alone = llama.new_cache(60, BLOCK), llama.new_cache(60, BLOCK)
    starts = [1, 59, 10, 0]
    for cache in (together, alone):
        for p, s, t in zip(prompts, starts, tabled, strict=True):
            if s:
                llama(lay_out([Run(p[:s], 0, t)], BLOCK), cache)
    runs = [Run(p[s:], s, t, 1) for p, s, t in zip(prompts, starts, tabled, strict=True)]
    one_by_one = torch.cat([llama(lay_out([run], BLOCK), alone) for run in runs])
    torch.testing.assert_close(llama(lay_out(runs, BLOCK), together), one_by_one, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_the_cache_is_written_at_the_slots_and_nowhere_else(llama):
    cache = llama.new_cache(8, BLOCK)
    batch = lay_out([Run(prompt(6, 0), 0, [5, 2])], BLOCK)
    llama(batch, cache)
    assert batch.slots.tolist() == [20, 21, 22, 23, 8, 9]
    written = cache.flatten(2, 3).abs().sum((0, 1, 3, 4)).nonzero().flatten().tolist()
    assert written == sorted(batch.slots.tolist())
    assert cache[0, 0].numel() * 4 == 8 * BLOCK * 2 * 8 * 4, "blocks x block size x KV heads x head size x 4 bytes"


def test_sequences_alike_share_a_group_and_padding_is_bounded():
    runs = [Run([1], n - 1, list(range(1, 1 + -(-n // BLOCK)))) for n in (4, 8, 9, 12, 16, 100)]
    groups = lay_out(runs, BLOCK).groups
    assert sorted(len(g.rows) for g in groups) == [1, 1, 1, 3]
    assert all(2 * (g.tables > 0).sum() > g.tables.numel() for g in groups)


@pytest.mark.parametrize("rows", [1, 8, 64, 65, 200])
def test_linear_is_a_linear(rows):
    x, weight = torch.randn(rows, 24), torch.randn(40, 24)
    torch.testing.assert_close(linear(x, weight), F.linear(x, weight))
    assert linear(x, weight).is_contiguous()


def test_tied_embeddings_and_several_end_tokens(tmp_path, make_llama):
    model = Llama.load(make_llama(tmp_path, tie_word_embeddings=True, eos_token_id=[3, 7]))
    assert model.head is model.embedding and model.shape.eos == {3, 7}


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "mixtral"},
        {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5}},
        {"attention_bias": True},
        {"hidden_act": "gelu"},
    ],
)
def test_another_family_is_refused_in_one_sentence(tmp_path, make_llama, change):
    config = make_llama(tmp_path) / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    with pytest.raises(ServelabError, match="plain Llama"):
        Llama.load(tmp_path)


def test_an_older_config_names_theta_at_the_top(tmp_path, make_llama):
    config = make_llama(tmp_path, rope_parameters={"rope_type": "default", "rope_theta": 5e4}) / "config.json"
    text = json.loads(config.read_text())
    del text["rope_parameters"]
    config.write_text(json.dumps({**text, "rope_theta": 5e4, "rope_scaling": None}))
    assert Llama.load(tmp_path).shape.rope_theta == 5e4


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(ServelabError, match="does not exist"):
        Llama.load(tmp_path / "nothing")
