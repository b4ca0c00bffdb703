"""Ablations: ratios worked out by hand, intervals that cover what they should, runs in turns, verdicts at the edges."""

import asyncio
import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mock_server import Mock, Running

from servelab.errors import ServelabError
from servelab.load.ablation import WORTH, Ablation, Trials, ablate, answered, makespan, names, reasons, seconds, verdict
from servelab.load.metrics import Record
from servelab.load.report import Result

COSTS = st.lists(st.floats(0.01, 100), min_size=2, max_size=8)


def test_halves_and_doubles_cancel():
    one = Ablation.of([2, 1], [1, 2])
    assert one.ratio == pytest.approx(1) and one.low == pytest.approx(1 / one.high)
    assert one.verdict == "undecided"


def test_by_hand():
    """Ratios e^1 and e^3: mean of logs 2, standard deviation sqrt(2), t(0.975, 1) = 12.706."""
    one = Ablation.of([math.e, math.e**3], [1, 1])
    assert one.ratio == pytest.approx(math.e**2)
    assert math.log(one.high) == pytest.approx(2 + 12.706, abs=1e-3)
    assert math.log(one.low) == pytest.approx(2 - 12.706, abs=1e-3)
    assert (one.off, one.on, one.pairs) == (pytest.approx(math.e**2), pytest.approx(1), 2)


def test_one_pair_proves_nothing():
    one = Ablation.of([100], [1])
    assert (one.low, one.high, one.verdict) == (0, math.inf, "undecided")


def test_what_was_counted_is_a_point():
    one = Ablation.counted(256, 68)
    assert one.low == one.ratio == one.high == 256 / 68
    assert one.verdict == "gain" and "95 %" not in str(one)


@given(COSTS, st.randoms(use_true_random=False))
def test_swapped_arms_give_the_reciprocal(off, chance):
    on = [chance.uniform(0.1, 10) for _ in off]
    one, other = Ablation.of(off, on), Ablation.of(on, off)
    assert one.ratio == pytest.approx(1 / other.ratio) and one.low == pytest.approx(1 / other.high)


@given(COSTS, st.randoms(use_true_random=False))
def test_what_slows_both_runs_of_a_pair_does_not_show(off, chance):
    drift = np.array([chance.uniform(0.5, 2) for _ in off])
    off = np.array(off)
    one, slowed = Ablation.of(off, off[::-1]), Ablation.of(off * drift, off[::-1] * drift)
    assert (slowed.ratio, slowed.low) == (pytest.approx(one.ratio), pytest.approx(one.low))


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    runs = [Ablation.of(rng.lognormal(0.5, 0.2, 5), rng.lognormal(0, 0.2, 5)) for _ in range(1000)]
    covered = np.mean([one.low <= math.exp(0.5) <= one.high for one in runs])
    assert 0.93 < covered < 0.97


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [
        (1.01, 1.02, "gain"),
        (0.5, 0.99, "loss"),
        (1, 1 * WORTH, "none"),
        (1 / WORTH, 1, "none"),
        (0.9, 1.2, "undecided"),
        (0.5, 1.05, "undecided"),
        (0, math.inf, "undecided"),
    ],
)
def test_verdicts_at_the_edges(low, high, told):
    assert verdict(low, high) == told


@pytest.mark.parametrize("arms", [([], []), ([1, 2], [1]), ([1, 0], [1, 1]), ([1, math.nan], [1, 1]), ([[1]], [[1]])])
def test_what_is_no_comparison_is_told(arms):
    with pytest.raises(ServelabError):
        Ablation.of(*arms)


def test_runs_take_turns_and_each_has_a_seed_of_its_own():
    ran = []

    def arm(name, cost):
        return lambda seed: ran.append((name, seed)) or {"s": cost, "bytes": 1}

    found = ablate(arm("off", 3.0), arm("on", 1.5), pairs=3, seed=100, progress=False)
    assert [name for name, _seed in ran] == ["off", "on", "on", "off", "off", "on"]
    assert [seed for _name, seed in ran] == list(range(100, 106))
    assert found["s"].ratio == pytest.approx(2) and found["bytes"].verdict == "none"


def test_a_cost_without_a_name_gives_one_ablation():
    one = ablate(lambda _: 6.0, lambda _: 2.0, pairs=2, progress=False)
    assert isinstance(one, Ablation) and one.ratio == pytest.approx(3)


