"""The ledger: what was compared is kept, in its unit, with its error and its domain; the record stands beside."""

import json
import math

import pytest

from servelab import course, records
from servelab.errors import ServelabError
from servelab.lessons import ledger, texts
from servelab.lessons.lesson import Lesson

LEVEL = [entry for entry in course.load().notebooks if entry.part == "level-3"]


@pytest.fixture
def kept(folder):
    return ledger.Ledger(folder)


def test_the_error_is_a_share_of_what_was_measured():
    assert ledger.error(1.2, 1.0) == pytest.approx(0.2)
    assert ledger.error(0.5, 2.0) == pytest.approx(-0.75)
    assert ledger.error(None, 2.0) == math.inf
    assert ledger.error(0.0, 0.0) == 0
    assert ledger.error(-1.0, 0.0) == -math.inf


def test_the_newest_run_counts_and_unknown_rows_are_left_out(kept):
    kept.keep("3.2", "mm1", 1.0, 2.0)
    kept.keep("3.2", "mm1", 3.0, 2.0)
    kept.keep("3.2", "gone", 3.0, 2.0)
    (row,) = kept.rows(["3.1", "3.2"])
    assert (row["notebook"], row["key"], row["predicted"], row["measured"]) == ("3.2", "mm1", 3.0, 2.0)


def test_the_table_has_units_errors_and_domains(kept, monkeypatch):
    kept.keep("3.2", "mm1", 3.0, 2.0)
    kept.keep("3.2", "servers", math.inf, 2.0)
    monkeypatch.setattr(records, "load", lambda name: {"rows": []})
    table = kept.table(["3.2"]).data
    assert table.to_numpy().tolist() == [
        ["M/M/1: wait", "3 s", "2 s", "+50 %", "Poisson, exponential services"],
        ["M/M/8, eight seats: E2E", "∞ s", "2 s", "∞", "services that do not slow each other"],
    ]
    stamped = [{"notebook": "3.2", "key": "mm1", "predicted": 1.0, "measured": 2.0}]
    monkeypatch.setattr(records, "load", lambda name: {"rows": stamped})
    assert list(kept.table(["3.1", "3.2"]).data["error, record"]) == ["-50 %", ""]
    assert list(kept.table(["3.1", "3.2"]).data["notebook"]) == ["3.2", "3.2"]


def test_what_is_no_comparison_is_told_and_nothing_is_kept(kept):
    for wrong in ((math.nan, 1.0), (1.0, math.nan), (1.0, math.inf)):
        with pytest.raises(ServelabError, match="mm1 is no comparison"):
            kept.keep("3.2", "mm1", *wrong)
    with pytest.raises(ServelabError, match="Nothing was compared yet"):
        kept.table(["3.2"])


def test_a_lesson_compares_only_what_it_has_a_text_for(folder):
    lesson = Lesson("3.2", folder)
    with pytest.raises(ServelabError, match="comparison 'x'.*mm1"):
        lesson.compare("x", 1, 2)
    lesson.compare("mm1", 1, 2)
    Lesson("3.3", folder).compare("blocks", 5, 5)
    assert len(lesson.ledger().data) == 1
    assert len(lesson.ledger(whole=True).data) == 2


def test_every_notebook_of_the_level_compares():
    assert [entry.id for entry in LEVEL if not texts.source(entry.id).compare] == []


def test_the_stamped_record_has_every_model_of_the_level():
    record = records.load(ledger.RECORD)
    found = {(row["notebook"], row["key"]): ledger.error(row["predicted"], row["measured"]) for row in record["rows"]}
    assert set(found) == {(entry.id, key) for entry in LEVEL for key in texts.source(entry.id).compare}
    assert not any(math.isnan(off) for off in found.values())
    print(json.dumps({f"{id} {key}": off for (id, key), off in found.items()}, indent=1))
