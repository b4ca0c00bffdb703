"""Figures of the lesson layer: a guess beside the truth, the scorecard, and the learner's way through the course."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from servelab.figures import style
from servelab.i18n import _


def quantity(value: float, unit: str = "") -> str:
    """A number to three significant digits with its unit: `1,230 tok/s`, `0.0457 s`, `12 %`."""
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
        text = f"{value:,.{digits}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    else:
        text = f"{value:.3g}"
    return f"{text} {unit}".strip()


def prediction(
    measured: Mapping[str, float], guess: float | None, unit: str = "", log: bool = False, kind: style.Kind = "measured"
) -> go.Figure:
    """A guess beside the truth: one row each, and the distance between them.

    Args:
        measured: {name: value}; a single value may have the name "".
        guess: the learner's; None draws the truth alone.
        unit: of all values; the axis title.
        log: a logarithmic axis, where all values are positive.
    """
    log = log and all(v > 0 for v in (*measured.values(), *([] if guess is None else [guess])))
    truth = style.suffix(kind)
    rows = [f"{name} ({truth})" if name else truth for name in measured]
    mine = _("your guess")
    values = [*measured.values(), *([] if guess is None else [guess])]
    if log:
        low, high = math.log10(min(values)), math.log10(max(values))
        room = max(0.2 * (high - low), 0.3)
        extent = [low - room, high + room]
        axis = style.log_ticks(10 ** extent[0], 10 ** extent[1])
    else:
        low, high = min(0.0, *values), max(0.0, *values)
        room = 0.12 * (high - low) or 1.0
        extent = [low - room, high + room]
        axis = {"type": "linear"}
    fig = style.figure(x=unit, height=70 + 60 * (len(rows) + (guess is not None)), showlegend=False)
    if guess is not None:
        for value, row in zip(measured.values(), rows, strict=True):
            fig.add_trace(
                go.Scatter(
                    x=[guess, guess, value], y=[mine, row, row], mode="lines", hoverinfo="skip",
                    line={"color": style.fade(style.GREY, 0.6), "dash": "dot", "width": 1.5},
                )
            )  # fmt: skip
        fig.add_trace(_points([guess], [mine], unit, style.ORANGE, "diamond-open"))
    fig.add_trace(_points(list(measured.values()), rows, unit, style.BLUE, "circle"))
    order = [*rows[::-1], *([] if guess is None else [mine])]
    fig.update_yaxes(categoryorder="array", categoryarray=order, showgrid=False, range=[-0.6, len(order) - 0.3])
    return fig.update_xaxes(range=extent, **axis).update_layout(margin={"t": 8, "b": 48})


def _points(x: Sequence[float], y: Sequence[str], unit: str, color: str, symbol: str) -> go.Scatter:
    return go.Scatter(
        x=list(x), y=list(y), mode="markers+text", text=[quantity(v, unit) for v in x],
        textposition="top center", textfont={"color": color}, cliponaxis=False, hoverinfo="skip",
        marker={"size": 12, "color": color, "symbol": symbol, "line": {"width": 2, "color": color}},
    )  # fmt: skip


def scorecard(rows: Sequence[Mapping[str, object]]) -> go.Figure:
    """The scorecard's rows beside each other, one panel a metric, the first milestone on top.

    Args:
        rows: as `Scorecard` stores them, oldest first. Of several rows with one name the newest is drawn full,
            the others faint: a row that got worse stays.
    """
    prices = sorted({float(r["price_per_hour"]) for r in rows if r.get("price_per_hour") is not None})
    cost = _("cost per million tokens")
    if prices:
        at_price = " / ".join(f"{price:.2f}" for price in prices)
        cost = _("cost per million tokens<br>(at {price} an hour)").format(price=at_price)
    panels = (
        ("throughput_tok_s", _("throughput (tokens/s)"), True, 1),
        ("ttft_p50_s", _("TTFT p50, p99 (s)"), False, 1),
        ("tpot_p50_s", _("TPOT p50 (ms)"), False, 1e3),
        ("goodput_req_s", _("goodput (requests/s)"), True, 1),
        ("memory_bytes", _("memory (GiB)"), False, 2**-30),
        ("cost_per_million_tokens", cost, False, 1),
    )
    names = list(dict.fromkeys(str(row["name"]) for row in rows))
    newest = {str(row["name"]): row for row in rows}
    fig = make_subplots(2, 3, shared_yaxes=True, horizontal_spacing=0.05, vertical_spacing=0.22)
    for place, (key, title, _more, factor) in enumerate(panels):
        at = {"row": place // 3 + 1, "col": place % 3 + 1}
        for full in (False, True):
            held = [r for r in rows if (r is newest[str(r["name"])]) == full and r.get(key) is not None]
            x = [float(r[key]) * factor for r in held]
            y = [str(r["name"]) for r in held]
            color = style.BLUE if full else style.fade(style.BLUE, 0.35)
            if full and key == "ttft_p50_s":
                for row in held:
                    ends = [row["ttft_p50_s"], row.get("ttft_p99_s")]
                    span = go.Scatter(x=ends, y=[row["name"]] * 2, mode="lines", line={"color": color, "width": 2})
                    fig.add_trace(span.update(hoverinfo="skip"), **at)
            fig.add_trace(
                go.Scatter(
                    x=x, y=y, mode="markers+text" if full else "markers",
                    text=[f" {quantity(v)}" for v in x], textposition="top center", textfont={"size": 11},
                    marker={"color": color, "size": 10 if full else 6}, cliponaxis=False,
                    hovertext=[str(r.get("when", "")) for r in held], hoverinfo="x+text",
                ),
                **at,
            )  # fmt: skip
        most = max((float(r[key]) * factor for r in rows if r.get(key) is not None), default=0) or 1
        if key == "ttft_p50_s":
            most = max([most, *(float(r["ttft_p99_s"]) for r in rows if r.get("ttft_p99_s") is not None)])
        fig.update_xaxes(title_text=title, range=[-0.06 * most, 1.18 * most], **at)
    fig.update_layout(template=style.NAME, showlegend=False, height=180 + 100 * max(2, len(names)), margin_t=24)
    top = [len(names) - 0.4, -0.6]
    return fig.update_yaxes(categoryorder="array", categoryarray=names, range=top, showgrid=False)


@dataclass(frozen=True)
class Tile:
    """One notebook on the map: its column, its name and how far the learner is (0 ... 1; None: not written yet)."""

    column: str
    id: str
    title: str
    share: float | None
    minutes: int


def course_map(tiles: Sequence[Tile]) -> go.Figure:
    """The course as a picture: a column for each part, a tile for each notebook, filled as far as the learner is."""
    columns = list(dict.fromkeys(tile.column for tile in tiles))
    fig = style.figure(showlegend=False, plot_bgcolor="rgba(0,0,0,0)")
    depth = dict.fromkeys(columns, 0)
    centres: tuple[list[float], list[float], list[str]] = ([], [], [])
    for tile in tiles:
        x, y = columns.index(tile.column), depth[tile.column]
        depth[tile.column] += 1
        planned = tile.share is None
        edge = {"color": style.GREY if planned else style.BLUE, "width": 1, "dash": "dot" if planned else "solid"}
        box = {"type": "rect", "y0": y + 0.06, "y1": y + 0.94, "layer": "below"}
        fig.add_shape(x0=x + 0.04, x1=x + 0.96, line=edge, **box)
        if tile.share:
            filled = {"fillcolor": style.fade(style.GREEN, 0.35), "line": {"width": 0}}
            fig.add_shape(x0=x + 0.04, x1=x + 0.04 + 0.92 * tile.share, **filled, **box)
        state = _("planned") if planned else _("{percent:.0f} % done").format(percent=100 * tile.share)
        spent = _("{minutes} min").format(minutes=tile.minutes)
        fig.add_annotation(
            x=x + 0.5, y=y + 0.5, text=f"<b>{tile.id}</b><br>{wrap(tile.title, 15)}", font={"size": 10},
            showarrow=False,
        )  # fmt: skip
        for held, value in zip(centres, (x + 0.5, y + 0.5, f"{tile.id} {tile.title}<br>{spent}, {state}"), strict=True):
            held.append(value)
    fig.add_trace(
        go.Scatter(x=centres[0], y=centres[1], mode="markers", marker={"size": 30, "color": "rgba(0,0,0,0)"},
                   hovertext=centres[2], hoverinfo="text")
    )  # fmt: skip
    for x, column in enumerate(columns):
        fig.add_annotation(x=x + 0.5, y=-0.05, yanchor="bottom", text=f"<b>{wrap(column, 16)}</b>", font={"size": 12})
    rows = max(depth.values(), default=1)
    fig.update_layout(height=80 + 64 * rows, margin={"l": 4, "r": 4, "t": 8, "b": 4})
    fig.update_xaxes(visible=False, range=[0, max(len(columns), 1)])
    return fig.update_yaxes(visible=False, range=[rows, -0.8])


@dataclass(frozen=True)
class PlanDay:
    """One day of the plan: its number and title, minutes to read and to practise, and the learner's share of it."""

    number: int
    title: str
    read: int
    practise: int
    share: float


