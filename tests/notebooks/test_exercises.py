"""Each exercise proves itself: the empty answer scores nothing, the reference everything, every mutant loses.

Exercises on a running server are proven in test_run.py, where the server is.
"""

from __future__ import annotations

import pytest

from autograder import proof
from servelab.notebooks import source as sources

PRESENT = [source for source in sources.ready() if source.path.exists()]
EXERCISES = [(source, exercise) for source in PRESENT for exercise in source.exercises()]


@pytest.mark.parametrize(("source", "exercise"), [pytest.param(s, e, id=e.name) for s, e in EXERCISES if not e.engine])
def test_an_exercise_proves_itself(source, exercise, headless):
    assert proof.problems(source, exercise) == []


@pytest.mark.parametrize("exercise", [pytest.param(e, id=e.name) for _, e in EXERCISES])
def test_it_has_wrong_answers_to_lose_by(exercise):
    assert len(proof.mutants(exercise.name)) >= proof.LEAST_MUTANTS


def test_no_wrong_answers_are_left_over():
    assert proof.mutant_files() <= {exercise.name for _, exercise in EXERCISES}
