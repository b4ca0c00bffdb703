"""Ablations on one axis: how many times a cost falls with each technique, its interval, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from servelab.figures import style
from servelab.i18n import _
from servelab.load.ablation import Ablation, Verdict, names, verdicts

COLOUR: dict[Verdict, str] = {
    "gain": style.GREEN,
    "loss": style.ORANGE,
    "none": style.GREY,
    "undecided": style.PURPLE,
}
SYMBOL: dict[Verdict, str] = {
    "gain": "triangle-right",
    "loss": "triangle-left",
    "none": "square",
    "undecided": "circle-open",
}
ROW = 26
"""Pixels of a row."""


def forest(found: Mapping[str, Mapping[str, Ablation]]) -> go.Figure:
    """A forest plot: one row an ablation, off / on with its 95 % interval on a logarithmic axis; right of 1 is gain.

    A side of an interval that reaches beyond ten times the farthest ratio is drawn as far as that. Counted
    quantities have no interval.

    Args:
        found: {family: {what was measured: its ablation}}, drawn in this order from the top; the short names of
            `servelab.load.ablation.names` are written out.
    """
    told = names()
    rows = [
        (told.get(family, family), told.get(name, name), one)
        for family, group in found.items()
        for name, one in group.items()
    ]
    ratios = [one.ratio for _family, _name, one in rows] or [1.0]
    least, most = min(*ratios, 1) / 10, max(*ratios, 1) * 10
    low = [max(one.low, least) for *_names, one in rows]
    high = [min(one.high, most) for *_names, one in rows]
    height = ROW * (len(rows) + 1) + 130
    fig = style.figure(_("Cost without ÷ cost with the technique (x)"), "", height=height)
    for verdict, meaning in verdicts().items():
        mine = [i for i, (*_names, one) in enumerate(rows) if one.verdict == verdict]
        fig.add_scatter(
            x=[rows[i][2].ratio for i in mine] or [None],
            y=[i for i in mine] or [None],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [high[i] - rows[i][2].ratio for i in mine],
                "arrayminus": [rows[i][2].ratio - low[i] for i in mine],
                "color": COLOUR[verdict],
                "thickness": 2,
                "width": 4,
            },
            mode="markers",
            marker={"size": 11, "color": COLOUR[verdict], "symbol": SYMBOL[verdict]},
            name=meaning,
            text=[f"{rows[i][1]}<br>{rows[i][2]}" for i in mine],
            hovertemplate="%{text}<extra></extra>",
        )
    style.rule(fig, x=1, color=style.INK)
    _bands(fig, [family for family, *_rest in rows])
    left, right = min([*low, 1]) / 1.3, max([*high, 1]) * 1.3
    fig.update_xaxes(**style.log_ticks(left, right), range=[np.log10(left), np.log10(right)])
    return fig.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[f"{name}  <b>×{one.ratio:.3g}</b>" for _family, name, one in rows],
        range=[len(rows) - 0.4, -0.6],
        showgrid=False,
        zeroline=False,
    ).update_layout(showlegend=True)


def _bands(fig: go.Figure, families: list[str]) -> None:
    """A line above each family and its name at the right."""
    for row, family in enumerate(families):
        if row and family == families[row - 1]:
            continue
        line = {"color": style.GRID, "width": 1}
        fig.add_shape(type="line", x0=0, x1=1, xref="x domain", y0=row - 0.5, y1=row - 0.5, line=line)
        fig.add_annotation(
            x=1, xref="x domain", y=row, text=f"<b>{family}</b>", xanchor="right", yanchor="middle", showarrow=False
        )
