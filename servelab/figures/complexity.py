"""Growth on log-log axes: what was measured beside what was counted, each with its exponent."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from servelab.course import Model
from servelab.figures import style
from servelab.i18n import _
from servelab.theory import complexity as theory
from servelab.theory.complexity import Parts

Curves = Mapping[str, ArrayLike]


def exponent(sizes: ArrayLike, cost: ArrayLike) -> float:
    """The exponent over the upper half of the sizes: what growth comes to at last."""
    sizes, cost = np.asarray(sizes, float), np.asarray(cost, float)
    half = len(sizes) // 2 if len(sizes) > 2 else 0
    return float(theory.growth(sizes[[half, -1]], cost[[half, -1]])[0])


def growth(
    sizes: ArrayLike, measured: Curves, modelled: Curves, x: str, y: str, crossing: Mapping[str, float] | None = None
) -> go.Figure:
    """Curves over sizes on log-log axes; the legend says each one's exponent over its upper half.

    Args:
        sizes: shape (sizes,), common to all.
        measured, modelled: {name: cost at each size}.
        x, y: axis titles with their units.
        crossing: {text: size}, drawn as vertical lines.
    """
    fig = style.figure(x, y, height=440)
    sizes = np.asarray(sizes, float)
    every = {"measured": measured, "modelled": modelled}
    names = list(dict.fromkeys([*measured, *modelled]))
    for kind, curves in every.items():
        for name, cost in curves.items():
            cost = np.asarray(cost, float)
            told = _("{name}, slope {p:.2f}").format(name=name, p=exponent(sizes, cost))
            fig.add_scatter(x=sizes, y=cost, **style.mark(kind, told, names.index(name)))
    values = np.concatenate([np.asarray(c, float) for curves in every.values() for c in curves.values()])
    fig.update_xaxes(**style.log_ticks(sizes.min(), sizes.max()))
    fig.update_yaxes(type="log", exponentformat="power", range=_decades(values))
    for text, size in (crossing or {}).items():
        style.rule(fig, x=size, text=text)
    return fig


def _decades(values: np.ndarray) -> list[float]:
    return [float(np.log10(values.min())) - 0.2, float(np.log10(values.max())) + 0.3]


def parts(model: Model, done: Parts, sizes: ArrayLike, at: int, x: str) -> go.Figure:
    """Where the FLOPs of a pass go, as shares, over its size; the line is where you are."""
    fig = style.figure(x, _("Share of the FLOPs (%, modelled)"))
    sizes = np.asarray(sizes, float)
    names = {"matrices": _("matrices"), "attention": _("attention"), "output": _("vocabulary")}
    for color, (part, name) in enumerate(names.items()):
        share = np.broadcast_to(100 * np.asarray(getattr(done, part)) / np.asarray(done.total), sizes.shape)
        area = {"mode": "lines", "stackgroup": "one", "fillcolor": style.fade(color, 0.4), "line": {"width": 1}}
        fig.add_scatter(x=sizes, y=share, name=name, line_color=style.colour(color), **area)
    fig.update_xaxes(**style.log_ticks(sizes.min(), sizes.max()))
    style.rule(fig, x=at, text=model.title)
    return fig.update_yaxes(range=[0, 100])
