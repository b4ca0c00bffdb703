"""A deployment as pictures: requests over a restart, by the replica that had each, and what a stop breaks off."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from servelab.figures import style
from servelab.i18n import _
from servelab.theory.draining import cut, remaining

HEIGHT = 420
BINS = 16
NEAR_S = 0.5
Event = tuple[float, str, str]
OUT = {"drain", "kill"}


def spans(events: Sequence[Event], end_s: float) -> list[tuple[str, float, float]]:
    """(replica, from, to) of every time a replica got no requests: from `drain` or `kill` to `admit`, seconds."""
    since: dict[str, float] = {}
    found = []
    for at, what, who in events:
        if what in OUT:
            since.setdefault(who, at)
        elif what == "admit" and who in since:
            found.append((who, since.pop(who), at))
    return found + [(who, at, end_s) for who, at in since.items()]


def through(rows: pd.DataFrame, events: Sequence[Event], broken: Sequence[float] = ()) -> go.Figure:
    """Every request as a line from its arrival to its end, by the replica that had it; grey where one was out.

    Args:
        rows: the door's log (`Router.requests`): `time` of the end, `seconds`, `replica`, `status`.
        events: of the deployment, (Unix seconds, action, replica).
        broken: when answers broke off, Unix seconds: a stream that is cut has a good status in the log.
    """
    begin = float((rows.time - rows.seconds).min())
    fig = style.figure(_("Time (s), measured"), _("Request, in order of arrival"), height=HEIGHT, showlegend=True)
    for who, start, end in spans(events, float(rows.time.max())):
        label = _("{name} is out").format(name=who)
        fig.add_vrect(
            start - begin, end - begin, fillcolor=style.FAINT, line_width=0, annotation_text=label,
            annotation_position="top left",
        )  # fmt: skip
    ordered = rows.assign(start=rows.time - rows.seconds - begin).sort_values("start").reset_index(drop=True)
    names = sorted(set(ordered.replica))
    lost = (ordered.status >= 500).to_numpy(copy=True)
    for at in broken:
        late = (ordered.time - at).abs().where(~lost)
        if late.min() < NEAR_S:
            lost[int(late.idxmin())] = True
    groups = [(_("at {name}").format(name=name or "-"), ordered[(ordered.replica == name) & ~lost]) for name in names]
    groups += [(_("failed"), ordered[lost])]
    for n, (label, part) in enumerate(groups):
        if part.empty:
            continue
        x = [v for row in part.itertuples() for v in (row.start, row.start + row.seconds, None)]
        y = [v for row in part.itertuples() for v in (row.Index, row.Index, None)]
        colour = style.ORANGE if label == _("failed") else (style.BLUE, style.GREEN, style.PURPLE)[n % 3]
        fig.add_scatter(x=x, y=y, mode="lines", name=label, line={"color": colour, "width": 3}, hoverinfo="skip")
    return fig


def stops(
    durations_s: Sequence[float], rate: float, drain_s: float, measured: Sequence[tuple[float, float]] = ()
) -> go.Figure:
    """How many answers a stop breaks off, over the time that it waits: modelled, and what was counted.

    Args:
        durations_s: measured durations of answers.
        rate: requests/s that come to the replica.
        drain_s: the wait to mark.
        measured: (wait, answers broken off) of real stops.
    """
    waits = np.linspace(0, 1.05 * max(*durations_s, drain_s), 60)
    fig = style.figure(_("Time a stop waits (s)"), _("Answers broken off"), height=HEIGHT, showlegend=True)
    fig.add_scatter(x=waits, y=[cut(rate, durations_s, w) for w in waits], name=_("modelled"), mode="lines")
    fig.add_scatter(
        x=[drain_s], y=[cut(rate, durations_s, drain_s)], mode="markers", marker={"size": 12, "color": style.ORANGE},
        name=_("this wait"),
    )  # fmt: skip
    if measured:
        fig.add_scatter(
            x=[w for w, _n in measured], y=[n for _w, n in measured], mode="markers", name=_("measured"),
            marker={"symbol": "x", "size": 10, "color": style.GREEN},
        )  # fmt: skip
    return fig


def needs(durations_s: Sequence[float], drain_s: float) -> go.Figure:
    """What the answers that are open at a random moment still need, and how much of it the wait covers."""
    left = remaining(durations_s)
    fig = style.figure(_("Time an open answer still needs (s)"), _("Share of open answers"), height=HEIGHT)
    fig.add_histogram(x=left, nbinsx=BINS, histnorm="probability", marker_color=style.fade(style.BLUE, 0.6))
    style.rule(fig, x=drain_s, text=_("the stop waits so long"), color=style.ORANGE)
    return fig
