"""What live parts leave in the notebook for the time when their kernel is gone."""

import os

import ipywidgets
import pytest
from IPython.display import HTML

from servelab.figures import style
from servelab.still import MIME, keeping
from tests.widgets.samples import EXPLORERS

VIEW = "application/vnd.jupyter.widget-view+json"


def bundle(widget) -> dict:
    found = widget._repr_mimebundle_()
    return found[0] if isinstance(found, tuple) else found


def test_a_widget_is_displayed_as_before_and_keeps_what_stands_still():
    made = []
    widget = keeping(ipywidgets.HTML("live"), lambda: made.append(1) or [HTML("<b>still</b>")])
    assert made == [], "nothing is drawn before it is displayed"
    data = bundle(widget)
    assert data[VIEW]["model_id"] == widget.model_id
    assert data[MIME]["kernel"] == os.getpid()
    first, note = data[MIME]["shown"]
    assert first == {"text/html": "<b>still</b>"} and "run the cell" in note["text/html"]


@pytest.mark.parametrize("name", EXPLORERS)
def test_every_explorer_keeps_its_figures(name):
    style.use()
    explorer = EXPLORERS[name]()
    *figures, caption, _note = bundle(explorer.live())[MIME]["shown"]
    assert len(figures) == len(explorer.views)
    assert all(one["application/vnd.plotly.v1+json"]["data"] for one in figures)
    assert caption["text/html"] == f"<p>{explorer.caption()}</p>"
