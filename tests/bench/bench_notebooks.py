"""Each notebook's wall time and peak memory, executed with real engines as CI does.

The servers are shared, as they are for a learner who goes from one notebook to the next, so a notebook that is the
first to need a server pays for its start. Memory is the kernel's with its children; the servers' own is apart.
"""

from __future__ import annotations

from servelab.bench import Bench
from servelab.notebooks import execute
from servelab.notebooks import source as sources

AIM_S = 180
QUICK = "0"


def run(bench: Bench) -> None:
    """Run every ready notebook; `--quick` runs the start page only."""
    ready = [s for s in sources.ready() if not bench.quick or s.entry.id == QUICK]
    bench.data["notebooks"] = {}
    with execute.session() as workspace:
        for number, source in enumerate(ready, 1):
            bench.say(f"{number}/{len(ready)} {source.stem}")
            one = execute.run(source.path, workspace, "en")
            for failure in one.failures:
                bench.say(f"{source.stem}: the cell `{failure.cell}` failed: {failure}")
            seconds, mebibytes = round(one.seconds, 1), round(one.peak_bytes / 2**20)
            bench.data["notebooks"][source.stem] = {
                "passed": one.passed,
                "cells": one.cells,
                "exercises": one.exercises,
                "median_code_lines": source.code_lines(),
            }
            bench.figure(f"{source.entry.id} wall", seconds, "s", f"under {AIM_S} s", one.passed and seconds < AIM_S)
            bench.figure(f"{source.entry.id} memory", mebibytes, "MiB", "under 2048 MiB", mebibytes < 2048)
