"""Figures of the first lesson: reading against writing, passes of many sizes, two systems, and the restaurant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from servelab.figures import style
from servelab.figures.lessons import quantity, wrap
from servelab.i18n import _
from servelab.theory.kitchen import Kitchen


@dataclass(frozen=True)
class Speed:
    """A measured value and, where there is one, the model's for it (a ceiling or a prediction)."""

    name: str
    measured: float
    modelled: float | None = None


def speeds(rows: Sequence[Speed], unit: str = "", modelled: str = "", log: bool = True) -> go.Figure:
    """Measured values as bars, the first on top, each with the model's value as a tick and their ratio.

    Args:
        unit: of all values; the axis title. Default: tokens per second.
        modelled: what the ticks are. Default: the ceiling.
        log: a logarithmic axis.
    """
    names = [row.name for row in rows]
    held = [row for row in rows if row.modelled is not None]
    unit = unit or _("Tokens per second")
    fig = style.figure(x=unit, height=150 + 52 * len(rows), bargap=0.45)
    fig.add_bar(
        x=[row.measured for row in rows], y=names, orientation="h", name=style.suffix("measured"),
        marker_color=style.BLUE, hoverinfo="x+y",
    )  # fmt: skip
    if held:
        label = _("{name} ({kind})").format(name=modelled or _("ceiling"), kind=style.suffix("modelled"))
        fig.add_scatter(
            x=[row.modelled for row in held], y=[row.name for row in held], mode="markers", name=label,
            marker={"symbol": "line-ns", "size": 30, "line": {"width": 3, "color": style.ORANGE}}, hoverinfo="x+y",
        )  # fmt: skip
    fig.add_scatter(
        x=[max(row.measured, row.modelled or 0) for row in rows], y=names, mode="text", showlegend=False,
        text=[_told(row) for row in rows], textposition="middle right", cliponaxis=False, hoverinfo="skip",
    )  # fmt: skip
    values = [v for row in rows for v in (row.measured, row.modelled) if v]
    if log:
        from math import log10

        low, high = log10(min(values)), log10(max(values))
        room = max(high - low, 0.5)
        fig.update_xaxes(type="log", range=[low - 0.35 * room, high + 0.6 * room], dtick=1)
    else:
        fig.update_xaxes(range=[0, 1.5 * max(values)])
    return fig.update_yaxes(categoryorder="array", categoryarray=names[::-1], showgrid=False)


def jobs(speed: Mapping[str, float], ceiling: Mapping[str, float] | None = None) -> go.Figure:
    """Tokens per second of the three jobs `read`, `learn` and `write`; with the ceiling of each, if given."""
    names = {
        "read": _("reading: one pass for all"),
        "learn": _("learning: forward and backward"),
        "write": _("writing: one by one"),
    }
    rows = [Speed(names[job], speed[job], ceiling[job] if ceiling else None) for job in names if job in speed]
    return speeds(rows)


def floors(ttft_s: float, ttft_floor_s: float, tpot_s: float, tpot_floor_s: float) -> go.Figure:
    """A server's two latencies, each with the shortest time that arithmetic and memory allow (seconds)."""
    rows = [
        Speed(_("first token after the prompt (TTFT)"), 1e3 * ttft_s, 1e3 * ttft_floor_s),
        Speed(_("each further token (TPOT)"), 1e3 * tpot_s, 1e3 * tpot_floor_s),
    ]
    return speeds(rows, unit=_("Milliseconds"), modelled=_("shortest possible"))


def _told(row: Speed) -> str:
    """A bar's label: the value, and its share of the modelled one."""
    value = f"  <b>{quantity(row.measured)}</b>"
    if row.modelled is None:
        return value
    share = _("{percent:.0f} % of {value}").format(
        percent=100 * row.measured / row.modelled, value=quantity(row.modelled)
    )
    return f"{value} ({share})"


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
    fig.update_yaxes(type="log", tickvals=[d * 10**e for e in range(-1, 6) for d in (1, 2, 5)])
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
    shown = f"<b>{head}</b><br>{wrap(rest.strip(), 46)}" if colon else wrap(text, 44)
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
    fig = style.figure(height=350, showlegend=False, margin={"l": 4, "r": 4, "t": 8, "b": 4})
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
    for x0, words, symbols in ((0, left, ("circle", "circle", "square", "circle")), (37, right, ("square",) * 4)):
        fig.add_annotation(
            x=x0, y=-2, xanchor="left", showarrow=False, font={"size": 15},
            text=f"<b>{_('The restaurant') if not x0 else _('The engine')}</b>",
        )  # fmt: skip
        for row, ((full, places, color), word, symbol) in enumerate(zip(rows, words, symbols, strict=True)):
            top = tops[row]
            fig.add_annotation(
                x=x0, y=top, xanchor="left", yanchor="middle", showarrow=False,
                text=word.format(n=full, all=places),
            )  # fmt: skip
            xs = [x0 + 0.5 + i % _PER_LINE for i in range(places)]
            ys = [top + 1.2 + i // _PER_LINE for i in range(places)]
            colors = [color if i < full else "rgba(0,0,0,0)" for i in range(places)]
            fig.add_scatter(
                x=xs, y=ys, mode="markers", hoverinfo="skip",
                marker={"symbol": symbol, "size": 9, "color": colors, "line": {"color": color, "width": 1}},
            )  # fmt: skip
    fig.update_xaxes(visible=False, range=[-0.5, 70], fixedrange=True)
    return fig.update_yaxes(visible=False, range=[17.6, -3], fixedrange=True)


def rounds(state: Kitchen, most: int = 64) -> go.Figure:
    """What the kitchen gives over the size of its round, to all and to one guest, and where it stands now."""
    sizes = list(range(1, most + 1))
    spans = [max(state.recipes_s, b * state.dish_s / state.cooks) for b in sizes]
    fig = make_subplots(1, 2, horizontal_spacing=0.14)
    views = (
        (_("All guests: tokens per second"), [b / s for b, s in zip(sizes, spans, strict=True)], state.dishes_per_s),
        (_("One guest: ms between tokens"), [1e3 * s for s in spans], 1e3 * state.round_s),
    )
    for column, (title, values, here) in enumerate(views, 1):
        fig.add_scatter(
            x=sizes, y=values, row=1, col=column, showlegend=column == 1,
            **style.mark("modelled", _("this kitchen"), style.BLUE),
        )  # fmt: skip
        fig.add_scatter(
            x=[state.running], y=[here], mode="markers+text", text=[quantity(here)], row=1, col=column,
            textposition="top center", name=_("now"), showlegend=column == 1, cliponaxis=False,
            marker={"size": 13, "color": style.ORANGE},
        )  # fmt: skip
        fig.update_yaxes(title_text=title, range=[0, 1.15 * max(values)], row=1, col=column)
        title = _("Orders in one round (sequences in one pass)")
        fig.update_xaxes(title_text=title, range=[0, 1.06 * most], row=1, col=column)
    return fig.update_layout(template=style.NAME, height=330)
