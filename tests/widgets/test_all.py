"""What holds for every explorer of the course."""

import base64
import json
from typing import Any

import ipywidgets
import numpy as np
import plotly.graph_objects as go
import pytest
from plotly.io.json import to_json_plotly

from servelab.figures.sketch import Sketch, sketching
from servelab.paths import ROOT
from tests.widgets.samples import EXPLORERS


def test_every_explorer_has_a_sample():
    sources = {p.stem: p.read_text() for p in (ROOT / "servelab" / "widgets").glob("*.py")}
    assert {name for name, source in sources.items() if f"def {name}(" in source and "-> Explorer" in source} == set(
        EXPLORERS
    )


def ends(control: ipywidgets.Widget) -> list:
    """The first and the last value that a control can take."""
    if isinstance(control, ipywidgets.Checkbox):
        return [False, True]
    values = getattr(control, "_options_values", None) or [control.min, control.max]
    return [values[0], values[-1]]


def plain(figure: go.Figure | Sketch) -> dict:
    """What a page is given to draw, without the template, with numpy's arrays written out."""
    drawn = json.loads(to_json_plotly(figure.to_plotly_json()))
    drawn["layout"].pop("template", None)
    return written_out(drawn)


def written_out(part: Any) -> Any:
    """Plotly packs an array of numbers as its bytes."""
    if isinstance(part, dict) and "bdata" in part:
        packed = np.frombuffer(base64.b64decode(part["bdata"]), part["dtype"])
        return [None if number != number else number for number in packed.tolist()]
    if isinstance(part, dict):
        return {name: written_out(value) for name, value in part.items()}
    return [written_out(one) for one in part] if isinstance(part, list) else part


@pytest.fixture(params=sorted(EXPLORERS))
def explorer(request):
    return EXPLORERS[request.param]()


def numeric_axes(figure: go.Figure) -> set[str]:
    """Names of the shown axes that carry numbers: categories say for themselves what they are."""
    found = set()
    for trace in figure.data:
        for letter in "xy":
            values = getattr(trace, letter, None)
            if values is not None and len(values) and not isinstance(values[0], str):
                found.add(f"{letter}axis{(getattr(trace, f'{letter}axis', None) or letter)[1:]}")
    return {name for name in found if figure.layout[name].visible is not False}


def test_every_static_view_names_its_axes(explorer):
    for figure in explorer.figures():
        assert type(figure) is go.Figure and figure.data
        untitled = {name for name in numeric_axes(figure) if not figure.layout[name].title.text}
        assert not untitled


def test_every_control_is_linked_and_its_ends_can_be_drawn(explorer):
    explorer.live()
    for control in explorer.controls.values():
        standing = control.value
        for end in ends(control):
            control.value = end
        control.value = standing


def test_every_view_is_sketched_as_plotly_draws_it(explorer):
    settings = [explorer.values]
    for name, control in explorer.controls.items():
        settings += [{**explorer.defaults, name: end} for end in ends(control)]
    for values in settings:
        with sketching():
            quick = explorer.draw(**values)
        for sketch, figure in zip(quick, explorer.figures(**values), strict=True):
            assert isinstance(sketch, Sketch), "begin the figure with style.figure: a go.Figure is slow to redraw"
            assert plain(sketch) == plain(figure)


def test_live_views_equal_the_figures_drawn_anew_after_a_walk(explorer):
    explorer.live()
    control = next(c for c in explorer.controls.values() if not isinstance(c, ipywidgets.Checkbox))
    values = getattr(control, "_options_values", None) or [control.min, control.max]
    for value in (values[0], values[-1]):
        control.value = value
    fresh = explorer.figures(**explorer.values)
    assert [plain(view) for view in explorer.views] == [plain(figure) for figure in fresh]