def plan(days: Sequence[PlanDay]) -> go.Figure:
    """The days as bars of hours, reading and practice; what the learner has behind them is filled."""
    y = [_("day {number}").format(number=d.number) for d in days]
    fig = style.figure(x=_("Hours"), barmode="stack", height=110 + 32 * len(days), bargap=0.4)
    for name, color, hours in (
        (_("reading"), style.BLUE, [d.read / 60 for d in days]),
        (_("practice"), style.ORANGE, [d.practise / 60 for d in days]),
    ):
        for part, done in ((_("done"), True), (_("to do"), False)):
            fig.add_trace(
                go.Bar(
                    x=[h * (d.share if done else 1 - d.share) for h, d in zip(hours, days, strict=True)],
                    y=y, orientation="h", name=f"{name}, {part}", legendgroup=name,
                    marker={"color": color if done else style.fade(color, 0.25), "line": {"color": color, "width": 1}},
                    hovertext=[d.title for d in days], hoverinfo="text+x",
                )
            )  # fmt: skip
    longest = max(((d.read + d.practise) / 60 for d in days), default=1)
    for day, label in zip(days, y, strict=True):
        at = (day.read + day.practise) / 60
        beside = {"xanchor": "left", "xshift": 4, "align": "left", "font": {"size": 11}, "showarrow": False}
        fig.add_annotation(x=at, y=label, text=wrap(day.title, 46), **beside)
    fig.update_xaxes(range=[0, 1.8 * longest])
    return fig.update_yaxes(categoryorder="array", categoryarray=y[::-1], showgrid=False)


