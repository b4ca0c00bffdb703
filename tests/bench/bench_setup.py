"""From a clean clone to JupyterLab answering, and how long the second start takes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from servelab.bench import Bench
from servelab.engines.ports import free_port
from servelab.paths import ROOT

LIMIT_SECONDS = 1800
ADDRESS = re.compile(rb"http://127\.0\.0\.1:\d+/\S+")


def seconds_to_answer(folder: Path, bench: Bench) -> float:
    """Run `make lab` in `folder` as a person would, wait until its address answers, end it; seconds it took."""
    command = ["make", "lab", f"PORT={free_port()}"]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("SERVELAB_", "VIRTUAL_ENV"))}
    env.pop("DISPLAY", None)
    began = time.monotonic()
    with subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    ) as lab:
        try:
            seen = b""
            for line in lab.stdout:
                bench.say(line.decode(errors="replace").rstrip())
                seen += line
                if address := ADDRESS.search(seen):
                    with urllib.request.urlopen(address[0].decode(), timeout=60) as page:
                        assert page.status == 200
                    return time.monotonic() - began
                if time.monotonic() - began > LIMIT_SECONDS:
                    break
            raise RuntimeError("`make lab` ended without an address")
        finally:
            os.killpg(lab.pid, signal.SIGINT)
            lab.wait(60)


def run(bench: Bench) -> None:
    """A quick run starts this checkout twice; a full one clones it to an empty folder first."""
    with tempfile.TemporaryDirectory() as empty:
        folder = ROOT
        if not bench.quick:
            folder = Path(empty) / "course"
            subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
            first = seconds_to_answer(folder, bench)
            bench.figure("clone_to_answer", first, "s", "under 300 s", first < 300)
        else:
            seconds_to_answer(folder, bench)
        again = min(seconds_to_answer(folder, bench) for _ in range(3))
        bench.figure("second_start", again, "s", "under 8 s", again < 8)