def test_async_runs_are_run_to_their_end_even_inside_a_loop():
    async def cost(_seed):
        await asyncio.sleep(0)
        return 2.0

    async def notebook():
        return ablate(cost, lambda _: 1.0, pairs=2, progress=False)

    assert asyncio.run(notebook()).ratio == pytest.approx(2)


def test_warm_runs_are_not_counted():
    costs = iter([99, 99, 2, 1, 1, 2])
    found = ablate(lambda _: {"s": next(costs)}, lambda _: {"s": next(costs)}, pairs=2, warm=True, progress=False)
    assert found["s"].ratio == pytest.approx(2)


def test_another_run_asks_other_things():
    seeds = set()
    for _ in range(3):
        ablate(lambda s: seeds.add(s) or {"s": 1}, lambda s: seeds.add(s) or {"s": 1}, pairs=2, progress=False)
    assert len(seeds) == 12


@pytest.mark.parametrize(("on", "pairs"), [({"other": 1}, 1), ({"s": 1, "more": 1}, 1), ({"s": 1}, 0), (1, 1)])
def test_arms_must_match(on, pairs):
    with pytest.raises(ServelabError):
        ablate(lambda _: {"s": 1}, lambda _: on, pairs=pairs, progress=False)


def test_trials_are_kept_by_family_and_told(capsys):
    trials = Trials(pairs=2, progress=False)
    trials.run("checks", lambda _: 3.0, lambda _: 1.0, "control")
    trials.run("io", lambda _: {"pool": 2.0, "other": 1.0}, lambda _: {"pool": 1.0, "other": 2.0}, pairs=3)
    trials.keep("memory", "int8 bytes", Ablation.counted(256, 68))
    assert [list(group) for group in trials.found.values()] == [["control"], ["pool", "other"], ["int8 bytes"]]
    assert trials["pool"].pairs == 3 and trials["control"].pairs == 2
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("nothing changed: x 3 ") and told[2].startswith("other: ") and "gain" in told[3]


def test_controls_do_not_count_as_gains():
    trials = Trials(pairs=2, progress=False)
    assert trials.gained() == 0
    trials.run("checks", lambda _: 3.0, lambda _: 1.0, "control")
    trials.run("io", lambda _: {"pool": 2.0, "other": 1.0}, lambda _: {"pool": 1.0, "other": 1.0})
    assert trials.gained() == 0.5


def test_the_rest_is_told_with_where_to_look(capsys):
    trials = Trials(pairs=2, progress=False)
    trials.run(
        "io", lambda _: {"pool": 1.0, "bare": 2.0, "mine": 1.0}, lambda _: {"pool": 1.0, "bare": 1.0, "mine": 2.0}
    )
    rest = trials.rest()
    assert rest.cost.tolist() == [names()["pool"], "mine"] and rest.verdict.tolist() == ["no difference", "loss"]
    assert "Amdahl" in rest["look first at"][0] and rest["look first at"][1] == ""
    assert rest["without ÷ with"][1].startswith("x 0.5 (95 %")


def test_whatever_can_fail_to_gain_has_a_reason():
    can_only_gain = {"int8 bytes", "fp8 bytes", "first word", "bare"}
    families = {"checks", "memory", "compute", "io"}
    assert set(names()) - families - can_only_gain == set(reasons())


def test_names_are_told_in_both_languages(monkeypatch):
    english = names()
    monkeypatch.setenv("SERVELAB_LANGUAGE", "zh_TW")
    assert names().keys() == english.keys()
    assert [key for key, told in names().items() if told == english[key]] == []


def test_a_failed_request_spoils_a_run():
    whole = Result([Record(0, 0.0), Record(1, 0.0)], about={})
    assert answered(whole) is whole
    with pytest.raises(ServelabError, match="1 of 2 requests failed .no room."):
        answered(Result([Record(0, 0.0), Record(1, 0.0, status="refused", error="no room")], about={}))


def test_makespan_is_the_time_to_the_last_answer():
    with Running(Mock(first_s=0.05)) as server:
        alone, together = makespan(server, 4, 8, 2, at_once=1)(1), makespan(server, 4, 8, 2)(2)
    assert alone >= 0.2 and together >= 0.05


def test_makespan_refuses_a_run_that_is_not_whole():
    with Running(Mock(faults={1: "refuse"})) as server, pytest.raises(ServelabError, match="1 of 2 requests failed"):
        makespan(server, 2, 8, 2)(1)


def test_seconds_are_those_of_the_work():
    assert 0.02 <= seconds(lambda: time.sleep(0.02)) < 5
