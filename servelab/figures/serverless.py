"""Scale to zero: what it costs beside a server that is always up, and who meets it cold, over how much is asked."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from servelab.figures import style
from servelab.i18n import _
from servelab.theory.cost import SECONDS_PER_HOUR
from servelab.theory.serverless import OnDemand

RATES_PER_HOUR = np.geomspace(0.1, 2000, 140)
TICKS = (0.1, 1, 10, 100, 1000)


def on_demand(instances: Mapping[str, OnDemand], premium: float) -> list[go.Figure]:
    """Two views over requests per hour: the bill as a multiple of the always-up one, and the share of cold requests.

    Args:
        instances: {name: how long it is kept, and the rest}.
        premium: price of a second on demand over the price of a second always up.
    """
    rates = RATES_PER_HOUR / SECONDS_PER_HOUR
    bill = _over_requests(_("Bill (always up = 1)"))
    cold = _over_requests(_("Requests that wait for a start (%)"))
    for n, (name, one) in enumerate(instances.items()):
        look = style.mark("modelled", name, color=n)
        bill.add_scatter(x=RATES_PER_HOUR, y=premium * one.up(rates), **look)
        cold.add_scatter(x=RATES_PER_HOUR, y=100 * one.cold(rates), **look)
        even = one.break_even(premium) * SECONDS_PER_HOUR
        marker = {"symbol": "star", "size": 13, "color": style.colour(n), "line": {"color": style.INK, "width": 1}}
        text = _("{rate:.3g} an hour").format(rate=even)
        bill.add_scatter(x=[even], y=[1], mode="markers", marker=marker, showlegend=False, text=[text],
                         hovertemplate="%{text}<extra></extra>")  # fmt: skip
    style.rule(bill, y=1, text=_("always up"))
    bill.update_yaxes(range=[0, 1.1 * premium])
    cold.update_yaxes(range=[0, 103])
    return [bill, cold]


def _over_requests(y: str) -> go.Figure:
    fig = style.figure(_("Requests an hour"), y, height=330, showlegend=True)
    return fig.update_xaxes(type="log", tickvals=list(TICKS), ticktext=[f"{tick:g}" for tick in TICKS])
