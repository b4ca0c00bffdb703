"""The batcher's figures hold the numbers that they were given."""

import pytest

from servelab.figures import dynamic_batching as figures


def test_a_row_s_part_and_the_line():
    fig = figures.cost([1, 2, 4], [20.0, 24.0, 32.0], 16.0, 4.0)
    assert list(fig.data[0].y) == [20, 24, 32]
    assert list(fig.data[2].y) == [20, 12, 8]
    assert "16 ms + 4 ms a row" in fig.data[0].name


def test_sizes_are_percent_of_the_executions():
    fig = figures.sizes({"a": {1: 3, 4: 1}}, {"a": {2: 5}})
    assert [list(bar.y) for bar in fig.data] == [[100], [75, 25]]
    assert [bar.name for bar in fig.data] == ["a (simulated)", "a (measured)"]


def test_each_rate_has_its_two_curves():
    rows = [{"rate": r, "delay_ms": d, "p50_ms": r + d} for r in (10, 20) for d in (0, 5)]
    fig = figures.delays(rows, rows)
    assert [list(t.y) for t in fig.data] == [[10, 15], [10, 15], [20, 25], [20, 25]]


def test_throughputs_and_spans():
    fig = figures.throughputs({"one": 100.0, "two": 180.0}, {"one": 110.0, "two": 220.0})
    assert list(fig.data[0].y) == [100, 180] and list(fig.data[1].y) == [110, 220]
    fig = figures.spans([("request", 0.0, 20.0), ("compute", 5.0, 10.0)])
    assert list(fig.data[0].base) == [0, 5] and list(fig.data[0].x) == [20, 10]
    assert fig.layout.xaxis.range[1] == pytest.approx(24)


def test_the_search_is_sorted_and_marks_what_was_measured():
    fig = figures.search({"a": 50.0, "b": 30.0}, {"a": 55.0}, 40.0)
    assert list(fig.data[0].y) == ["b", "a"] and list(fig.data[1].x) == [55]
    assert fig.layout.shapes[0].x0 == 40
