"""A real rollout before scripted engines: the right step loses nothing, and one that does not drain is seen to."""

from __future__ import annotations

import os
import runpy

import pytest

from servelab.battery.rollout import rollout
from servelab.engines import process
from servelab.paths import ROOT
from tests.conftest import marked

MUTANTS = runpy.run_path(str(ROOT / "tests/notebooks/mutants/vllm-2.4-rollout.py"))


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SERVELAB_HOME", str(tmp_path))
    yield
    assert process.states() == [] and not marked(tmp_path)
    assert not os.listdir(tmp_path / "servers"), "a file is left"


def step(text):
    names: dict = {}
    exec(text, names)
    return names["step"]


@pytest.mark.timeout(120)
def test_the_right_step_rolls_out_and_loses_nothing():
    told = rollout(step(MUTANTS["RIGHT"]), seed=3)
    assert told | {"asked": 0} == {"said": "done", "asked": 0, "lost": 0, "new": 2, "serving": 2}
    assert told["asked"] >= 48


@pytest.mark.timeout(120)
def test_a_step_that_does_nothing_gets_nowhere():
    told = rollout(lambda seen, wanted: ("done", ""), seed=3)
    assert (told["said"], told["new"], told["lost"]) == ("done", 0, 0)
