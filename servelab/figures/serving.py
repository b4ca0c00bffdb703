"""Figures of the first lesson: reading against writing, passes of many sizes, two systems, and the restaurant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from servelab.figures import style
from servelab.figures.lessons import quantity, wrap
from servelab.i18n import _
from servelab.theory.kitchen import Kitchen


@dataclass(frozen=True)
class Speed:
    """Measured tokens per second and, where there is one, the model's ceiling for them."""

    name: str
    measured: float
    ceiling: float | None = None


def speeds(rows: Sequence[Speed]) -> go.Figure:
    """Measured tokens per second as bars, the first on top, each with its ceiling as a tick and its share of it."""
    names = [row.name for row in rows]
    held = [row for row in rows if row.ceiling is not None]
    fig = style.figure(x=_("Tokens per second"), height=150 + 52 * len(rows), bargap=0.45)
    fig.add_bar(
        x=[row.measured for row in rows], y=names, orientation="h", name=style.suffix("measured"),
        marker_color=style.BLUE, hoverinfo="x+y",
    )  # fmt: skip
    if held:
        fig.add_scatter(
            x=[row.ceiling for row in held], y=[row.name for row in held], mode="markers",
            name=_("{name} ({kind})").format(name=_("ceiling"), kind=style.suffix("modelled")),
            marker={"symbol": "line-ns", "size": 30, "line": {"width": 3, "color": style.ORANGE}}, hoverinfo="x+y",
        )  # fmt: skip
    ends = [max(row.measured, row.ceiling or 0) for row in rows]
    fig.add_scatter(
        x=ends, y=names, mode="text", showlegend=False, text=[_told(row) for row in rows],
        textposition="middle right", cliponaxis=False, hoverinfo="skip",
    )  # fmt: skip
    fig.update_xaxes(range=[0, (1.3 if held else 1.12) * max(ends)])
    return fig.update_yaxes(categoryorder="array", categoryarray=names[::-1], showgrid=False)


def _told(row: Speed) -> str:
    """A bar's label: the value, and its share of the ceiling."""
    value = f"  <b>{quantity(row.measured)}</b>"
    if row.ceiling is None:
        return value
    share = _("{percent:.0f} % of {value}")
    return f"{value} ({share.format(percent=100 * row.measured / row.ceiling, value=quantity(row.ceiling))})"


def jobs(speed: Mapping[str, float], ceiling: Mapping[str, float] | None = None) -> go.Figure:
    """Tokens per second of the three jobs `read`, `learn` and `write`; with the ceiling of each, if given."""
    names = {
        "read": _("reading: one pass for all"),
        "learn": _("learning: forward and backward"),
        "write": _("writing: one by one"),
    }
    return speeds([Speed(names[job], speed[job], ceiling[job] if ceiling else None) for job in names if job in speed])


def floors(ttft_s: float, ttft_floor_s: float, tpot_s: float, tpot_floor_s: float) -> go.Figure:
    """A server's two latencies as multiples of the shortest that arithmetic and memory allow (all in seconds)."""
    rows = (
        (_("first token after the prompt (TTFT)"), ttft_s, ttft_floor_s),
        (_("each further token (TPOT)"), tpot_s, tpot_floor_s),
    )
    names, times = [name for name, *_times in rows], [measured / floor for _name, measured, floor in rows]
    fig = style.figure(x=_("Times the shortest possible (modelled)"), height=250, bargap=0.5, showlegend=False)
    fig.add_bar(x=times, y=names, orientation="h", marker_color=style.BLUE, hoverinfo="x+y")
    told = _("{measured} measured, {floor} at best")
    fig.add_scatter(
        x=times, y=names, mode="text", textposition="middle right", cliponaxis=False, hoverinfo="skip",
        text=[
            "  " + told.format(measured=quantity(1e3 * one, "ms"), floor=quantity(1e3 * floor, "ms"))
            for _name, one, floor in rows
        ],
    )  # fmt: skip
    fig.update_xaxes(range=[0, 1.9 * max(1.0, *times)])
    fig.update_yaxes(categoryorder="array", categoryarray=names[::-1], showgrid=False)
    style.rule(fig, x=1, color=style.ORANGE)
    return fig


def passes(tokens: Sequence[int], measured_s: Sequence[float], modelled_s: Sequence[float] | None = None) -> go.Figure:
    """How long one forward pass takes, over how many tokens share it; and the line of twice one token's time."""
    fig = style.figure(_("Tokens in one pass"), _("Time of the pass (ms)"), height=400)
    fig.add_scatter(
        x=list(tokens), y=[1e3 * s for s in measured_s], **style.mark("measured", _("one forward pass"), style.BLUE)
    )
    if modelled_s is not None:
        fig.add_scatter(
            x=list(tokens), y=[1e3 * s for s in modelled_s],
            **style.mark("modelled", _("the slower of arithmetic and memory"), style.ORANGE),
        )  # fmt: skip
    fig.update_xaxes(type="log", tickvals=list(tokens), ticktext=[str(t) for t in tokens])
    fig.update_yaxes(**style.log_ticks(1e3 * min(measured_s), 1e3 * max(measured_s)))
    style.rule(fig, y=2e3 * measured_s[0], text=_("twice the time of one token"), color=style.GREEN)
    return fig


