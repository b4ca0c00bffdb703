"""Stamped records: what is saved comes back with its stamp; what nobody measured is said, not invented."""

import pytest

from servelab import records
from servelab.errors import ServelabError


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr(records, "RECORDS", tmp_path)


def test_a_record_carries_machine_versions_command_and_day():
    records.save("one", {"sweep": [1, 2]})
    back = records.load("one")
    assert back["sweep"] == [1, 2]
    assert {"date", "command", "hardware", "versions"} <= back["stamp"].keys()
    assert back == records.find("one")


def test_what_nobody_measured_is_not_there():
    assert records.find("rtx4090") is None
    with pytest.raises(ServelabError, match="not been measured"):
        records.load("rtx4090")
