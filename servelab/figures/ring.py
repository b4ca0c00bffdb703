"""Consistent hashing: the ring and who owns what of it, what each node is given, what moves when a node comes or goes.

Shares are shown in percent. A trace is a sequence of keys in the order of their requests.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray

from servelab.figures import style
from servelab.i18n import _
from servelab.theory import routing as theory
from servelab.theory.routing import BITS, Ring

KEYS_SHOWN = 60
FINE = np.pi / 90
"""Longest piece of an arc that is drawn straight, in radians."""


def circle(ring: Ring, trace: Sequence[Hashable], owners: ArrayLike) -> go.Figure:
    """The ring, clockwise from the top: an arc belongs to the node at its end, a dot is a key at its hash.

    The most asked for keys are drawn, larger ones for more requests, in their owner's colour; a hollow one had
    requests that went to another node because its own was full.

    Args:
        owners: where each request of the trace went, as places in `ring.nodes`.
    """
    fig = style.figure(height=400, showlegend=False)
    ends = 2 * np.pi * ring.points.astype(float) / 2.0**BITS
    starts = np.roll(ends, 1)
    starts[0] -= 2 * np.pi
    longest: dict[int, tuple[float, float]] = {}
    for place, node in enumerate(ring.nodes):
        x, y = [], []
        for at in np.flatnonzero(ring.holders == place):
            span = ends[at] - starts[at]
            longest[place] = max(longest.get(place, (0.0, 0.0)), (span, starts[at] + span / 2))
            angles = np.linspace(starts[at], ends[at], max(2, int(span / FINE)))
            x += [*np.sin(angles), None]
            y += [*np.cos(angles), None]
        line = {"color": style.colour(place), "width": 16, "simplify": False}
        fig.add_scatter(x=x, y=y, mode="lines", line=line, name=str(node), hoverinfo="name")
    middles = np.array([longest[place][1] for place in range(len(ring.nodes))])
    fig.add_scatter(
        x=1.17 * np.sin(middles),
        y=1.17 * np.cos(middles),
        mode="text",
        text=[str(node) for node in ring.nodes],
        hoverinfo="skip",
    )
    _keys(fig, ring, trace, np.asarray(owners))
    told = _("{nodes} nodes,<br>{points} points each.<br>A dot is a key; hollow:<br>in part passed on.")
    fig.add_annotation(x=0, y=0, text=told.format(nodes=len(ring.nodes), points=ring.vnodes))
    bare = {"visible": False, "range": [-1.3, 1.3]}
    fig.update_xaxes(**bare).update_yaxes(scaleanchor="x", **bare)
    return fig.update_layout(margin={"l": 8, "r": 8, "t": 8, "b": 8})


def _keys(fig: go.Figure, ring: Ring, trace: Sequence[Hashable], owners: NDArray) -> None:
    counts: dict[Hashable, int] = {}
    for key in trace:
        counts[key] = counts.get(key, 0) + 1
    shown = sorted(counts, key=lambda key: -counts[key])[:KEYS_SHOWN]
    home = dict(zip(shown, ring.owners(shown).tolist(), strict=True))
    passed = {key for key, went in zip(trace, owners.tolist(), strict=True) if key in home and went != home[key]}
    angles = 2 * np.pi * np.array([theory.hash_key(key) for key in shown], float) / 2.0**BITS
    size = np.sqrt([counts[key] for key in shown])
    color = [style.colour(home[key]) for key in shown]
    fig.add_scatter(
        x=0.82 * np.sin(angles),
        y=0.82 * np.cos(angles),
        mode="markers",
        marker={
            "size": 5 + 17 * size / size.max(),
            "color": color,
            "symbol": ["circle-open" if key in passed else "circle" for key in shown],
            "line": {"width": 2.5, "color": color},
        },
        text=[_("{key}: {n} requests").format(key=key, n=counts[key]) for key in shown],
        hoverinfo="text",
    )


def loads(
    nodes: Sequence[Hashable], bars: Mapping[str, tuple[style.Kind, ArrayLike]], epsilon: float = np.inf
) -> go.Figure:
    """What each node is given of all requests, beside the fair share and, with bounded loads, the most it may hold.

    Args:
        bars: {name: (where it comes from, requests of each node)}.
        epsilon: how much above the mean a node may hold; infinite for no bound.
    """
    fig = style.figure(_("Node"), _("Share of the requests (%)"), height=400, barmode="group")
    names, top, fair = [str(node) for node in nodes], 0.0, 100 / len(nodes)
    looks = {"simulated": style.BLUE, "measured": style.PURPLE}
    for name, (kind, counts) in bars.items():
        share = 100 * np.asarray(counts, float) / np.sum(counts)
        label = _("{name} ({kind})").format(name=name, kind=style.suffix(kind))
        fig.add_bar(x=names, y=share, name=label, marker_color=looks[kind])
        top = max(top, float(share.max()))
    style.rule(fig, y=fair)
    fig.add_annotation(x=1, xref="x domain", xanchor="right", y=fair, yanchor="top", text=_("fair share"))
    if np.isfinite(epsilon):
        style.rule(fig, y=fair * (1 + epsilon), text=_("bound"), color=style.ORANGE)
        top = max(top, fair * (1 + epsilon))
    fig.update_xaxes(type="category", range=[-0.6, 1.15 * len(nodes) - 0.2])
    return fig.update_yaxes(range=[0, 1.2 * top]).update_layout(showlegend=True)


def moves(changes: Mapping[str, Mapping[str, tuple[float, float]]]) -> go.Figure:
    """Share of the keys that get another owner: {change: {way of hashing: (counted, expected)}}, shares from 0 to 1."""
    fig = style.figure("", _("Keys that move (%)"), barmode="group", height=360)
    ways = list(dict.fromkeys(way for row in changes.values() for way in row))
    for n, way in enumerate(ways):
        found, hoped = ([100 * changes[change][way][i] for change in changes] for i in (0, 1))
        label = _("{name} ({kind})").format(name=way, kind=style.suffix("simulated"))
        text = [
            _("{found:.0f} %<br>expected {expected:.0f} %").format(found=f, expected=e)
            for f, e in zip(found, hoped, strict=True)
        ]
        settings = {"marker_color": style.colour(n), "text": text, "textposition": "outside", "textangle": 0}
        fig.add_bar(x=list(changes), y=found, name=label, **settings)
    return fig.update_yaxes(range=[0, 125], tickvals=[0, 20, 40, 60, 80, 100])


def spread(nodes: int, vnodes: int, found: Mapping[int, Sequence[float]]) -> go.Figure:
    """How unevenly a ring shares itself out, over its points a node: random points' law, and rings that were made.

    Args:
        found: {points a node: deviation over mean of the nodes' shares, of one ring or more}; the first is the one
            that the other figures show.
    """
    fig = style.figure(_("Virtual nodes of each node"), _("Deviation of the shares (% of the mean)"), height=360)
    points = np.array(sorted(found))
    grid = np.geomspace(points[0], points[-1], 40)
    law = style.mark("modelled", _("random points"), style.ORANGE)
    fig.add_scatter(x=grid, y=100 * theory.arc_cv(nodes, grid), **law)
    every = [(p, 100 * value) for p in points.tolist() for value in found[p]]
    dots = {"size": 6, "color": style.fade(style.BLUE, 0.6)}
    name = _("{name} ({kind})").format(name=_("rings"), kind=style.suffix("simulated"))
    fig.add_scatter(x=[p for p, _v in every], y=[v for _p, v in every], mode="markers", marker=dots, name=name)
    star = {"size": 15, "symbol": "star", "color": style.BLUE, "line": {"color": style.INK, "width": 1}}
    here = 100 * found[vnodes][0]
    fig.add_scatter(x=[vnodes], y=[here], mode="markers", marker=star, name=_("the ring shown"))
    fig.update_xaxes(type="log", tickvals=points.tolist(), ticktext=[str(p) for p in points])
    return fig.update_yaxes(rangemode="tozero")
