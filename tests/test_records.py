"""Stamped records: what is saved comes back with its stamp; what nobody measured is said, not invented."""

import numpy as np
import pytest

from servelab import bench, records
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


def test_what_was_computed_with_numpy_is_saved_as_plain_values():
    records.save("one", {"met": np.bool_(True), "p95": np.float64(0.5), "sweep": np.arange(3)})
    back = records.load("one")
    assert (back["met"], back["p95"], back["sweep"]) == (True, 0.5, [0, 1, 2])
    with pytest.raises(TypeError, match="cannot hold set"):
        records.save("two", {"these": {1}})


def test_what_nobody_measured_is_not_there():
    assert records.find("rtx4090") is None
    with pytest.raises(ServelabError, match="not been measured"):
        records.load("rtx4090")


H100 = {"name": "NVIDIA H100 80GB HBM3", "memory_mib": 81559, "driver": "580.159.04"}


def test_a_card_has_a_name_of_its_own(monkeypatch):
    monkeypatch.setattr(records, "gpus", lambda: (H100,))
    assert records.card() == "h100-80gb-hbm3"
    monkeypatch.setattr(records, "gpus", lambda: (H100,) * 4)
    assert records.card() == "h100-80gb-hbm3-x4"
    assert records.stamp()["hardware"]["gpus"] == [H100] * 4
    monkeypatch.setattr(records, "gpus", lambda: ())
    assert records.card() == "" and "gpus" not in records.stamp()["hardware"]


def test_a_gpu_tiers_record_lies_beside_the_processors(monkeypatch):
    monkeypatch.setattr(records, "gpus", lambda: (H100,))
    monkeypatch.setenv("SERVELAB_TIER", "cpu")
    assert bench.Bench("tiny").record == "tiny"
    monkeypatch.setenv("SERVELAB_TIER", "gpu-8")
    assert bench.Bench("tiny").record == "tiny-h100-80gb-hbm3"
