"""What holds for every explorer of the course."""

import ipywidgets
import plotly.graph_objects as go
import pytest

from servelab.paths import ROOT
from tests.widgets.samples import EXPLORERS


def test_every_explorer_has_a_sample():
    sources = {p.stem: p.read_text() for p in (ROOT / "servelab" / "widgets").glob("*.py")}
    assert {name for name, source in sources.items() if f"def {name}(" in source and "-> Explorer" in source} == set(
        EXPLORERS
    )


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
        if isinstance(control, ipywidgets.Checkbox):
            ends = [False, True]
        elif hasattr(control, "_options_values"):
            ends = [control._options_values[0], control._options_values[-1]]
        else:
            ends = [control.min, control.max]
        for end in ends:
            control.value = end
        control.value = standing


def test_live_views_equal_the_figures_drawn_anew_after_a_walk(explorer):
    explorer.live()
    control = next(c for c in explorer.controls.values() if not isinstance(c, ipywidgets.Checkbox))
    values = getattr(control, "_options_values", None) or [control.min, control.max]
    for value in (values[0], values[-1]):
        control.value = value
    fresh = explorer.figures(**explorer.values)
    assert [view.to_json() for view in explorer.views] == [figure.to_json() for figure in fresh]
