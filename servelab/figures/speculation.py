"""Speculative decoding: how deep drafts are accepted, what a step then gives, and what is left of it as speed.

Shares `reached` are of all steps, by position of the drafted token, as in `servelab.theory.speculation`; `cost` is
the time of one drafted token over that of one step of the model. Each figure takes curves by name: {name: (kind,
colour, shares)}.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray

from servelab.figures import style
from servelab.i18n import _
from servelab.theory import speculation as theory

Curves = Mapping[str, tuple[style.Kind, str, ArrayLike]]
"""{name: (where the numbers come from, colour, share of all steps that accept each position)}."""

BATCHES = np.array([1, 2, 4, 8, 16, 32, 64, 128])


def positions(curves: Curves, depth: int) -> go.Figure:
    """Share of steps that accept the draft's token at each position; what was measured as bars."""
    fig = style.figure(_("Position of the drafted token"), _("Steps that accept it (%)"), height=400)
    for name, (kind, color, shares) in curves.items():
        shares = np.asarray(shares, float)
        place, share = np.arange(1, shares.size + 1), 100 * shares
        if kind == "measured":
            bar = {"marker": {"color": style.fade(color, 0.45), "line": {"color": color, "width": 1}}}
            label = _("{name} ({kind})").format(name=name, kind=style.suffix(kind))
            fig.add_bar(x=place, y=share, name=label, **bar)
        else:
            line = style.mark(kind, name, color) | {"mode": "lines+markers", "marker": {"size": 6, "color": color}}
            fig.add_scatter(x=place, y=share, **line)
    style.rule(fig, x=depth + 0.5, text=_("depth {n}").format(n=depth))
    return fig.update_yaxes(range=[0, 105]).update_xaxes(dtick=1).update_layout(showlegend=True)


def speedup(curves: Curves, cost: float, depth: int) -> go.Figure:
    """How many times faster than without a draft, over its depth: the chosen depth as a dot, the best as a star.

    The fainter line above each curve is the tokens that a step gives, which is the speed-up of a draft that costs
    nothing; what lies between the two is the price of drafting.
    """
    fig = style.figure(_("Depth (drafted tokens a step)"), _("Speed-up (times), tokens a step"), height=400)
    top, deep = 1.5, max(np.size(shares) for _kind, _color, shares in curves.values())
    for n, (name, (kind, color, shares)) in enumerate(curves.items()):
        given = theory.speedup_by_position(shares, 0.0)
        thin = {"line": {"color": style.fade(color, 0.55), "width": 1.5}, "mode": "lines", "showlegend": n == 0}
        fig.add_scatter(x=np.arange(given.size), y=given, name=_("tokens a step"), **thin)
        gain = theory.speedup_by_position(shares, cost)
        fig.add_scatter(x=np.arange(gain.size), y=gain, **style.mark(kind, name, color))
        if depth < gain.size:
            dot = {"size": 11, "color": color, "line": {"color": style.INK, "width": 1.5}}
            at = {"x": [depth], "y": [float(gain[depth])], "mode": "markers", "marker": dot}
            fig.add_scatter(showlegend=False, hoverinfo="skip", **at)
        best = int(gain.argmax())
        star = {"symbol": "star", "size": 15, "color": color, "line": {"color": style.INK, "width": 1}}
        at = {"x": [best], "y": [float(gain[best])], "mode": "markers", "marker": star}
        fig.add_scatter(name=_("best depth"), showlegend=n == 0, **at)
        top = max(top, float(given.max()))
    style.rule(fig, y=1, text=_("no draft"))
    return fig.update_yaxes(range=[0, 1.15 * top]).update_xaxes(dtick=1, range=[-0.3, deep + 0.3])


def by_batch(
    reached: ArrayLike,
    cost: float,
    depth: int,
    batch: int,
    step_s: Callable[[NDArray], NDArray],
) -> go.Figure:
    """Speed-up over the batch, where checking costs what a step of so many tokens costs.

    Args:
        reached: shares by position; the depth that is best at each batch is looked for among these positions.
        batch: the one chosen.
        step_s: seconds of a step that takes so many tokens through, such as `StepModel.tpot_s`.
    """
    fig = style.figure(_("Sequences in the batch"), _("Speed-up (times)"))
    gain = gain_at_batch(reached, cost, BATCHES, step_s)
    for name, color, values in (
        (_("this depth"), style.PURPLE, gain[:, depth]),
        (_("the best depth at each batch"), style.GREY, gain.max(axis=1)),
    ):
        fig.add_scatter(x=BATCHES, y=values, **style.mark("modelled", name, color))
    here = float(gain_at_batch(reached, cost, [batch], step_s)[0, depth])
    dot = {"size": 12, "color": style.PURPLE, "line": {"color": style.INK, "width": 1.5}}
    fig.add_scatter(x=[batch], y=[here], mode="markers", marker=dot, showlegend=False)
    style.rule(fig, y=1, text=_("no draft"))
    span = [np.log10(BATCHES[0] / 1.2), np.log10(BATCHES[-1] * 1.2)]
    fig.update_xaxes(type="log", range=span, tickvals=BATCHES.tolist(), ticktext=[str(b) for b in BATCHES])
    return fig.update_yaxes(range=[0, 1.15 * max(1.5, float(gain.max()))])


def gain_at_batch(
    reached: ArrayLike, cost: float, batch: ArrayLike, step_s: Callable[[NDArray], NDArray]
) -> NDArray[np.float64]:
    """`theory.speedup_at_batch` from shares by position, shape (batches, positions + 1): entry g is depth g.

    A drafted token costs `cost` times the plain step of the same batch.
    """
    reached, batch = np.asarray(reached, float), np.asarray(batch, float)[:, None]
    depth = np.arange(reached.size + 1)
    given = np.concatenate([[1.0], 1 + np.cumsum(reached)])
    plain = step_s(batch)
    return given * plain / (step_s(batch * (depth + 1)) + depth * cost * plain)
