"""Explorers: controls beside figures that change with them, or the same figures standing still.

With a live frontend an explorer is ipywidgets over plotly `FigureWidget`s that are changed in place; only what
differs from the last drawing travels to the page. With `SERVELAB_STATIC` set (a CI run, a web page, a PDF) it
is the same figures at their defaults, with one line that says what the controls stand at.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import anywidget
import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go
from IPython.display import HTML, display

from servelab.errors import ServelabError
from servelab.figures import style
from servelab.progress import is_static

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


class Fit(anywidget.AnyWidget):
    """An invisible line that tells the figures beside it to fit whenever the page gives them another width.

    A `FigureWidget` is drawn before it stands in the page, 700 pixels wide, and listens to the window only.
    """

    _esm = """
    export default {
      render({ el }) {
        const fit = () => requestAnimationFrame(() => window.dispatchEvent(new Event("resize")));
        const observer = new ResizeObserver(fit);
        observer.observe(el);
        return () => observer.disconnect();
      },
    };
    """
    _css = """
    .servelab-views > * { min-width: 0; overflow: hidden; }
    """


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
        self.views: list[go.FigureWidget] = []
        self._shown: list[go.Figure] = []
        self._note = widgets.HTML()
        self._box: widgets.Widget | None = None

    @property
    def values(self) -> dict[str, Any]:
        """What the controls stand at now."""
        return {name: control.value for name, control in self.controls.items()}

    def figures(self, **changes: Any) -> list[go.Figure]:
        """The views at the controls' defaults, but for `changes`: plain figures that need no widget."""
        drawn = self.draw(**{**self.defaults, **changes})
        return [drawn] if isinstance(drawn, go.Figure) else list(drawn)

    def figure(self, **changes: Any) -> go.Figure:
        """The first view (often the only one), as `figures`."""
        return self.figures(**changes)[0]

    def caption(self, **changes: Any) -> str:
        """The line (HTML) under the static figures: what the controls stand at, and what `say` says."""
        values = {**self.defaults, **changes}
        settings = ", ".join(
            f"{_label(self.controls[n])} <b>{_shown(self.controls[n], v)}</b>" for n, v in values.items()
        )
        return settings + (f"<br>{self.say(**values)}" if self.say else "")

    def live(self) -> widgets.Widget:
        """The widget: controls above, figures below. Made once; later calls return the same."""
        if self._box is None:
            self._shown = self.figures(**self.values)
            self.views = [go.FigureWidget(figure) for figure in self._shown]
            if self.say:
                self._note.value = self.say(**self.values)
            for control in self.controls.values():
                control.observe(self._changed, names="value")
            for view in self.views:
                view._config = {**view._config, "responsive": True}
            # As many columns as asked for, fewer where the page is narrow.
            widest = f"minmax(max(300px, {100 / self.columns - 2:.0f}%), 1fr)"
            grid = widgets.GridBox(
                self.views, layout={"grid_template_columns": f"repeat(auto-fit, {widest})", "width": "100%"}
            ).add_class("servelab-views")
            panel = widgets.HBox(list(self.controls.values()), layout={"flex_flow": "row wrap", "grid_gap": "0 24px"})
            fit = Fit(layout={"width": "100%", "height": "0"})
            self._box = widgets.VBox([panel, fit, grid, self._note], layout={"width": "100%"})
            self._box.add_class("servelab-explorer")
        return self._box

    def redraw(self) -> None:
        """Bring every view to the controls' present values."""
        try:
            drawn = self.figures(**self.values)
            note = self.say(**self.values) if self.say else ""
        except ServelabError as error:
            self._note.value = f'<span style="color:{style.ORANGE}">{html.escape(str(error))}</span>'
            return
        for view, old, new in zip(self.views, self._shown, drawn, strict=True):
            change(view, old, new)
        self._shown = drawn
        self._note.value = note

    def _changed(self, _event: Any) -> None:
        self.redraw()

    def _ipython_display_(self) -> None:
        if is_static():
            for figure in self.figures():
                display(figure)
            display(HTML(f"<p>{self.caption()}</p>"))
        else:
            display(self.live())


def change(view: go.FigureWidget, old: go.Figure, new: go.Figure) -> None:
    """Turn `view`, which shows `old`, into `new` in one message that holds the differences only.

    The learner's zoom and hidden legend entries stay, unless the figure itself fixes them.
    """
    with view.batch_update():
        if [t.type for t in old.data] == [t.type for t in new.data]:
            for trace, before, after in zip(view.data, old.data, new.data, strict=True):
                for path, value in differences(before.to_plotly_json(), after.to_plotly_json()):
                    trace[path] = value
        else:
            view.data = ()
            view.add_traces(new.data)
        for path, value in differences(old.layout.to_plotly_json(), new.layout.to_plotly_json()):
            view.layout[path] = value


def differences(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, new value) of everything that changed; None where a property is gone."""
    for key in [*new, *(k for k in old if k not in new)]:
        if key == "template":
            continue
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from differences(before, after, f"{path}{key}.")
        elif not _same(before, after):
            yield f"{path}{key}", after


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return one is not None and other is not None and np.array_equal(one, other)
    return type(one) is type(other) and one == other


def _label(control: widgets.Widget) -> str:
    return html.escape(control.description)


def _shown(control: widgets.Widget, value: Any) -> str:
    if isinstance(value, bool):
        return "✓" if value else "✗"
    if hasattr(control, "_options_full"):
        value = next((text for text, held in control._options_full if held == value), value)
    return html.escape(f"{value:g}" if isinstance(value, float) else str(value))
