"""From a key on a slider to the redrawn figures: in a real JupyterLab page, and the kernel's share of it."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import ipywidgets
import numpy as np

from servelab.bench import Bench
from servelab.paths import ROOT

AIM_MS = 100


def run(bench: Bench) -> None:
    """Every explorer: p95 of key press to redraw in Chromium (aim: under 100 ms), and of the kernel's redraw."""
    sys.path.insert(0, str(ROOT))
    from tests.widgets.samples import EXPLORERS

    presses = 12 if bench.quick else 60
    bench.data["presses"] = presses
    kernel = {}
    for name, make in EXPLORERS.items():
        bench.say(f"{name}: redraw in the kernel")
        kernel[name] = _kernel_ms(make(), presses)
    page = _page_ms(bench, list(EXPLORERS), presses)
    bench.data["kernel_ms"], bench.data["page_ms"] = kernel, page
    for name in EXPLORERS:
        _report(bench, f"{name}-page-p95", page[name])
        _report(bench, f"{name}-kernel-p95", kernel[name])
    _report(bench, "slider-to-redraw-p95", [ms for times in page.values() for ms in times])


def _report(bench: Bench, name: str, times_ms: list[float]) -> None:
    p95 = float(np.percentile(times_ms, 95))
    bench.figure(name, p95, "ms", f"under {AIM_MS} ms", p95 < AIM_MS)


def _kernel_ms(explorer, presses: int) -> list[float]:
    """Milliseconds of each redraw without a page, over the values of every control but switches."""
    explorer.live()
    times = []
    sliders = [c for c in explorer.controls.values() if not isinstance(c, ipywidgets.Checkbox)]
    for n in range(presses):
        control = sliders[n % len(sliders)]
        values = getattr(control, "_options_values", None) or (control.min, control.value, control.max)
        wanted = next(v for v in np.roll(np.array(values, dtype=object), -n) if v != control.value)
        started = time.perf_counter()
        control.value = wanted
        times.append(1e3 * (time.perf_counter() - started))
    return times


def _page_ms(bench: Bench, names: list[str], presses: int) -> dict[str, list[float]]:
    """Milliseconds from an arrow key on each explorer's first slider to the last redraw that follows.

    Each explorer has a notebook of its own, as a lesson has one or two: every plot more makes a page slower.
    """
    from tests.browser.lab import opened, write_notebook

    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / "workspace"
        workspace.mkdir()
        setup = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom tests.widgets.samples import EXPLORERS"
        bench.say("starting JupyterLab and Chromium")
        with opened(workspace, Path(folder) / "state") as session:
            times = {}
            for name in names:
                bench.say(f"{name}: {presses} key presses in the page")
                write_notebook(workspace / f"{name}.ipynb", [setup, f"EXPLORERS[{name!r}]()"])
                session.open(f"{name}.ipynb")
                session.run_all()
                session.redraws(1, 4)
                times[name] = session.redraws(1, presses)
                session.end()
    return times
