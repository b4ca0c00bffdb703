"""Explorers: controls beside figures that change with them, or the same figures standing still.

With a live frontend an explorer is ipywidgets over one widget that draws all its views with plotly.js (a
`FigureWidget` would send its own five megabytes of it for every figure). With `SERVELAB_STATIC` set (a CI run, a
web page, a PDF) it is the same figures at their defaults, with one line that says what the controls stand at.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
import plotly.graph_objects as go
import traitlets
from IPython.display import HTML, display
from plotly.io.json import to_json_plotly
from plotly.offline import get_plotlyjs

from servelab.errors import ServelabError
from servelab.figures import style
from servelab.figures.sketch import Sketch, sketching
from servelab.i18n import listed
from servelab.progress import is_static
from servelab.still import keeping

LABEL = {"description_width": "initial"}
WIDE = {"width": "min(100%, 420px)"}
Drawing = go.Figure | Sequence[go.Figure]


def slider(label: str, low: float, high: float, value: float, step: float = 1) -> widgets.Widget:
    """A number between `low` and `high`; whole numbers where all four are whole."""
    whole = all(float(n).is_integer() for n in (low, high, value, step))
    cast, kind = (int, widgets.IntSlider) if whole else (float, widgets.FloatSlider)
    return kind(
        value=cast(value), min=cast(low), max=cast(high), step=cast(step), description=label, style=LABEL, layout=WIDE
    )


def steps(label: str, values: Sequence[Any], value: Any) -> widgets.SelectionSlider:
    """A slider over given values, such as 1, 2, 4, 8 ... 64."""
    return widgets.SelectionSlider(options=list(values), value=value, description=label, style=LABEL, layout=WIDE)


def choice(label: str, options: Sequence[Any] | Mapping[str, Any], value: Any) -> widgets.Dropdown:
    """One of a few: a sequence, or {shown text: value}."""
    items = list(options.items()) if isinstance(options, Mapping) else list(options)
    return widgets.Dropdown(options=items, value=value, description=label, style=LABEL, layout=WIDE)


def switch(label: str, value: bool) -> widgets.Checkbox:
    """On or off."""
    return widgets.Checkbox(value=value, description=label, indent=False)


class Views(anywidget.AnyWidget):
    """Figures side by side in the page, all given anew at each change: `views.js` redraws what differs."""

    _esm = Path(__file__).with_name("views.js")
    _css = """
    .servelab-views {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(max(300px, var(--servelab-column)), 1fr));
    }
    .servelab-views > * { min-width: 0; overflow: hidden; contain: content; }
    """
    columns = traitlets.Int(1).tag(sync=True)
    template = traitlets.Unicode().tag(sync=True)
    figures = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(self, figures: Sequence[go.Figure | Sketch], columns: int):
        super().__init__(columns=columns, template=to_json_plotly(style.template()), layout={"width": "100%"})
        self.show(figures)
        self.on_msg(self._asked)

    def show(self, figures: Sequence[go.Figure | Sketch]) -> None:
        """Draw these; as many as the widget was made with, or not."""
        drawn = [figure.to_plotly_json() for figure in figures]
        for one in drawn:
            one["layout"].pop("template", None)
        self.figures = [to_json_plotly(one) for one in drawn]

    def _asked(self, _widget: Any, message: Any, _buffers: Any) -> None:
        """The page has no plotly.js yet."""
        if message == "plotly":
            self.send("plotly", [get_plotlyjs().encode()])


class Explorer:
    """Linked views over a few controls: change one thing, see every view change.

    Args:
        controls: {argument of `draw`: its widget}; `slider`, `steps`, `choice` and `switch` make them.
        draw: a pure function of the controls' values to one figure or several. It must be fast (a few tens of
            milliseconds): compute from a model, or from data measured once before.
        say: optionally, the same values to one sentence under the figures (HTML is allowed).
        columns: how many figures stand side by side.

    A `ServelabError` raised by `draw` is shown under the figures, which keep their last drawing.
    """

    def __init__(
        self,
        controls: Mapping[str, widgets.Widget],
        draw: Callable[..., Drawing],
        *,
        say: Callable[..., str] | None = None,
        columns: int = 1,
    ):
        self.controls = dict(controls)
        self.draw = draw
        self.say = say
        self.columns = columns
        self.defaults = self.values
        self._drawn: list[go.Figure | Sketch] = []
        self._page: Views | None = None
        self._note = widgets.HTML()
        self._box: widgets.Widget | None = None

    @property
    def values(self) -> dict[str, Any]:
        """What the controls stand at now."""
        return {name: control.value for name, control in self.controls.items()}

    @property
    def views(self) -> list[go.Figure]:
        """What the live widget shows; nothing before there is one."""
        return [one.figure() if isinstance(one, Sketch) else one for one in self._drawn]

    def figures(self, **changes: Any) -> list[go.Figure]:
        """The views at the controls' defaults, but for `changes`: plain figures that need no widget."""
        return _several(self.draw(**{**self.defaults, **changes}))

    def figure(self, **changes: Any) -> go.Figure:
        """The first view (often the only one), as `figures`."""
        return self.figures(**changes)[0]

    def caption(self, **changes: Any) -> str:
        """The line (HTML) under the static figures: what the controls stand at, and what `say` says."""
        values = {**self.defaults, **changes}
        settings = listed(f"{_label(self.controls[n])} <b>{_shown(self.controls[n], v)}</b>" for n, v in values.items())
        return settings + (f"<br>{self.say(**values)}" if self.say else "")

    def live(self) -> widgets.Widget:
        """The widget: controls above, figures below. Made once; later calls return the same."""
        if self._box is None:
            self._drawn = self._sketched()
            self._page = Views(self._drawn, self.columns)
            if self.say:
                self._note.value = self.say(**self.values)
            for control in self.controls.values():
                control.observe(self._changed, names="value")
            panel = widgets.HBox(list(self.controls.values()), layout={"flex_flow": "row wrap", "grid_gap": "0 24px"})
            self._box = widgets.VBox([panel, self._page, self._note], layout={"width": "100%"})
            self._box.add_class("servelab-explorer")
            keeping(self._box, self._standing)
        return self._box

    def redraw(self) -> None:
        """Bring every view to the controls' present values."""
        try:
            drawn = self._sketched()
            note = self.say(**self.values) if self.say else ""
        except ServelabError as error:
            self._note.value = f'<span style="color:{style.ORANGE}">{html.escape(str(error))}</span>'
            return
        self._drawn = drawn
        self._page.show(drawn)
        self._note.value = note

    def _sketched(self) -> list[go.Figure | Sketch]:
        with sketching():
            return _several(self.draw(**self.values))

    def _changed(self, _event: Any) -> None:
        self.redraw()

    def _ipython_display_(self) -> None:
        for one in self._standing() if is_static() else [self.live()]:
            display(one)

    def _standing(self) -> list[Any]:
        return [*self.figures(), HTML(f"<p>{self.caption()}</p>")]


def _several(drawn: Drawing) -> list[go.Figure]:
    return list(drawn) if isinstance(drawn, Sequence) else [drawn]


def _label(control: widgets.Widget) -> str:
    return html.escape(control.description)


def _shown(control: widgets.Widget, value: Any) -> str:
    if isinstance(value, bool):
        return "✓" if value else "✗"
    if hasattr(control, "_options_full"):
        value = next((text for text, held in control._options_full if held == value), value)
    return html.escape(f"{value:g}" if isinstance(value, float) else str(value))
