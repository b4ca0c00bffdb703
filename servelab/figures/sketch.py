"""Figures put together without plotly's checks, for explorers that draw them anew at every step of a slider.

A `go.Figure` checks and copies each property as it is set: some 10 ms a figure, most of what a redraw may take.
Within `sketching()` the course's figures are built of plain dictionaries instead, by the same functions. That both
ways give the same picture is tested for every explorer (tests/widgets/test_all.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import plotly.graph_objects as go

_sketching: ContextVar[bool] = ContextVar("sketching", default=False)
# Names of plotly that have an underscore of their own; in every other it parts two names ("line_color").
WHOLE = {"paper_bgcolor", "plot_bgcolor", "error_x", "error_y"}


@contextmanager
def sketching() -> Iterator[None]:
    """Figures that are begun with `style.figure` in here are sketches."""
    token = _sketching.set(True)
    try:
        yield
    finally:
        _sketching.reset(token)


def wanted() -> bool:
    """Whether figures are to be sketched now."""
    return _sketching.get()


class Sketch:
    """A figure's data and layout, and the ways of `go.Figure` to fill them that the course's figures use.

    Any kind of trace can be added (`add_bar`, `add_heatmap` ...). What is not here, plotly alone can do: begin such
    a figure with `go.Figure` (or `make_subplots`), and it is drawn all the same, only more slowly.
    """

    def __init__(self, data: Sequence[Mapping[str, Any]] = (), **layout: Any):
        self.data = [_merged({}, trace) for trace in data]
        self.layout = _merged({"xaxis": {}, "yaxis": {}}, layout)

    def __getattr__(self, name: str) -> Any:
        kind = name.removeprefix("add_")
        if kind == name:
            raise AttributeError(f"A sketched figure has no {name}: begin this figure with go.Figure instead.")
        return lambda **settings: self._add(self.data, {"type": kind, **settings})

    def add_shape(self, **settings: Any) -> Sketch:
        """As plotly's."""
        return self._add(self.layout.setdefault("shapes", []), settings)

    def add_annotation(self, **settings: Any) -> Sketch:
        """As plotly's."""
        return self._add(self.layout.setdefault("annotations", []), settings)

    def update_layout(self, **settings: Any) -> Sketch:
        """As plotly's."""
        _merged(self.layout, settings)
        return self

    def update_xaxes(self, **settings: Any) -> Sketch:
        """As plotly's: every x axis."""
        return self._axes("xaxis", settings)

    def update_yaxes(self, **settings: Any) -> Sketch:
        """As plotly's: every y axis."""
        return self._axes("yaxis", settings)

    def to_plotly_json(self) -> dict[str, Any]:
        """As plotly's: data and layout. The layout has no template."""
        return {"data": self.data, "layout": {name: value for name, value in self.layout.items() if value != {}}}

    def figure(self) -> go.Figure:
        """The same as plotly's figure, checked, with the course's template."""
        from servelab.figures import style

        return go.Figure(self.to_plotly_json()).update_layout(template=style.NAME)

    def _add(self, to: list[dict[str, Any]], settings: Mapping[str, Any]) -> Sketch:
        to.append(_merged({}, settings))
        return self

    def _axes(self, letter: str, settings: Mapping[str, Any]) -> Sketch:
        for name in [name for name in self.layout if name.startswith(letter)]:
            _merged(self.layout[name], settings)
        return self


def _merged(into: dict[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """`into` with plotly's settings put into it: "line_color" reaches into "line", None says nothing."""
    for name, value in settings.items():
        if value is None:
            continue
        head, _, rest = (name, "", "") if name in WHOLE else name.partition("_")
        if rest:
            value = {rest: value}
        if isinstance(value, Mapping):
            _merged(into.setdefault(head, {}), value)
        else:
            into[head] = value
    return into
