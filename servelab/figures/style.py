"""One look for every figure: a palette, a template, and a mark for where a curve comes from.

The background is transparent, so each colour must stand on JupyterLab's light page (#ffffff) and on its dark
one (#111111): graphics keep a contrast of at least 3 : 1 on both (WCAG 2.2, 1.4.11), text of at least 4.3 : 1
(no grey has more on both at once). The hues are Okabe and Ito's colour-blind-safe set, "Color Universal
Design" (2008), lightened or darkened until they meet that; yellow cannot, and a darker orange looks like
vermillion to the red-green blind: both are left out. Tell more than five curves apart by something else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import plotly.graph_objects as go
import plotly.io as pio

from servelab.figures.sketch import Sketch, wanted
from servelab.i18n import _

NAME = "servelab"

BLUE = "#1380c3"
ORANGE = "#d55e00"
GREEN = "#009e73"
PURPLE = "#c26a9c"
GREY = "#797979"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, GREY)
INK = GREY
GRID = "rgba(128,128,128,0.25)"
FAINT = "rgba(128,128,128,0.12)"
SCALE = ((0.0, FAINT), (0.5, "#5aa5d6"), (1.0, "#0a5f98"))

Kind = Literal["measured", "modelled", "simulated"]


def colour(which: int | str | None) -> str | None:
    """A palette entry by position (it wraps around), or the colour itself."""
    return PALETTE[which % len(PALETTE)] if isinstance(which, int) else which


def fade(which: int | str, opacity: float = 0.2) -> str:
    """The same colour, see-through: for areas, bands and bars that lie behind others."""
    value = colour(which).lstrip("#")
    red, green, blue = (int(value[i : i + 2], 16) for i in (0, 2, 4))
    return f"rgba({red},{green},{blue},{opacity})"


def template() -> go.layout.Template:
    """The course's template: transparent, mid-grey text and grid, no title, legend above the plot."""
    axis = {
        "gridcolor": GRID,
        "linecolor": INK,
        "zerolinecolor": GRID,
        "showline": True,
        "ticks": "outside",
        "tickcolor": INK,
        "ticklen": 4,
        "automargin": True,
        "title": {"standoff": 10, "font": {"size": 13}},
        "exponentformat": "SI",
        "minexponent": 4,
    }
    return go.layout.Template(
        layout={
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"color": INK, "size": 13, "family": "system-ui, -apple-system, 'Noto Sans TC', sans-serif"},
            "colorway": list(PALETTE),
            "colorscale": {"sequential": SCALE, "sequentialminus": SCALE},
            "xaxis": axis,
            "yaxis": axis,
            "height": 380,
            "margin": {"l": 64, "r": 24, "t": 40, "b": 56},
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "bgcolor": "rgba(0,0,0,0)"},
            "hovermode": "closest",
            "hoverlabel": {"align": "left"},
            "bargap": 0.3,
            "annotationdefaults": {"font": {"color": INK}, "arrowcolor": INK, "arrowwidth": 1, "showarrow": False},
            "shapedefaults": {"line": {"color": INK, "width": 1}},
        },
        data={"heatmap": [go.Heatmap(colorscale=SCALE)]},
    )


pio.templates[NAME] = template()


def use() -> None:
    """Make the template the default of every figure, drawn through the offline mimetype renderer."""
    pio.templates.default = NAME
    pio.renderers.default = "plotly_mimetype"


def figure(x: str = "", y: str = "", data: Sequence[Mapping[str, Any]] = (), **layout: Any) -> go.Figure:
    """An empty (or given) figure in the course's style. While an explorer is moved it is a `Sketch` of one.

    Args:
        x, y: axis titles with their unit, such as `_("Concurrency (requests)")`.
        data: traces to start from, each a dictionary with its `type`.
        layout: any plotly layout setting (`height=300`, `xaxis_type="log"` ...).
    """
    made = Sketch(data) if wanted() else go.Figure(list(data), layout={"template": pio.templates[NAME]})
    return made.update_layout(xaxis_title_text=x or None, yaxis_title_text=y or None, **layout)


def log_ticks(low: float, high: float) -> dict[str, Any]:
    """Axis settings for a logarithmic axis from `low` to `high` (both > 0): 1, 2, 5, 10 ... written out."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(decades) <= 4 else (1,)
    values = [step * 10.0**decade for decade in decades for step in steps]
    return {"type": "log", "tickvals": values, "ticktext": [f"{v:,.10g}" if v < 1e6 else f"{v:.0e}" for v in values]}


def number(value: float) -> str:
    """Three digits, and never an exponent for a large one: 0.0123, 4.5, 123, 12,345."""
    return f"{value:,.3g}" if abs(value) < 999.5 else f"{value:,.0f}"


def suffix(kind: Kind) -> str:
    """What the legend says about where a curve comes from."""
    return {"measured": _("measured"), "modelled": _("modelled"), "simulated": _("simulated")}[kind]


def mark(kind: Kind, name: str | None = None, color: int | str | None = None) -> dict[str, Any]:
    """Scatter settings that tell measured (solid line, markers), modelled (dashed) and simulated (dotted) apart.

    >>> go.Scatter(x=x, y=y, **mark("measured", _("TTFT"), color=0))

    Args:
        kind: where the numbers come from.
        name: the curve's name; the legend shows it as "name (measured)".
        color: a palette position or a colour; left out, plotly goes through the palette.
    """
    label = suffix(kind) if name is None else _("{name} ({kind})").format(name=name, kind=suffix(kind))
    line: dict[str, Any] = {"dash": {"measured": "solid", "modelled": "dash", "simulated": "dot"}[kind], "width": 2.5}
    marked: dict[str, Any] = {"name": label, "mode": "lines+markers" if kind == "measured" else "lines", "line": line}
    if kind == "measured":
        marked["marker"] = {"size": 8}
    if color is not None:
        line["color"] = colour(color)
        if kind == "measured":
            marked["marker"]["color"] = colour(color)
    return marked


def rule(fig: go.Figure, *, x: float | None = None, y: float | None = None, text: str = "", color: str = INK) -> None:
    """Draw a thin line across `fig` at `x` or `y`, with its text beside it: an SLO, a limit, a knee."""
    shared = {"line": {"color": color, "width": 1.5, "dash": "dash"}}
    note = {"text": text, "font": {"color": color}, "showarrow": False}
    if x is not None:
        fig.add_shape(type="line", x0=x, x1=x, y0=0, y1=1, yref="y domain", **shared)
        place = _log(x) if _is_log(fig, "xaxis") else x
        fig.add_annotation(x=place, y=1, yref="y domain", xanchor="left", yanchor="top", xshift=4, **note)
    if y is not None:
        fig.add_shape(type="line", y0=y, y1=y, x0=0, x1=1, xref="x domain", **shared)
        place = _log(y) if _is_log(fig, "yaxis") else y
        fig.add_annotation(y=place, x=1, xref="x domain", xanchor="right", yanchor="bottom", **note)


def _is_log(fig: go.Figure, axis: str) -> bool:
    found = fig.layout[axis]
    return (found.get("type") if isinstance(found, dict) else found.type) == "log"


def _log(value: float) -> float:
    """Plotly places annotations (not shapes) on a log axis by the exponent."""
    return math.log10(value)
