"""A trouble of some size and length, an alert with two windows: when does it fire, and when does it let go?"""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from servelab.figures import monitoring as figures
from servelab.i18n import _
from servelab.theory.reliability import Alert, budget_spent
from servelab.widgets.base import Explorer, slider, steps

EVERY_S = 30.0
QUIET_S, SHOWN_S = 3600.0, 4 * 3600.0
RATE = 10.0


def traffic(share: float, length_s: float) -> tuple[np.ndarray, np.ndarray]:
    """(bad, total) requests in intervals of `EVERY_S`: even traffic, in which a share goes wrong for a while."""
    t = np.arange(0, SHOWN_S, EVERY_S)
    total = np.full(t.size, RATE * EVERY_S)
    bad = np.where((t >= QUIET_S) & (t < QUIET_S + length_s), share, 0.0) * total
    return bad, total


def burn(slo: float = 0.99) -> Explorer:
    """Explorer of a burn-rate alert on even traffic, in real time: an hour of quiet, then a trouble."""

    def alert(threshold: float, long_min: int) -> Alert:
        return Alert(threshold, 60.0 * long_min, 5.0 * long_min)

    def draw(percent: float, minutes: int, threshold: float, long_min: int) -> list[go.Figure]:
        bad, total = traffic(percent / 100, 60.0 * minutes)
        return [figures.burn(bad, total, EVERY_S, alert(threshold, long_min), slo)]

    def say(percent: float, minutes: int, threshold: float, long_min: int) -> str:
        bad, total = traffic(percent / 100, 60.0 * minutes)
        fires = np.flatnonzero(alert(threshold, long_min).fires(bad, total, EVERY_S, slo))
        cost = float(budget_spent(percent / 100 / (1 - slo), 60.0 * minutes))
        spent = _("The trouble costs {share:.1%} of the month's budget.").format(share=cost)
        if not fires.size:
            return _("The alert stays silent.") + " " + spent
        begin = (fires[0] + 1) * EVERY_S - QUIET_S
        after = (fires[-1] + 1) * EVERY_S - QUIET_S - 60 * minutes
        text = _("It fires {m:.0f} min after the trouble begins, and lets go {k:.0f} min after it ends.")
        return text.format(m=begin / 60, k=max(0.0, after) / 60) + " " + spent

    controls = {
        "percent": slider(_("requests that go wrong (%)"), 1, 100, 30),
        "minutes": slider(_("for how long (min)"), 1, 120, 40),
        "threshold": steps(_("threshold (burn rate)"), [1, 2, 6, 10, 14.4, 30], 14.4),
        "long_min": steps(_("long window (min); the short one is a twelfth"), [5, 15, 30, 60, 120, 360], 60),
    }
    return Explorer(controls, draw, say=say)
