"""KV cache memory: what is held over time beside what was predicted, running out, waste, and bytes by model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from servelab.figures import style
from servelab.i18n import _
from servelab.theory import kv_cache as theory

MIB, GIB = 2**20, 2**30
STEP = {"shape": "hv"}
WIDEST_MAP = 64


class Answered(Protocol):
    """One request of a load: its number and when its tokens came, in seconds."""

    id: int
    token_times_s: Sequence[float]


def usage(times_s: ArrayLike, share: ArrayLike) -> go.Figure:
    """Share of the KV cache in use (0 to 1, as the engine tells it) over time, in percent."""
    fig = style.figure(_("Time (s)"), _("KV cache in use (%)"))
    shown = 100 * np.asarray(share, float)
    fig.add_scatter(x=np.asarray(times_s, float), y=shown, **_line("measured", _("the engine's metric"), 0))
    return fig.update_yaxes(rangemode="tozero").update_layout(showlegend=True)


def prediction(times_s: ArrayLike, measured: ArrayLike, predicted: ArrayLike) -> go.Figure:
    """Blocks held over time, measured and predicted in one picture, and their difference below."""
    fig = _rows(2, [0.72, 0.28])
    times, measured, predicted = (np.asarray(v) for v in (times_s, measured, predicted))
    fig.add_scatter(x=times, y=measured, row=1, col=1, **_line("measured", _("the engine's metric"), 0, wide=4))
    fig.add_scatter(x=times, y=predicted, row=1, col=1, **_line("modelled", _("predicted"), 1))
    residual = {"name": _("residual"), "marker_color": style.PURPLE, "showlegend": False}
    fig.add_bar(x=times, y=measured - predicted, row=2, col=1, **residual)
    fig.update_yaxes(title_text=_("KV blocks held"), rangemode="tozero", row=1, col=1)
    most = max(2, int(np.abs(measured - predicted).max(initial=0)) + 1)
    fig.update_yaxes(title_text=_("residual (blocks)"), range=[-most, most], row=2, col=1)
    return fig.update_xaxes(title_text=_("Time (s)"), row=2, col=1)


def pressure(readings: pd.DataFrame, requests: Sequence[Answered], usable: int, block_size: int) -> go.Figure:
    """What happens when the memory runs out: blocks held, who runs and who waits, and every request's tokens.

    Args:
        readings: columns `t_s`, `blocks`, `running`, `waiting`, `preemptions`, on the clock of `requests`.
        usable: blocks the pool can give away.
        block_size: tokens a block.
    """
    fig = _rows(3, [0.36, 0.24, 0.4])
    time = readings.t_s
    held = _line("measured", _("KV blocks held"), 0)
    fig.add_scatter(x=time, y=readings.blocks, row=1, col=1, **held)
    ends = [float(time.min()), float(time.max())]
    limit = {"mode": "lines", "line": {"color": style.ORANGE, "dash": "dash", "width": 1.5}}
    room = _("all {n} usable blocks ({tokens:,} tokens)").format(n=usable, tokens=usable * block_size)
    fig.add_scatter(x=ends, y=[usable, usable], name=room, row=1, col=1, **limit)
    for column, name, color in (
        ("running", _("requests running"), 2),
        ("waiting", _("requests waiting"), 1),
        ("preemptions", _("preemptions counted"), 3),
    ):
        fig.add_scatter(x=time, y=readings[column], row=2, col=1, **_line("measured", name, color))
    for request in requests:
        times = np.asarray(request.token_times_s, float)
        dots = {"mode": "markers", "marker": {"size": 4, "color": style.BLUE}, "showlegend": False}
        fig.add_scatter(x=times, y=np.full(times.size, request.id), row=3, col=1, **dots)
    fig.update_yaxes(title_text=_("blocks"), rangemode="tozero", row=1, col=1)
    fig.update_yaxes(title_text=_("requests"), rangemode="tozero", row=2, col=1)
    fig.update_yaxes(title_text=_("request number"), autorange="reversed", dtick=1, showgrid=False, row=3, col=1)
    fig.update_xaxes(title_text=_("Time (s); a dot is a token"), row=3, col=1)
    return fig.update_layout(height=620, legend={"font": {"size": 12}})


def waste(
    block_sizes: Sequence[int] = (16, 32, 128),
    longest: int = 512,
    measured: Mapping[tuple[int, int], float] | None = None,
) -> go.Figure:
    """Share of the held memory that is empty, over the sequence's length: a saw for each block size, and its middle.

    Args:
        measured: {(tokens, block size): share}, drawn as points.
    """
    fig = style.figure(_("Sequence length (tokens)"), _("Empty share of what is held (%)"))
    lengths = np.arange(1, longest + 1)
    for color, size in zip((2, 0, 1, 3, 4), block_sizes, strict=False):
        name = _("block of {n}").format(n=size)
        saw = {"mode": "lines", "line": {"color": style.fade(color, 0.4), "width": 1}, "showlegend": False}
        fig.add_scatter(x=lengths, y=100 * theory.waste(lengths, size), hoverinfo="skip", **saw)
        middle = style.mark("modelled", name, color)
        fig.add_scatter(x=lengths, y=100 * theory.typical_waste(lengths, size), **middle)
    if measured:
        at = [tokens for tokens, _size in measured]
        dots = {"size": 13, "color": style.PURPLE}
        points = style.mark("measured", _("two servers")) | {"mode": "markers", "marker": dots}
        said = [_("block of {n}").format(n=size) for _tokens, size in measured]
        fig.add_scatter(x=at, y=[100 * share for share in measured.values()], text=said, **points)
    return fig.update_yaxes(range=[0, 100])


def by_model(token_bytes: Mapping[str, Mapping[str, float]]) -> go.Figure:
    """Bytes of one token by model, one bar for each way to share heads: {model: {way: bytes}}."""
    fig = style.figure(_("KV cache of one token (KiB)"), height=120 + 60 * len(token_bytes), barmode="group")
    ways = list(dict.fromkeys(way for row in token_bytes.values() for way in row))
    for color, way in enumerate(ways):
        rows = [(name, row[way] / 1024) for name, row in token_bytes.items() if way in row]
        fig.add_bar(
            x=[size for _name, size in rows],
            y=[name for name, _size in rows],
            orientation="h",
            name=way,
            marker_color=style.colour(color),
            text=[f"{size:,.4g}" for _name, size in rows],
            textposition="outside",
            cliponaxis=False,
        )
    sizes = [size / 1024 for row in token_bytes.values() for size in row.values()]
    if len(token_bytes) > 1:
        fig.update_xaxes(type="log", range=[np.log10(min(sizes) / 2), np.log10(max(sizes) * 2)])
    else:
        fig.update_xaxes(range=[0, 1.2 * max(sizes)])
    return fig.update_yaxes(autorange="reversed", showgrid=False)


def budget(
    weight_bytes: float, bytes_a_token: float, batch: int, length: int, block_size: int, memory: float
) -> go.Figure:
    """Weights and cache, in GiB, while `batch` sequences grow to twice `length`; the memory as a line."""
    lengths = np.unique(np.linspace(1, 2 * length, 120).astype(int))
    cache = batch * theory.blocks(lengths, block_size) * block_size * bytes_a_token / GIB
    weights = np.full(lengths.size, weight_bytes / GIB)
    fig = style.figure(_("Length of each sequence (tokens)"), _("Memory (GiB)"))
    area = {"mode": "lines", "stackgroup": "one", "line": {"width": 1.5, **STEP}}
    grey, blue = ({"fillcolor": style.fade(c, 0.35), "line_color": c} for c in (style.GREY, style.BLUE))
    fig.add_scatter(x=lengths, y=weights, name=_("weights (modelled)"), **grey, **area)
    fig.add_scatter(x=lengths, y=cache, name=_("KV cache (modelled)"), **blue, **area)
    now = weight_bytes / GIB + batch * int(theory.blocks(length, block_size)) * block_size * bytes_a_token / GIB
    point = {"size": 14, "symbol": "star", "color": style.PURPLE}
    fig.add_scatter(x=[length], y=[now], mode="markers", marker=point, name=_("your workload"))
    top = 1.15 * (weights + cache).max()
    if memory / GIB <= 1.5 * top:
        top = max(top, 1.1 * memory / GIB)
        style.rule(fig, y=memory / GIB, text=_("memory of the machine"), color=style.ORANGE)
    return fig.update_yaxes(range=[0, top]).update_xaxes(range=[0, 2 * length])


def block_map(length: int, block_size: int) -> go.Figure:
    """The blocks of one sequence, each cell a block, filled as far as tokens stand in it (at most 64 are drawn)."""
    count = int(theory.blocks(length, block_size))
    drawn = min(count, WIDEST_MAP)
    filled = np.minimum(np.maximum(length - np.arange(count - drawn, count) * block_size, 0), block_size)
    number = np.arange(count - drawn, count)
    fig = style.figure(_("Block of the sequence"), _("Tokens in the block"), barmode="stack", bargap=0.15)
    fig.add_bar(x=number, y=filled, name=_("tokens"), marker_color=style.BLUE)
    empty = {"color": style.fade(style.ORANGE, 0.35), "line": {"color": style.ORANGE, "width": 1}}
    fig.add_bar(x=number, y=block_size - filled, name=_("empty"), marker=empty)
    return fig.update_yaxes(range=[0, 1.05 * block_size])


def waste_by_block(length: int, block_size: int, sizes: Sequence[int] = (1, 8, 16, 32, 64, 128, 256)) -> go.Figure:
    """Empty share by block size: for exactly `length` tokens, and typical of lengths around it."""
    fig = style.figure(_("Block size (tokens)"), _("Empty share of what is held (%)"))
    labels = [str(size) for size in sizes]
    colors = [style.BLUE if size == block_size else style.fade(style.BLUE, 0.3) for size in sizes]
    exact, typical = 100 * theory.waste(length, np.array(sizes)), 100 * theory.typical_waste(length, np.array(sizes))
    fig.add_bar(x=labels, y=exact, name=_("this length (modelled)"), marker_color=colors)
    fig.add_scatter(x=labels, y=typical, **style.mark("modelled", _("lengths around it"), 1))
    return fig.update_xaxes(type="category").update_yaxes(range=[0, max(60, 1.1 * exact.max(), 1.1 * typical.max())])


def savings(reserved: int, block_size: int, measured: Mapping[str, tuple[float, float]] | None = None) -> go.Figure:
    """What paging can save against slots of `reserved` tokens, by mean length: its bounds, and the short form 1 - 1/n.

    Args:
        measured: {name: (mean tokens, share saved)}, drawn as points.
    """
    fig = style.figure(_("Mean length of a sequence (tokens)"), _("Memory saved against slots (%)"))
    n = np.arange(1, reserved + 1)
    low, high = theory.savings_bounds(n, reserved, block_size)
    fig.add_scatter(x=n, y=100 * high, **style.mark("modelled", _("most: only whole blocks"), 0))
    band = {"fill": "tonexty", "fillcolor": style.fade(style.BLUE, 0.2)}
    fig.add_scatter(x=n, y=100 * low, **style.mark("modelled", _("least: one token over"), 2), **band)
    fig.add_scatter(x=n, y=100 * theory.seed_savings(n), **style.mark("modelled", _("the short form, 1 − 1/n"), 1))
    if measured:
        dots = {"size": 13, "color": style.PURPLE}
        points = style.mark("measured", _("the engine")) | {"mode": "markers+text", "marker": dots}
        x, y = ([pair[i] for pair in measured.values()] for i in (0, 1))
        text = [f"  {name}" for name in measured]
        fig.add_scatter(x=x, y=[100 * share for share in y], text=text, textposition="middle right", **points)
    return fig.update_yaxes(range=[-10, 105])


def room(
    memory: ArrayLike,
    slots: ArrayLike,
    paged: ArrayLike,
    simulated: Mapping[float, float],
    measured: Mapping[float, float],
) -> go.Figure:
    """Requests that run at once by memory: in slots, in blocks, simulated step by step, and on engines.

    Args:
        memory: tokens, shape (points,); `slots`, `paged`: requests at each.
        simulated, measured: {tokens of memory: requests at once}.
    """
    fig = style.figure(_("Memory of the KV cache (tokens)"), _("Requests running at once (average)"))
    memory, slots, paged = (np.asarray(v, float) for v in (memory, slots, paged))
    fig.add_scatter(x=memory, y=paged, **style.mark("modelled", _("paged: memory / held by one"), 0))
    fig.add_scatter(x=memory, y=slots, **style.mark("modelled", _("slots: memory / longest"), 4))
    dotted = style.mark("simulated", _("paged, step by step"), 2) | {"mode": "lines+markers"}
    fig.add_scatter(x=list(simulated), y=list(simulated.values()), marker={"size": 6}, **dotted)
    dots = {"size": 14, "symbol": "diamond", "color": style.ORANGE}
    points = style.mark("measured", _("the engine")) | {"mode": "markers", "marker": dots}
    fig.add_scatter(x=list(measured), y=list(measured.values()), **points)
    return fig.update_xaxes(rangemode="tozero").update_yaxes(rangemode="tozero")


def held(times_s: ArrayLike, measured: ArrayLike, predicted: ArrayLike, same: bool = True) -> go.Figure:
    """Cache held over time under one real load: as the engine told it, and as a model holds it, in bytes.

    Args:
        measured, predicted: bytes at each of the times.
        same: whether the model stands at the engine's own settings; if not, the two differ on purpose.
    """
    fig = style.figure(_("Time (s)"), _("KV cache held (MiB)"))
    times, measured, predicted = (np.asarray(v, float) for v in (times_s, measured, predicted))
    fig.add_scatter(x=times, y=measured / MIB, **_line("measured", _("the engine's metric"), 0, wide=4))
    name = _("the same load, predicted") if same else _("the same load under these settings")
    fig.add_scatter(x=times, y=predicted / MIB, **_line("modelled", name, 1))
    return fig.update_yaxes(rangemode="tozero")


def _rows(count: int, heights: list[float]) -> go.Figure:
    fig = make_subplots(count, 1, shared_xaxes=True, row_heights=heights, vertical_spacing=0.06)
    return fig.update_layout(template=style.NAME, height=480)


def _line(kind: style.Kind, name: str, color: int, wide: float = 2.5) -> dict:
    """`style.mark` for readings so close that markers would hide the line; staircases keep their corners."""
    marked = style.mark(kind, name, color)
    return marked | {"mode": "lines", "line": {**marked["line"], **STEP, "width": wide}}
