"""What a router costs, and what its ways to choose do: who gets how much, what caches find, how long people wait."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from servelab.figures import style
from servelab.i18n import _
from servelab.load.metrics import Percentiles

ROW = 34
"""Pixels of a row."""
TAIL = 0.95


@dataclass(frozen=True)
class Run:
    """What one policy did with a load.

    Attributes:
        policy: its name, as `names` has it or free.
        requests: {replica: requests it was given}.
        hit_rate: share of the prompts' tokens that a prefix cache held, 0 to 1.
        ttft_s: time to first token of each request that was answered, in seconds.
    """

    policy: str
    requests: Mapping[str, int]
    hit_rate: float
    ttft_s: Sequence[float]


def names() -> dict[str, str]:
    """The policies in the learner's language."""
    return {
        "round_robin": _("round robin"),
        "least_conn": _("least connections"),
        "weighted": _("weighted"),
        "consistent_hash": _("consistent hashing"),
        "bounded_hash": _("hashing, bounded loads"),
    }


def _rows(runs: Sequence[Run]) -> list[str]:
    told = names()
    return [told.get(run.policy, run.policy) for run in runs]


def _bars(x: str, runs: Sequence[Run], **layout) -> go.Figure:
    """One row a policy, the first on top."""
    fig = style.figure(x, "", height=110 + ROW * len(runs), bargap=0.35, **layout)
    return fig.update_yaxes(categoryorder="array", categoryarray=_rows(runs)[::-1], showgrid=False)


def shares(runs: Sequence[Run], kind: style.Kind = "measured") -> go.Figure:
    """How each policy shared the requests out among the replicas, in percent, stacked."""
    fig = _bars(_("Requests ({kind}, %)").format(kind=style.suffix(kind)), runs, barmode="stack")
    replicas = list(dict.fromkeys(name for run in runs for name in run.requests))
    for n, name in enumerate(replicas):
        x = [100 * run.requests.get(name, 0) / max(1, sum(run.requests.values())) for run in runs]
        text = [f"{value:.0f}" if value >= 4 else "" for value in x]
        fig.add_bar(
            x=x, y=_rows(runs), orientation="h", name=name, marker_color=style.colour(n), text=text, textangle=0,
            textposition="inside", insidetextanchor="middle", textfont={"color": "#ffffff"}, hoverinfo="x+name",
        )  # fmt: skip
    return fig.update_xaxes(range=[0, 100]).update_layout(showlegend=True, legend_traceorder="normal")


def hits(runs: Sequence[Run], kind: style.Kind = "measured") -> go.Figure:
    """The share of the prompts' tokens that the prefix caches of the replicas held, in percent."""
    fig = _bars(_("Prompt tokens found in a cache ({kind}, %)").format(kind=style.suffix(kind)), runs)
    x = [100 * run.hit_rate for run in runs]
    fig.add_bar(
        x=x, y=_rows(runs), orientation="h", marker_color=style.GREEN, text=[f"{value:.0f}" for value in x],
        textposition="outside", cliponaxis=False, hoverinfo="x+y", showlegend=False,
    )  # fmt: skip
    return fig.update_xaxes(range=[0, 108])


def waits(runs: Sequence[Run], kind: style.Kind = "measured") -> go.Figure:
    """Time to first token of every request (pale), with median and 95th percentile."""
    fig = _bars(_("TTFT ({kind}, s)").format(kind=style.suffix(kind)), runs)
    rows = _rows(runs)
    dots = [(t, row) for run, row in zip(runs, rows, strict=True) for t in run.ttft_s]
    fig.add_scatter(
        x=[t for t, _row in dots], y=[row for _t, row in dots], mode="markers", name=_("each request"), hoverinfo="x",
        marker={"size": 7, "color": style.fade(style.BLUE, 0.35)},
    )  # fmt: skip
    quantiles = [np.quantile(np.asarray(run.ttft_s, float), [0.5, TAIL]) for run in runs]
    looks = ((0, _("median"), "line-ns", style.BLUE), (1, _("95th percentile"), "line-ns", style.ORANGE))
    for which, name, symbol, color in looks:
        marker = {"symbol": symbol, "size": 22, "color": color, "line": {"width": 4, "color": color}}
        x = [found[which] for found in quantiles]
        fig.add_scatter(x=x, y=rows, mode="markers", name=name, marker=marker, hoverinfo="x+name")
    return fig.update_xaxes(rangemode="tozero").update_layout(showlegend=True)


def policy_names() -> dict[str, str]:
    """The rules of `servelab.simulate.choices` in the learner's language."""
    return {
        "random": _("random"),
        "round robin": _("round robin"),
        "two choices": _("the better of two"),
        "shortest queue": _("shortest queue"),
        "least work": _("least work"),
        "least connections": _("least connections"),
        "by speed": _("by speed"),
        "best": _("best"),
    }


LEAST = 1e-3
"""Share down to which tails are drawn."""


