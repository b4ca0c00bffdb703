"""Traces: a genuine one replays just what was observed, a changed one nothing."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from autograder.evidence import Evidence, data, digest

SEEN = [{(8, "key"): 200, (8, "other"): 401}, ((2.0, 5.0), 7), math.nan, [None, b"x", {1, 2}], "text"]
WHAT = digest("vllm-2.1-own", "the checks", "the answer", "7", "cpu-s")


@pytest.fixture
def kept(tmp_path):
    evidence = Evidence(tmp_path / "evidence", b"k" * 32)
    return evidence, evidence.keep(WHAT, "vllm-2.1-own", [data(v) for v in SEEN])


def test_a_replay_is_what_was_seen(kept):
    assert repr(kept[0].find(WHAT)) == repr(SEEN)


def test_nothing_is_found_where_nothing_was_kept(tmp_path, kept):
    assert kept[0].find(digest("another")) is None
    assert Evidence(tmp_path / "nowhere", b"k" * 32).find(WHAT) is None


def test_another_classrooms_trace_is_refused(kept, tmp_path):
    assert Evidence(tmp_path / "evidence", b"x" * 32).find(WHAT) is None


def change(trace: dict, path: str) -> dict:
    if path == "observation":
        trace["trace"]["observations"][0]["v"][1][1] = 200
    elif path == "order":
        trace["trace"]["observations"].reverse()
    elif path == "exercise":
        trace["trace"]["exercise"] = "vllm-2.1-health"
    elif path == "signature":
        trace["signature"] = trace["signature"][::-1]
    else:
        trace["signature"] = {"no": "text", "none": None, "letters": "é"}.get(path, [])
    return trace


@pytest.mark.parametrize("how", ["observation", "order", "exercise", "signature", "no", "none", "letters", "list"])
def test_a_changed_trace_is_refused(kept, how):
    evidence, path = kept
    path.write_text(json.dumps(change(json.loads(path.read_text()), how)))
    assert evidence.find(WHAT) is None


def test_a_trace_of_something_else_is_refused(kept):
    evidence, path = kept
    other = digest("another", "exercise")
    path.rename(path.with_name(f"{other}.json"))
    assert evidence.find(other) is None and evidence.find(WHAT) is None


@pytest.mark.parametrize("content", ["", "[]", "7", "{}", '{"trace": 1, "signature": "x"}', "[" * 10**5, "\0"])
def test_what_is_no_trace_is_refused(kept, content):
    kept[1].write_text(content)
    assert kept[0].find(WHAT) is None


def test_a_trace_holds_data_only():
    assert data((1, [SimpleNamespace(a=1)])) == (1, [SimpleNamespace(a=1)])
    assert np.array_equal(data(np.arange(3)), np.arange(3))
    with pytest.raises(TypeError):
        data(object())


def test_what_a_trace_belongs_to_has_no_seams():
    assert digest("ab", "c") != digest("a", "bc") and len(WHAT) == 64
