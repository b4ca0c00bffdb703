"""Who holds which memory: the account of an allocator, its map over time, and block tables with their blocks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from servelab.figures import style
from servelab.i18n import _
from servelab.simulate.allocation import EMPTY, FREE, TOKENS, Replay

FILL = {FREE: style.FAINT, EMPTY: style.fade(style.ORANGE, 0.55), TOKENS: style.BLUE}
SCALE = [[0, FILL[FREE]], [1 / 3, FILL[FREE]], [1 / 3, FILL[EMPTY]], [2 / 3, FILL[EMPTY]], [2 / 3, FILL[TOKENS]]]
SCALE.append([1, FILL[TOKENS]])
WIDE = 12
"""Blocks in a row of the drawn pool."""
LARGE, MOST_CELLS = 96, 400
"""Blocks from which a pool is drawn smaller, and how many of it are drawn."""
BROAD, TALL = 0.92, 0.84
"""Of a block in a row, and of the row."""
LABELS = {"mode": "text", "hoverinfo": "skip", "showlegend": False, "textfont": {"size": 12}}


def account(replays: Mapping[str, Replay]) -> go.Figure:
    """What the memory is full of while requests wait, one bar an allocator, in percent (simulated)."""
    fig = style.figure(_("Share of the memory while requests wait (%, simulated)"), height=120 + 62 * len(replays))
    white, ink = {"color": "#ffffff"}, {"color": style.INK}
    parts = {
        "tokens": (_("tokens"), style.BLUE, white),
        "reserved": (_("reserved for tokens to come"), style.fade(style.BLUE, 0.35), ink),
        "internal": (_("internal fragmentation"), style.ORANGE, white),
        "external": (_("external fragmentation"), style.PURPLE, white),
        "free": (_("free, too little for the next"), style.fade(style.GREY, 0.35), ink),
        "kept": (_("the allocator's own"), style.GREY, white),
    }
    shares = [replay.shares() for replay in replays.values()]
    for part, (label, color, font) in parts.items():
        values = [100 * share[part] for share in shares]
        if max(values) < 0.05:
            continue
        fig.add_bar(
            x=values,
            y=list(replays),
            orientation="h",
            name=label,
            marker_color=color,
            text=[f"{value:.0f} %" if value >= 6 else "" for value in values],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            textfont=font,
        )
    fig.update_layout(barmode="stack", legend={"traceorder": "normal"}).update_xaxes(range=[0, 100])
    return fig.update_yaxes(autorange="reversed", showgrid=False)


def memory_map(replay: Replay, name: str) -> go.Figure:
    """One allocator's memory over time: address upwards, steps to the right (simulated)."""
    cells = replay.map()
    fig = style.figure(_("Step of the engine"), _("Address (tokens)"), height=270)
    x = np.unique(np.linspace(0, replay.steps - 1, 160).astype(int))
    y = (np.arange(len(cells)) + 0.5) * replay.capacity / len(cells)
    drawn = {"zmin": FREE, "zmax": TOKENS, "colorscale": SCALE, "showscale": False, "hoverinfo": "skip"}
    fig.add_heatmap(x=x, y=y, z=cells.tolist(), **drawn)
    for label, cell in ((_("tokens"), TOKENS), (_("held, and empty"), EMPTY), (_("nobody's"), FREE)):
        square = {"symbol": "square", "size": 12, "color": FILL[cell], "line": {"width": 1, "color": style.INK}}
        fig.add_scatter(x=[None], y=[None], mode="markers", marker=square, name=label)
    title = {"text": _("{name} (simulated)").format(name=name), "font": {"size": 14}}
    fig.update_layout(title={**title, "x": 0, "xref": "paper", "y": 0.96}, margin={"t": 76}, showlegend=True)
    return fig.update_yaxes(range=[0, replay.capacity]).update_xaxes(range=[0, replay.steps])


def at_once(predicted: Mapping[str, float], measured: Mapping[str, float]) -> go.Figure:
    """Requests running at once, one bar an allocator as predicted, and what an engine that has it really ran."""
    fig = style.figure("", _("Requests running at once (average)"), height=340)
    bars = {"name": _("predicted (simulated)"), "marker_color": style.fade(style.BLUE, 0.45)}
    values = list(predicted.values())
    fig.add_bar(x=list(predicted), y=values, text=[f"{v:.1f}" for v in values], textposition="inside", **bars)
    seen = {"mode": "markers+text", "marker": {"size": 13, "symbol": "diamond", "color": style.ORANGE}}
    values = list(measured.values())
    text = [f"  {value:.1f}" for value in values]
    fig.add_scatter(x=list(measured), y=values, text=text, textposition="middle right", name=_("measured"), **seen)
    return fig.update_yaxes(rangemode="tozero").update_layout(showlegend=True)


