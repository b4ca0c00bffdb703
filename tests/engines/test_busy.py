"""The dashboard's number, read off real processes: a spinning one looks busy, a sleeping one does not."""

import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from servelab.engines.busy import Busy, Others


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


def test_what_others_took_by_hand(monkeypatch):
    """Of 20 core seconds 14 were busy and 2 stolen; 9 were the server's, 1 this program's: 6 of 20 are the others'."""
    of_all = [SimpleNamespace(user=5.0, nice=1.0, system=2.0, steal=1.0, idle=50.0, iowait=3.0)]
    of_all += [SimpleNamespace(user=15.0, nice=2.0, system=5.0, steal=3.0, idle=53.0, iowait=4.0)]
    of_each = {None: [(1.0, 0.0), (1.5, 0.5)], 7: [(2.0, 1.0), (8.0, 2.0)], 8: [(0.0, 0.0), (1.0, 1.0)]}

    class Process:
        def __init__(self, pid=None):
            self.pid = pid

        def children(self, recursive):
            return [Process(8)]

        def cpu_times(self):
            return SimpleNamespace(**dict(zip(("user", "system"), of_each[self.pid].pop(0), strict=True)))

    monkeypatch.setattr("psutil.cpu_times", lambda: of_all.pop(0))
    monkeypatch.setattr("psutil.Process", Process)
    with Others(SimpleNamespace(pid=7)) as others:
        pass
    assert others.share == pytest.approx(6 / 20)