# ---------------------------------------------------------------------------------------------------------------
# Two systems side by side.

_WIDE, _TALL = 0.86, 0.62


def systems() -> go.Figure:
    """A training system and a serving system side by side; the forward pass is all they share."""
    fig = style.figure(height=660, showlegend=False, margin={"l": 4, "r": 4, "t": 8, "b": 4})
    training = (
        (_("Dataset: all of it is known before the start"), style.BLUE),
        (_("Batch: every step the same size"), style.BLUE),
        (_("Forward pass: all tokens of a text at once"), style.ORANGE),
        (_("Loss: every next token is already known"), style.GREY),
        (_("Backward pass: twice the arithmetic again"), style.GREY),
        (_("Optimizer: the weights change"), style.GREY),
    )
    serving = (
        (_("People: come when they like, ask what they like"), style.BLUE),
        (_("API: check, limit, stream, notice who left"), style.BLUE),
        (_("Queue and scheduler: who goes into the next pass?"), style.BLUE),
        (_("Forward pass: prompts whole, answers one token at a time"), style.ORANGE),
        (_("Sampler: one token per sequence, sent at once"), style.GREY),
        (_("Metrics, logs: is everyone served in time?"), style.GREY),
    )
    _column(fig, 0.0, _("Training"), training, back=(5, 1), note=_("next batch"))
    _column(fig, 1.0, _("Serving"), serving, back=(4, 2), note=_("next token"))
    _memory(
        fig, 0.0, _("In memory: weights, gradients, optimizer state, activations. The same every step."), style.GREEN
    )
    _memory(
        fig, 1.0, _("In memory: weights that never change, and a KV cache that grows with every token."), style.GREEN
    )
    _goal(fig, 0.0, _("Wanted: tokens per second, over days"))
    _goal(fig, 1.0, _("Wanted: every answer in time, at a cost one can pay"))
    fig.update_xaxes(visible=False, range=[-0.02, 2.02], fixedrange=True)
    return fig.update_yaxes(visible=False, range=[8.1, -0.75], fixedrange=True)


def _column(
    fig: go.Figure, x: float, title: str, boxes: Sequence[tuple[str, str]], back: tuple[int, int], note: str
) -> None:
    """Boxes below each other with arrows between them, and one arrow that leads back up beside them."""
    centre = x + 0.45
    fig.add_annotation(x=centre, y=-0.5, text=f"<b>{title}</b>", font={"size": 15}, showarrow=False)
    for row, (text, color) in enumerate(boxes):
        _box(fig, centre, row, text, color)
        if row:
            _arrow(fig, centre, row - 1 + _TALL / 2, centre, row - _TALL / 2)
    start, end = back
    right, edge = centre + _WIDE / 2, centre + _WIDE / 2 + 0.055
    fig.add_scatter(
        x=[right, edge, edge], y=[start, start, end], mode="lines", line={"color": style.GREY, "width": 1.5},
        hoverinfo="skip",
    )  # fmt: skip
    _arrow(fig, edge, end, right, end)
    fig.add_annotation(x=edge + 0.015, y=(start + end) / 2, text=note, textangle=90, font={"size": 11}, showarrow=False)


def _box(fig: go.Figure, x: float, y: float, text: str, color: str, tall: float = _TALL) -> None:
    fig.add_shape(
        type="rect", x0=x - _WIDE / 2, x1=x + _WIDE / 2, y0=y - tall / 2, y1=y + tall / 2, layer="below",
        line={"color": color, "width": 2.5 if color == style.ORANGE else 1.5},
        fillcolor=style.fade(color, 0.16 if color == style.ORANGE else 0.07),
    )  # fmt: skip
    head, colon, rest = text.partition("：" if "：" in text else ":")
    shown = f"<b>{head}</b><br>{wrap(rest.strip(), 52)}" if colon else wrap(text, 50)
    fig.add_annotation(x=x, y=y, text=shown, font={"size": 12}, showarrow=False)


def _memory(fig: go.Figure, x: float, text: str, color: str) -> None:
    _box(fig, x + 0.45, 6.2, text, color, tall=0.84)


