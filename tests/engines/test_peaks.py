"""Peaks of the device that serves: the child process that measures a torch device, tried on the processor."""

import pytest

from servelab import hardware
from servelab.engines import peaks
from servelab.errors import ServelabError


def test_a_torch_device_is_measured_in_a_child():
    pytest.importorskip("torch")
    found = peaks.measure("cpu", "float32", n=128, stream_bytes=2**22, repeats=2)
    assert found.gemm_flops_per_s > 1e8 and found.bandwidth_bytes_per_s > 1e7


def test_a_device_that_is_not_there_is_one_sentence():
    pytest.importorskip("torch")
    with pytest.raises(ServelabError, match="could not be measured"):
        peaks.measure("cuda:99", "float16", n=8, stream_bytes=64, repeats=1)


def test_the_tier_decides_what_is_measured(monkeypatch):
    asked = []
    known = hardware.Peaks(1.0, 1.0, "")
    monkeypatch.setattr(hardware, "measure", lambda fresh=False: asked.append(fresh) or known)
    monkeypatch.setattr(peaks, "measure", lambda device, dtype: asked.append((device, dtype)) or known)
    monkeypatch.setenv("SERVELAB_TIER", "cpu")
    assert peaks.peaks() is known
    monkeypatch.setenv("SERVELAB_TIER", "rtx4090")
    assert peaks.peaks() == known
    monkeypatch.setenv("SERVELAB_TIER", "a100-80x4")
    assert peaks.peaks() == hardware.Peaks(4.0, 4.0, "")
    assert asked[0] is True and asked[1][0] == asked[2][0] == "cuda"
