import json
from dataclasses import dataclass

import pytest

from servelab.errors import ServelabError
from servelab.lessons.scorecard import Scorecard


@dataclass(frozen=True)
class Percentiles:
    p50: float
    p99: float


@dataclass
class Summary:
    completed: int
    throughput_tok_s: float
    goodput: float = 0.5
    ttft: Percentiles = Percentiles(1.0, 3.0)
    tpot: Percentiles = Percentiles(0.05, 0.06)


class Result:
    def __init__(self, throughput: float = 100.0, completed: int = 8):
        self.found = Summary(completed, throughput)

    def summary(self, slo):
        assert slo.ttft_s is not None
        return self.found


class Server:
    def memory_bytes(self) -> int:
        return 3 * 2**30


@pytest.fixture
def card(folder):
    return Scorecard("ci", folder)


def test_a_row_holds_the_milestone_its_figures_and_its_stamp(card):
    card.add("vLLM, defaults", Result(), server=Server(), price_per_hour=0.36)
    (row,) = card.rows()
    assert row["memory_bytes"] == 3 * 2**30
    assert row["cost_per_million_tokens"] == pytest.approx(1.0)
    assert row["price_per_hour"] == 0.36
    assert row["stamp"]["hardware"]["cores"] >= 1
    assert row["slo"]


def test_a_row_that_got_worse_stays(card):
    card.add("a", Result(100))
    card.add("a", Result(50))
    assert list(card.frame()["throughput_tok_s"]) == [100, 50]
    assert list(card.frame(newest=True)["throughput_tok_s"]) == [50]
    assert card.figure().data


def test_given_memory_wins_and_no_memory_is_allowed(card):
    assert card.add("a", Result(), server=Server(), memory_bytes=5)["memory_bytes"] == 5
    assert card.add("b", Result())["memory_bytes"] is None


def test_figures_that_could_not_be_measured_are_left_out(card):
    result = Result()
    result.found.tpot = Percentiles(float("nan"), float("nan"))
    assert card.add("one token each", result)["tpot_p50_s"] is None
    json.loads(card.store.path.read_text())


def test_nothing_answered_is_no_row(card):
    with pytest.raises(ServelabError, match="No request was answered"):
        card.add("a", Result(completed=0))
    assert card.rows() == []


def test_an_empty_scorecard_says_where_its_rows_come_from(card):
    assert card.frame().empty
    with pytest.raises(ServelabError, match="empty"):
        card.figure()


def test_the_trace_is_the_same_each_time_and_shorter_in_a_short_run(folder):
    short, full = Scorecard("ci", folder).requests(), Scorecard("full", folder).requests()
    assert len(short) < len(full)
    assert short == full[: len(short)] == Scorecard("ci", folder).requests()
