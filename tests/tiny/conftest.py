"""A random Llama, small enough to run thousands of steps in seconds, and what transformers says about it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from servelab.tiny import Llama

Greedy = Callable[[tuple[int, ...], int], list[int]]


def save_random(folder: Path, **changes) -> Path:
    """A folder with a random Llama; large weights, so that its choices are clear."""
    sizes = {
        "vocab_size": 61,
        "hidden_size": 48,
        "intermediate_size": 80,
        "num_hidden_layers": 3,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 256,
        "initializer_range": 0.25,
        "tie_word_embeddings": False,
        "eos_token_id": None,
        "bos_token_id": None,
    }
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**{**sizes, **changes})).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def make_llama() -> Callable[..., Path]:
    """Saves a random Llama of other sizes, or with other words in its config."""
    return save_random


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Two threads on matrices this small only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    return save_random(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def llama(folder) -> Llama:
    return Llama.load(folder)


@pytest.fixture(scope="session")
def reference(folder) -> LlamaForCausalLM:
    return LlamaForCausalLM.from_pretrained(folder).eval()


@pytest.fixture(scope="session")
def greedy(reference) -> Greedy:
    """What transformers' generate writes after a prompt, alone and greedily."""

    @cache
    def write(prompt: tuple[int, ...], n: int) -> list[int]:
        ids = torch.tensor([prompt])
        out = reference.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=n, do_sample=False)
        return out[0, len(prompt) :].tolist()

    return write
