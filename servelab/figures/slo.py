"""Requests against an SLO, goodput as the bound moves, what a table of targets implies, and who is really busy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from servelab.figures import style
from servelab.i18n import _
from servelab.load.metrics import SLO
from servelab.theory.slo import Targets

MS = 1000


def met(requests: pd.DataFrame, slo: SLO) -> np.ndarray:
    """Which rows of a load's `frame()` meet the SLO, shape (n,), as `SLO.met` judges a record."""
    good = (requests.status == "ok").to_numpy()
    for bound, column in ((slo.ttft_s, "ttft_s"), (slo.tpot_s, "tpot_s"), (slo.e2e_s, "e2e_s")):
        if bound is not None:
            good = good & ~(requests[column].to_numpy(float) > bound)
    return good


def plane(requests: pd.DataFrame, slo: SLO) -> go.Figure:
    """Every request as a point, TTFT against TPOT; the shaded corner is what the SLO promises."""
    fig = style.figure(_("TTFT (ms)"), _("TPOT (ms per token)"), height=340)
    good = met(requests, slo)
    for name, which, color, symbol in (
        (_("meets the SLO"), good, style.GREEN, "circle"),
        (_("misses it"), ~good, style.ORANGE, "x"),
    ):
        some = requests[which]
        fig.add_scatter(
            x=some.ttft_s * MS,
            y=some.tpot_s * MS,
            mode="markers",
            name=_("{name} ({kind})").format(name=name, kind=style.suffix("measured")),
            marker={"color": color, "symbol": symbol, "size": 8},
        )
    fig.add_shape(
        type="rect", x0=0, y0=0, x1=slo.ttft_s * MS, y1=slo.tpot_s * MS,
        fillcolor=style.fade(style.GREEN, 0.12), line={"color": style.GREEN, "width": 1.5, "dash": "dash"},
    )  # fmt: skip
    fig.update_xaxes(range=[0, max(np.nanmax(requests.ttft_s), slo.ttft_s) * MS * 1.08])
    return fig.update_yaxes(range=[0, max(np.nanmax(requests.tpot_s), slo.tpot_s) * MS * 1.15])


def goodput(requests: pd.DataFrame, duration_s: float, slo: SLO, bounds_s: np.ndarray) -> go.Figure:
    """Goodput as the TPOT bound moves and the TTFT bound stays, with the present bound and the request rate."""
    fig = style.figure(_("TPOT bound (ms per token)"), _("Goodput (requests/s)"), height=340)
    tpot = requests.tpot_s.to_numpy(float)[met(requests, SLO(slo.ttft_s))]
    curve = (~(tpot > np.asarray(bounds_s)[:, None])).sum(axis=1) / duration_s
    settings = style.mark("measured", _("goodput"), color=0) | {"mode": "lines"}
    fig.add_scatter(x=bounds_s * MS, y=curve, line_shape="hv", **settings)
    now = met(requests, slo).sum() / duration_s
    marker = {"color": style.GREEN, "size": 13, "symbol": "star"}
    fig.add_scatter(x=[slo.tpot_s * MS], y=[now], mode="markers", marker=marker, name=_("this SLO"))
    rate = (requests.status == "ok").sum() / duration_s
    style.rule(fig, y=rate, text=_("all finished requests"), color=style.GREY)
    return fig.update_yaxes(range=[0, rate * 1.2])


def implied(targets: Targets, lengths: np.ndarray, reached_tok_s: float | None = None) -> go.Figure:
    """Output tokens/s that the targets' request rate takes, over the length of an answer.

    Args:
        lengths: tokens of an answer, shape (n,).
        reached_tok_s: what this machine was measured at, drawn as a line.
    """
    fig = style.figure(_("Length of an answer (output tokens)"), _("Output tokens/s"))
    name = _("{rate:g} requests/s").format(rate=targets.requests_per_s)
    fig.add_scatter(x=lengths, y=targets.requests_per_s * lengths, **style.mark("modelled", name, color=1))
    style_of_target = style.mark(
        "modelled", _("the table's {rate:g} tokens/s").format(rate=targets.tokens_per_s), color=0
    )
    fig.add_scatter(x=lengths, y=np.full(len(lengths), targets.tokens_per_s), **style_of_target)
    fig.add_scatter(
        x=[targets.tokens_per_request], y=[targets.tokens_per_s], mode="markers+text",
        text=[_("{n:g} tokens an answer").format(n=targets.tokens_per_request)], textposition="top left",
        marker={"size": 12, "symbol": "star", "color": style.PURPLE}, name=_("the only length that meets both exactly"),
    )  # fmt: skip
    if reached_tok_s:
        line = style.mark("measured", _("this machine"), color=2) | {"mode": "lines"}
        fig.add_scatter(x=lengths, y=np.full(len(lengths), reached_tok_s), **line)
    return fig.update_xaxes(type="log").update_yaxes(type="log")


def utilisation(shares: Mapping[str, Mapping[str, float]]) -> go.Figure:
    """Shares from 0 to 1 side by side: {bar group: {load: share}}, such as {"MFU": {"concurrency 1": 0.06}}."""
    fig = style.figure("", _("Share of the machine (%)"), barmode="group", height=340)
    loads = list(next(iter(shares.values())))
    for n, load in enumerate(loads):
        values = [100 * group[load] for group in shares.values()]
        fig.add_bar(
            x=list(shares), y=values, marker_color=style.colour(n),
            name=_("{name} ({kind})").format(name=load, kind=style.suffix("measured")),
            text=[f"{v:.0f} %" for v in values], textposition="outside", cliponaxis=False,
        )  # fmt: skip
    top = 100 * max(v for group in shares.values() for v in group.values())
    return fig.update_yaxes(range=[0, max(top * 1.15, 100)])
