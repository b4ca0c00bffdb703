"""An autoscaler's signal and target, and how long a replica takes to start: who comes too late?"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import plotly.graph_objects as go

from servelab.figures import operations as figures
from servelab.i18n import _
from servelab.simulate.autoscaling import Fleet, autoscale
from servelab.widgets.base import Explorer, choice, steps

SECONDS, QUIET_S, HOLD_S = 1200, 120, 420
RULES = {
    "cpu": ("cpu", 0.7),
    "busy": ("busy", 0.6),
    "busy-late": ("busy", 0.9),
    "pending": ("pending", 1.0),
    "queue": ("queue", 0.1),
}
PEAKS = (2.0, 3.0, 5.0, 8.0)
RAMPS = (10, 60, 180, 300)
STARTS = (0, 5, 30, 60, 120, 300)


def offered(service_s: float, peak: float, ramp_s: int) -> np.ndarray:
    """Requests a second: half a replica's work, then a rise to `peak` replicas' work, which ends after a while."""
    t = np.arange(SECONDS)
    up = np.clip((t - QUIET_S) / ramp_s, 0, 1)
    down = np.clip((t - QUIET_S - ramp_s - HOLD_S) / ramp_s, 0, 1)
    return (0.5 + (peak - 0.5) * (up - down)) / service_s


@lru_cache(maxsize=256)
def run(service_s: float, rule: str, start_s: int, peak: float, ramp_s: int) -> Fleet:
    """One simulated day in miniature."""
    return autoscale(offered(service_s, peak, ramp_s), service_s, *RULES[rule], start_s=start_s)


def autoscaler(service_s: float, slo_s: float) -> Explorer:
    """Explorer: a rise of the load, an autoscaler that looks at one signal, and what requests wait (simulated).

    Args:
        service_s: what one request takes.
        slo_s: the longest that a request should wait.
    """
    names = {
        "cpu": _("processor in use: 70 %"),
        "busy": _("instances busy: 60 %"),
        "busy-late": _("instances busy: 90 %"),
        "pending": _("requests that wait: 1 a replica"),
        "queue": _("time in the queue: 0.1 s"),
    }
    units = {
        "cpu": _("Processor in use (share)"),
        "busy": _("Instances busy (share)"),
        "pending": _("Requests that wait, a replica"),
        "queue": _("Time in the queue (s)"),
    }

    def draw(rule: str, start_s: int, peak: float, ramp_s: int) -> list[go.Figure]:
        fleet, (signal, target) = run(service_s, rule, start_s, peak, ramp_s), RULES[rule]
        return [
            figures.flow(fleet.offered, fleet.capacity),
            figures.value(fleet.value, target, units[signal]),
            figures.waits(fleet.wait_s, slo_s),
        ]

    def say(rule: str, start_s: int, peak: float, ramp_s: int) -> str:
        fleet = run(service_s, rule, start_s, peak, ramp_s)
        text = _(
            "{late:.0%} of all requests wait longer than {slo:g} s; at most {n} replicas, {hours:.2f} replica hours."
        )
        return text.format(late=fleet.late(slo_s), slo=slo_s, n=int(fleet.started.max()), hours=fleet.hours)

    controls = {
        "rule": choice(_("signal and target"), {names[key]: key for key in RULES}, "pending"),
        "start_s": steps(_("a replica starts in (s)"), STARTS, 60),
        "peak": steps(_("peak (replicas' work)"), PEAKS, 3.0),
        "ramp_s": steps(_("the rise takes (s)"), RAMPS, 60),
    }
    return Explorer(controls, draw, say=say, columns=3)