def graph(before: Sequence[tuple[str, bool]], course: str, after: Sequence[tuple[str, bool]]) -> go.Figure:
    """What leads to the course and where it leads: (title, strong) on both sides; weak links are dotted."""
    rows = max(len(before), len(after), 1)
    fig = style.figure(showlegend=False, height=60 + 46 * rows, margin={"l": 8, "r": 8, "t": 28, "b": 8})

    def side(entries: Sequence[tuple[str, bool]], x: float, near: float, head: str) -> None:
        fig.add_annotation(x=x, y=-0.75, text=f"<b>{head}</b>", font={"size": 12})
        for number, (title, strong) in enumerate(entries):
            y = (number + 0.5) * rows / len(entries) - 0.5
            towards = 1 if x < near else -1
            start, end = x + 0.13 * towards, near - 0.12 * towards
            line = {"color": style.GREY, "width": 2 if strong else 1.2, "dash": "solid" if strong else "dot"}
            points = {"x": [start, end], "y": [y, (rows - 1) / 2], "mode": "lines", "hoverinfo": "skip"}
            fig.add_trace(go.Scatter(**points, line=line))
            _box(fig, x, y, wrap(title, 30), style.BLUE if strong else style.GREY)

    side(before, 0.17, 0.5, _("brings you here (dotted: helps)"))
    side(after, 0.83, 0.5, _("opens to you (dotted: further on)"))
    _box(fig, 0.5, (rows - 1) / 2, f"<b>{wrap(course, 24)}</b>", style.ORANGE)
    fig.update_xaxes(visible=False, range=[0, 1])
    return fig.update_yaxes(visible=False, range=[rows - 0.4, -1.1])


def _box(fig: go.Figure, x: float, y: float, text: str, color: str) -> None:
    fig.add_annotation(
        x=x, y=y, text=text, font={"size": 12}, bordercolor=color, borderwidth=1.5, borderpad=5, showarrow=False,
    )  # fmt: skip


def wrap(text: str, width: int) -> str:
    """`text` in lines of about `width` Latin letters (a CJK character counts as two), broken by `<br>`."""
    lines, line, used = [], "", 0
    for word in _words(text):
        size = sum(2 if ord(c) > 0x2E7F else 1 for c in word)
        if line.strip() and used + size > width:
            lines.append(line.strip())
            line, used = "", 0
        line, used = line + word, used + size
    return "<br>".join([*lines, line.strip()])


def _words(text: str) -> list[str]:
    words, word = [], ""
    for c in text:
        if ord(c) > 0x2E7F or c in " -":
            words += [word + c] if c == "-" else [word, c] if word else [c]
            word = ""
        else:
            word += c
    return [*words, word] if word else words
