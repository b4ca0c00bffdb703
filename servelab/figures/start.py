"""Figures of the start page that no other notebook has: the two tracks, the assessment, and the course's trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from servelab.course import Course
from servelab.figures import style
from servelab.figures.lessons import wrap
from servelab.i18n import _
from servelab.load.workload import Request


def tracks(plan: Course, done: Mapping[str, float] | None = None) -> go.Figure:
    """The two tracks as two lanes: shared theory, five labs each, what stands at the end.

    Args:
        done: the learner's share (0 ... 1) of each notebook; planned ones are dotted.
    """
    done = done or {}
    fig = style.figure(showlegend=False, height=320, margin={"l": 4, "r": 4, "t": 8, "b": 4})
    lanes = len(plan.tracks)
    theory = plan.tracks[0].theory
    middle = (lanes - 1) / 2

    def tile(x: float, y: float, id: str) -> None:
        notebook, share = plan.notebook(id), done.get(id, 0.0)
        edge = {"color": style.BLUE if notebook.ready else style.GREY, "dash": "solid" if notebook.ready else "dot"}
        span = {"type": "rect", "y0": y - 0.3, "y1": y + 0.3, "layer": "below"}
        fig.add_shape(x0=x - 0.44, x1=x + 0.44, line={**edge, "width": 1.2}, **span)
        if share:
            fig.add_shape(
                x0=x - 0.44, x1=x - 0.44 + 0.88 * share, line={"width": 0},
                fillcolor=style.fade(style.GREEN, 0.35), **span,
            )  # fmt: skip
        text = f"<b>{id.rpartition('-')[2]}</b><br>{wrap(str(notebook.title), 14)}"
        fig.add_annotation(x=x, y=y, text=text, font={"size": 10}, opacity=1 if notebook.ready else 0.65)

    def arrow(x0: float, y0: float, x1: float, y1: float) -> None:
        fig.add_annotation(
            x=x1, y=y1, ax=x0, ay=y0, xref="x", yref="y", axref="x", ayref="y", text="", showarrow=True, arrowhead=2,
            arrowwidth=1.3, arrowcolor=style.GREY,
        )  # fmt: skip

    for x, id in enumerate(theory):
        tile(x, middle, id)
        if x:
            arrow(x - 0.56, middle, x - 0.46, middle)
    for y, track in enumerate(plan.tracks):
        start = len(theory)
        arrow(start - 0.55, middle, start - 0.46, y)
        head = f"<b>{track.title}</b>: {track.audience}"
        fig.add_annotation(x=start - 0.44, y=y - 0.42, xanchor="left", text=head, font={"size": 12})
        for x, id in enumerate(track.labs, start):
            tile(x, y, id)
            if x > start:
                arrow(x - 0.56, y, x - 0.46, y)
        end = start + len(track.labs)
        arrow(end - 0.56, y, end - 0.46, y)
        fig.add_annotation(x=end - 0.4, y=y, xanchor="left", align="left", font={"size": 12},
                           text=f"<i>{wrap(str(track.outcome), 20)}</i>")  # fmt: skip
    fig.update_xaxes(visible=False, range=[-0.5, len(theory) + 6.15], fixedrange=True)
    return fig.update_yaxes(visible=False, range=[lanes - 0.5, -0.65], fixedrange=True)


def assessment(plan: Course) -> go.Figure:
    """What counts for the mark: a bar an item, percent of the whole, in the colour of its group."""
    titles = [str(item.title) for item in plan.items]
    fig = style.figure(x=_("Share of the mark (%)"), height=110 + 27 * len(titles), bargap=0.35)
    for color, group in zip(style.PALETTE, plan.groups, strict=False):
        held = [item for item in plan.items if item.group == group.id]
        fig.add_bar(
            x=[item.weight for item in held], y=[str(item.title) for item in held], orientation="h",
            name=f"{group.title} {group.weight} %", marker_color=color, hoverinfo="x+y",
            text=[f"{item.weight:g} %" for item in held], textposition="outside", cliponaxis=False,
        )  # fmt: skip
    fig.update_layout(barmode="overlay", legend={"itemwidth": 30})
    return fig.update_yaxes(categoryorder="array", categoryarray=titles[::-1], showgrid=False)


def trace(requests: Sequence[Request]) -> go.Figure:
    """A trace of requests: when each arrives, and how many tokens it brings and wants."""
    fig = style.figure(_("Time of arrival (s)"), _("Tokens"), height=320)
    at = [r.arrival_s for r in requests]
    for name, values, color, symbol in (
        (_("prompt"), [r.prompt_tokens for r in requests], style.BLUE, "circle"),
        (_("answer"), [r.output_tokens for r in requests], style.ORANGE, "diamond"),
    ):
        fig.add_scatter(x=at, y=values, mode="markers", name=name,
                        marker={"color": color, "symbol": symbol, "size": 7})  # fmt: skip
    return fig.update_yaxes(type="log", dtick=1)
