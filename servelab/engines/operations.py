"""The operations of a model, each timed alone on the device that serves: points to put under a roofline.

Every call takes the next copy of its weights (or cache), and the copies together are larger than a processor's cache:
so each comes from memory, as in a pass through all layers. Measured in a child process, as the peaks are.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from servelab import hardware
from servelab.errors import ServelabError
from servelab.i18n import _

if TYPE_CHECKING:
    import pandas as pd

    from servelab.course import Model

COLD_BYTES = 160 * 2**20
"""Bytes that the copies of one operation have together."""
MOST_COPIES = 400


def measure(
    model: Model,
    rows: Sequence[int],
    *,
    context: int = 128,
    repeats: int = 3,
    device: str | None = None,
    cold_bytes: int = COLD_BYTES,
) -> pd.DataFrame:
    """Each operation of a decode step of `rows` sequences, each with `context` cached tokens, in one layer.

    A row an operation and batch: `operation` (as in `servelab.theory.roofline.OPERATIONS`), `rows`, `flops`, `bytes`,
    `seconds` (best of `repeats`), `intensity` (FLOP/byte), `flop_s`. With the tier's number format.

    Args:
        device: a torch device; by default the tier's.

    Raises:
        ServelabError: the device cannot be measured, and why.
    """
    import pandas as pd

    from servelab.engines.peaks import BYTES
    from servelab.theory.roofline import operations

    tier = hardware.tier()
    asked = {
        "device": device or ("cpu" if tier.kind == "cpu" else "cuda"),
        "dtype": tier.dtype if tier.dtype in BYTES else "float32",
        "rows": list(rows),
        "context": context,
        "repeats": repeats,
        "cold": cold_bytes,
        "products": {
            "qkv": (model.hidden, (model.heads + 2 * model.kv_heads) * model.head_dim),
            "output": (model.heads * model.head_dim, model.hidden),
            "gate_up": (model.hidden, 2 * model.intermediate),
            "down": (model.intermediate, model.hidden),
            "logits": (model.hidden, model.vocab),
        },
        "heads": (model.kv_heads, model.heads // model.kv_heads, model.head_dim),
    }
    command = [sys.executable, str(Path(__file__).resolve()), json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode:
        cause = (done.stderr.strip().splitlines() or [str(done.returncode)])[-1]
        text = _("The device {device} could not be measured ({cause}): check it with `servelab doctor`.")
        raise ServelabError(text.format(device=asked["device"], cause=cause))
    found = []
    for name, batch, seconds in json.loads(done.stdout):
        size = BYTES[asked["dtype"]]
        work = operations(model, 1, context, sequences=batch, bytes_per_number=size)[name]
        layers = 1 if name == "logits" else model.layers
        found.append((name, batch, float(work.flops) / layers, float(work.bytes) / layers, seconds))
    table = pd.DataFrame(found, columns=["operation", "rows", "flops", "bytes", "seconds"])
    return table.assign(intensity=table.flops / table.bytes, flop_s=table.flops / table.seconds)


def _measure(asked: dict) -> list[tuple[str, int, float]]:
    """Runs in the child: (operation, rows, seconds of one call)."""
    import torch

    kind, device = getattr(torch, asked["dtype"]), asked["device"]
    found = []

    def best(calls: Sequence) -> float:
        return best_s(lambda: [call() for call in calls], device, asked["repeats"]) / len(calls)

    def copies(numbers: int) -> int:
        return max(1, min(MOST_COPIES, -(-asked["cold"] // (numbers * kind.itemsize))))

    with torch.inference_mode():
        for name, (inner, outer) in asked["products"].items():
            weights = [torch.randn(outer, inner, device=device).to(kind) for _copy in range(copies(inner * outer))]
            for rows in asked["rows"]:
                x = torch.randn(rows, inner, device=device).to(kind)
                found.append((name, rows, best([lambda x=x, w=w: torch.nn.functional.linear(x, w) for w in weights])))
            del weights
        kv_heads, group, width = asked["heads"]
        for rows in asked["rows"]:
            shape = (rows * kv_heads, asked["context"], width)
            many = copies(2 * rows * kv_heads * asked["context"] * width)
            caches = [[torch.randn(shape, device=device).to(kind) for _kv in "kv"] for _copy in range(many)]
            q = torch.randn(rows * kv_heads, group, width, device=device).to(kind)
            calls = [lambda q=q, k=k, v=v: torch.bmm(torch.bmm(q, k.mT).softmax(-1), v) for k, v in caches]
            found.append(("attention", rows, best(calls)))
            del caches, calls
    return found


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from servelab.engines.peaks import best_s

    print(json.dumps(_measure(json.loads(sys.argv[1]))))
