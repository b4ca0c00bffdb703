"""Tuning: requests, bounds, the judge, and a ladder that keeps what did what it was made for."""

from dataclasses import replace

import pytest

from servelab import tuning
from servelab.errors import ServelabError
from servelab.load.metrics import Record
from servelab.simulate import Linear
from servelab.tuning import Bounds, Ladder, Score

PRICES = Linear(0.0375, 0.00123, 3.4e-6, 0.00067, 3e-7, 0.0113)
POOR = {"max_num_seqs": 2, "max_num_batched_tokens": 2048, "block_size": 128, "enable_prefix_caching": False}
GOOD = {"max_num_seqs": 12, "max_num_batched_tokens": 256, "block_size": 32, "enable_prefix_caching": True}
BOUNDS = Bounds(ttft_s=1.0, tpot_s=0.1, gap_s=0.3)


def record(ttft=0.5, each=0.05, longest=0.05, n=5, **more):
    times = [ttft + each * i for i in range(n)]
    times[-1] = times[-2] + longest
    return Record(0, 0.0, 0.0, ttft, times, times[-1], 10, n, n, **more)


@pytest.fixture(scope="module")
def task():
    return tuning.Task.of(tuning.requests(24), PRICES, tuning.settings(GOOD))


def test_the_load_is_the_same_in_other_words():
    one, other = tuning.requests(16, seed=1), tuning.requests(16, seed=2)
    assert [(r.prompt_tokens, r.output_tokens) for r in one] == [(r.prompt_tokens, r.output_tokens) for r in other]
    assert one[0].prompt != other[0].prompt
    assert len({tuple(r.prompt[: tuning.SHARED]) for r in one}) == 1
    assert [r.prompt_tokens for r in one].count(tuning.DOCUMENT) == 2


def test_each_bound_is_missed_by_itself():
    assert BOUNDS.missed(record()) == []
    assert BOUNDS.missed(record(ttft=1.2)) == ["ttft"]
    assert BOUNDS.missed(record(longest=0.35)) == ["tpot", "gap"]
    assert BOUNDS.missed(record(longest=0.35, n=20)) == ["gap"]
    assert BOUNDS.missed(replace(record(), status="cut")) == ["ttft", "tpot", "gap"]


def test_a_score_counts_who_met_all():
    score = Score.of([record(), record(ttft=1.2), record(longest=0.35, n=20), record()], BOUNDS)
    assert score.met == 0.5 and score.missed == {"ttft": 0.25, "tpot": 0, "gap": 0.25}
    assert score.goodput == pytest.approx(2 / max(0.5 + 0.05 * 18 + 0.35, 1.2 + 0.2))
    with pytest.raises(ServelabError, match="1 of 2"):
        Score.of([record(), replace(record(), status="cut")], BOUNDS)


def test_the_room_bounds_the_blocks():
    config = tuning.settings(GOOD)
    assert config.num_blocks == tuning.ROOM // 32 and config.max_model_len == tuning.MAX_LEN


def test_the_good_configuration_keeps_the_slo_and_the_poor_does_not(task):
    poor, good = (task.simulate(tuning.settings(flags), PRICES) for flags in (POOR, GOOD))
    assert poor.met < 0.4 and poor.missed["ttft"] > 0.6
    assert good.met >= 0.9


@pytest.mark.parametrize(
    "prices",
    [PRICES, Linear(0.039, 0.0004, 0, 0.00125), Linear(0.039, 0.001, 0, 0.0005), Linear(0.01, 0.0001, 0, 0.00005)],
    ids=["stamped", "reading is dear", "reading is cheap", "a fast machine"],
)
@pytest.mark.parametrize("n", [14, 24])
def test_each_change_of_the_lesson_relieves_its_bound_on_any_machine(prices, n):
    flags, found = dict(POOR), []
    task = tuning.Task.of(tuning.requests(n), prices, tuning.settings(GOOD | {"max_num_seqs": 16}))
    changes = [{}, {"max_num_seqs": 16}, {"enable_prefix_caching": True}]
    for change in [*changes, {"block_size": 32, "max_num_batched_tokens": 256}]:
        flags |= change
        found.append(task.simulate(tuning.settings(flags), prices))
    start, seats, prefix, budget = found
    assert start.met < 0.3 and seats.missed["ttft"] < start.missed["ttft"] - 0.1
    assert prefix.missed["gap"] < seats.missed["gap"] - 0.1 or prefix.missed["tpot"] < seats.missed["tpot"] - 0.1
    assert budget.met >= 0.9


def test_a_task_is_as_hard_on_a_slow_machine(task):
    slow = Linear(*(3 * price for price in (0.0375, 0.00123, 3.4e-6, 0.00067, 3e-7, 0.0113)))
    same = tuning.Task.of(tuning.requests(24), slow, tuning.settings(GOOD))
    for flags in (POOR, GOOD):
        assert same.simulate(tuning.settings(flags), slow).met == task.simulate(tuning.settings(flags), PRICES).met


def score(ttft=0.0, tpot=0.0, gap=0.0, met=0.5):
    return Score(met, 1.0, 1.0, 0.1, 0.3, 10.0, {"ttft": ttft, "tpot": tpot, "gap": gap})


def test_a_change_is_judged_by_its_bound(capsys):
    ladder = Ladder({"a": 1})
    ladder.begin(None, score(ttft=0.8, met=0.2))
    ladder.change("seats", {"a": 2}, "ttft", None, score(ttft=0.3, gap=0.7, met=0.1))
    assert ladder.rungs[-1].verdict == "kept"
    assert ladder.flags == {"a": 2}
    ladder.change("other", {"b": 1}, "gap", None, score(ttft=0.3, gap=0.69))
    assert ladder.rungs[-1].verdict == "dropped"
    assert ladder.flags == {"a": 2}
    ladder.change("guess", {"b": 3}, "gap", score(gap=0.1))
    assert ladder.rungs[-1].verdict == "predicted"
    assert ladder.flags == {"a": 2, "b": 3}
    assert list(ladder.frame().iloc[:, 2].dropna()) == [20, 10, 50]
    assert "gap 70%" in capsys.readouterr().out


def test_a_change_needs_something_to_judge_by():
    ladder = Ladder({})
    with pytest.raises(ServelabError):
        ladder.change("x", {}, "gap", score())
    ladder.begin(None, score())
    with pytest.raises(ServelabError):
        ladder.change("x", {}, "gap", None)
