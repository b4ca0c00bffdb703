"""Chunked prefill: what a newcomer's prompt does to those who write, and what each token budget would do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from servelab.figures import style
from servelab.i18n import _

MS = 1000
STALL, TTFT = 0, 1
"""Colours of the two costs."""


def gaps(ends_s: Sequence[float], gaps_s: Sequence[float], ttft_s: float) -> go.Figure:
    """One running reader's waits: each token's gap as a square that ends when the token comes. Simulated.

    Args:
        ends_s, gaps_s: when each token came, in seconds after the newcomer's arrival, and the gap before it.
        ttft_s: when the newcomer had its first token.
    """
    ends, waits = np.asarray(ends_s), np.asarray(gaps_s)
    fig = style.figure(_("Time after the newcomer's arrival (s)"), _("Gap before the token (ms)"), height=320)
    fig.add_bar(
        x=ends - waits / 2,
        y=waits * MS,
        width=waits,
        name=_("{name} ({kind})").format(name=_("a running reader"), kind=style.suffix("simulated")),
        marker={"color": style.fade(STALL, 0.45), "line": {"color": style.colour(STALL), "width": 1}},
    )
    style.rule(fig, x=ttft_s, text=_("newcomer's first token"), color=style.colour(TTFT))
    return fig.update_yaxes(rangemode="tozero").update_layout(bargap=0, showlegend=True)


def tradeoff(curve: pd.DataFrame, measured: pd.DataFrame | None = None, chosen: int | None = None) -> go.Figure:
    """Longest stall of a running reader and the newcomer's TTFT over the token budget, both in seconds.

    Args:
        curve: simulated; columns `budget` (tokens a step), `stall_s`, `ttft_s`.
        measured: the same columns, where an engine was measured.
        chosen: budget of `curve` that is marked with a line.
    """
    fig = style.figure(_("Token budget of a step (max_num_batched_tokens)"), _("Time (s)"), height=320)
    for name, column, color in ((_("longest stall"), "stall_s", STALL), (_("newcomer's TTFT"), "ttft_s", TTFT)):
        fig.add_scatter(x=curve.budget, y=curve[column], **style.mark("simulated", name, color=color))
        if measured is not None and len(measured):
            marked = style.mark("measured", name, color=color) | {"mode": "markers"}
            marked["marker"] = {**marked["marker"], "size": 11}
            fig.add_scatter(x=measured.budget, y=measured[column], **marked)
    ticks = {"type": "log", "tickvals": curve.budget.tolist(), "ticktext": [f"{b}" for b in curve.budget]}
    fig.update_xaxes(**ticks)
    if chosen is not None:
        style.rule(fig, x=chosen, text=_("chosen"), color=style.PURPLE)
    return fig.update_yaxes(rangemode="tozero").update_layout(showlegend=True)
