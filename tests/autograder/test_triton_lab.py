"""Lab triton-2.1 as it is graded: a learner's own Triton runs with her in the sandbox, the course's outside."""

from __future__ import annotations

import copy

import nbformat
import pytest

from autograder import intake, judge, proof, sandbox
from autograder.engines import Engines
from servelab import course
from servelab.engines import triton_install
from servelab.errors import ServelabError
from servelab.notebooks.source import Source

pytestmark = pytest.mark.engine

WHY = triton_install.obstacle()


@pytest.mark.timeout(400)
@pytest.mark.skipif(WHY is not None, reason=str(WHY))
def test_models_and_clients_earn_by_what_they_do(tmp_path):
    try:
        isolation = sandbox.isolation()
    except ServelabError as error:
        pytest.skip(str(error))
    source = Source(course.load().notebook("triton-2.1"))
    model, client, mend = source.exercises()
    answers = {
        model.answer.id: model.answer.source,
        client.answer.id: client.answer.source,
        mend.answer.id: proof.mutants(mend.name)["believes the one that is ready"],
    }
    handed = copy.deepcopy(intake.released(source, "en"))
    for cell in handed.cells:
        cell.source = answers.get(cell.id, cell.source)
    path = tmp_path / source.path.name
    nbformat.write(handed, path)
    with Engines() as engines:
        judged = judge.judge(source, intake.read(path, source), seed=5, isolation=isolation, engines=engines)
    marks = {mark.exercise: mark for mark in judged.marks}
    for exercise in (model, client):
        assert marks[exercise.name].earned == exercise.points, marks[exercise.name]
    assert 0 < marks[mend.name].earned < mend.points
    assert [p.message for p in marks[mend.name].failed if p.hidden] == ["half is not right for eight rows"]
