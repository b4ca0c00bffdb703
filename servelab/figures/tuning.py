"""Tuning in pictures: every change with its prediction beside its measurement, and what is worth choosing from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from servelab.figures import style
from servelab.i18n import _
from servelab.theory.batching import pareto
from servelab.tuning import Bounds, Rung, Score, names, verdicts

MS = 1e3
COLOUR = {"start": style.GREY, "kept": style.GREEN, "dropped": style.ORANGE, "predicted": style.PURPLE}
FRONT = {"color": style.GREEN, "symbol": "circle"}
BEATEN = {"color": style.GREY, "symbol": "circle-open"}


def ladder(rungs: Sequence[Rung], aim: float | None = None) -> go.Figure:
    """The share of requests within the SLO after each change: bars measured, diamonds predicted.

    Args:
        aim: the share that is wanted, 0 to 1: a line.
    """
    fig = style.figure("", _("Requests within the SLO (%)"))
    words = verdicts()
    order = [rung.told for rung in rungs]
    for verdict in ("start", "kept", "dropped"):
        mine = [r for r in rungs if r.verdict == verdict and r.measured]
        if mine:
            label = _("{name} ({kind})").format(name=words[verdict], kind=style.suffix("measured"))
            shares = [100 * r.measured.met for r in mine]
            fig.add_bar(x=[r.told for r in mine], y=shares, name=label, marker={"color": COLOUR[verdict]}, width=0.6)
    said = [r for r in rungs if r.predicted]
    marker = {"symbol": "diamond-open", "size": 13, "color": style.PURPLE, "line": {"width": 2}}
    fig.add_scatter(
        x=[r.told for r in said],
        y=[100 * r.predicted.met for r in said],
        mode="markers",
        marker=marker,
        name=style.suffix("simulated"),
    )
    if aim is not None:
        style.rule(fig, y=100 * aim, text=_("aim"), color=style.GREEN)
    fig.update_xaxes(categoryorder="array", categoryarray=order)
    return fig.update_yaxes(range=[0, 106]).update_layout(showlegend=True)


def sweep(knob: str, values: Sequence[int], scores: Sequence[Score], bounds: Bounds) -> go.Figure:
    """Simulated latencies against one knob's values, each as a share of its bound: below 1 the promise is kept.

    Args:
        knob: vLLM's name of it, in tokens.
        values, scores: what was tried, and what the simulator said; equally many.
    """
    fig = style.figure(_("{knob} (tokens)").format(knob=knob), _("95th percentile ÷ its bound"))
    for n, (name, bound) in enumerate((("ttft", bounds.ttft_s), ("tpot", bounds.tpot_s), ("gap", bounds.gap_s))):
        label = _("longest gap") if name == "gap" else name.upper()
        shares = [getattr(score, f"{name}_p95_s") / bound for score in scores]
        fig.add_scatter(x=list(values), y=shares, **style.mark("simulated", label, color=n))
    style.rule(fig, y=1, text=_("SLO"), color=style.GREEN)
    fig.update_xaxes(type="log", tickvals=list(values), ticktext=[str(v) for v in values])
    return fig.update_yaxes(rangemode="tozero").update_layout(showlegend=True)


def front(points: Mapping[str, Score], bounds: Bounds | None = None) -> go.Figure:
    """Configurations by what they give: 95th percentile of TPOT to the right, goodput upwards, and the Pareto front.

    Whatever lies right of another point and not above it has been beaten: it is drawn hollow.

    Args:
        points: {name: measured score}.
        bounds: draws the bound of TPOT.
    """
    fig = style.figure(_("TPOT, 95th percentile (ms per token)"), _("Goodput (requests/s)"))
    told = names()
    labels, scores = [told.get(name, name) for name in points], list(points.values())
    slow, good = [MS * s.tpot_p95_s for s in scores], [s.goodput for s in scores]
    best = pareto(slow, good) if scores else []
    for wanted, label in ((True, _("Pareto front (measured)")), (False, _("beaten (measured)"))):
        mine = sorted((slow[i], good[i], labels[i]) for i in range(len(labels)) if best[i] == wanted)
        fig.add_scatter(
            x=[p[0] for p in mine] or [None],
            y=[p[1] for p in mine] or [None],
            text=[p[2] for p in mine],
            mode="lines+markers+text" if wanted else "markers+text",
            textposition="top center" if wanted else "bottom center",
            line={"color": style.GREEN, "width": 2, "shape": "hv"},
            marker={
                "size": 11,
                **({"color": style.GREEN} if wanted else {"color": style.GREY, "symbol": "circle-open"}),
            },
            name=label,
            hovertemplate="%{text}: %{x:.0f} ms, %{y:.2f}/s<extra></extra>",
            cliponaxis=False,
        )
    if bounds is not None:
        style.rule(fig, x=MS * bounds.tpot_s, text=_("SLO"), color=style.GREEN)
    return fig.update_yaxes(rangemode="tozero").update_layout(showlegend=True)
