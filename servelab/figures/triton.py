"""Triton drawn: where a request's time goes, and what many models cost, wait for and answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from servelab.figures import style
from servelab.i18n import _


def ledger(users: Sequence[int], rows: Sequence[Mapping[str, float]], modelled_ms: Sequence[float]) -> go.Figure:
    """Mean milliseconds of a request by part, stacked, for each number of users; beside it what a model says.

    Args:
        users: how many asked at once.
        rows: for each of them {part of `inference_stats`: mean ms}, in the order of a request's life.
        modelled_ms: the whole time that the model says, for each.
    """
    names = {
        "queue": _("in the queue"),
        "compute_input": _("inputs handed over"),
        "compute_infer": _("in the model"),
        "compute_output": _("outputs taken back"),
    }
    fig = style.figure(_("Users at once"), _("Mean time of a request (ms)"), barmode="stack")
    at = [str(n) for n in users]
    for number, part in enumerate(rows[0]):
        name = _("{part} (measured)").format(part=names.get(part, part))
        fig.add_bar(x=at, y=[row[part] for row in rows], name=name, marker_color=style.colour(number))
    fig.add_scatter(x=at, y=list(modelled_ms), **style.mark("modelled", _("users x service time"), 4))
    return fig.update_xaxes(type="category")


def stages(mean_ms: Mapping[str, float]) -> go.Figure:
    """Mean time of a request in each model of a pipeline (measured), in the pipeline's order.

    Args:
        mean_ms: {model: milliseconds}.
    """
    fig = style.figure(_("Mean time of a request (ms)"), height=120 + 40 * len(mean_ms))
    told = [_("{ms} ms").format(ms=style.number(value)) for value in mean_ms.values()]
    text = {"text": told, "textposition": "outside", "cliponaxis": False}
    fig.add_bar(x=list(mean_ms.values()), y=list(mean_ms), orientation="h", name=style.suffix("measured"), **text)
    fig.update_xaxes(range=[0, 1.15 * max(mean_ms.values())])
    return fig.update_yaxes(autorange="reversed", showgrid=False).update_layout(showlegend=True)


def memory(models: Sequence[int], measured_mb: Sequence[float], server_mb: float, each_mb: float) -> go.Figure:
    """Memory of a Triton over the models that it has loaded, beside `server_mb + n each_mb`."""
    fig = style.figure(_("Models loaded"), _("Memory of the server and its models (MB)"), height=340)
    line = [server_mb + n * each_mb for n in models]
    name = _("{server} MB + {each} MB a model").format(server=style.number(server_mb), each=style.number(each_mb))
    fig.add_scatter(x=list(models), y=line, **style.mark("modelled", name, color=1))
    fig.add_scatter(x=list(models), y=list(measured_mb), **style.mark("measured", _("all its processes"), color=0))
    return fig.update_yaxes(rangemode="tozero").update_xaxes(dtick=1).update_layout(showlegend=True)


def handover(sent_s: Sequence[float], said: Sequence[str], events: Mapping[str, float] | None = None) -> go.Figure:
    """Who answered each request over the time it was sent at (measured): one row for each answer, in order of time.

    Args:
        sent_s: seconds from the load's start.
        said: the answer of each request, such as `version 2` or `refused`.
        events: {text: seconds}, drawn as lines.
    """
    fig = style.figure(_("Request sent after (s)"), height=300)
    for number, answer in enumerate(dict.fromkeys(said)):
        at = [second for second, one in zip(sent_s, said, strict=True) if one == answer]
        label = _("{name}: {n} (measured)").format(name=answer, n=len(at))
        dots = {"mode": "markers", "marker": {"size": 9, "symbol": "line-ns-open", "color": style.colour(number)}}
        fig.add_scatter(x=at, y=[answer] * len(at), name=label, **dots)
    for text, second in (events or {}).items():
        style.rule(fig, x=second, text=text)
    return fig.update_yaxes(type="category", autorange="reversed", showgrid=False).update_layout(showlegend=True)


def policies() -> dict[str, str]:
    """Who leaves a full shelf of models, in the learner's language."""
    return {
        "fifo": _("loaded first, leaves first"),
        "lru": _("asked for longest ago leaves (LRU)"),
        "optimal": _("needed again last leaves (knows the future)"),
    }


def shelf(
    rooms: Sequence[int],
    loads: Mapping[str, Sequence[float]],
    measured: Mapping[str, tuple[int, float]] | None = None,
    chosen: int | None = None,
) -> go.Figure:
    """Share of the requests that wait for a load, over how many models fit, for each policy.

    Args:
        rooms: numbers of models that may be loaded at once.
        loads: {policy: percent of the requests that need a load, for each room} (simulated).
        measured: {policy: (room, percent)} of a running server.
        chosen: a room to mark.
    """
    fig = style.figure(_("Models that may be loaded at once"), _("Requests that wait for a load (%)"), height=340)
    told = policies()
    for number, (policy, shares) in enumerate(loads.items()):
        fig.add_scatter(x=list(rooms), y=list(shares), **style.mark("simulated", told[policy], color=number))
        if policy in (measured or {}):
            look = style.mark("measured", told[policy], color=number) | {"mode": "markers"}
            look["marker"] = {**look["marker"], "size": 13}
            fig.add_scatter(x=[measured[policy][0]], y=[measured[policy][1]], **look)
    if chosen is not None:
        style.rule(fig, x=chosen)
    return fig.update_yaxes(rangemode="tozero").update_xaxes(dtick=1).update_layout(showlegend=True)


def price(memory_mb: Sequence[float], wait_s: Mapping[str, Sequence[float]], chosen: int | None = None) -> go.Figure:
    """What a request waits for loads on average, over the memory that the shelf takes, for each policy (simulated).

    Args:
        chosen: position of a shelf to mark.
    """
    fig = style.figure(_("Memory of the loaded models (MB)"), _("Mean wait for a load (s)"), height=340)
    told = policies()
    for number, (policy, waits) in enumerate(wait_s.items()):
        fig.add_scatter(x=list(memory_mb), y=list(waits), **style.mark("simulated", told[policy], color=number))
    if chosen is not None:
        style.rule(fig, x=memory_mb[chosen])
    return fig.update_yaxes(rangemode="tozero").update_layout(showlegend=True)
