import io
import math

import pytest
from rich.console import Console

from servelab.errors import ServelabError
from servelab.load import SLO, Record, Result
from servelab.load.report import table


@pytest.fixture
def result() -> Result:
    records = [
        Record(
            id=i, intended_s=i * 1.0, sent_s=i + 0.1, first_token_s=i + 0.5, token_times_s=[i + 0.5, i + 0.7, i + 0.9],
            finished_s=i + 0.9, prompt_tokens=10, output_tokens=3, asked_tokens=3, text="漢字", finish_reason="length",
        )
        for i in range(4)
    ]  # fmt: skip
    records.append(Record(id=4, intended_s=4.0, sent_s=4.0, finished_s=4.2, status="refused", error="HTTP 400: no"))
    return Result(records, {"model": "m", "load": "by hand", "address": "http://x"})


def test_a_saved_load_comes_back(result, tmp_path):
    back = Result.load(result.save(tmp_path / "load.jsonl"))
    assert back.about == result.about and len(back) == 5
    assert back.records[0] == result.records[0] and math.isnan(back.records[4].first_token_s)
    assert back.frame()["ttft_s"].tolist()[:4] == pytest.approx([0.5] * 4)


@pytest.mark.parametrize(
    "text", ["", "{}\n", "[1]\n", '{"format": "other"}\n', '{"format": "servelab-load-1"}\n{"a": 1}\n']
)
def test_a_wrong_file_is_one_sentence(tmp_path, text):
    (tmp_path / "x").write_text(text)
    with pytest.raises(ServelabError, match="not a saved load"):
        Result.load(tmp_path / "x")
    with pytest.raises(ServelabError, match="no file"):
        Result.load(tmp_path / "absent")


def test_frames(result):
    assert len(result.frame()) == 5 and result.frame()["status"].tolist() == ["ok"] * 4 + ["refused"]
    assert result.itl()["itl_s"].tolist() == pytest.approx([0.2] * 8)
    assert Result([]).itl().empty


def test_the_timeline_conserves_tokens_and_time(result):
    line = result.timeline(0.5)
    assert line["tokens_per_s"].sum() * 0.5 == pytest.approx(12)
    busy = sum(r.finished_s - r.sent_s for r in result.records)
    assert line["in_flight"].sum() * 0.5 == pytest.approx(busy)
    assert (line["waiting"] <= line["in_flight"] + 1e-9).all()


def test_the_report_says_what_matters(result):
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(result.report(SLO(ttft_s=1)))
    said = console.export_text()
    for word in ("by hand", "TTFT, sent", "client queueing", "4 of 5 requests", "attainment 80.0%", "TTFT <= 1 s", "?"):
        assert word in said
    assert "…" not in said


def test_a_report_of_nothing(result):
    only = Result([result.records[4]])
    Console(width=80, file=io.StringIO()).print(table(only.summary()))
