"""The decision tree with the way through it, and the load that decides at its end: requests/s against their length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go

from servelab.figures import style
from servelab.figures.lessons import quantity, wrap
from servelab.i18n import _
from servelab.theory.choice import FORKS, SEED_RPS, Case, Path, leaves

WIDE, TALL, APART = 1.06, 0.66, 1.62
RATES = (0.01, 1000.0)
LENGTHS = (1, 2000)


def questions() -> dict[str, str]:
    """What each fork asks."""
    return {
        "prototype": _("Only a prototype?"),
        "models": _("More than one model?"),
        "memory": _("Is memory too small for the load?"),
        "latency": _("Is even a reader alone too slow?"),
        "load": _("How much load?"),
    }


def answers(by_requests: bool = False) -> dict[str, str]:
    """What is written at a branch; the load's bands in requests/s as the outline has them, or by tokens."""
    low, high = (f"{border:g}" for border in SEED_RPS)
    if by_requests:
        bands = {"low": _("below {low} RPS"), "medium": _("{low} to {high} RPS"), "high": _("above {high} RPS")}
    else:
        bands = {"low": _("one at a time"), "medium": _("one engine"), "high": _("several engines")}
    said = {"yes": _("Yes"), "no": _("No"), **bands}
    return {answer: text.format(low=low, high=high) for answer, text in said.items()}


def tree(path: Path | None = None, by_requests: bool = False) -> go.Figure:
    """The whole tree, its root on top; the way that `path` takes is drawn full, the rest pale.

    Args:
        path: from `theory.choice.walk`.
        by_requests: name the last fork's branches by the outline's thresholds.
    """
    asked, said, found = questions(), answers(by_requests), leaves()
    order = [fork.id for fork in FORKS]
    rows = len(FORKS) + len(FORKS[-1].leads) - 1
    fig = style.figure(height=90 * rows, showlegend=False, margin={"l": 4, "r": 4, "t": 4, "b": 4})
    taken = {(fork, found_) for fork, found_ in path.steps} if path else set()
    fig.add_scatter(x=[0, APART], y=[0, rows - 1], mode="markers", marker={"opacity": 0}, hoverinfo="skip")
    for row, fork in enumerate(FORKS):
        last = fork.id == order[-1]
        _box(fig, 0, row, asked[fork.id], style.BLUE, lit=path is None or any(fork.id == f for f, _a in taken))
        for n, (answer, to) in enumerate(fork.leads.items()):
            lit = path is None or (fork.id, answer) in taken
            if to in order:
                _branch(fig, (0, row + TALL / 2), (0, row + 1 - TALL / 2), said[answer], lit)
                continue
            down = row + n if last else row
            start = (WIDE / 2, row) if down == row else (0, row + TALL / 2)
            _branch(fig, start, (APART - WIDE / 2, down), said[answer], lit, corner=down != row)
            _box(fig, APART, down, found[to].title, style.ORANGE, lit=path is None or path.leaf == to, bold=True)
    fig.update_xaxes(visible=False, range=[-WIDE / 2 - 0.05, APART + WIDE / 2 + 0.05], fixedrange=True)
    return fig.update_yaxes(visible=False, range=[rows - 0.55, -0.45], fixedrange=True)


def _box(fig: go.Figure, x: float, y: float, text: str, color: str, lit: bool, bold: bool = False) -> None:
    fig.add_shape(
        type="rect", x0=x - WIDE / 2, x1=x + WIDE / 2, y0=y - TALL / 2, y1=y + TALL / 2, layer="below",
        line={"color": color if lit else style.fade(style.GREY, 0.5), "width": 2.5 if lit else 1},
        fillcolor=style.fade(color, 0.14 if lit else 0.03),
    )  # fmt: skip
    shown = wrap(text, 34)
    fig.add_annotation(
        x=x, y=y, text=f"<b>{shown}</b>" if bold and lit else shown, showarrow=False,
        font={"size": 12.5, "color": style.INK}, opacity=1.0 if lit else 0.6,
    )  # fmt: skip


