"""Figures of a measured load: every request's tokens in time, latency distributions, throughput against latency."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
import plotly.graph_objects as go

from servelab.figures import style
from servelab.i18n import _
from servelab.load.metrics import SLO, Summary, axis, vocabulary
from servelab.load.report import Result

Metric = Literal["ttft_s", "ttft_sent_s", "tpot_s", "itl_s", "e2e_s", "e2e_sent_s", "client_queue_s"]


def _segments(spans: list[tuple[int, float, float]]) -> tuple[list[float | None], list[int | None]]:
    """(row, start, end) as one broken line."""
    xs: list[float | None] = []
    ys: list[int | None] = []
    for row, start, end in spans:
        if not (math.isnan(start) or math.isnan(end)):
            xs += [start, end, None]
            ys += [row, row, None]
    return xs, ys


def timeline(result: Result, limit: int = 60) -> go.Figure:
    """Each of the first `limit` requests as a row: its wait in the client, its wait for the first token, each token.

    Wide gaps between ticks are stalls; ticks on top of each other came in one read.
    """
    records = sorted(result.records, key=lambda r: (r.intended_s, r.id))[:limit]
    rows = list(enumerate(records))
    failed = [(i, r) for i, r in rows if not r.ok]
    fig = style.figure(_("Time since the load started (s)"), _("Request, in order of its intended time"))

    def line(spans: list[tuple[int, float, float]], name: str, color: str, width: float, dash: str = "solid") -> None:
        xs, ys = _segments(spans)
        fig.add_scatter(x=xs, y=ys, mode="lines", name=name, line={"color": color, "width": width, "dash": dash})

    if any(r.client_queue_s > 0.001 for r in records):
        line([(i, r.intended_s, r.sent_s) for i, r in rows], _("waits in the client"), style.GREY, 2, "dot")
    line([(i, r.sent_s, r.first_token_s) for i, r in rows], _("waits for the first token"), style.ORANGE, 3)
    line([(i, r.first_token_s, r.last_token_s) for i, r in rows], _("answers"), style.fade(style.BLUE, 0.35), 3)
    fig.add_scatter(
        x=[t for _i, r in rows for t in r.token_times_s],
        y=[i for i, r in rows for _t in r.token_times_s],
        mode="markers",
        name=_("token (measured)"),
        marker={"symbol": "line-ns-open", "size": 7, "color": style.BLUE},
    )
    if failed:
        fig.add_scatter(
            x=[r.sent_s if math.isnan(r.finished_s) else r.finished_s for _i, r in failed],
            y=[i for i, _r in failed],
            text=[f"{r.status}: {r.error}" for _i, r in failed],
            mode="markers",
            name=_("failed"),
            marker={"symbol": "x", "size": 9, "color": style.PURPLE},
        )
    fig.update_yaxes(range=[len(records), -1])
    return fig.update_layout(height=max(320, 120 + 9 * len(records)))


def _values(result: Result, metric: Metric) -> np.ndarray:
    if metric == "itl_s":
        return np.sort(result.itl()["itl_s"].to_numpy(dtype=float))
    frame = result.frame()
    return np.sort(frame.loc[frame["status"] == "ok", metric].dropna().to_numpy())


def distribution(
    results: Result | Mapping[str, Result], metric: Metric = "ttft_s", slo: SLO | None = None, log: bool = False
) -> go.Figure:
    """Share of requests (of gaps, for ITL) at or below each latency, one curve a load; the SLO's bound is a line."""
    named = {"": results} if isinstance(results, Result) else dict(results)
    fig = style.figure(axis(metric), _("Share at or below"))
    for place, (name, result) in enumerate(named.items()):
        values = _values(result, metric)
        share = np.arange(1, len(values) + 1) / max(1, len(values))
        look = style.mark("measured", name or vocabulary()[metric].name, color=place)
        look["line"]["shape"] = "hv"
        fig.add_scatter(x=values, y=share, **look | {"mode": "lines"})
    fig.update_layout(showlegend=True)
    fig.update_yaxes(range=[0, 1.02], tickformat=".0%")
    fig.update_xaxes(**{"type": "log"} if log else {"rangemode": "tozero"})
    bound = getattr(slo, metric, None) if slo else None
    if bound is not None:
        style.rule(fig, x=bound, text=_("SLO: {bound:g} s").format(bound=bound))
    return fig


def histogram(result: Result, metric: Metric = "ttft_s", slo: SLO | None = None, bins: int = 40) -> go.Figure:
    """How often each latency occurred, the SLO's bound as a line."""
    fig = style.figure(axis(metric), _("Gaps") if metric == "itl_s" else _("Requests"))
    fig.add_histogram(
        x=_values(result, metric), nbinsx=bins, name=style.suffix("measured"), marker_color=style.BLUE, showlegend=False
    )
    bound = getattr(slo, metric, None) if slo else None
    if bound is not None:
        style.rule(fig, x=bound, text=_("SLO: {bound:g} s").format(bound=bound))
    return fig


def curve(
    summaries: Mapping[str | int, Summary],
    latency: Metric = "e2e_s",
    statistic: Literal["mean", "p50", "p90", "p95", "p99"] = "p50",
    name: str | None = None,
    fig: go.Figure | None = None,
    color: int = 0,
) -> go.Figure:
    """Throughput against latency, one point a load (labelled by its key: a concurrency, a rate), joined in order.

    Bars are 95 % confidence intervals where the sample bounds them. Give `fig` to add a curve to an earlier figure.
    """
    fig = fig or style.figure(f"{axis(latency)}, {statistic}", axis("throughput_tok_s"))
    points = [(s.throughput_tok_s, getattr(s, latency.removesuffix("_s"))) for s in summaries.values()]
    x = np.array([getattr(p, statistic) for _tok, p in points])
    low, high = np.array([p.ci[statistic] for _tok, p in points]).reshape(-1, 2).T
    fig.add_scatter(
        x=x,
        y=[tok for tok, _p in points],
        text=[str(key) for key in summaries],
        textposition="top center",
        error_x={
            "type": "data",
            "symmetric": False,
            "array": np.where(np.isfinite(high), high - x, 0),
            "arrayminus": np.where(np.isfinite(low), x - low, 0),
            "thickness": 1,
        },
        **style.mark("measured", name, color=color) | {"mode": "lines+markers+text"},
    )
    return fig.update_yaxes(rangemode="tozero")


def over_time(result: Result, every_s: float = 1.0) -> go.Figure:
    """Tokens per second and requests in flight (of them, without a first token) while the load ran."""
    data = result.timeline(every_s)
    fig = style.figure(_("Time since the load started (s)"), axis("throughput_tok_s"))
    middle = data["t_s"] + every_s / 2
    fig.add_bar(
        x=middle, y=data["tokens_per_s"], name=_("tokens/s (measured)"), marker_color=style.fade(style.BLUE, 0.5)
    )
    for key, label, color in (("in_flight", _("in flight"), 1), ("waiting", _("no token yet"), 3)):
        fig.add_scatter(x=middle, y=data[key], yaxis="y2", **style.mark("measured", label, color=color))
    fig.update_layout(
        yaxis2={
            "title": {"text": _("Requests")},
            "overlaying": "y",
            "side": "right",
            "rangemode": "tozero",
            "showgrid": False,
            "tickmode": "auto",
        }
    )
    return fig
