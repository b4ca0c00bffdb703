"""Operations drawn: which signal moves first, and what an autoscaler makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from servelab.figures import style
from servelab.i18n import _

TOP = 4.0
"""Signals beyond so many times their limit are drawn there."""


def lead(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float], float]], broken_s: float | None, latency: str
) -> go.Figure:
    """Signals over time, each as a multiple of its limit (measured), and when the SLO was broken.

    Args:
        curves: {name: (seconds, values, limit)}.
        broken_s: when the curve `latency` first passed its limit; None where it never did.
    """
    fig = style.figure(_("Time (s)"), _("Times its limit"), height=380)
    for number, (name, (seconds, values, limit)) in enumerate(curves.items()):
        told = np.minimum(np.asarray(values, float) / limit, TOP)
        look = style.mark("measured", name, color=number) | {"mode": "lines"}
        look["line"] = {**look["line"], "width": 4 if name == latency else 2}
        fig.add_scatter(x=list(seconds), y=told, **look)
    style.rule(fig, y=1.0, text=_("limit"), color=style.GREY)
    if broken_s is not None:
        style.rule(fig, x=broken_s, text=_("SLO broken"), color=style.ORANGE)
    return fig.update_yaxes(range=[0, TOP]).update_layout(showlegend=True)


def first_above(seconds: Sequence[float], values: Sequence[float], limit: float, times: int = 2) -> float | None:
    """When a signal is above its limit for the first time, so many readings in a row; None where it never is."""
    above = np.asarray(values, float) > limit
    for n in range(len(above) - times + 1):
        if above[n : n + times].all():
            return float(seconds[n])
    return None


def flow(offered: ArrayLike, capacity: ArrayLike) -> go.Figure:
    """Requests a second that come, and that the ready replicas can serve (simulated)."""
    fig = style.figure(_("Time (s)"), _("Requests a second"), height=300)
    fig.add_scatter(y=np.asarray(offered), **style.mark("simulated", _("come"), color=0))
    fig.add_scatter(y=np.asarray(capacity), line_shape="hv", **style.mark("simulated", _("can be served"), color=2))
    return fig.update_yaxes(rangemode="tozero").update_layout(showlegend=True)


def value(values: ArrayLike, target: float, name: str) -> go.Figure:
    """The signal that the autoscaler sees, and its target (simulated)."""
    fig = style.figure(_("Time (s)"), name, height=300)
    fig.add_scatter(y=np.asarray(values), **style.mark("simulated", color=3))
    style.rule(fig, y=target, text=_("target"), color=style.GREY)
    top = max(2.0 * target, 1.05 * float(np.quantile(np.asarray(values), 0.9)))
    return fig.update_yaxes(range=[0, top])


def waits(wait_s: ArrayLike, slo_s: float) -> go.Figure:
    """What a request waits that comes at that time, and the SLO (simulated)."""
    fig = style.figure(_("Time (s)"), _("Time in the queue (s)"), height=300, yaxis_type="log")
    fig.add_scatter(y=np.maximum(np.asarray(wait_s), 1e-3), **style.mark("simulated", color=1))
    style.rule(fig, y=slo_s, text=_("SLO"), color=style.ORANGE)
    return fig
