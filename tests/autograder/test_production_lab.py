"""Lab vllm-2.4 as it is graded: step, service and manifests in a sandbox; real replicas, NGINX, Redis outside."""

from __future__ import annotations

import copy
import runpy

import nbformat
import pytest

from autograder import intake, judge, sandbox
from autograder.engines import Engines
from autograder.evidence import Evidence
from servelab import course
from servelab.engines import keyvalue
from servelab.errors import ServelabError
from servelab.notebooks.source import Source
from servelab.paths import ROOT
from tests.battery.defects import DEFECTS, planted

pytestmark = pytest.mark.engine

ROLLOUT, SHARED, MANIFESTS = (f"vllm-2.4-{name}" for name in ("rollout", "shared", "manifests"))


def mutants(name):
    return runpy.run_path(str(ROOT / f"tests/notebooks/mutants/{name}.py"))


@pytest.mark.timeout(400)
def test_a_deployment_earns_by_what_it_does(tmp_path):
    if not keyvalue.program():
        pytest.skip("Redis is not installed")
    try:
        isolation = sandbox.isolation()
    except ServelabError as error:
        pytest.skip(str(error))
    source = Source(course.load().notebook("vllm-2.4"))
    changes, _verdict = DEFECTS["shared"]["names a session without its key"]
    service = planted(changes, "shared")
    handed = copy.deepcopy(intake.released(source, "en"))
    answers = {
        "vllm-2-4-rollout-answer": mutants(ROLLOUT)["RIGHT"],
        "vllm-2-4-shared-answer": "from servelab.lessons.carry import carry\n\n"
        f"shared = carry('production.py', r'''\n{service}''')\n",
        "vllm-2-4-manifests-answer": mutants(MANIFESTS)["MUTANTS"]["lets nobody go"],
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
    assert marks[ROLLOUT].earned == marks[ROLLOUT].points, marks[ROLLOUT]
    assert 0 < marks[SHARED].earned < marks[SHARED].points, marks[SHARED]
    assert [p.message for p in marks[SHARED].failed if p.hidden] == ["a session is seen by another caller"]
    assert 0 < marks[MANIFESTS].earned < marks[MANIFESTS].points, marks[MANIFESTS]
