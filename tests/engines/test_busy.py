"""The dashboard's number, read off real processes: a spinning one looks busy, a sleeping one does not."""

import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from servelab.engines.busy import Busy


@pytest.mark.parametrize(("code", "least", "most"), [("while True: pass", 0.02, 1.1), ("input()", -0.01, 0.05)])
def test_share_of_the_cores(monkeypatch, code, least, most):
    monkeypatch.setenv("SERVELAB_TIER", "cpu")
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    try:
        time.sleep(0.3)
        with Busy(SimpleNamespace(pid=child.pid)) as meter:
            time.sleep(1)
    finally:
        child.kill()
        child.wait()
    assert least < meter.share < most


def test_on_a_gpu_it_is_what_nvidia_smi_says(monkeypatch, tmp_path):
    fake = tmp_path / "nvidia-smi"
    fake.write_text("#!/bin/sh\nprintf '90\\n70\\n'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("SERVELAB_TIER", "a100-40")
    with Busy(SimpleNamespace(pid=1), every_s=0.05) as meter:
        time.sleep(0.5)
    assert meter.share == pytest.approx(0.8)
