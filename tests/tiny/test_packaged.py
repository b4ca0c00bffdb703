"""The packaged model: the same greedy tokens as transformers' generate, whatever the engine does at the same time."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from servelab import model
from servelab.tiny import DraftModel, Engine, Llama, NGram

from .prompts import TEXTS

WRITTEN = 16


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Not here: these matrices are large enough for all cores."""


@pytest.fixture(scope="module")
def llama() -> Llama:
    return Llama.load(model.prepare(progress=False))


@pytest.fixture(scope="module")
def prompts() -> list[list[int]]:
    tokenizer = model.tokenizer("smollm2-135m")
    return [tokenizer(text).input_ids for text in TEXTS]


@pytest.fixture(scope="module")
def answers(prompts) -> list[list[int]]:
    """By transformers: one batch, padded on the left; and each token is its likeliest after that prompt alone."""
    reference = AutoModelForCausalLM.from_pretrained(model.prepare(progress=False), dtype=torch.float32)
    longest = max(map(len, prompts))
    pads = [longest - len(prompt) for prompt in prompts]
    ids = torch.tensor([[0] * pad + prompt for pad, prompt in zip(pads, prompts, strict=True)])
    mask = torch.tensor([[0] * pad + [1] * len(prompt) for pad, prompt in zip(pads, prompts, strict=True)])
    out = reference.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=WRITTEN, pad_token_id=0)
    written = out[:, longest:].tolist()
    for prompt, answer in zip(prompts, written, strict=True):
        with torch.inference_mode():
            logits = reference(torch.tensor([prompt + answer])).logits[0]
        assert logits[len(prompt) - 1 : -1].argmax(-1).tolist() == answer
    return written


TIGHT = {"num_blocks": 14, "block_size": 8, "max_num_batched_tokens": 24, "max_num_seqs": 8}


@pytest.mark.parametrize(
    ("sizes", "speculate"),
    [
        ({}, lambda m: None),
        (TIGHT, lambda m: None),
        (TIGHT, lambda m: NGram(4, 3, 1)),
        ({}, lambda m: DraftModel(m.first_layers(26), 2)),
    ],
    ids=["one-batch", "chunks-and-preemption", "n-gram-chunks-and-preemption", "draft"],
)
def test_greedy_tokens_are_transformers(llama, prompts, answers, sizes, speculate):
    engine = Engine(llama, speculate=speculate(llama), **sizes)
    assert engine.generate(prompts, WRITTEN) == answers
    assert engine.totals.found, "three prompts begin alike"
    assert bool(engine.totals.preemptions) == (sizes is TIGHT)
    assert bool(engine.totals.accepted) == (engine.proposer is not None)
    assert engine.generate(prompts[-2:], WRITTEN) == answers[-2:], "and again, with a warm prefix cache"


def test_the_engine_s_memory_is_the_theory_s(llama):
    from servelab.theory.kv_cache import model_token_bytes

    cache = llama.new_cache(10, 16)
    assert cache.nbytes == 10 * 16 * model_token_bytes(model.describe("smollm2-135m")) == 7_372_800
