"""Lab vllm-2.3 as it is graded: services in a sandbox, clients and a scripted engine outside, no real engine needed."""

from __future__ import annotations

import copy

import nbformat
import pytest

from autograder import intake, judge, sandbox
from autograder.engines import Engines
from autograder.evidence import Evidence
from servelab import course
from servelab.errors import ServelabError
from servelab.notebooks.source import Source
from tests.battery.defects import DEFECTS, REFERENCE, planted

pytestmark = pytest.mark.engine

CONTRACT, STREAMING, PRESSURE = (f"vllm-2.3-{name}" for name in ("contract", "streaming", "pressure"))


def carried(name: str, text: str) -> str:
    return f"from servelab.lessons.carry import carry\n\n{name} = carry('service.py', r'''\n{text}''')\n"


@pytest.mark.timeout(400)
def test_services_earn_by_what_they_do(tmp_path):
    try:
        isolation = sandbox.isolation()
    except ServelabError as error:
        pytest.skip(str(error))
    source = Source(course.load().notebook("vllm-2.3"))
    changes, lost = DEFECTS["streaming"]["begins its stream before the engine has agreed"]
    handed = copy.deepcopy(intake.released(source, "en"))
    answers = {
        "vllm-2-3-contract-answer": carried("typed", REFERENCE.read_text()),
        "vllm-2-3-streaming-answer": carried("streamed", planted(changes)),
    }
    for cell in handed.cells:
        cell.source = answers.get(cell.id, cell.source)
    path = tmp_path / source.path.name
    nbformat.write(handed, path)
    evidence = Evidence(tmp_path / "evidence", b"k" * 32)
    read = intake.read(path, source)
    with Engines() as engines:
        judged = judge.judge(source, read, seed=5, isolation=isolation, engines=engines, evidence=evidence)
    marks = {mark.exercise: mark for mark in judged.marks}
    assert marks[CONTRACT].earned == marks[CONTRACT].points, marks[CONTRACT]
    assert 0 < marks[STREAMING].earned < marks[STREAMING].points
    failed = [p.message for p in marks[STREAMING].failed if p.hidden]
    assert failed == ["a refusal of the engine is no refusal of the service"], lost
    assert marks[PRESSURE].earned == 0
    again = judge.judge(source, read, seed=5, isolation=isolation, engines=None, evidence=evidence)
    assert [mark.earned for mark in again.marks] == [mark.earned for mark in judged.marks]
