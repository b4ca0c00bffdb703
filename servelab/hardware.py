"""What this machine is and can do, and which tier of the course fits it."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from servelab import course, records
from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.locks import locked
from servelab.paths import home

CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU: its name and its memory in bytes."""

    name: str
    memory_bytes: int


@dataclass(frozen=True)
class Hardware:
    """This machine: logical cores usable by this process, memory in bytes, CPU flags, GPUs, system."""

    cores: int
    memory_bytes: int
    flags: frozenset[str]
    gpus: tuple[Gpu, ...]
    system: str
    machine: str

    @property
    def avx2(self) -> bool:
        """True where the processor has AVX2, which vLLM's CPU build needs on x86."""
        return "avx2" in self.flags

    @property
    def avx512(self) -> bool:
        """True where the processor has AVX-512."""
        return "avx512f" in self.flags

    def require_avx2(self) -> None:
        """Raises ServelabError where vLLM's CPU build could not run."""
        if self.machine in ("x86_64", "AMD64") and not self.avx2:
            raise ServelabError(
                _(
                    "This processor has no AVX2, which vLLM's CPU build needs: use a machine with an Intel CPU "
                    "from 2013 on or an AMD CPU from 2017 on, or one with an NVIDIA GPU."
                )
            )


@dataclass(frozen=True)
class Peaks:
    """Measured peaks: float32 matrix product in FLOP/s, reading memory in bytes/s, all cores; and when."""

    gemm_flops_per_s: float
    bandwidth_bytes_per_s: float
    date: str


def _flags() -> frozenset[str]:
    try:
        found = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", CPUINFO.read_text(), re.M)
    except OSError:
        return frozenset()
    return frozenset(found.group(1).split()) if found else frozenset()


def _gpus() -> tuple[Gpu, ...]:
    return tuple(Gpu(one["name"], one["memory_mib"] * 2**20) for one in records.gpus())


def probe() -> Hardware:
    """Look at this machine; takes milliseconds without a GPU."""
    return Hardware(
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        flags=_flags(),
        gpus=_gpus(),
        system=platform.system(),
        machine=platform.machine(),
    )


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def tier(hw: Hardware | None = None) -> course.Tier:
    """The course's tier for this machine; `SERVELAB_TIER` decides where it is set.

    With GPUs: the tier that bears the GPU's name, else the largest one that fits into the GPUs' memory.

    Raises:
        ServelabError: `SERVELAB_TIER` names no tier.
    """
    plan = course.load()
    wanted = os.environ.get("SERVELAB_TIER")
    if wanted:
        return plan.tier(wanted)
    hw = hw or probe()
    if not hw.gpus:
        return plan.tier("cpu")
    smallest = min(gpu.memory_bytes for gpu in hw.gpus) / 2**30
    name = _letters(hw.gpus[0].name)

    def fits(one: course.Tier) -> bool:
        # A "24 GB" card reports a little less than 24 GiB.
        return one.kind == "cuda" and one.gpus <= len(hw.gpus) and one.gpu_memory_gib <= smallest * 1.1

    def merit(one: course.Tier) -> tuple:
        named = any(_letters(part) in name for part in one.gpu_names)
        return (named, one.gpus * one.gpu_memory_gib)

    return max(filter(fits, plan.tiers), key=merit, default=plan.tier("cpu"))


def measure(fresh: bool = False) -> Peaks:
    """This machine's measured peaks, all cores; measured once (about 3 s) and kept with its date.

    GEMM: square float32 products, best of several. Bandwidth: every core reads its own array, much larger than
    the caches, best of several; a read-only stream is what decoding does to the weights.
    """
    key = f"{records.cpu_name()} x{len(os.sched_getaffinity(0))}"
    path = home() / "hardware.json"
    with locked("hardware"):
        kept = json.loads(path.read_text()) if path.exists() else {}
        if fresh or key not in kept:
            date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            kept[key] = asdict(Peaks(_gemm(), _bandwidth(), date))
            path.write_text(json.dumps(kept, indent=1))
    return Peaks(**kept[key])


def _gemm(n: int = 2048, repeats: int = 10) -> float:
    import numpy as np

    a, b = np.random.default_rng(0).random((2, n, n), dtype=np.float32)
    best = min(_seconds(lambda: a @ b) for _ in range(repeats))
    return 2 * n**3 / best


def _bandwidth(bytes_per_core: int = 256 * 2**20, repeats: int = 10) -> float:
    import numpy as np

    cores = len(os.sched_getaffinity(0))
    arrays = [np.ones(bytes_per_core // 4, dtype=np.float32) for _ in range(cores)]
    with ThreadPoolExecutor(cores) as pool:
        best = min(_seconds(lambda: list(pool.map(lambda a: a.dot(a), arrays))) for _ in range(repeats))
    return cores * bytes_per_core / best


def _seconds(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
