"""Dynamic batching drawn: what an execution costs, which batches there were, what a delay buys, where a request was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from servelab.figures import style
from servelab.i18n import _


def cost(rows: Sequence[int], measured_ms: Sequence[float], fixed_ms: float, each_ms: float) -> go.Figure:
    """Time of one execution over its rows, beside `t0 + t1 b`; and of one row in it."""
    fig = style.figure(_("Rows in one execution"), _("Time (ms)"), height=340)
    line = [fixed_ms + each_ms * b for b in rows]
    name = _("{fixed} ms + {each} ms a row").format(fixed=style.number(fixed_ms), each=style.number(each_ms))
    fig.add_scatter(x=list(rows), y=line, **style.mark("modelled", name, color=1))
    fig.add_scatter(x=list(rows), y=list(measured_ms), **style.mark("measured", _("one execution"), color=0))
    share = [ms / b for ms, b in zip(measured_ms, rows, strict=True)]
    fig.add_scatter(x=list(rows), y=share, **style.mark("measured", _("each row's part of it"), color=2))
    return fig.update_yaxes(rangemode="tozero").update_layout(showlegend=True)


def sizes(
    measured: Mapping[str, Mapping[int, int]] | None = None, simulated: Mapping[str, Mapping[int, int]] | None = None
) -> go.Figure:
    """How many rows the executions had: percent of the executions, for each load.

    Args:
        measured, simulated: {name of the load: {rows: executions}}.
    """
    fig = style.figure(_("Rows in one execution"), _("Executions (%)"), height=340, barmode="group")
    for number, (kind, loads) in enumerate((("simulated", simulated or {}), ("measured", measured or {}))):
        for place, (name, counts) in enumerate(loads.items()):
            label = _("{name} ({kind})").format(name=name, kind=style.suffix(kind))
            share = [100 * n / sum(counts.values()) for n in counts.values()]
            faint = style.fade(place, 0.45) if number == 0 else style.colour(place)
            fig.add_bar(x=list(counts), y=share, name=label, marker_color=faint)
    return fig.update_yaxes(rangemode="tozero").update_layout(showlegend=True)


def delays(measured: Sequence[Mapping[str, float]], simulated: Sequence[Mapping[str, float]]) -> go.Figure:
    """Median latency over the largest delay, a colour for each rate.

    Args:
        measured, simulated: rows with `rate` (requests a second), `delay_ms` and `p50_ms`.
    """
    fig = style.figure(_("Largest delay in the queue (ms)"), _("Median latency (ms)"), height=360)
    for number, rate in enumerate(sorted({row["rate"] for row in measured})):
        name = _("{rate} requests/s").format(rate=style.number(rate))
        for kind, rows in (("simulated", simulated), ("measured", measured)):
            mine = [row for row in rows if row["rate"] == rate]
            at = {"x": [row["delay_ms"] for row in mine], "y": [row["p50_ms"] for row in mine]}
            fig.add_scatter(**at, **style.mark(kind, name, color=number))
    return fig.update_yaxes(rangemode="tozero").update_layout(showlegend=True)


def throughputs(measured: Mapping[str, float], modelled: Mapping[str, float]) -> go.Figure:
    """Requests a second of each configuration: measured as bars, modelled as marks before them."""
    fig = style.figure("", _("Requests a second"), height=340)
    told = [style.number(value) for value in measured.values()]
    fig.add_bar(x=list(measured), y=list(measured.values()), name=style.suffix("measured"), text=told)
    look = {"mode": "markers", "marker": {"symbol": "line-ew-open", "size": 34, "color": style.colour(1)}}
    fig.add_scatter(x=list(modelled), y=list(modelled.values()), name=style.suffix("modelled"), **look)
    return fig.update_layout(showlegend=True)


def spans(rows: Sequence[tuple[str, float, float]]) -> go.Figure:
    """One request's spans (measured): where it was, and when.

    Args:
        rows: (name, beginning, length), in milliseconds from the request's beginning.
    """
    fig = style.figure(_("Time since the request came (ms)"), height=140 + 34 * len(rows))
    names = [f"{number + 1} {name}" for number, (name, _begin, _length) in enumerate(rows)]
    told = [_("{ms} ms").format(ms=style.number(length)) for _name, _begin, length in rows]
    bars = {"base": [begin for _name, begin, _length in rows], "x": [length for _name, _begin, length in rows]}
    look = {"text": told, "textposition": "outside", "cliponaxis": False, "name": style.suffix("measured")}
    fig.add_bar(y=names, orientation="h", **bars, **look)
    fig.update_xaxes(range=[0, 1.2 * max(begin + length for _name, begin, length in rows)])
    return fig.update_yaxes(autorange="reversed", showgrid=False).update_layout(showlegend=True)


def search(simulated: Mapping[str, float], measured: Mapping[str, float], slo_ms: float) -> go.Figure:
    """95th percentile of the latency of each configuration, the best above.

    Args:
        simulated, measured: {configuration: ms}; measured ones may be few.
        slo_ms: what it must not exceed.
    """
    order = sorted(simulated, key=simulated.__getitem__)
    fig = style.figure(_("95th percentile of the latency (ms)"), height=140 + 24 * len(order))
    dots = {"mode": "markers", "marker": {"size": 9, "symbol": "circle-open", "color": style.colour(1)}}
    fig.add_scatter(x=[simulated[name] for name in order], y=order, name=style.suffix("simulated"), **dots)
    seen = [name for name in order if name in measured]
    dots = {"mode": "markers", "marker": {"size": 11, "color": style.colour(0)}}
    fig.add_scatter(x=[measured[name] for name in seen], y=seen, name=style.suffix("measured"), **dots)
    style.rule(fig, x=slo_ms, text=_("SLO"))
    return fig.update_xaxes(rangemode="tozero").update_yaxes(autorange="reversed").update_layout(showlegend=True)


def over_delay(
    delays_ms: Sequence[float],
    simulated: Mapping[str, Sequence[float]],
    measured: Mapping[str, Sequence[tuple[float, float]]],
    chosen: float,
) -> go.Figure:
    """Latency over the largest delay; `measured` has (delay, ms) of each curve, `chosen` is marked."""
    fig = style.figure(_("Largest delay in the queue (ms)"), _("Latency (ms)"), height=320)
    for number, (name, values) in enumerate(simulated.items()):
        fig.add_scatter(x=list(delays_ms), y=list(values), **style.mark("simulated", name, color=number))
        _points(fig, measured.get(name, ()), name, number)
    style.rule(fig, x=chosen)
    return fig.update_yaxes(rangemode="tozero").update_layout(showlegend=True)


def over_rate(
    rates: Sequence[float],
    simulated: Sequence[float],
    measured: Sequence[tuple[float, float]],
    chosen: float,
    capacity: float,
    *,
    what: str,
) -> go.Figure:
    """Something over the requests that come a second, with the chosen rate and the capacity marked."""
    fig = style.figure(_("Requests that come a second"), what, height=320)
    fig.add_scatter(x=list(rates), y=list(simulated), **style.mark("simulated", color=0))
    _points(fig, measured, None, 0)
    style.rule(fig, x=chosen)
    style.rule(fig, x=capacity, text=_("capacity"), color=style.ORANGE)
    return fig.update_yaxes(rangemode="tozero").update_layout(showlegend=True)


def _points(fig: go.Figure, points: Sequence[tuple[float, float]], name: str | None, color: int) -> None:
    if points:
        look = style.mark("measured", name, color=color) | {"mode": "markers"}
        look["marker"] = {**look["marker"], "size": 12}
        fig.add_scatter(x=[x for x, _y in points], y=[y for _x, y in points], **look)
