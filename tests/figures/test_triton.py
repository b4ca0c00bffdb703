"""The parts of a request's time stack up beside the model's line."""

from servelab.figures import triton as figures


def test_parts_are_stacked_beside_the_model():
    rows = [{"queue": 0.1, "compute_infer": 20.0}, {"queue": 20.0, "compute_infer": 20.0}]
    fig = figures.ledger([1, 2], rows, [20.1, 40.2])
    *bars, line = fig.data
    assert fig.layout.barmode == "stack" and [list(bar.y) for bar in bars] == [[0.1, 20.0], [20.0, 20.0]]
    assert list(line.y) == [20.1, 40.2] and "modelled" in line.name
    assert all("measured" in bar.name for bar in bars)


def test_stages_stand_in_the_order_of_the_pipeline():
    (bar,) = figures.stages({"tokenise": 0.4, "lm": 60.0}).data
    assert list(bar.y) == ["tokenise", "lm"] and list(bar.x) == [0.4, 60.0] and bar.text[1] == "60 ms"


def test_memory_lies_beside_its_line():
    line, seen = figures.memory([0, 1, 2], [50, 81, 109], 50, 30).data
    assert list(line.y) == [50, 80, 110] and list(seen.y) == [50, 81, 109]
    assert "modelled" in line.name and "measured" in seen.name


def test_a_handover_has_a_row_an_answer_and_counts_them():
    fig = figures.handover([0.1, 0.2, 0.3], ["version 1", "version 1", "refused"], {"unload": 0.25})
    assert [trace.name for trace in fig.data] == ["version 1: 2 (measured)", "refused: 1 (measured)"]
    assert list(fig.data[1].x) == [0.3] and "unload" in str(fig.layout.annotations)


def test_a_shelf_shows_what_was_measured_beside_its_policy():
    fig = figures.shelf([1, 2], {"fifo": [80, 50], "lru": [80, 40]}, {"fifo": (2, 51)}, chosen=2)
    fifo, seen, lru = fig.data
    assert "simulated" in fifo.name and "measured" in seen.name and (list(seen.x), list(seen.y)) == ([2], [51])
    assert list(lru.y) == [80, 40] and len(fig.layout.shapes) == 1


def test_the_price_of_a_shelf_is_drawn_over_its_memory():
    fig = figures.price([50, 100], {"lru": [2.0, 0.5]}, chosen=1)
    assert list(fig.data[0].x) == [50, 100] and fig.layout.shapes[0].x0 == 100