def _goal(fig: go.Figure, x: float, text: str) -> None:
    fig.add_annotation(x=x + 0.45, y=7.2, text=f"<i>{wrap(text, 60)}</i>", font={"size": 13}, showarrow=False)


def _arrow(fig: go.Figure, x0: float, y0: float, x1: float, y1: float) -> None:
    fig.add_annotation(
        x=x1, y=y1, ax=x0, ay=y0, xref="x", yref="y", axref="x", ayref="y", text="", showarrow=True,
        arrowhead=2, arrowsize=1, arrowwidth=1.5, arrowcolor=style.GREY,
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------
# The restaurant and the same picture in serving terms.

_PER_LINE = 32


def kitchen(state: Kitchen) -> go.Figure:
    """The restaurant on the left, the same state in serving terms on the right: one mark there is one mark here."""
    left = (
        _("<b>Cooks</b>: {n}"),
        _("<b>Pots on the stove</b>: {n} of {all} in use"),
        _("<b>Counter space</b>: {n} of {all} orders"),
        _("<b>Guests at the door</b>: {n}"),
    )
    right = (
        _("<b>Compute units</b>: {n}"),
        _("<b>Sequences in the pass</b>: {n} of {all} allowed"),
        _("<b>Room in the KV cache</b>: {n} of {all} sequences"),
        _("<b>Requests in the queue</b>: {n}"),
    )
    rows = (
        (state.cooks, state.cooks, style.ORANGE),
        (state.running, state.batch, style.BLUE),
        (state.running, state.space, style.GREEN),
        (state.waiting, state.waiting, style.PURPLE),
    )
    tops = (0, 3.6, 8, 12.4)  # room for one line of cooks, two of pots and places, four of guests
    dots, notes = [], []
    for x0, head, words, symbols in (
        (0, _("The restaurant"), left, ("circle", "circle", "square", "circle")),
        (37, _("The engine"), right, ("square",) * 4),
    ):
        notes.append({"x": x0, "y": -2, "xanchor": "left", "text": f"<b>{head}</b>", "font": {"size": 15}})
        for (full, places, color), top, word, symbol in zip(rows, tops, words, symbols, strict=True):
            notes.append({"x": x0, "y": top, "xanchor": "left", "text": word.format(n=full, all=places)})
            dots.append(
                {
                    "type": "scatter", "mode": "markers", "hoverinfo": "skip",
                    "x": [x0 + 0.5 + i % _PER_LINE for i in range(places)],
                    "y": [top + 1.2 + i // _PER_LINE for i in range(places)],
                    "marker": {
                        "symbol": symbol, "size": 9, "line": {"color": color, "width": 1},
                        "color": [color if i < full else "rgba(0,0,0,0)" for i in range(places)],
                    },
                }
            )  # fmt: skip
    return style.figure(
        data=dots, annotations=notes, height=350, showlegend=False, margin={"l": 4, "r": 4, "t": 8, "b": 4},
        xaxis={"visible": False, "range": [-0.5, 70], "fixedrange": True},
        yaxis={"visible": False, "range": [17.6, -3], "fixedrange": True},
    )  # fmt: skip


def rounds(state: Kitchen, most: int = 64) -> go.Figure:
    """What the kitchen gives over the size of its round, to all and to one guest, and where it stands now."""
    sizes = list(range(1, most + 1))
    spans = [max(state.recipes_s, b * state.dish_s / state.cooks) for b in sizes]
    views = (
        (_("All guests: tokens per second"), [b / s for b, s in zip(sizes, spans, strict=True)], state.dishes_per_s),
        (_("One guest: ms between tokens"), [1e3 * s for s in spans], 1e3 * state.round_s),
    )
    data, axes = [], {}
    for place, (title, values, here) in enumerate(views):
        number = str(place + 1) if place else ""
        at = {"type": "scatter", "xaxis": f"x{number}", "yaxis": f"y{number}", "showlegend": not place}
        data.append({"x": sizes, "y": values, **at, **style.mark("modelled", _("this kitchen"), style.BLUE)})
        data.append(
            {
                "x": [state.running], "y": [here], "mode": "markers+text", "text": [quantity(here)],
                "textposition": "top center", "name": _("now"), "cliponaxis": False,
                "marker": {"size": 13, "color": style.ORANGE}, **at,
            }
        )  # fmt: skip
        axes[f"xaxis{number}"] = {
            "title": {"text": _("Orders in one round (sequences in one pass)")}, "range": [0, 1.06 * most],
            "domain": [0.57 * place, 0.57 * place + 0.43], "anchor": f"y{number}",
        }  # fmt: skip
        axes[f"yaxis{number}"] = {
            "title": {"text": title}, "range": [0, 1.15 * max(values)], "anchor": f"x{number}"
        }  # fmt: skip
    return style.figure(data=data, height=330, **axes)
