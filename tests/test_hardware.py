from __future__ import annotations

import subprocess

import pytest

from servelab import course, hardware, records
from servelab.errors import ServelabError
from servelab.hardware import Gpu, Hardware

GIB = 2**30


def machine(*gpus: Gpu, flags: frozenset[str] = frozenset({"avx2"}), kind: str = "x86_64") -> Hardware:
    return Hardware(cores=2, memory_bytes=8 * GIB, flags=flags, gpus=gpus, system="Linux", machine=kind)


def test_probe_sees_this_machine():
    hw = hardware.probe()
    assert hw.cores >= 1 and hw.memory_bytes > GIB and hw.system
    assert hw.flags, "no CPU flags were found"


@pytest.mark.parametrize(
    "gpus, tier",
    [
        ((), "cpu"),
        ((Gpu("NVIDIA GeForce RTX 3090", 24576 * 2**20),), "rtx3090"),
        ((Gpu("NVIDIA GeForce RTX 4090", 24564 * 2**20),), "rtx4090"),
        ((Gpu("Tesla T4", 15360 * 2**20),), "t4"),
        ((Gpu("Tesla V100-PCIE-16GB", 16384 * 2**20),), "v100"),
        ((Gpu("NVIDIA A10G", 23028 * 2**20),), "a10g"),
        ((Gpu("NVIDIA A100-SXM4-40GB", 40960 * 2**20),), "a100-40"),
        ((Gpu("NVIDIA A100-SXM4-80GB", 81920 * 2**20),), "a100-80"),
        ((Gpu("NVIDIA A100-SXM4-80GB", 81920 * 2**20),) * 4, "a100-80x4"),
        ((Gpu("NVIDIA GeForce GTX 1050", 2048 * 2**20),), "cpu"),
    ],
)
def test_tier_of_a_machine(gpus, tier):
    assert hardware.tier(machine(*gpus)).id == tier


def test_an_unknown_card_takes_the_largest_tier_that_fits():
    tier = hardware.tier(machine(Gpu("NVIDIA H100 80GB HBM3", 81559 * 2**20)))
    assert tier.kind == "cuda" and tier.gpus == 1 and tier.gpu_memory_gib == 80


def test_the_environment_decides(monkeypatch):
    monkeypatch.setenv("SERVELAB_TIER", "a100-40")
    assert hardware.tier(machine()).id == "a100-40"
    monkeypatch.setenv("SERVELAB_TIER", "abacus")
    with pytest.raises(ServelabError, match="abacus"):
        hardware.tier(machine())


def test_every_tier_is_reached_by_its_own_card():
    for tier in course.load().tiers:
        if tier.kind == "cuda":
            name = tier.gpu_names[0] if tier.gpu_names else "of no name known here"
            gpus = [Gpu(f"NVIDIA {name}", int(tier.gpu_memory_gib * 0.96 * GIB))] * tier.gpus
            assert hardware.tier(machine(*gpus)).id == tier.id


def test_no_avx2_is_one_sentence():
    machine().require_avx2()
    machine(flags=frozenset(), kind="aarch64").require_avx2()
    with pytest.raises(ServelabError, match="no AVX2"):
        machine(flags=frozenset()).require_avx2()


def test_gpus_are_read_from_the_driver(monkeypatch):
    records.gpus.cache_clear()
    said = "NVIDIA GeForce RTX 4090, 24564, 580.1\nNVIDIA GeForce RTX 4090, 24564, 580.1\nbroken, [N/A], 580.1\n"
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: subprocess.CompletedProcess(a, 0, stdout=said))
    assert hardware.probe().gpus == (Gpu("NVIDIA GeForce RTX 4090", 24564 * 2**20),) * 2
    assert records.card() == "rtx-4090-x2"
    assert [one["driver"] for one in records.stamp()["hardware"]["gpus"]] == ["580.1"] * 2
    records.gpus.cache_clear()


def test_measure_is_kept_with_its_date(monkeypatch, tmp_path):
    monkeypatch.setenv("SERVELAB_HOME", str(tmp_path))
    monkeypatch.setattr(hardware, "_gemm", lambda: 1e11)
    monkeypatch.setattr(hardware, "_bandwidth", lambda: 1e10)
    first = hardware.measure()
    monkeypatch.setattr(hardware, "_gemm", lambda: 2e11)
    assert hardware.measure() == first and first.date
    assert hardware.measure(fresh=True).gemm_flops_per_s == 2e11


def test_the_probes_measure_something_plausible():
    assert 1e8 < hardware._gemm(n=256, repeats=2) < 1e15
    assert 1e8 < hardware._bandwidth(bytes_per_core=2**22, repeats=2) < 1e13
