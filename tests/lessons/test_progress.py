import json

import pytest

from servelab import course
from servelab.lessons import progress as module
from servelab.lessons.progress import Standing


def test_steps_add_up(lesson, monkeypatch):
    monkeypatch.setattr(module, "exercises", lambda notebook: ["1.3-a", "1.3-b"])
    lesson.progress.opened("1.3")
    lesson.predict("knee", guess=3)
    lesson.quiz("when").answer(0)
    lesson.passed("1.3-a")
    assert lesson.progress.standing("1.3") == Standing("1.3", True, (1, 4), (1, 1), (1, 2))
    assert lesson.progress.standing("1.3").share == pytest.approx(3 / 7)


def test_a_step_that_the_lesson_no_longer_has_does_not_count(lesson):
    with lesson.progress.change("1.3") as entry:
        entry["quiz"]["gone"] = {}
        entry["exercises"]["1.3-gone"] = {}
    assert lesson.progress.standing("1.3").done == 0


def test_every_notebook_of_the_course_has_a_standing(lesson):
    assert [s.id for s in lesson.progress.standings()] == [n.id for n in course.load().notebooks]


def test_a_notebook_without_steps_is_done_once_opened():
    assert Standing("0", False, (0, 0), (0, 0), (0, 0)).share == 0
    assert Standing("0", True, (0, 0), (0, 0), (0, 0)).share == 1


def test_exercises_are_read_from_the_notebook(tmp_path, monkeypatch):
    entry = course.load().notebook("1.3").model_copy(update={"status": "ready"})
    cells = [
        {"metadata": {"nbgrader": {"grade": False, "grade_id": "1-3-goodput-answer"}}},
        {"metadata": {"nbgrader": {"grade": True, "grade_id": "1-3-goodput-test"}}},
        {"metadata": {}},
    ]
    path = tmp_path / entry.path
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"cells": cells}))
    monkeypatch.setattr(module, "ROOT", tmp_path)
    assert module.exercises(entry) == ["1.3-goodput"]
    assert module.exercises(entry.model_copy(update={"status": "planned"})) == []


def test_passing_goes_to_stdout_and_is_kept(lesson, capsys):
    lesson.passed("1.3-goodput")
    lesson.passed("1.3-goodput")
    out, err = capsys.readouterr()
    assert out.count("1.3-goodput: the visible checks pass; hidden checks remain.") == 2 and err == ""
    assert "passed" in lesson.progress.notebook("1.3")["exercises"]["1.3-goodput"]
