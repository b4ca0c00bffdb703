"""Model folders that vLLM serves in fewer bits, and a LoRA adapter: written from the packaged model.

- `int8`: weights and activations in 8 bits (W8A8), in the form of compressed-tensors: a scale a row of weights, kept
  with them; a scale and a zero point a token of activations, found while running (Dettmers et al., "LLM.int8()",
  NeurIPS 2022).
- `awq`: weights in 4 bits with a scale and a zero point a group, laid out as AWQ kernels read them (Lin et al.,
  "AWQ", MLSys 2024). The rounding is plain: the activation-aware search for scales is left out.
- `adapter`: a low-rank change of the attention's projections, trained for a few steps on a text of the course's own
  (Hu et al., "LoRA", ICLR 2022), in PEFT's form.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from servelab import compress
from servelab import model as models
from servelab.paths import home

WHOLE = "model.safetensors"
ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""Which of eight neighbours AWQ keeps in which four bits of a word, lowest first."""
GROUP = 64
TARGETS = ("q_proj", "v_proj")
Shrink = Callable[[str, Tensor], dict[str, Tensor]]


def int8(model_id: str = "smollm2-135m") -> Path:
    """The model with 8-bit weights, its activations quantised a token at a time; written once, then reused."""

    def shrink(name: str, weight: Tensor) -> dict[str, Tensor]:
        codes, scale = compress.int8(weight.float())
        return {f"{name}.weight": codes, f"{name}.weight_scale": scale[:, None]}

    weights = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel", "dynamic": False}
    # With a zero point: vLLM's symmetric kernel for processors with AMX takes no float32.
    activations = {**weights, "strategy": "token", "dynamic": True, "symmetric": False}
    group = {"targets": ["Linear"], "weights": weights, "input_activations": activations}
    told = {
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "quantization_status": "compressed",
        "config_groups": {"group_0": group},
        "ignore": ["lm_head"],
    }
    return _written(model_id, "int8", shrink, told, "float32")


def awq(model_id: str = "smollm2-135m") -> Path:
    """The model with 4-bit weights in groups of `GROUP` along the input; 16-bit activations."""

    def shrink(name: str, weight: Tensor) -> dict[str, Tensor]:
        codes, low, step = compress.int4(weight.float(), GROUP)
        zero = (-low / step).round().clamp(0, compress.INT4)
        codes = (weight.float().unflatten(1, (-1, GROUP)) / step[..., None] + zero[..., None]).round()
        codes = codes.clamp(0, compress.INT4).flatten(1).to(torch.int32)
        return {
            f"{name}.qweight": packed(codes.T),
            f"{name}.qzeros": packed(zero.to(torch.int32).T),
            f"{name}.scales": step.T.half().contiguous(),
        }

    told = {"quant_method": "awq", "bits": 4, "group_size": GROUP, "zero_point": True, "version": "gemm"}
    return _written(model_id, "awq", shrink, told, "float16")


def packed(codes: Tensor) -> Tensor:
    """Eight 4-bit codes of neighbouring columns in one int32, in AWQ's order: (rows, columns) to (rows, columns/8)."""
    grouped = codes.to(torch.int64).unflatten(1, (-1, 8))
    words = sum(grouped[..., column] << (4 * place) for place, column in enumerate(ORDER))
    return torch.where(words >= 2**31, words - 2**32, words).to(torch.int32).contiguous()


def _written(model_id: str, kind: str, shrink: Shrink, told: dict, dtype: str) -> Path:
    source = models.prepare(model_id)
    out = home() / "checkpoints" / f"{model_id}-{kind}"
    if (out / WHOLE).exists():
        return out
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for file in source.iterdir():
        beside = file.suffix in (".json", ".txt", ".jinja") and not file.name.startswith("model.")
        if beside and file.name != models.MANIFEST:
            shutil.copy(file, part)
    kept: dict[str, Tensor] = {}
    for file in sorted(source.glob("*.safetensors")):
        for name, tensor in load_file(file).items():
            linear = name.endswith("_proj.weight")
            kept |= shrink(name.removesuffix(".weight"), tensor) if linear else {name: tensor.to(getattr(torch, dtype))}
    save_file(kept, part / WHOLE, metadata={"format": "pt"})
    config = json.loads((part / "config.json").read_text())
    config.pop("torch_dtype", None)
    config |= {"quantization_config": told, "dtype": dtype}
    (part / "config.json").write_text(json.dumps(config, indent=1))
    shutil.rmtree(out, ignore_errors=True)
    part.rename(out)
    return out


class _LowRank(nn.Module):
    """What an adapter adds to a layer's output: x A^T B^T; B begins at 0, so that at first nothing changes."""

    def __init__(self, layer: nn.Linear, rank: int) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.randn(rank, layer.in_features) / layer.in_features**0.5)
        self.b = nn.Parameter(torch.zeros(layer.out_features, rank))
        layer.register_forward_hook(lambda _layer, given, out: out + F.linear(F.linear(given[0], self.a), self.b))


def adapter(ids: Sequence[int], rank: int = 8, steps: int = 12, model_id: str = "smollm2-135m") -> tuple[Path, float]:
    """Train a LoRA adapter to continue `ids` and write it in PEFT's form.

    Returns:
        The adapter's folder, and by which factor the text's perplexity fell.
    """
    torch.manual_seed(0)
    model, text = compress.load(model_id), torch.tensor([list(ids)])
    added: dict[str, _LowRank] = {
        name: _LowRank(layer, rank) for name, layer in model.named_modules() if name.endswith(TARGETS)
    }
    chosen = [p for one in added.values() for p in one.parameters()]
    optimizer, losses = torch.optim.Adam(chosen, lr=3e-3), []
    for _step in range(steps + 1):
        loss = model(input_ids=text, labels=text).loss
        losses.append(float(loss.detach()))
        if _step < steps:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    out = home() / "checkpoints" / f"{model_id}-adapter"
    out.mkdir(parents=True, exist_ok=True)
    kept = {}
    for name, one in added.items():
        kept[f"base_model.model.{name}.lora_A.weight"] = one.a.detach().contiguous()
        kept[f"base_model.model.{name}.lora_B.weight"] = one.b.detach().contiguous()
    save_file(kept, out / "adapter_model.safetensors")
    told = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": model_id, "bias": "none"}
    told |= {"r": rank, "lora_alpha": rank, "lora_dropout": 0.0, "target_modules": list(TARGETS)}
    (out / "adapter_config.json").write_text(json.dumps(told, indent=1))
    return out, float(torch.tensor(losses[0] - losses[-1]).exp())
