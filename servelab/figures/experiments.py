"""An A/B test drawn: how many users it takes, what it saw while it ran, and what looking early does to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from servelab.figures import style
from servelab.i18n import _
from servelab.theory import experiments as theory

DIFFERENCES = np.linspace(0.02, 0.5, 97)


def bounds_names() -> dict[str, str]:
    """The ways to stop in the learner's language."""
    return {
        "naive": _("as if each look were the only one"),
        "bonferroni": "Bonferroni",
        "pocock": "Pocock",
        "obrien_fleming": "O'Brien-Fleming",
    }


def plan(share_a: float, planned: float | None = None, power: float = theory.POWER) -> go.Figure:
    """Users that each arm needs, over the difference that shall be found, from a share `share_a` upwards.

    Args:
        planned: the difference that was chosen, drawn as a star.
    """
    fig = style.figure(_("Difference to be found (percentage points)"), _("Users in each arm"), height=340)
    there = DIFFERENCES[share_a + DIFFERENCES < 1]
    counts = [theory.users(share_a, share_a + d, power=power) for d in there]
    name = _("power {power:.0%}").format(power=power)
    fig.add_scatter(x=100 * there, y=counts, **style.mark("modelled", name, color=0))
    if planned:
        marker = {"symbol": "star", "size": 16, "color": style.PURPLE, "line": {"color": style.INK, "width": 1}}
        n = theory.users(share_a, share_a + planned, power=power)
        text = _("{n} users").format(n=n)
        fig.add_scatter(
            x=[100 * planned], y=[n], mode="markers+text", marker=marker, text=[text], textposition="top right",
            name=_("this test"), cliponaxis=False,
        )  # fmt: skip
    fig.update_yaxes(**style.log_ticks(max(1, min(counts)), max(counts)))
    return fig.update_xaxes(rangemode="tozero").update_layout(showlegend=True)


def peeking(looks: Sequence[int], alarms: Mapping[str, ArrayLike]) -> go.Figure:
    """How often a test without any difference says that there is one, over how often one looks; in percent.

    Args:
        looks: numbers of looks.
        alarms: {boundary: simulated share of tests that were stopped, for each of `looks`}; the exact chance of each
            is drawn beside.
    """
    told = bounds_names()
    fig = style.figure(_("Looks at the test while it runs"), _("False alarms (%)"), height=380)
    for n, (kind, seen) in enumerate(alarms.items()):
        exact = [100 * theory.crossing(theory.boundaries(k, kind)) for k in looks]
        fig.add_scatter(x=list(looks), y=exact, **style.mark("modelled", told[kind], color=n))
        dots = style.mark("simulated", told[kind], color=n) | {"mode": "markers", "marker": {"size": 10}}
        dots["marker"]["color"] = style.colour(n)
        fig.add_scatter(x=list(looks), y=100 * np.asarray(seen, float), **dots)
    style.rule(fig, y=100 * theory.ALPHA, text=_("promised"))
    fig.update_xaxes(type="log", tickvals=list(looks), ticktext=[str(k) for k in looks])
    return fig.update_yaxes(rangemode="tozero").update_layout(showlegend=True)


def monitor(users: Sequence[int], z: ArrayLike, kinds: Sequence[theory.Boundary]) -> go.Figure:
    """z of a test at its looks, with the boundaries at which it might have been stopped, above and below.

    Args:
        users: of both arms together at each look.
        z: at each look, above 0 where B did better.
        kinds: boundaries to draw.
    """
    told = bounds_names()
    fig = style.figure(_("Users so far, both arms"), _("z (above 0: B is better)"), height=380)
    for n, kind in enumerate(kinds):
        bound = theory.boundaries(len(users), kind)
        look = style.mark("modelled", told[kind], color=n + 1)
        fig.add_scatter(x=list(users), y=bound, legendgroup=kind, **look)
        fig.add_scatter(x=list(users), y=-bound, legendgroup=kind, **{**look, "showlegend": False})
    fig.add_scatter(x=list(users), y=np.asarray(z, float), **style.mark("measured", _("this test"), color=0))
    style.rule(fig, y=0)
    return fig.update_xaxes(rangemode="tozero").update_layout(showlegend=True)
