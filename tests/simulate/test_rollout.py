"""A rollout in miniature: the right step keeps every promise, and each wrong one breaks the promise it should."""

from __future__ import annotations

import runpy

import pytest

from servelab.paths import ROOT
from servelab.simulate.rollout import PROMISES, Pod, Rollout, judge

MUTANTS = runpy.run_path(str(ROOT / "tests/notebooks/mutants/vllm-2.4-rollout.py"))


def named(text):
    names: dict = {}
    exec(text, names)
    return names["step"]


def broken(text, seed=0):
    return {promise for promise, why in judge(named(text), seed).items() if why}


@pytest.mark.parametrize("seed", range(20))
def test_the_right_step_keeps_every_promise(seed):
    assert broken(MUTANTS["RIGHT"], seed) == set()


def test_every_wrong_step_breaks_one_and_every_promise_is_broken_by_some():
    seen = {what: broken(text) for what, text in MUTANTS["MUTANTS"].items()}
    assert all(seen.values()), seen
    assert set().union(*seen.values()) | {"form"} == set(PROMISES)


@pytest.mark.parametrize("step", [lambda r, w: None, lambda r, w: ("burn", "a"), lambda r, w: ("stop", "z")])
def test_nonsense_is_told(step):
    assert judge(step)["form"] and judge(step)["ends"]


def test_time_passes_as_told():
    import random

    one = Rollout({"a": Pod(), "b": Pod()}, 2, random.Random(1), crashes={2: "b"})
    one.act("drain", "a")
    assert one.serving == 1
    one.passes()
    one.passes()
    assert one.serving == 0 and not one.pods["b"].running
    one.act("stop", "a")
    one.act("start", "a")
    for _tick in range(6):
        one.passes()
    assert one.pods["a"].ready and one.pods["a"].version == 2
    one.act("admit", "a")
    assert one.serving == 1 and not one.broke
