"""Several engines on one load: tokens/s of each, and where the difference comes from - steps, or the time of a step.

A ladder is a DataFrame with one row an engine, in the order in which one idea was added to the last: `rung` (its
name), `tokens` (output tokens that were asked for), `steps` (passes of the model) and `seconds`.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from servelab.figures import style
from servelab.figures.lessons import quantity
from servelab.i18n import _

MS = 1000


def ladder(rungs: pd.DataFrame) -> go.Figure:
    """Tokens/s of each rung, the first on top, and beside it how many times the rung above it that is."""
    rate = (rungs.tokens / rungs.seconds).tolist()
    names = rungs.rung.tolist()
    factor = [""] + [f" (× {now / before:.2f})" for before, now in zip(rate, rate[1:], strict=False)]
    fig = style.figure(x=_("Throughput (output tokens/s, measured)"), height=110 + 48 * len(rungs), bargap=0.45)
    fig.add_bar(
        x=rate, y=names, orientation="h", hoverinfo="x+y", showlegend=False,
        marker={"color": [style.colour(n) for n in range(len(rungs))]},
    )  # fmt: skip
    fig.add_scatter(
        x=rate, y=names, mode="text", textposition="middle right", cliponaxis=False, hoverinfo="skip", showlegend=False,
        text=[f"  <b>{quantity(one)}</b>{more}" for one, more in zip(rate, factor, strict=True)],
    )  # fmt: skip
    fig.update_xaxes(range=[0, 1.3 * max(rate)])
    return fig.update_yaxes(categoryorder="array", categoryarray=names[::-1], showgrid=False)


def plane(rungs: pd.DataFrame) -> go.Figure:
    """How many steps each rung takes, and how long one lasts: their product is the time, so equal times are diagonals.

    To the left: better scheduling. Down: a cheaper step. Both axes are logarithmic.
    """
    steps = rungs.steps.to_numpy(float)
    each = rungs.seconds.to_numpy(float) / steps * MS
    x, y = _room(steps), _room(each)
    fig = style.figure(_("Steps for all answers"), _("Time of a step (ms)"), height=460)
    for seconds in _times(float(rungs.seconds.min()), float(rungs.seconds.max())):
        along = np.geomspace(*x, 40)
        down = seconds * MS / along
        inside = (down >= y[0]) & (down <= y[1])
        if inside.sum() < 2:
            continue
        fig.add_scatter(
            x=along[inside], y=down[inside], mode="lines", hoverinfo="skip", showlegend=False,
            line={"color": style.fade(style.GREY, 0.6), "width": 1, "dash": "dot"},
        )  # fmt: skip
        fig.add_annotation(
            x=math.log10(along[inside][0]), y=math.log10(down[inside][0]), text=quantity(seconds, "s"),
            showarrow=False, xanchor="left", yanchor="bottom", font={"size": 11},
        )  # fmt: skip
    fig.add_scatter(
        x=steps, y=each, mode="lines", hoverinfo="skip", showlegend=False,
        line={"color": style.fade(style.GREY, 0.7), "width": 1.5},
    )  # fmt: skip
    for n, (name, one_x, one_y) in enumerate(zip(rungs.rung, steps, each, strict=True)):
        fig.add_scatter(
            x=[one_x], y=[one_y], mode="markers+text", text=[f"<b>{n + 1}</b>"], textposition="middle center",
            textfont={"color": "#ffffff", "size": 12}, name=f"{n + 1} {name}", cliponaxis=False,
            marker={"size": 24, "color": style.colour(n)},
        )  # fmt: skip
    for axis, ends in ((fig.update_xaxes, x), (fig.update_yaxes, y)):
        axis(**style.log_ticks(*ends), range=[math.log10(end) for end in ends])
    return fig


def _room(values: np.ndarray) -> tuple[float, float]:
    """The ends of a logarithmic axis with some room around all values."""
    return float(values.min()) / 1.5, float(values.max()) * 1.5


def _times(low: float, high: float) -> list[float]:
    """Round times (1, 2, 5, 10 ... s) from somewhat below `low` to somewhat above `high`."""
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    return [step * 10.0**d for d in decades for step in (1, 2, 5) if low / 1.5 <= step * 10.0**d <= high * 1.5]