def tails(
    times_s: Mapping[str, tuple[style.Kind, ArrayLike]],
    unit: Literal["s", "services"] = "s",
    laws: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
) -> go.Figure:
    """Share of requests that take longer than so long, one curve a policy, on a logarithmic axis.

    Args:
        times_s: {policy: (where it comes from, times)}; several of one policy: `policy|anything`.
        unit: of the times: seconds from request to last token, or mean service times.
        laws: {policy: (times, shares from 0 to 1)}, modelled.
    """
    x = _("E2E (s)") if unit == "s" else _("Response (service times)")
    fig = style.figure(x, _("Requests that take longer (%)"), height=420)
    told, colors = policy_names(), {}
    fewest = 1.0
    for key, (kind, times) in times_s.items():
        policy = key.partition("|")[0]
        color = colors.setdefault(policy, style.colour(len(colors)))
        ordered = np.sort(np.ravel(np.asarray(times, float)))
        least = max(LEAST, 1 / ordered.size)
        shares = np.geomspace(1, least, min(80, ordered.size))
        look = style.mark(kind, told.get(policy, policy), color) | {"mode": "lines"}
        steps = {"line_shape": "hv"} if kind == "measured" else {}
        fig.add_scatter(x=np.quantile(ordered, 1 - shares), y=100 * shares, **look, **steps)
        fewest = min(fewest, least)
    for policy, (seconds, shares) in (laws or {}).items():
        look = style.mark("modelled", told.get(policy, policy), colors.get(policy))
        fig.add_scatter(x=seconds, y=100 * np.asarray(shares, float), **look)
    shown = np.log10([80 * fewest, 120])
    fig.update_xaxes(rangemode="tozero")
    return fig.update_yaxes(range=list(shown), **style.log_ticks(100 * fewest, 100)).update_layout(showlegend=True)


def lengths(found: Mapping[str, ArrayLike], laws: Mapping[str, ArrayLike]) -> go.Figure:
    """Share of servers with at least so many requests: simulated, and the laws. Shares below a millionth are left out.

    Args:
        found, laws: {policy: shares from 0 to 1, of at least 0, 1, 2 ... requests}.
    """
    fig = style.figure(_("Requests at a server, at least"), _("Servers (%)"), height=400)
    told = policy_names()
    for n, policy in enumerate(dict.fromkeys([*found, *laws])):
        for kind, shares in (("simulated", found.get(policy)), ("modelled", laws.get(policy))):
            if shares is None:
                continue
            shares = np.asarray(shares, float)
            y = np.where(shares > 1e-6, 100 * shares, np.nan)
            look = style.mark(kind, told.get(policy, policy), n)
            if kind == "simulated":
                marker = {"size": 9, "color": style.colour(n), "symbol": "circle-open", "line": {"width": 2}}
                look |= {"mode": "markers", "marker": marker}
            fig.add_scatter(x=np.arange(shares.size), y=y, **look)
    return fig.update_yaxes(range=[-2.3, 2.1], **style.log_ticks(0.01, 100)).update_layout(showlegend=True)


def response_by_share(
    share: ArrayLike, response_s: ArrayLike, marks: Mapping[str, tuple[float, float]], name: str
) -> go.Figure:
    """Mean response over the share that one server is given, with shares that stand for a rule as stars.

    Args:
        share: 0 to 1. response_s: seconds; infinite where a server gets more than it can do.
        marks: {rule: (share, seconds)}.
        name: of the server whose share it is.
    """
    fig = style.figure(_("Share of {name} (%)").format(name=name), _("Mean response (s)"), height=360)
    y = np.where(np.isfinite(response_s), response_s, np.nan)
    fig.add_scatter(x=100 * np.asarray(share, float), y=y, **style.mark("modelled", _("two M/M/1 queues"), 0))
    for n, (rule, (x, seconds)) in enumerate(marks.items()):
        marker = {"size": 15, "symbol": "star", "color": style.colour(n + 1), "line": {"color": style.INK, "width": 1}}
        fig.add_scatter(x=[100 * x], y=[seconds], mode="markers", marker=marker, name=policy_names().get(rule, rule))
    top = 3 * float(np.nanmin(y))
    return fig.update_yaxes(range=[0, top]).update_layout(showlegend=True)


def overhead(added_ms: Mapping[str, Mapping[str, Percentiles]]) -> go.Figure:
    """Milliseconds that a gateway adds to a call: the mean of paired differences with its 95 % interval.

    Args:
        added_ms: {what was called: {gateway: the differences, with gateway minus without, in ms}}.
    """
    rows = [(f"{what}, {via}", found) for what, group in added_ms.items() for via, found in group.items()]
    fig = style.figure(_("Added by the gateway (measured, ms)"), "", height=120 + ROW * len(rows), showlegend=False)
    low, high = zip(*(found.ci["mean"] for _name, found in rows), strict=True)
    means = [found.mean for _name, found in rows]
    clear = [lo > 0 or hi < 0 for lo, hi in zip(low, high, strict=True)]
    fig.add_scatter(
        x=means,
        y=[name for name, _found in rows],
        error_x={
            "type": "data", "symmetric": False, "thickness": 2, "width": 5, "color": style.INK,
            "array": [hi - m for hi, m in zip(high, means, strict=True)],
            "arrayminus": [m - lo for lo, m in zip(low, means, strict=True)],
        },
        mode="markers",
        marker={"size": 11, "color": [style.ORANGE if one else style.GREY for one in clear],
                "symbol": ["circle" if one else "circle-open" for one in clear]},
        text=[f"{m:.2f} [{lo:.2f}, {hi:.2f}]" for m, lo, hi in zip(means, low, high, strict=True)],
        hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip
    style.rule(fig, x=0)
    return fig.update_yaxes(categoryorder="array", categoryarray=[name for name, _f in rows][::-1], showgrid=False)
