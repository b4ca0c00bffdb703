"""Throughput against latency: the sweep over concurrency, its knee, the SLO, and batches as slots over time.

A sweep is a DataFrame with one row a concurrency: `concurrency` (requests in flight), `tok_s` (output tokens/s of
the engine), `tpot_s` and `ttft_s` (seconds). Figures show latencies in milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from servelab.figures import style
from servelab.i18n import _
from servelab.theory import batching as theory
from servelab.theory.batching import Span, StepModel, pareto

MS = 1000
POWERS = [1, 2, 4, 8, 16, 32, 64, 128]


def throughput(
    sweep: pd.DataFrame,
    model: StepModel | None = None,
    *,
    prompt_tokens: float = 0,
    output_tokens: float = 64,
    simulated: pd.DataFrame | None = None,
) -> go.Figure:
    """Output tokens/s over concurrency, with the step model's curve and its knee where `model` is given.

    Args:
        simulated: the same loads played by a simulator: columns `concurrency`, `tok_s`.
    """
    fig = _over_concurrency(_("Throughput (output tokens/s)"), sweep)
    fig.add_scatter(x=sweep.concurrency, y=sweep.tok_s, **style.mark("measured", _("throughput"), color=0))
    if model:
        batch = _smooth(sweep)
        curve = model.throughput(batch, prompt_tokens, output_tokens)
        fig.add_scatter(x=batch, y=curve, **style.mark("modelled", _("step model"), color=1))
        if batch[0] < model.knee < batch[-1]:
            style.rule(fig, x=model.knee, text=_("knee of the model"), color=style.ORANGE)
    if simulated is not None:
        look = style.mark("simulated", _("the engine's rules"), color=2) | {"mode": "lines+markers"}
        look["marker"] = {"symbol": "circle-open", "size": 9, "color": style.GREEN, "line": {"width": 2}}
        fig.add_scatter(x=simulated.concurrency, y=simulated.tok_s, **look)
    return fig.update_yaxes(rangemode="tozero")


def latency(sweep: pd.DataFrame, model: StepModel | None = None, *, slo_s: float | None = None) -> go.Figure:
    """Milliseconds per output token over concurrency, with the step model's line and the SLO where given."""
    fig = _over_concurrency(_("TPOT (ms per token)"), sweep)
    fig.add_scatter(x=sweep.concurrency, y=sweep.tpot_s * MS, **style.mark("measured", _("TPOT"), color=0))
    if model:
        batch = _smooth(sweep)
        fig.add_scatter(x=batch, y=model.tpot_s(batch) * MS, **style.mark("modelled", _("step model"), color=1))
    if slo_s:
        style.rule(fig, y=slo_s * MS, text=_("SLO"), color=style.PURPLE)
    return fig.update_yaxes(rangemode="tozero")


def residual(sweep: pd.DataFrame, model: StepModel, *, prompt_tokens: float, output_tokens: float) -> go.Figure:
    """How far each measurement lies from the model, in percent of the model: throughput and TPOT."""
    rate = model.throughput(sweep.concurrency, prompt_tokens, output_tokens)
    step = model.tpot_s(sweep.concurrency)
    fig = style.figure(_("Concurrency (requests)"), _("Above the model (%)"), barmode="group", height=300)
    labels = [str(c) for c in sweep.concurrency]
    for name, ratio, color in ((_("throughput"), sweep.tok_s / rate, 0), (_("TPOT"), sweep.tpot_s / step, 2)):
        fig.add_bar(x=labels, y=(np.asarray(ratio) - 1) * 100, name=name, marker_color=style.colour(color))
    return fig.update_xaxes(type="category")


def tradeoff(
    sweep: pd.DataFrame, *, slo_s: float | None = None, chosen: int | None = None, label: str | None = None
) -> go.Figure:
    """Throughput against TPOT, one point a concurrency (written beside it); up and to the left is better.

    Args:
        slo_s: points to its right miss the SLO.
        chosen: row of the operating point, drawn as a star.
        label: the curve's name; by default "concurrency".
    """
    fig = style.figure(_("TPOT (ms per token)"), _("Throughput (output tokens/s)"))
    settings = style.mark("measured", label or _("concurrency"), color=0) | {"mode": "lines+markers+text"}
    fig.add_scatter(
        x=sweep.tpot_s * MS,
        y=sweep.tok_s,
        text=[str(c) for c in sweep.concurrency],
        textposition="bottom right",
        **settings,
    )
    if slo_s:
        _allow(fig, slo_s * MS)
    if chosen is not None:
        _star(fig, sweep.tpot_s.iloc[chosen] * MS, sweep.tok_s.iloc[chosen])
    return fig.update_yaxes(rangemode="tozero").update_xaxes(rangemode="tozero").update_layout(showlegend=True)


