"""Move the load of a waiting line and watch every formula beside a simulation of it, and beside real waits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import plotly.graph_objects as go

from servelab.figures import queueing as figures
from servelab.figures import style
from servelab.figures.queueing import Line
from servelab.i18n import _, sentences
from servelab.simulate.queueing import Estimate, Floats, by_load
from servelab.theory.queueing import Observed
from servelab.widgets.base import Explorer, steps

LOADS = (0.2, 0.4, 0.6, 0.7, 0.8, 0.85, 0.9)
SERVICES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
SERVICE_CVS = (0.0, 0.5, 1.0, 1.5, 2.0)
ARRIVAL_CVS = (0.5, 1.0, 1.5, 2.0)
SERVERS = (1, 2, 4, 8, 16, 32)


@lru_cache(maxsize=64)
def _simulated(arrival_cv: float, service_cv: float, servers: int) -> tuple[list[Estimate], Floats]:
    """For each of `LOADS`, in mean services: the mean wait, and all waits, shape (loads, runs, jobs)."""
    waits = by_load(LOADS, arrival_cv, service_cv, servers)
    means = [Estimate.of(of_load.mean(axis=1)) for of_load in waits]
    return means, waits


def queueing(
    service_s: float = 0.1,
    service_cv: float = 1.0,
    *,
    servers: int = 1,
    arrival_cv: float = 1.0,
    loads: Sequence[Observed] = (),
    busy: float = 0.8,
) -> Explorer:
    """Explorer: mean wait over the arrival rate, all formulas at one load, and the tail of the waits.

    Args:
        service_s, service_cv: mean time in service, and deviation over mean, to begin with.
        servers: requests served at once, to begin with.
        arrival_cv: deviation over mean of the gaps between arrivals; 1 for Poisson arrivals.
        loads: measured loads (`servelab.theory.queueing.observed`), one a rate, laid over all views.
        busy: the utilisation to begin with, one of `LOADS`.
    """

    def at(busy: float, service: float, service_cv: float, arrival_cv: float, servers: int):
        line = Line(service, service_cv, arrival_cv, servers)
        rate = busy * line.capacity
        nearest = min(loads, key=lambda one: abs(one.rate - rate), default=None)
        means, waits = _simulated(arrival_cv, service_cv, servers)
        means = [Estimate(one.mean * service, one.half * service) for one in means]
        return line, rate, nearest, means, service * waits[LOADS.index(busy)]

    def draw(**values: float) -> list[go.Figure]:
        line, rate, nearest, means, waits = at(**values)
        here = means[LOADS.index(values["busy"])]
        return [
            figures.by_rate(line, values["busy"], list(zip(LOADS, means, strict=True)), loads),
            figures.beside(line, rate, here, nearest),
            figures.tail(line, rate, waits, nearest),
        ]

    def say(**values: float) -> str:
        line, rate, nearest, means, waits = at(**values)
        here, said = means[LOADS.index(values["busy"])], line.waits(rate)
        text = _(
            "{rate} of at most {capacity} requests/s: a request waits {mean} ± {half} s (simulated), one in a hundred "
            "longer than {p99} s. Kingman says {kingman} s. The short form says {seed}, however long a service takes."
        )
        told = text.format(
            rate=style.number(rate),
            capacity=style.number(line.capacity),
            mean=style.number(here.mean),
            half=style.number(here.half),
            p99=style.number(float(np.quantile(waits, 0.99))),
            kingman=style.number(float(said["kingman"])),
            seed=style.number(float(said["seed"])),
        )
        if line.servers > 1:
            each = _("M/M/1, M/D/1 and M/G/1 give each of the {n} servers a line of its own.").format(n=line.servers)
            told = sentences(told, each)
        if nearest:
            real = _("In the measured load nearest to it requests waited {mean} s, at {share:.0%} busy.")
            told = sentences(
                told, real.format(mean=style.number(float(nearest.waits_s.mean())), share=nearest.utilization)
            )
        return told

    controls = {
        "busy": steps(_("Busy share of a server"), [(f"{n:.0%}", n) for n in LOADS], busy),
        "service": steps(_("Mean service (s)"), _with(SERVICES, service_s), service_s),
        "service_cv": steps(_("Variation of the services (cv)"), _with(SERVICE_CVS, service_cv), service_cv),
        "arrival_cv": steps(_("Variation of the gaps (cv)"), _with(ARRIVAL_CVS, arrival_cv), arrival_cv),
        "servers": steps(_("Servers"), _with(SERVERS, servers), servers),
    }
    return Explorer(controls, draw, say=say, columns=2)


def _with(values: Sequence[float], own: float) -> list[tuple[str, float]]:
    """The given values and the explorer's own, each with what the slider shows."""
    return [(style.number(value), value) for value in sorted({*values, own})]
