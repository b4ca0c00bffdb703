"""The parts of a request's time stack up beside the model's line."""

from servelab.figures import triton as figures


def test_parts_are_stacked_beside_the_model():
    rows = [{"queue": 0.1, "compute_infer": 20.0}, {"queue": 20.0, "compute_infer": 20.0}]
    fig = figures.ledger([1, 2], rows, [20.1, 40.2])
    *bars, line = fig.data
    assert fig.layout.barmode == "stack" and [list(bar.y) for bar in bars] == [[0.1, 20.0], [20.0, 20.0]]
    assert list(line.y) == [20.1, 40.2] and "modelled" in line.name
    assert all("measured" in bar.name for bar in bars)
