"""Many tasks in many processes: each has its result, whatever befalls the others; nothing stays behind."""

from __future__ import annotations

import psutil
import pytest

from autograder import fanout
from autograder.fanout import Lost, grade_many
from servelab.errors import ServelabError
from tests.autograder import works


def outcomes(numbers, work, **options):
    return dict(grade_many(list(numbers), work=work, **options))


def working() -> list[psutil.Process]:
    """Processes below ours; the two helpers that multiprocessing keeps for the next time do not count."""
    helpers = psutil.Process().children()
    return [p for h in helpers for p in h.children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("workers", [1, 3])
def test_every_task_has_its_result(workers):
    assert outcomes(range(20), works.double, workers=workers) == {n: 2 * n for n in range(20)}
    assert not working()


def test_no_tasks_is_no_work():
    assert outcomes([], works.double) == {}


def test_a_result_comes_when_it_is_there_and_not_in_turn():
    assert next(n for n, _ in grade_many(range(5), workers=2, work=works.slow_first)) != 0


def test_a_dead_worker_costs_the_one_task_it_worked_on():
    found = outcomes(range(12), works.moody, workers=2)
    assert {n for n, o in found.items() if isinstance(o, Lost)} == {1, 3, 4}
    assert "SIGKILL" in found[1].cause
    assert found[3].cause == "No engine starts here."
    assert "KeyError" in found[4].cause
    assert all(found[n] == 2 * n for n in set(range(12)) - {1, 3, 4})
    assert not working()


def test_who_stops_early_leaves_nothing_running():
    run = grade_many(range(50), workers=2, work=works.slow_first)
    next(run)
    run.close()
    assert not working()


def test_a_hanging_task_ends_at_last(monkeypatch):
    monkeypatch.setattr(fanout, "AHEAD", 1)
    found = outcomes(range(3), works.hangs_at_one, workers=2)
    assert isinstance(found[1], Lost) and found[0] == 0 and found[2] == 4


def test_the_same_function_works_on_a_dask_cluster():
    pytest.importorskip("distributed")
    found = outcomes(range(6), works.moody, workers=2, cluster="local")
    assert {n for n, o in found.items() if isinstance(o, Lost)} == {1, 3, 4}
    assert found[3].cause == "No engine starts here."
    assert [found[n] for n in (0, 2, 5)] == [0, 4, 10]


def test_a_cluster_that_does_not_answer_is_told(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(fanout, "ANSWER_SECONDS", 1)
    with pytest.raises(ServelabError, match=r"No Dask scheduler answers at tcp://127\.0\.0\.1:1"):
        outcomes([1], works.double, cluster="tcp://127.0.0.1:1")


def test_without_dask_the_option_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(ServelabError, match=r"servelab\[cluster\]"):
        outcomes([1], works.double, cluster="local")