def _branch(
    fig: go.Figure, start: tuple[float, float], end: tuple[float, float], text: str, lit: bool, corner: bool = False
) -> None:
    """A line from box to box with the answer beside it; with a `corner` it goes down first, then to the right."""
    line = {"color": style.ORANGE if lit else style.fade(style.GREY, 0.5), "width": 2.5 if lit else 1}
    points = [start, (start[0], end[1]), end] if corner else [start, end]
    for a, b in pairwise(points):
        fig.add_shape(type="line", x0=a[0], y0=a[1], x1=b[0], y1=b[1], line=line, layer="below")
    down = not corner and start[0] == end[0]
    x, y = (start[0], (start[1] + end[1]) / 2) if down else (WIDE / 2 + 0.03, end[1])
    fig.add_annotation(
        x=x, y=y, text=text, showarrow=False, xanchor="left", yanchor="middle" if down else "bottom",
        xshift=6 if down else 0, font={"size": 11.5}, opacity=1.0 if lit else 0.6,
    )  # fmt: skip


def load(case: Case, measured: Mapping[str, tuple[float, float]] | None = None) -> go.Figure:
    """Requests/s against tokens an answer: where one at a time is enough, where one engine is, and where the case is.

    The two bold lines are the case's own server (modelled); upright and thin, the outline's thresholds.

    Args:
        case: drawn as a star; its server, prompt and SLO decide where the lines lie.
        measured: {name: (requests/s, tokens an answer)} that the server really served.
    """
    lengths = np.geomspace(*LENGTHS, 60).round().astype(int)
    lengths = np.unique(lengths)
    cases = [replace(case, need=replace(case.need, output_tokens=int(n))) for n in lengths]
    share = case.utilization
    fig = style.figure(_("Arrivals (requests/s)"), _("Length of an answer (tokens)"), height=420)
    lines = (
        (_("one at a time, {share:.0f} % busy"), [share / one.alone_s for one in cases], style.GREEN),
        (
            _("one engine, {share:.0f} % busy"),
            [share * one.capacity / one.need.output_tokens for one in cases],
            style.BLUE,
        ),
    )
    for name, rates, color in lines:
        seen = [rate if rate > 0 else None for rate in rates]
        told = name.format(share=100 * share)
        fig.add_scatter(x=seen, y=lengths, **style.mark("modelled", told, color=color))
    for name, (rate, length) in (measured or {}).items():
        fig.add_scatter(x=[rate], y=[length], **{**style.mark("measured", name, color=style.BLUE), "mode": "markers"})
    marker = {"symbol": "star", "size": 16, "color": style.PURPLE, "line": {"color": style.INK, "width": 1}}
    need = case.need
    fig.add_scatter(
        x=[need.requests_per_s], y=[need.output_tokens], mode="markers", marker=marker, name=_("your load"),
        cliponaxis=False,
    )  # fmt: skip
    fig.update_xaxes(**_decades(*RATES)).update_yaxes(**_decades(*LENGTHS))
    for border in SEED_RPS:
        style.rule(fig, x=border, text=_("{rate:g} RPS").format(rate=border), color=style.GREY)
    return fig


def _decades(low: float, high: float) -> dict:
    """A logarithmic axis from `low` to `high` with a tick at every power of ten."""
    ends = [float(np.log10(low)), float(np.log10(high))]
    values = [10.0**n for n in range(int(np.ceil(ends[0])), int(np.floor(ends[1])) + 1)]
    return {"type": "log", "range": ends, "tickvals": values, "ticktext": [quantity(v) for v in values]}


def fleet(needs: Mapping[str, Case], rates: Sequence[float]) -> go.Figure:
    """Engines that each of several lengths needs, over requests/s; upright the outline's thresholds.

    Args:
        needs: {name: a case}, whose rate is replaced by each of `rates`.
        rates: requests/s.
    """
    fig = style.figure(_("Arrivals (requests/s)"), _("Engines needed"), height=380)
    for n, (name, case) in enumerate(needs.items()):
        counts = [replace(case, need=replace(case.need, requests_per_s=float(rate))).engines for rate in rates]
        fig.add_scatter(x=list(rates), y=counts, **style.mark("modelled", name, color=n), line_shape="hv")
    fig.update_xaxes(**style.log_ticks(min(rates), max(rates)))
    fig.update_yaxes(type="log")
    for border in SEED_RPS:
        style.rule(fig, x=border, text=_("{rate:g} RPS").format(rate=border), color=style.GREY)
    return fig.update_layout(showlegend=True)
