"""One step of an engine's memory: the pool's blocks, every request's block table, the queues, and the whole run.

A history is a sequence of `servelab.load.history.Moment`, whoever told it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd
import plotly.graph_objects as go

from servelab.figures import allocation, style
from servelab.i18n import _
from servelab.load.history import Moment

COLORS = 4
"""Requests have one of so many colours, so their numbers are written on them too."""
LONGEST_TABLE = 24
WHITE = "#ffffff"


def name_of(request: int) -> str:
    """A request in all views."""
    return f"R{request}"


def pool(moment: Moment) -> go.Figure:
    """Every block of the pool: whose it is and how full, or free; a green edge is a free one with a known prefix."""
    holders = moment.holders
    count = max([moment.num_blocks, *(n + 1 for n in holders)])
    filled = [0] * count
    for request, table in moment.tables.items():
        for number, tokens in zip(table, moment.fills(request), strict=True):
            filled[number] = max(filled[number], tokens)
    users = [[name_of(r) for r in holders.get(n, ())] for n in range(count)]
    return allocation.pool(
        users, filled, moment.block_size, _colors(moment.running), set(moment.known), moment.numbered
    )


def tables(moment: Moment, rows: int = 0, longest: int = 0) -> go.Figure:
    """Block table of every running request: its blocks with their numbers, each filled as far as tokens stand in it.

    Args:
        rows, longest: requests and blocks that the axes have room for at least, so that they stand still.
    """
    cut = {r: max(0, len(table) - LONGEST_TABLE) for r, table in moment.tables.items()}
    shown = {name_of(r): moment.tables[r][cut[r] :] for r in moment.running}
    tokens = {name_of(r): moment.cached[r] - cut[r] * moment.block_size for r in moment.running}
    fig = allocation.tables(shown, tokens, moment.block_size, _colors(moment.running))
    rows, columns = max(3, rows, len(shown)), max(6, min(longest, LONGEST_TABLE))
    fig.update_yaxes(range=[rows - 0.4, -0.6], title_text=_("Request"), zeroline=False).update_layout(
        height=110 + 44 * rows
    )
    if any(cut.values()):
        fig.update_xaxes(title_text=_("Block of the request, the last {n} at most").format(n=LONGEST_TABLE))
    return fig.update_xaxes(range=[-0.6, columns - 0.4], tickvals=list(range(columns)))


def _colors(requests: Iterable[int]) -> dict[str, int]:
    return {name_of(r): r % COLORS for r in requests}


def queues(moment: Moment, longest: int = 0) -> go.Figure:
    """Who runs and who waits, in the order of the queues; admitted, put back and ending requests are marked."""
    fig = style.figure(_("Place in the queue"), height=280, showlegend=True)
    lanes = ((_("waiting"), moment.waiting), (_("running"), moment.running))
    for lane, requests in lanes:
        square = {"symbol": "square", "size": 26, "color": [style.colour(r % COLORS) for r in requests]}
        fig.add_scatter(
            x=list(range(1, len(requests) + 1)) or [None],
            y=[lane] * max(1, len(requests)),
            mode="markers+text",
            marker=square,
            text=[name_of(r) for r in requests],
            textfont={"color": WHITE},
            hoverinfo="text+y",
            showlegend=False,
        )
    for name, ids, symbol, color in (
        (_("admitted"), moment.admitted, "triangle-up", style.GREEN),
        (_("put back"), moment.preempted, "x", style.ORANGE),
        (_("ends"), moment.finished, "star", style.PURPLE),
    ):
        at = [(place, lane) for lane, queue in lanes for place, r in enumerate(queue, 1) if r in ids]
        fig.add_scatter(
            x=[place + 0.32 for place, _lane in at] or [None],
            y=[lane for _place, lane in at] or [lanes[0][0]],
            mode="markers",
            marker={"symbol": symbol, "size": 11, "color": color, "line": {"color": WHITE, "width": 1}},
            name=name,
            hoverinfo="name",
        )
    most = max(longest, len(moment.waiting), len(moment.running), 4)
    fig.update_xaxes(range=[0.4, most + 0.6], showgrid=False, zeroline=False, dtick=max(1, most // 16))
    order = {"type": "category", "categoryorder": "array", "categoryarray": [lane for lane, _ids in lanes]}
    return fig.update_yaxes(range=[-0.6, 1.6], showgrid=False, **order)


def run(
    history: Sequence[Moment],
    at: int,
    *,
    name: str,
    kind: style.Kind,
    readings: pd.DataFrame | None = None,
    readings_name: str | None = None,
) -> go.Figure:
    """Blocks held over the whole history, the chosen step as a line, and a real engine's readings over them.

    Args:
        at: position in the history.
        name, kind: whose history it is, and where it comes from.
        readings: column `blocks`, and `t_s` on the history's clock or `step` (a fraction is between two): that is
            then the axis.
        readings_name: what the legend calls them.
    """
    by_time = readings is not None and "step" not in readings
    fig = style.figure(_("Time (s)") if by_time else _("Step"), _("KV blocks held"), height=280, showlegend=True)
    x = [one.start_s if by_time else one.step for one in history]
    end = history[-1].end_s if by_time else history[-1].step + 1
    used = [one.used for one in history]
    if readings is not None:
        told = style.mark("measured", readings_name or _("the engine's metric"), style.BLUE)
        told |= {"mode": "markers", "marker": {"size": 6, "color": style.BLUE}}
        fig.add_scatter(x=readings.t_s if by_time else readings.step, y=readings.blocks, **told)
    line = style.mark(kind, name, style.ORANGE if readings is not None else style.BLUE)
    line |= {"mode": "lines", "line": {**line["line"], "shape": "hv"}}
    fig.add_scatter(x=[*x, end], y=[*used, used[-1]], **line)
    usable = history[at].num_blocks - 1
    style.rule(fig, y=usable, text=_("all {n} usable blocks").format(n=usable), color=style.GREY)
    style.rule(fig, x=x[at], color=style.PURPLE)
    top = max([usable, *used])
    return fig.update_yaxes(range=[0, 1.15 * top]).update_xaxes(range=[min(0, x[0]), end])
