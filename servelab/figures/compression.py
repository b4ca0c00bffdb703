"""What compression saves and what it costs: rounding error, perplexity against bytes and speed, a student's learning.

`frame` is what `servelab.compress.Comparison` measured: one row a model, the uncompressed one first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from servelab.figures import style
from servelab.i18n import _

MB = 1e6


def rounding(groups: Sequence[int], errors: Mapping[str, Sequence[float]]) -> go.Figure:
    """Error of a 4-bit grid by how many weights share it (root mean square, % of the weights'), a line a matrix."""
    fig = style.figure(_("Weights that share a grid"), _("Rounding error (% of the weights, RMS)"), height=340)
    labels = [str(group) for group in groups]
    for color, (name, values) in enumerate(errors.items()):
        fig.add_scatter(x=labels, y=[100 * v for v in values], **style.mark("measured", name, color))
    return fig.update_xaxes(type="category").update_yaxes(rangemode="tozero").update_layout(showlegend=True)


def front(frame: pd.DataFrame) -> go.Figure:
    """Perplexity against size and against decoding speed; a line joins what nothing else beats in both."""
    fig = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.04)
    fig.update_layout(template=style.NAME, height=470, showlegend=True)
    views = ((frame.bytes / MB, 1, _("Size (MB)")), (frame.decode, -1, _("Decode (tokens/s, one sequence)")))
    for column, (x, better, title) in enumerate(views, 1):
        best = frame[unbeaten(better * x, frame.perplexity)].index
        best = x[best].sort_values().index
        line = {"dash": "solid", "width": 1.5, "color": style.INK, "shape": "linear"}
        fig.add_scatter(
            x=x[best], y=frame.perplexity[best], mode="lines", line=line, name=_("not beaten (measured)"),
            showlegend=column == 1, row=1, col=column,
        )  # fmt: skip
        for n, name in enumerate(frame.index):
            known = np.isfinite(frame.low[name])
            marker = {"size": 12, "color": style.colour(n), "symbol": SYMBOLS[n % len(SYMBOLS)]}
            marker["line"] = {"width": 1, "color": style.INK}
            label = name if known else _("{name} (record)").format(name=name)
            fig.add_scatter(
                x=[x[name]], y=[frame.perplexity[name]], mode="markers", marker=marker, name=label,
                legendgroup=name, showlegend=column == 1, row=1, col=column,
            )  # fmt: skip
        fig.update_xaxes(title_text=title, rangemode="tozero", row=1, col=column)
    low, high = frame.perplexity.min() / 1.3, frame.perplexity.max() * 1.5
    fig.update_yaxes(**style.log_ticks(low, high), range=np.log10([low, high]).tolist())
    return fig.update_yaxes(title_text=_("Perplexity on the course's text"), row=1, col=1)


SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon")


def unbeaten(x: pd.Series, y: pd.Series) -> list[bool]:
    """Whether no other point is at most as large in both and smaller in one."""
    pairs = list(zip(x, y, strict=True))
    return [not any(a <= p and b <= q and (a, b) != (p, q) for a, b in pairs) for p, q in pairs]


def speeds(frame: pd.DataFrame) -> go.Figure:
    """How many times the uncompressed model's speed: writing token by token, and running a prompt."""
    shown = frame[np.isfinite(frame.low)].iloc[1:]
    fig = style.figure(_("Times the uncompressed model's speed (measured)"), height=130 + 46 * len(shown))
    for name, values, color in (
        (_("decode, a token at a time"), shown.faster, style.BLUE),
        (_("prefill, a prompt at once"), shown.sooner, style.ORANGE),
    ):
        text = [f"{value:.2g}" for value in values]
        fig.add_bar(
            x=values, y=list(shown.index), orientation="h", name=name, marker_color=color, text=text,
            textposition="outside", cliponaxis=False,
        )  # fmt: skip
    style.rule(fig, x=1.0, text="", color=style.INK)
    fig.update_layout(barmode="group", legend={"traceorder": "normal"})
    return fig.update_yaxes(autorange="reversed", showgrid=False).update_xaxes(rangemode="tozero")


def learning(record: Mapping[str, Any]) -> go.Figure:
    """A student's perplexity over the tokens it has learnt from, and its teacher's (from a stamped record)."""
    fig = style.figure(_("Tokens learnt from"), _("Perplexity on the course's text"), height=360)
    seen = [point["tokens"] for point in record["curve"]]
    values = [point["perplexity"] for point in record["curve"]]
    name = _("student, {n} layers").format(n=len(record["layers"]))
    fig.add_scatter(x=seen, y=values, **style.mark("measured", name, 0))
    teacher = record["teacher_perplexity"]
    low, high = teacher / 1.5, max(values) * 1.5
    fig.update_yaxes(**style.log_ticks(low, high), range=np.log10([low, high]).tolist())
    style.rule(fig, y=teacher, text=_("teacher"), color=style.ORANGE)
    return fig.update_xaxes(rangemode="tozero").update_layout(showlegend=True)