def front(sweeps: Mapping[str, pd.DataFrame]) -> go.Figure:
    """The Pareto front of each machine or configuration: throughput against TPOT, both on a logarithmic axis."""
    fig = style.figure(_("TPOT (ms per token)"), _("Throughput (output tokens/s)"))
    for n, (name, sweep) in enumerate(sweeps.items()):
        best = sweep[pareto(sweep.tpot_s, sweep.tok_s)].sort_values("tpot_s")
        fig.add_scatter(x=best.tpot_s * MS, y=best.tok_s, **style.mark("measured", name, color=n))
    return fig.update_xaxes(type="log").update_yaxes(type="log").update_layout(showlegend=True)


def slots(schedules: Mapping[str, Sequence[Span]], places: int) -> go.Figure:
    """Who holds which place of the batch at which step, one panel a schedule; white is a place that waits.

    Args:
        schedules: {panel title: spans}, simulated.
        places: slots of the batch.
    """
    fig = make_subplots(
        rows=len(schedules),
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.16,
        subplot_titles=[_("{name} (simulated)").format(name=name) for name in schedules],
    )
    fig.update_layout(template=style.template(), barmode="overlay", showlegend=False, height=180 * len(schedules) + 80)
    for row, spans in enumerate(schedules.values(), start=1):
        fig.add_bar(
            y=[s.slot + 1 for s in spans],
            x=[s.end - s.start for s in spans],
            base=[s.start for s in spans],
            orientation="h",
            width=0.8,
            marker={"color": [style.colour(s.request) for s in spans], "line": {"color": style.INK, "width": 1}},
            text=[str(s.request + 1) for s in spans],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            textfont={"color": "#ffffff"},
            hovertemplate=_("request %{text}: %{x} steps from step %{base}") + "<extra></extra>",
            row=row,
            col=1,
        )
        fig.update_yaxes(
            title_text=_("Slot"), range=[places + 0.6, 0.4], tickvals=list(range(1, places + 1)), row=row, col=1
        )
    return fig.update_xaxes(
        title_text=_("Step of the engine (one token for each slot in use)"), row=len(schedules), col=1
    )


def policy_names() -> dict[str, str]:
    """The ways to make a batch in the learner's language."""
    return {"static": _("static"), "dynamic": _("dynamic"), "continuous": _("continuous")}


POLICY_COLORS = {"static": style.ORANGE, "dynamic": style.GREEN, "continuous": style.BLUE}


def efficiency(
    knee: float, stretch: Callable[[np.ndarray], np.ndarray], reached: Mapping[str, Mapping[int, float]], most: int = 64
) -> go.Figure:
    """Share of the engine's limit over the places of a full batch: the derived curves, and what was measured.

    Args:
        knee: of the step model, in sequences.
        stretch: the longest of a batch over the mean, for an array of batches.
        reached: {`static` or `continuous`: {places: share of the limit, measured}}.
    """
    fig = style.figure(_("Places in the batch"), _("Efficiency (% of the engine's limit)"))
    places = np.arange(1, most + 1)
    for policy, wide in (("continuous", np.ones(most)), ("static", stretch(places))):
        name, color = policy_names()[policy], POLICY_COLORS[policy]
        curve = 100 * theory.efficiency(places, knee, wide)
        fig.add_scatter(x=places, y=curve, **style.mark("modelled", name, color))
        if policy in reached:
            look = style.mark("measured", name, color) | {"mode": "markers"}
            look["marker"] = {"size": 12, "color": color}
            fig.add_scatter(x=list(reached[policy]), y=[100 * v for v in reached[policy].values()], **look)
    ticks = [p for p in POWERS if p <= most]
    return fig.update_xaxes(type="log", tickvals=ticks).update_yaxes(rangemode="tozero").update_layout(showlegend=True)


def by_load(
    curves: pd.DataFrame, laws: Mapping[str, tuple[Sequence[float], Sequence[float]]], y: str = "latency_s"
) -> go.Figure:
    """Latency of every policy over the load: simulated points, and the laws that were derived for them.

    Args:
        curves: as `servelab.simulate.batches.by_load` makes it; loads that a policy cannot carry are NaN.
        laws: {policy: (loads, seconds)}, modelled.
        y: `latency_s` (s) or `tpot_s` (ms).
    """
    title, scale = {"latency_s": (_("Mean latency (s)"), 1), "tpot_s": (_("TPOT (ms per token)"), MS)}[y]
    fig = style.figure(_("Load (% of the engine's limit)"), title)
    for policy, rows in curves.groupby("policy", sort=False):
        color = POLICY_COLORS[policy]
        name = _("{name} ({kind})").format(name=policy_names()[policy], kind=style.suffix("simulated"))
        dots = {"size": 8, "color": color, "symbol": "circle-open", "line": {"width": 2}}
        line = {"color": color, "width": 1.5, "dash": "dot"}
        fig.add_scatter(x=100 * rows.load, y=scale * rows[y], mode="lines+markers", marker=dots, line=line, name=name)
    for policy, (loads, seconds) in laws.items():
        look = style.mark("modelled", policy_names()[policy], POLICY_COLORS[policy])
        fig.add_scatter(x=100 * np.asarray(loads), y=scale * np.asarray(seconds), **look)
    top = scale * float(np.nanmax(curves[y]))
    low = scale * float(np.nanmin(curves[y])) / 1.5
    span = [np.log10(low), np.log10(1.2 * top)]
    fig.update_yaxes(range=span, **style.log_ticks(low, 1.2 * top))
    return fig.update_xaxes(range=[0, 100]).update_layout(showlegend=True)


