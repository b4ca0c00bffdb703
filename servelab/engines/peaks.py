"""Measured peaks of the device an engine computes on: the processor, or the first GPU of a CUDA tier.

A GPU is measured in a child process, so that nothing of its memory stays taken when an engine starts.
"""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from servelab import hardware
from servelab.errors import ServelabError
from servelab.i18n import _

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


def peaks(fresh: bool = True) -> hardware.Peaks:
    """Arithmetic in the tier's number format (FLOP/s) and memory bandwidth (bytes/s) of what the tier's engine
    computes on: all cores, or all cards that share the model.

    Args:
        fresh: measure now instead of taking an earlier measurement: speeds drift, so a ceiling and what is held
            against it belong to the same minutes. A GPU is always measured now.

    Raises:
        ServelabError: the GPU cannot be measured, and why.
    """
    tier = hardware.tier()
    if tier.kind == "cpu":
        return hardware.measure(fresh)
    one, cards = measure("cuda", tier.dtype), tier.tensor_parallel
    return hardware.Peaks(one.gemm_flops_per_s * cards, one.bandwidth_bytes_per_s * cards, one.date)


def measure(device: str, dtype: str, n: int = 4096, stream_bytes: int = 2**30, repeats: int = 10) -> hardware.Peaks:
    """Measure a torch device in a child process: square products of side `n`, and a sum over `stream_bytes`."""
    command = [sys.executable, str(Path(__file__).resolve()), device, dtype, str(n), str(stream_bytes), str(repeats)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        cause = (done.stderr.strip().splitlines() or [str(done.returncode)])[-1]
        raise ServelabError(
            _("The device {device} could not be measured ({cause}): check it with `servelab doctor`.").format(
                device=device, cause=cause
            )
        )
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return hardware.Peaks(*json.loads(done.stdout), date)


def best_s(work: Callable[[], object], device: str, repeats: int = 10) -> float:
    """Seconds of `work` on a torch device, best of `repeats`; on a GPU several in a row, so that starting one hides
    behind the one before."""
    import torch

    turns, spans = (10 if device.startswith("cuda") else 1), []
    for _attempt in range(repeats + 1):
        start = time.perf_counter()
        for _turn in range(turns):
            work()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        spans.append((time.perf_counter() - start) / turns)
    return min(spans[1:])


def _measure(device: str, dtype: str, n: int, stream_bytes: int, repeats: int) -> tuple[float, float]:
    """Runs in the child: FLOP/s and bytes/s. On random numbers: a GPU multiplies equal ones faster."""
    import torch

    kind = getattr(torch, dtype)
    a = torch.randn(n, n, device=device, dtype=kind)
    long = torch.randn(stream_bytes // BYTES[dtype], device=device, dtype=kind)
    return 2 * n**3 / best_s(lambda: a @ a, device, repeats), stream_bytes / best_s(long.sum, device, repeats)


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))))