def pool(
    users: Sequence[Sequence[str]],
    filled: Sequence[int],
    block_size: int,
    colors: Mapping[str, int],
    known: Collection[int] = (),
    numbered: bool = True,
) -> go.Figure:
    """All blocks of a pool by number: who uses each, and how far it is filled. Block 0 is nobody's.

    Of a large pool the cells are smaller and have no numbers, and the first `MOST_CELLS` are drawn.

    Args:
        users: names of the sequences that use each block.
        filled: tokens in each block.
        colors: a palette position for each name.
        known: blocks that can be found by their prefix; those of them that nobody uses are drawn with a green edge.
        numbered: whether the engine told the numbers.
    """
    large = len(users) > LARGE
    wide, tall = (2 * WIDE, 34) if large else (WIDE, 62)
    count = min(len(users), MOST_CELLS)
    rows = -(-count // wide)
    title = _("The pool: block numbers, {n} in a row")
    if not numbered:
        title = _("The pool: blocks, {n} in a row (their places are made up)")
    title = title.format(n=wide)
    if known:
        title += "<br>" + _("green edge: nobody's, but its prefix is known")
    fig = style.figure(title, height=110 + tall * rows)
    _cells(
        fig,
        [n % wide for n in range(count)],
        [n // wide for n in range(count)],
        [tokens / block_size for tokens in filled[:count]],
        [colors[names[0]] if names else None for names in users[:count]],
        [n in known and not names for n, names in enumerate(users[:count])],
    )
    said = [" ".join(names) if len(names) < 3 else f"{len(names)}×" for names in users[:count]]
    fig.add_scatter(
        x=[n % wide for n in range(count)],
        y=[n // wide for n in range(count)],
        text=[f"<b>{name}</b>" if large else f"{n}<br><b>{name or '&nbsp;'}</b>" for n, name in enumerate(said)],
        **LABELS,
    )
    fig.update_xaxes(range=[-0.6, wide - 0.4], showgrid=False, showticklabels=False, zeroline=False, ticks="")
    return fig.update_yaxes(range=[rows - 0.4, -0.6], visible=False)


def tables(
    tables: Mapping[str, Sequence[int]], tokens: Mapping[str, int], block_size: int, colors: Mapping[str, int]
) -> go.Figure:
    """The block table of each sequence: in the order of its tokens, the numbers of the blocks where they stand."""
    names = list(tables)
    fig = style.figure(_("Block of the sequence, in order"), _("Sequence"), height=110 + 44 * max(3, len(names)))
    longest = max([len(table) for table in tables.values()], default=0)
    cells = [(x, y, name, number) for y, (name, table) in enumerate(tables.items()) for x, number in enumerate(table)]
    full = [min(1.0, max(0.0, tokens[name] / block_size - x)) for x, _y, name, _number in cells]
    x, y, names_, numbers = map(list, zip(*cells, strict=True)) if cells else ([], [], [], [])
    _cells(fig, x, y, full, [colors[name] for name in names_])
    fig.add_scatter(x=x, y=y, text=[f"<b>{number}</b>" for number in numbers], **LABELS)
    rows = max(3, len(names))
    fig.update_yaxes(tickvals=list(range(len(names))), ticktext=names, range=[rows - 0.4, -0.6], showgrid=False)
    columns = max(6, longest)
    return fig.update_xaxes(range=[-0.6, columns - 0.4], tickvals=list(range(columns)), showgrid=False, zeroline=False)


def _cells(
    fig: go.Figure,
    x: Sequence[float],
    y: Sequence[float],
    full: Sequence[float],
    colors: Sequence[int | None],
    known: Sequence[bool] = (),
) -> None:
    """Blocks around their middles: the frame of each, green where its prefix is known, and its colour as far as it is
    filled. Bars, for a shape each takes a page three times as long to draw."""
    known = known or [False] * len(x)
    edges = [style.GREEN if one else style.INK for one in known]
    frame = {"color": style.FAINT, "line": {"color": edges, "width": [2.5 if one else 1 for one in known]}}
    held = [i for i, color in enumerate(colors) if color is not None and full[i]]
    fill = {"color": [style.fade(colors[i], 0.5) for i in held], "line": {"color": style.INK, "width": 1}}
    for which, share, marker in ((range(len(x)), [1.0] * len(x), frame), (held, full, fill)):
        fig.add_bar(
            x=[x[i] for i in which],
            base=[y[i] - TALL / 2 for i in which],
            y=[TALL] * len(which),
            width=[BROAD * share[i] for i in which],
            offset=-BROAD / 2,
            marker=marker,
            hoverinfo="skip",
            showlegend=False,
        )
    fig.update_layout(barmode="overlay")