def operating(
    sweep: pd.DataFrame,
    model: StepModel,
    *,
    batch: int,
    prompt_tokens: int,
    output_tokens: int,
    slo_s: float,
    same_lengths: bool = True,
    fits: float | None = None,
) -> list[go.Figure]:
    """Three linked views of one choice: throughput, the time of a request, and both against each other.

    Args:
        sweep: measurements; drawn pale where `same_lengths` is false, since they were taken at other lengths.
        batch: the concurrency chosen.
        fits: concurrency from which the KV cache is full at these lengths.
    """
    grid = np.arange(1, int(sweep.concurrency.max()) + 1)
    rate = model.throughput(grid, prompt_tokens, output_tokens)
    step, first = model.tpot_s(grid), model.ttft_s(grid, prompt_tokens)
    here = batch - 1
    pale = {"opacity": 1.0 if same_lengths else 0.3}

    one = style.figure(_("Concurrency (requests)"), _("Throughput (output tokens/s)"), height=320)
    one.add_scatter(x=sweep.concurrency, y=sweep.tok_s, **style.mark("measured", _("throughput"), color=0), **pale)
    one.add_scatter(x=grid, y=rate, **style.mark("modelled", _("step model"), color=1))
    _star(one, batch, rate[here])
    if fits and fits < grid[-1]:
        style.rule(one, x=fits, text=_("KV cache full"), color=style.GREY)
    top = max(float(rate.max()), float(sweep.tok_s.max())) * 1.1
    one.update_xaxes(range=[0, grid[-1] * 1.05]).update_yaxes(range=[0, top])

    two = style.figure(_("Concurrency (requests)"), _("Time of one request (s)"), height=320)
    decode = (output_tokens - 1) * step
    for name, values, color in ((_("to the first token"), first, 0), (_("the other tokens"), decode, 2)):
        two.add_scatter(
            x=grid,
            y=values,
            stackgroup="time",
            fillcolor=style.fade(color, 0.35),
            **style.mark("modelled", name, color=color),
        )
    _star(two, batch, first[here] + decode[here])
    two.update_xaxes(range=[0, grid[-1] * 1.05]).update_yaxes(rangemode="tozero")

    three = style.figure(_("TPOT (ms per token)"), _("Throughput (output tokens/s)"), height=320)
    three.add_scatter(x=sweep.tpot_s * MS, y=sweep.tok_s, **style.mark("measured", _("throughput"), color=0), **pale)
    three.add_scatter(x=step * MS, y=rate, **style.mark("modelled", _("step model"), color=1))
    _allow(three, slo_s * MS)
    _star(three, step[here] * MS, rate[here])
    widest = max(float(step.max()), float(sweep.tpot_s.max()), slo_s) * MS * 1.1
    three.update_xaxes(range=[0, widest]).update_yaxes(range=[0, top])
    return [one, two, three]


def _over_concurrency(y: str, sweep: pd.DataFrame) -> go.Figure:
    fig = style.figure(_("Concurrency (requests)"), y)
    ticks = [p for p in POWERS if p <= sweep.concurrency.max()]
    return fig.update_xaxes(tickvals=ticks)


def _smooth(sweep: pd.DataFrame) -> np.ndarray:
    return np.linspace(sweep.concurrency.min(), sweep.concurrency.max(), 120)


def _allow(fig: go.Figure, limit: float) -> None:
    """Shade what meets the SLO: everything left of `limit`."""
    fig.add_shape(
        type="rect", x0=0, x1=limit, y0=0, y1=1, yref="y domain", fillcolor=style.fade(style.GREEN, 0.1), line_width=0
    )
    style.rule(fig, x=limit, text=_("SLO"), color=style.GREEN)


def _star(fig: go.Figure, x: float, y: float) -> None:
    marker = {"symbol": "star", "size": 16, "color": style.PURPLE, "line": {"color": style.INK, "width": 1}}
    fig.add_scatter(x=[x], y=[y], mode="markers", marker=marker, name=_("operating point"))
