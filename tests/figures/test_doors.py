"""An answer's time is TTFT and then a gap a token; Triton's books stand beside the clients' own."""

import pytest

from servelab.figures import doors as figures
from servelab.figures.doors import Door

PLAIN, INSIDE = Door(0.1, 0.02, 3000, 25), Door(0.11, 0.022, 3050, 30)


def test_an_answer_of_one_token_takes_ttft_and_each_more_a_gap():
    assert PLAIN.answer_s(1) == 0.1 and PLAIN.answer_s(11) == pytest.approx(0.3)


def test_bars_show_both_times_in_milliseconds():
    first, second = figures.bars({"plain": PLAIN, "grpc": INSIDE}).data
    assert list(first.x) == pytest.approx([100, 20]) and list(second.x) == pytest.approx([110, 22])
    assert first.name == "plain vLLM (measured)" and "gRPC" in second.name


def test_answers_are_lines_with_the_chosen_one_marked():
    fig = figures.answers({"plain": PLAIN}, [1, 11], chosen=11)
    assert list(fig.data[0].y) == pytest.approx([0.1, 0.3]) and fig.layout.shapes[0].x0 == 11
    assert "modelled" in fig.data[0].name


def test_memory_has_a_line_for_two_servers_and_one_for_one():
    apart, together = figures.memory([0, 1], [3000, 3080], [3050, 3080], chosen=1).data
    assert list(apart.y) == [3000, 3080] and list(together.y) == [3050, 3080]


def test_books_draw_each_client_beside_the_servers_mean():
    bars, line = figures.books([900, 1100], 40).data
    assert list(bars.y) == [900, 1100] and list(line.y) == [40, 40] and list(line.x) == ["1", "2"]
