import json

import pytest

from servelab.figures import load as figures
from servelab.load import SLO, Record, Result


@pytest.fixture
def result() -> Result:
    records = [
        Record(i, i * 0.1, i * 0.1 + 0.01, i * 0.1 + 0.3, [i * 0.1 + 0.3 + k * 0.05 for k in range(5)], i * 0.1 + 0.5,
               8, 5, 5) for i in range(10)
    ]  # fmt: skip
    records.append(Record(10, 1.0, 1.0, finished_s=1.1, status="cut", error="gone"))
    return Result(records)


def draw(result):
    slo = SLO(ttft_s=0.2)
    yield figures.timeline(result)
    yield figures.distribution(result, "ttft_s", slo)
    yield figures.distribution({"a": result, "b": result}, "itl_s", log=True)
    yield figures.histogram(result, "e2e_s", slo)
    yield figures.curve({1: result.summary(), 2: result.summary()}, "ttft_s", "p99")
    yield figures.over_time(result)


def test_every_figure_has_axis_titles_with_units_and_can_be_kept(result):
    for fig in draw(result):
        json.loads(fig.to_json())
        assert fig.layout.xaxis.title.text and fig.layout.yaxis.title.text
        assert "(" in fig.layout.xaxis.title.text


def test_the_timeline_draws_every_token_and_every_failure(result):
    by_name = {t.name: t for t in figures.timeline(result).data}
    assert len(by_name["token (measured)"].x) == 50 and len(by_name["failed"].x) == 1
    assert len(figures.timeline(result, limit=3).data[-1].x) == 15


def test_a_distribution_ends_at_one(result):
    assert figures.distribution(result, "e2e_s").data[0].y[-1] == 1
    assert figures.distribution(Result([]), "e2e_s").data[0].y is not None


def test_the_slo_is_drawn_only_for_its_own_metric(result):
    assert figures.distribution(result, "ttft_s", SLO(ttft_s=1)).layout.shapes
    assert not figures.distribution(result, "e2e_s", SLO(ttft_s=1)).layout.shapes
