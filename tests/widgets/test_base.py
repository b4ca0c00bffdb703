import json

import ipywidgets
import numpy as np
import plotly.graph_objects as go
import pytest

from servelab.errors import ServelabError
from servelab.figures import style
from servelab.widgets import base
from servelab.widgets.base import Explorer


def draw(batch: int, ideal: bool) -> list[go.Figure]:
    x = np.linspace(0, 1, 20)
    first = style.figure("Time (s)", "Tokens")
    first.add_scatter(x=x, y=batch * x, **style.mark("measured", "vLLM"))
    if ideal:
        first.add_scatter(x=x, y=2 * batch * x)
    style.rule(first, y=batch, text=f"limit {batch}")
    second = style.figure()
    second.add_bar(x=["p50"], y=[batch])
    return [first, second]


def explorer(**options) -> Explorer:
    controls = {"batch": base.steps("Batch size", [1, 2, 4, 8], 4), "ideal": base.switch("Ideal", False)}
    return Explorer(controls, draw, **options)


@pytest.fixture
def shown(monkeypatch):
    """What is displayed, in order."""
    found = []
    monkeypatch.setattr(base, "display", found.append)
    return found


def test_static_figures_are_plain_and_stand_at_the_defaults():
    made = explorer()
    made.controls["batch"].value = 8
    assert made.figure().data[0].y[-1] == 4
    assert made.figure(batch=2).data[0].y[-1] == 2


def test_one_figure_may_be_returned_alone():
    made = Explorer({}, lambda: style.figure("x"))
    assert len(made.figures()) == 1


def test_without_a_frontend_it_shows_figures_and_what_the_controls_stand_at(monkeypatch, shown):
    monkeypatch.setenv("SERVELAB_STATIC", "1")
    explorer(say=lambda batch, ideal: f"{batch} at once.")._ipython_display_()
    first, second, caption = shown
    assert type(first) is type(second) is go.Figure
    assert "Batch size <b>4</b>, Ideal <b>✗</b>" in caption.data
    assert "4 at once." in caption.data


def test_with_a_frontend_it_shows_one_widget(monkeypatch, shown):
    monkeypatch.delenv("SERVELAB_STATIC", raising=False)
    made = explorer()
    made._ipython_display_()
    assert shown == [made.live()]
    assert isinstance(shown[0], ipywidgets.Widget)


def sent(made: Explorer) -> list[dict]:
    """What the page was given to draw."""
    return [json.loads(one) for one in made._page.figures]


def test_a_control_changes_every_view_of_the_same_widget():
    made = explorer(say=lambda batch, ideal: f"{batch} at once.")
    box, page = made.live(), made._page
    made.controls["batch"].value = 8
    assert made.live() is box and made._page is page
    first, second = made.views
    assert first.data[0].y[-1] == 8 and first.layout.annotations[0].text == "limit 8"
    assert list(second.data[0].y) == [8]
    assert made._note.value == "8 at once."
    assert sent(made)[0]["layout"]["shapes"][0]["y0"] == 8
    assert sent(made)[1]["data"][0]["y"] == [8]


def test_traces_come_and_go():
    made = explorer()
    made.live()
    made.controls["ideal"].value = True
    assert len(sent(made)[0]["data"]) == 2
    made.controls["ideal"].value = False
    assert len(sent(made)[0]["data"]) == 1


def test_the_template_travels_once_and_not_with_every_drawing():
    made = explorer()
    made.live()
    assert all("template" not in one["layout"] for one in sent(made))
    assert json.loads(made._page.template)["layout"]["colorway"] == list(style.template().layout.colorway)


def test_the_page_is_given_plotly_only_when_it_asks(monkeypatch):
    made = explorer()
    made.live()
    given = []
    monkeypatch.setattr(made._page, "send", lambda message, buffers: given.append((message, buffers)))
    made._page._asked(made._page, "something else", [])
    assert given == []
    made._page._asked(made._page, "plotly", [])
    ((message, (library,)),) = given
    assert message == "plotly" and b"window.Plotly = Plotly" in library


def test_a_failing_draw_is_told_under_the_last_figures():
    def refuse(n: int) -> go.Figure:
        if n > 1:
            raise ServelabError("Choose a batch that fits <memory>.")
        return style.figure().add_scatter(y=[n])

    made = Explorer({"n": base.slider("n", 1, 3, 1)}, refuse)
    made.live()
    made.controls["n"].value = 3
    assert "Choose a batch that fits &lt;memory&gt;." in made._note.value
    assert list(made.views[0].data[0].y) == [1]
    made.controls["n"].value = 1
    assert made._note.value == ""


def test_controls_have_the_asked_for_values():
    assert isinstance(base.slider("n", 1, 8, 2), ipywidgets.IntSlider)
    assert isinstance(base.slider("x", 0, 1, 0.5, 0.1), ipywidgets.FloatSlider)
    assert base.choice("Model", {"small": 135, "large": 360}, 360).value == 360


def test_caption_names_choices_by_what_the_learner_sees():
    made = Explorer({"size": base.choice("Model", {"small": 135, "large": 360}, 360)}, lambda size: style.figure())
    assert made.caption() == "Model <b>large</b>"
