from __future__ import annotations

import subprocess
import sys

from servelab.locks import locked

HOLD = """
import time
from servelab.locks import locked
with locked("x"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_killed_holder_frees_the_lock(monkeypatch, tmp_path):
    monkeypatch.setenv("SERVELAB_HOME", str(tmp_path))
    holder = subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline().strip() == "held"
    waited = []

    def waiting():
        waited.append(True)
        holder.kill()

    with locked("other"), locked("x", waiting):
        assert waited
    holder.wait()
