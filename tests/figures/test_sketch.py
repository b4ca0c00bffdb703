"""Sketched figures: plotly's ways to set things, and a clear word where a figure needs plotly itself."""

import json

import plotly.graph_objects as go
import pytest

from servelab.figures import style
from servelab.figures.sketch import Sketch, sketching


def filled(figure):
    figure.add_scatter(x=[1, 2], y=[3, 4], line_color="#123456", line={"width": 2}, marker_line_width=1, name=None)
    figure.add_heatmap(z=[[1, 2]])
    figure.add_shape(type="line", x0=0, x1=1, y0=2, y1=2, line_width=0)
    figure.add_annotation(x=1, y=2, text="here", font={"color": "#123456"})
    style.rule(figure, x=10, text="limit")
    figure.update_layout(showlegend=False, paper_bgcolor="#ffffff", xaxis2={"title": {"text": "second"}})
    return figure.update_xaxes(type="log").update_yaxes(title_text="y", range=[0, 5])


def drawn(figure) -> dict:
    found = json.loads(json.dumps(figure.to_plotly_json()))
    found["layout"].pop("template", None)
    return found


def test_a_sketch_is_filled_as_plotlys_figure_is():
    with sketching():
        sketch = filled(style.figure("x", height=300))
    figure = filled(style.figure("x", height=300))
    assert isinstance(sketch, Sketch) and type(figure) is go.Figure
    assert drawn(sketch) == drawn(figure)
    assert drawn(sketch.figure()) == drawn(figure)
    assert sketch.figure().layout.template == figure.layout.template


def test_outside_figures_are_plotlys_own():
    with pytest.raises(KeyError), sketching():
        raise KeyError
    assert type(style.figure()) is go.Figure


def test_what_plotly_alone_can_do_is_said():
    with pytest.raises(AttributeError, match="no for_each_trace: begin this figure with go.Figure"):
        Sketch().for_each_trace(print)
