"""One engine behind two doors, plain vLLM and vLLM inside Triton: what an answer and the memory cost behind each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from servelab.figures import style
from servelab.i18n import _


@dataclass(frozen=True)
class Door:
    """What was measured behind one door: seconds to the first token and for each one more, memory, start."""

    ttft_s: float
    itl_s: float
    memory_mb: float
    start_s: float

    def answer_s(self, tokens: int) -> float:
        """Seconds for an answer of `tokens` tokens: TTFT + (tokens - 1) x ITL."""
        return self.ttft_s + (tokens - 1) * self.itl_s


def names() -> dict[str, str]:
    """The doors, in the learner's language."""
    return {"plain": _("plain vLLM"), "http": _("inside Triton, HTTP"), "grpc": _("inside Triton, gRPC")}


def bars(doors: Mapping[str, Door]) -> go.Figure:
    """TTFT and ITL behind each door (measured), in milliseconds."""
    told = names()
    fig = style.figure(_("Time (ms)"), height=240, barmode="group")
    for number, (key, door) in enumerate(doors.items()):
        values = [1e3 * door.ttft_s, 1e3 * door.itl_s]
        name = _("{name} ({kind})").format(name=told.get(key, key), kind=style.suffix("measured"))
        text = [style.number(value) for value in values]
        fig.add_bar(
            x=values, y=["TTFT", "ITL"], orientation="h", name=name, marker_color=style.colour(number), text=text
        )
    return fig.update_yaxes(autorange="reversed", showgrid=False).update_layout(showlegend=True)


def answers(doors: Mapping[str, Door], tokens: Sequence[int], chosen: int | None = None) -> go.Figure:
    """Seconds for an answer over its tokens behind each door (modelled from the measured TTFT and ITL)."""
    told = names()
    fig = style.figure(_("Answer (tokens)"), _("Time for an answer (s)"), height=340)
    for number, (key, door) in enumerate(doors.items()):
        line = [door.answer_s(n) for n in tokens]
        fig.add_scatter(x=list(tokens), y=line, **style.mark("modelled", told.get(key, key), color=number))
    if chosen is not None:
        style.rule(fig, x=chosen)
    return fig.update_yaxes(rangemode="tozero").update_layout(showlegend=True)


def memory(
    models: Sequence[int], apart_mb: Sequence[float], together_mb: Sequence[float], chosen: int | None = None
) -> go.Figure:
    """Memory over the number of other models, in two servers or in one Triton (modelled from what was measured)."""
    fig = style.figure(_("Other models beside the language model"), _("Memory (MB)"), height=340)
    fig.add_scatter(x=list(models), y=list(apart_mb), **style.mark("modelled", _("vLLM and a Triton"), color=0))
    fig.add_scatter(x=list(models), y=list(together_mb), **style.mark("modelled", _("one Triton for all"), color=1))
    if chosen is not None:
        style.rule(fig, x=chosen)
    return fig.update_yaxes(rangemode="tozero").update_xaxes(dtick=1).update_layout(showlegend=True)


def books(client_ms: Sequence[float], triton_ms: float) -> go.Figure:
    """What clients waited for their last token (measured), beside the mean that Triton's statistics tell for it."""
    fig = style.figure(_("Request"), _("Time of a request (ms)"), height=320)
    at = [str(n) for n in range(1, len(client_ms) + 1)]
    name = _("{name} ({kind})").format(name=_("the client, to the last token"), kind=style.suffix("measured"))
    fig.add_bar(x=at, y=list(client_ms), name=name, marker_color=style.colour(0))
    fig.add_scatter(x=at, y=[triton_ms] * len(at), **style.mark("measured", _("Triton's mean for a request"), color=1))
    return fig.update_xaxes(type="category").update_layout(showlegend=True)
