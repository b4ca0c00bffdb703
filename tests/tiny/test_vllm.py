"""The same greedy tokens as the real vLLM server writes, with speculation and a cache that is nearly too small."""

from __future__ import annotations

import pytest

from servelab import model
from servelab.engines import vllm
from servelab.tiny import Engine, Llama, NGram

from .prompts import TEXTS

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]
WRITTEN = 32


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Not here: these matrices are large enough for all cores."""


@pytest.fixture(scope="module")
def server(engine_home):
    return vllm(max_num_seqs=8, block_size=32, max_model_len=1024, progress=False)


def test_greedy_tokens_are_vllm_s(server):
    llama, tokenizer = Llama.load(server.model_path), model.tokenizer("smollm2-135m")
    prompts = [tokenizer(text).input_ids for text in TEXTS]
    said = server.client().completions.create(
        model=server.model, prompt=prompts, max_tokens=WRITTEN, temperature=0, extra_body={"return_token_ids": True}
    )
    theirs = [list(choice.token_ids) for choice in sorted(said.choices, key=lambda choice: choice.index)]
    assert Engine(llama).generate(prompts, WRITTEN) == theirs
    small = {"num_blocks": 14, "block_size": 8, "max_num_batched_tokens": 24, "max_num_seqs": 8}
    engine = Engine(llama, speculate=NGram(4, 3, 1), **small)
    assert engine.generate(prompts, WRITTEN) == theirs
    assert engine.totals.found and engine.totals.accepted
