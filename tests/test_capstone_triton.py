"""The Triton capstone refuses what is no configuration before anything starts; its load is what it says.

That it tells right from wrong on a running server is proved with its exercise (tests/notebooks/mutants).
"""

from __future__ import annotations

import numpy as np
import pytest

from servelab import capstone_triton as capstone
from servelab.engines import process
from servelab.errors import ServelabError
from servelab.load.metrics import Record

CHAT = "max_batch_size: 4\n"


@pytest.mark.parametrize(
    ("configuration", "said"),
    [
        (None, "lines for chat and for bulk"),
        ({"chat": CHAT}, "lines for chat and for bulk"),
        ({"chat": CHAT, "bulk": CHAT, "echo": CHAT}, "lines for chat and for bulk"),
        ({"chat": CHAT, "bulk": "max_batch: 4"}, "bulk are no config.pbtxt: .*max_batch"),
        ({"chat": None, "bulk": CHAT}, "chat are no config.pbtxt"),
        ({"chat": CHAT, "bulk": 'backend: "onnxruntime"'}, "bulk may say max_batch_size, .*, not backend"),
        ({"chat": CHAT, "bulk": 'parameters { key: "fixed_s" value { string_value: "0" } }'}, "not parameters"),
        ({"chat": CHAT, "bulk": "instance_group [ { count: 1 gpus: [ 0 ] } ]"}, "count and kind, not gpus"),
    ],
)
def test_what_is_no_configuration_starts_nothing(configuration, said, tmp_path, monkeypatch):
    monkeypatch.setenv("SERVELAB_HOME", str(tmp_path))
    with pytest.raises(ServelabError, match=said):
        capstone.examine(configuration)
    assert not process.states()


def test_the_poor_configuration_says_only_what_it_may():
    assert all(capstone.checked(model, lines) for model, lines in capstone.POOR.items())


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_the_load_is_a_day_a_flood_and_a_day(seed):
    times = capstone.arrivals(seed)
    end = capstone.DAY_S + capstone.FLOOD_S + capstone.AFTER_S
    bulk = times["bulk"]
    assert (np.diff(bulk) >= 0).all() and len(bulk) % capstone.GROUP == 0
    assert set(np.unique(bulk, return_counts=True)[1]) == {capstone.GROUP}
    day = bulk < capstone.DAY_S
    flood = ~day & (bulk < capstone.DAY_S + capstone.FLOOD_S)
    assert day.sum() / capstone.DAY_S == pytest.approx(capstone.DAY_RATE, rel=0.05)
    assert flood.sum() / capstone.FLOOD_S == pytest.approx(capstone.FLOOD_RATE, rel=0.05)
    assert len(times["chat"]) / end == pytest.approx(capstone.CHAT_RATE, rel=0.35)
    assert max(at.max() for at in times.values()) <= end + 0.2
    assert all(np.array_equal(at, capstone.arrivals(seed)[model]) for model, at in times.items())


def record(at, took=0.02, status="ok"):
    return Record(0, at, at, prompt_tokens=1, output_tokens=1, status=status, finished_s=at + took)


def looked(chat=(), bulk=()):
    usual = {"chat": [record(at / 10) for at in range(60)], "bulk": [record(at / 10) for at in range(60)]}
    usual["chat"] += chat
    usual["bulk"] += [record(3.5, status="refused"), *bulk]
    return {name: bool(look(usual, 0.011, 0.0)) for name, look in capstone.LOOKS.items()}


def test_each_look_sees_its_own_failure():
    well = {"chat": False, "bulk": False, "flood": False}
    assert looked() == well
    slow, lost = [record(1.0, took=0.4)] * 10, [record(1.0, status="refused")]
    in_flood = [record(3.5, took=0.4)] * 10
    assert looked(chat=slow) == looked(chat=lost) == looked(chat=in_flood) == well | {"chat": True}
    assert looked(bulk=[record(1.0, took=0.9)] * 10) == looked(bulk=lost) == well | {"bulk": True}
    assert (
        looked(bulk=[record(3.5, took=4.0)]) == looked(bulk=[record(3.5, status="timeout")]) == well | {"flood": True}
    )


def test_a_line_without_an_end_and_a_door_that_is_shut_both_fail():
    asked = {"bulk": [record(at / 10) for at in range(60)]}
    assert "nobody was refused" in capstone.LOOKS["flood"](asked, 0.011, 0.0)
    shut = {"bulk": [record(at / 10, status="refused") for at in range(30, 60)]}
    assert "everybody was refused" in capstone.LOOKS["flood"](shut, 0.011, 0.0)
