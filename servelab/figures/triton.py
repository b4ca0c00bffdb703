"""Where a request's time goes inside Triton, by its own statistics."""

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
