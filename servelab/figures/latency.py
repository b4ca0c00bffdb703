"""Where a request's latency goes: its parts stacked, predicted, with what was measured laid over them.

A budget is a DataFrame with one row a request: `queue_s`, `prefill_s`, `decode_s`, `fixed_s` (seconds of a model,
which add up to E2E), and, where the request was really sent, `measured_first_s` and `measured_e2e_s`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from servelab.figures import style
from servelab.i18n import _

MOST_ROWS = 24
HEIGHT = 520
PARTS = {
    "queue_s": style.ORANGE,
    "prefill_s": style.GREEN,
    "decode_s": style.BLUE,
    "fixed_s": style.PURPLE,
}


def names() -> dict[str, str]:
    """What the legend calls each part."""
    return {
        "queue_s": _("waits"),
        "prefill_s": _("prompt is read"),
        "decode_s": _("tokens are written"),
        "fixed_s": _("fixed price of its steps"),
    }


def budget(frame: pd.DataFrame, kind: style.Kind = "simulated") -> go.Figure:
    """The first requests as stacked bars of their parts; a cross and a diamond where first token and end were
    measured."""
    shown = frame.head(MOST_ROWS)
    rows = np.arange(len(shown))
    fig = style.figure(
        _("Time since it was sent (s)"),
        _("Request, in order of arrival"),
        height=HEIGHT,
        barmode="stack",
        showlegend=True,
        yaxis={"range": [len(shown) - 0.4, -0.6], "showgrid": False, "zeroline": False},
        xaxis={"rangemode": "tozero"},
    )
    called = names()
    for part, color in PARTS.items():
        label = _("{name} ({kind})").format(name=called[part], kind=style.suffix(kind))
        marker = {"color": style.fade(color, 0.55), "line": {"color": color, "width": 0.8}}
        fig.add_bar(x=shown[part].to_numpy(), y=rows, orientation="h", name=label, marker=marker)
    marks = (("measured_first_s", _("first token"), "x"), ("measured_e2e_s", _("end"), "diamond"))
    for column, name, symbol in marks:
        if column in shown:
            look = style.mark("measured", name, style.INK) | {"mode": "markers"}
            look["marker"] = {"symbol": symbol, "size": 8, "color": style.INK}
            fig.add_scatter(x=shown[column].to_numpy(), y=rows, **look)
    return fig


def agreement(pairs: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> go.Figure:
    """Measured against predicted seconds on log axes, one set of points a metric, and the line where both agree.

    Args:
        pairs: {what it is: (predicted, measured)}, arrays of shape (n,), in seconds, above 0.
    """
    every = np.concatenate([np.concatenate(pair) for pair in pairs.values()])
    low, high = 0.8 * float(every.min()), 1.25 * float(every.max())
    axis = {**style.log_ticks(low, high), "range": [float(np.log10(low)), float(np.log10(high))]}
    fig = style.figure(
        _("Predicted (s)"), _("Measured (s)"), height=HEIGHT, showlegend=True, xaxis=axis, yaxis=dict(axis)
    )
    line = {"dash": "dash", "width": 1.5, "color": style.INK}
    fig.add_scatter(x=[low, high], y=[low, high], mode="lines", name=_("both agree"), line=line)
    for n, (name, (predicted, measured)) in enumerate(pairs.items()):
        look = style.mark("measured", name, n) | {"mode": "markers"}
        fig.add_scatter(x=predicted, y=measured, **look)
    return fig
