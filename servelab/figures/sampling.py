"""The next token: how likely each one is, how often it was drawn, and how much variety a temperature brings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from servelab.figures import style
from servelab.i18n import _
from servelab.theory import sampling as theory


def shown(token: str) -> str:
    """A token with its spaces and line breaks visible."""
    return token.replace("\n", "⏎").replace(" ", "␣") or "∅"


def distribution(
    tokens: Sequence[str], own: ArrayLike, changed: ArrayLike | None = None, drawn: ArrayLike | None = None
) -> go.Figure:
    """Probability of each token, in percent.

    Args:
        tokens: their texts, likeliest first.
        own: the model's own distribution.
        changed: after temperature, top-k and top-p.
        drawn: how often each was drawn from the engine, as a share.
    """
    fig = style.figure(_("Next token"), _("Probability (%)"), barmode="overlay", bargap=0.25)
    names = [f"{number + 1} {shown(token)}" for number, token in enumerate(tokens)]
    grey = {"color": style.fade(style.GREY, 0.35), "line": {"color": style.GREY, "width": 1}}
    fig.add_bar(x=names, y=100 * np.asarray(own, float), name=_("the model's own (measured)"), marker=grey)
    if changed is not None:
        blue = style.fade(style.BLUE, 0.6)
        fig.add_bar(x=names, y=100 * np.asarray(changed, float), name=_("to be drawn (modelled)"), marker_color=blue)
    if drawn is not None:
        points = style.mark("measured", _("drawn by the engine"), 1) | {"mode": "markers"}
        fig.add_scatter(x=names, y=100 * np.asarray(drawn, float), **points)
    return fig.update_xaxes(type="category", tickangle=-45).update_yaxes(rangemode="tozero")


def variety(logprobs: ArrayLike, temperature: float, top_k: int = 0, top_p: float = 1.0, draws: int = 20) -> go.Figure:
    """Different first tokens among `draws` answers, over the temperature; the chosen one as a star."""
    fig = style.figure(_("Temperature"), _("Different first tokens in {n} answers").format(n=draws))
    grid = np.linspace(0, 2, 41)
    curve = [theory.distinct(theory.probabilities(logprobs, t, top_k, top_p), draws) for t in grid]
    fig.add_scatter(x=grid, y=curve, **style.mark("modelled", _("expected"), 0))
    now = theory.distinct(theory.probabilities(logprobs, temperature, top_k, top_p), draws)
    star = {"symbol": "star", "size": 15, "color": style.PURPLE}
    fig.add_scatter(x=[temperature], y=[now], mode="markers", marker=star, name=_("your setting"))
    return fig.update_yaxes(range=[0, draws + 1])
