"""Checkpoints in fewer bits and adapters: what is written stands for the weights it was made from."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from servelab import checkpoints, compress
from servelab import model as models

SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 96,
}


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A tiny model in place of the packaged one, and a home of its own."""
    torch.manual_seed(1)
    made = LlamaForCausalLM(LlamaConfig(**SHAPE, tie_word_embeddings=False)).eval().requires_grad_(False)
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**SHAPE, "torch_dtype": "float32"}))
    (folder / models.MANIFEST).write_text("{}")
    save_file({k: v.contiguous() for k, v in made.state_dict().items()}, folder / "model.safetensors")
    monkeypatch.setattr(models, "prepare", lambda *_: folder)
    monkeypatch.setattr(compress, "load", lambda *_: made)
    monkeypatch.setattr(checkpoints, "home", lambda: tmp_path / "home")
    return made


def test_eight_codes_share_a_word_in_awq_order():
    codes = torch.arange(16).reshape(2, 8) % 16
    words = checkpoints.packed(codes)
    assert words.shape == (2, 1) and words.dtype == torch.int32
    assert [(int(words[0, 0]) >> (4 * place)) & 15 for place in range(8)] == [0, 2, 4, 6, 1, 3, 5, 7]
    assert [(int(words[1, 0]) >> (4 * place)) & 15 for place in range(8)] == [8, 10, 12, 14, 9, 11, 13, 15]


def test_int8_folder_stands_for_the_weights(small):
    folder = checkpoints.int8()
    kept, config = load_file(folder / "model.safetensors"), json.loads((folder / "config.json").read_text())
    name = "model.layers.1.mlp.up_proj"
    codes, scale = kept[f"{name}.weight"], kept[f"{name}.weight_scale"]
    weight = small.state_dict()[f"{name}.weight"]
    assert codes.dtype == torch.int8 and scale.shape == (128, 1)
    assert (codes * scale - weight).abs().max() <= scale.max() / 2 + 1e-6
    assert torch.equal(kept["model.embed_tokens.weight"], small.state_dict()["model.embed_tokens.weight"])
    assert config["quantization_config"]["quant_method"] == "compressed-tensors" and config["dtype"] == "float32"
    assert not (folder / models.MANIFEST).exists(), "the digests are those of other weights"
    assert checkpoints.int8() == folder


def test_awq_folder_stands_for_the_weights(small):
    kept = load_file(checkpoints.awq() / "model.safetensors")
    name = "model.layers.0.self_attn.q_proj"
    words, zeros, scales = (kept[f"{name}.{part}"] for part in ("qweight", "qzeros", "scales"))
    assert words.shape == (64, 8) and zeros.shape == (1, 8) and scales.shape == (1, 64)

    def codes(packed):
        places = [(packed.to(torch.int64) >> (4 * place)) & 15 for place in range(8)]
        return torch.stack([places[checkpoints.ORDER.index(column)] for column in range(8)], -1).flatten(1)

    restored = (codes(words) - codes(zeros)) * scales.float()
    weight = small.state_dict()[f"{name}.weight"].T
    assert (restored - weight).abs().max() <= 1.1 * scales.float().max()


def test_an_adapter_learns_and_is_written_in_pefts_form(small):
    folder, better = checkpoints.adapter([5, 9, 2, 40, 7] * 6, rank=4, steps=15)
    kept, told = (
        load_file(folder / "adapter_model.safetensors"),
        json.loads((folder / "adapter_config.json").read_text()),
    )
    assert better > 1
    assert told["r"] == told["lora_alpha"] == 4 and told["target_modules"] == ["q_proj", "v_proj"]
    assert len(kept) == 2 * 2 * 2
    assert kept["base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"].shape == (4, 64)
    assert kept["base_model.model.model.layers.0.self_attn.v_proj.lora_B.weight"].abs().max() > 0
