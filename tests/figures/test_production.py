"""Figures of a deployment: spans without requests, every request in its replica's colour, stops beside the model."""

import pandas as pd

from servelab.figures import production as figures
from servelab.theory.draining import cut

EVENTS = [(10.0, "drain", "a"), (10.4, "stop", "a"), (10.5, "start", "a"), (12.0, "admit", "a"), (13.0, "kill", "b")]
ROWS = pd.DataFrame(
    {
        "time": [9.0, 11.0, 12.5, 14.0],
        "seconds": [1.0, 1.0, 1.0, 0.5],
        "replica": ["a", "b", "b", "a"],
        "status": [200, 200, 502, 200],
    }
)


def test_a_span_lasts_from_out_to_in_or_to_the_end():
    assert figures.spans(EVENTS, 15.0) == [("a", 10.0, 12.0), ("b", 13.0, 15.0)]


def test_every_request_is_drawn_once_and_failures_apart():
    fig = figures.through(ROWS, EVENTS)
    assert [t.name for t in fig.data] == ["at a", "at b", "failed"]
    assert sum(len(t.x) // 3 for t in fig.data) == 4
    assert fig.data[0].x[0] == 0 and len(fig.layout.shapes) == 2
    cut = figures.through(ROWS, EVENTS, broken=[11.1, 99.0])
    assert [(t.name, len(t.x) // 3) for t in cut.data] == [("at a", 2), ("failed", 2)]


def test_stops_are_the_model_with_what_was_counted():
    fig = figures.stops([1.0, 2.0, 3.0], 2.0, 1.0, [(0.0, 5)])
    assert fig.data[1].y[0] == cut(2.0, [1.0, 2.0, 3.0], 1.0)
    assert (fig.data[2].x[0], fig.data[2].y[0]) == (0.0, 5)
    assert figures.needs([1.0, 2.0], 0.5).data[0].histnorm == "probability"
