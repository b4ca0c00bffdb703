"""What Prometheus knows, in pictures: a dashboard's panels, a quantile read from buckets, an alert and its budget,
where one request's time went, and what each fault looks like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from servelab.figures import style
from servelab.i18n import _
from servelab.theory.reliability import Alert, burn_rate, rolling

UNITS = {"reqps": "requests/s", "percentunit": "%", "s": "ms", "short": "", "ops": "1/s", "bytes": "MB"}
FACTORS = {"percentunit": 100.0, "s": 1000.0, "bytes": 1e-6}


def board(curves: Mapping[str, tuple[str, pd.DataFrame]], columns: int = 3) -> go.Figure:
    """A dashboard's panels side by side, as Grafana would draw them.

    Args:
        curves: {title: (Grafana's unit, frame with `t_s` and one column a curve)}.
    """
    rows = -(-len(curves) // columns)
    titles = [f"{title} ({UNITS[unit]})" if UNITS.get(unit) else title for title, (unit, _frame) in curves.items()]
    fig = make_subplots(rows=rows, cols=columns, subplot_titles=titles, vertical_spacing=0.28 / rows)
    fig.update_layout(template=style.template(), height=210 * rows + 40, showlegend=False)
    fig.update_annotations(font_size=12)
    for n, (unit, frame) in enumerate(curves.values()):
        place = {"row": n // columns + 1, "col": n % columns + 1}
        for k, name in enumerate(c for c in frame.columns if c != "t_s"):
            line = {"color": style.colour(k), "width": 2}
            y = frame[name] * FACTORS.get(unit, 1.0)
            fig.add_scatter(x=frame.t_s, y=y, name=name, line=line, mode="lines", connectgaps=True, **place)
            if len(frame.columns) > 2 and y.max() > 0:  # its name beside its highest point, in its colour
                told = {"text": name, "font": {"color": style.colour(k), "size": 11}, "showarrow": False}
                fig.add_annotation(x=frame.t_s[y.idxmax()], y=y.max(), yshift=9, **told, **place)
        fig.update_yaxes(rangemode="tozero", **place)
    for column in range(1, columns + 1):
        fig.update_xaxes(title_text=_("time (s, measured)"), row=rows, col=column)
    return fig


def quantile(seconds: ArrayLike, ends_s: Sequence[float], q: float, said_s: float) -> go.Figure:
    """Times of single requests and the buckets that Prometheus keeps of them; where both say that the quantile is.

    Args:
        seconds: measured times, shape (n,).
        ends_s: upper ends of the buckets, in seconds.
        q: which quantile, 0 to 1.
        said_s: what `histogram_quantile` says.
    """
    fig = style.figure(_("Time to the first byte (s)"), _("Requests up to here (%)"), height=340)
    x = np.sort(np.asarray(seconds, float))
    y = 100 * np.arange(1, x.size + 1) / x.size
    fig.add_scatter(x=x, y=y, line_shape="hv", **style.mark("measured", _("each request"), color=0))
    ends = [0.0, *(e for e in ends_s if e <= 2 * x[-1] or e == min(ends_s))]
    inside = [100 * float((x <= e).mean()) for e in ends]
    fig.add_scatter(x=ends, y=inside, **style.mark("modelled", _("straight lines between buckets"), color=1))
    style.rule(fig, y=100 * q, text=f"{100 * q:g} %")
    right = float(np.quantile(x, q))
    for where, other, colour in ((right, said_s, style.BLUE), (said_s, right, style.ORANGE)):
        style.rule(fig, x=where, text=style.number(where), color=colour)
        if where < other:  # the lesser one's number stands on its left, or they lie on each other
            fig.layout.annotations[-1].update(xanchor="right", xshift=-4)
    return fig.update_layout(showlegend=True)


def burn(bad: ArrayLike, total: ArrayLike, every_s: float, alert: Alert, slo: float) -> go.Figure:
    """Burn rates over an alert's two windows as time goes on, its threshold, and when it fires.

    Args:
        bad, total: requests in equal intervals of `every_s`, shape (n,).
    """
    fig = style.figure(_("Time (min)"), _("Burn rate (1: the budget lasts just the period)"), height=360)
    t = (np.arange(np.size(total)) + 1) * every_s / 60
    fires = alert.fires(bad, total, every_s, slo)
    rates = []
    for n, (name, window) in enumerate(((_("long window"), alert.long_s), (_("short window"), alert.short_s))):
        width = max(1, round(window / every_s))
        rates.append(burn_rate(rolling(bad, width), rolling(total, width), slo))
        label = _("{name}, {minutes:g} min").format(name=name, minutes=window / 60)
        fig.add_scatter(x=t, y=rates[-1], **style.mark("modelled", label, color=n))
    style.rule(fig, y=alert.burn, text=_("threshold"), color=style.GREY)
    top = 1.1 * max(alert.burn, *(float(r.max()) for r in rates))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], fires.astype(int), [0]])))
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        fig.add_shape(
            type="rect", x0=t[begin], x1=t[end - 1], y0=0, y1=top, layer="below",
            fillcolor=style.fade(style.ORANGE, 0.18), line_width=0,
        )  # fmt: skip
    return fig.update_yaxes(range=[0, top]).update_layout(showlegend=True)


def story(phases: Mapping[str, Mapping[str, float]]) -> go.Figure:
    """Where each request's seconds went: {request: {phase: seconds}}, one bar a request."""
    fig = style.figure(_("Time (s, measured)"), "", barmode="stack", height=120 + 44 * len(phases))
    names = {
        "gate": _("gate"), "queue": _("engine's queue"), "prefill": _("prefill"), "decode": _("decode"),
        "rest": _("on the way"),
    }  # fmt: skip
    for n, (key, label) in enumerate(names.items()):
        values = [one[key] for one in phases.values()]
        fig.add_bar(y=list(phases), x=values, orientation="h", name=label, marker_color=style.colour(n))
    return fig.update_yaxes(autorange="reversed").update_layout(showlegend=True)


def symptoms(readings: Mapping[str, Mapping[str, float]], usual: Mapping[str, float]) -> go.Figure:
    """Faults against signals, {fault: {signal: value}}: a cell shows the value, its colour how unusual it is."""
    names = list(usual)
    faults = list(readings)
    values = np.array([[readings[f][s] for s in names] for f in faults], float)
    usual_row = np.array([usual[s] for s in names], float)
    with np.errstate(divide="ignore", invalid="ignore"):
        away = np.abs(np.log2((values + 0.05) / (usual_row + 0.05)))
    shown = [[style.number(v) if np.isfinite(v) else "-" for v in row] for row in values]
    fig = style.figure(_("Signal (measured, as in SIGNALS)"), "", height=90 + 46 * len(faults))
    fig.add_heatmap(
        x=names, y=faults, z=np.minimum(np.nan_to_num(away), 4), text=shown, texttemplate="%{text}",
        colorscale=style.SCALE, showscale=False,
    )  # fmt: skip
    fig.update_xaxes(showgrid=False)
    return fig.update_yaxes(autorange="reversed", showgrid=False).update_layout(margin={"l": 150})
