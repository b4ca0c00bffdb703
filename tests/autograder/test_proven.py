"""A proof stands while everything that it is about is the same, and no longer."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from autograder import proof, proven
from servelab import records
from servelab.notebooks import source as sources
from servelab.paths import ROOT


@pytest.fixture
def duo(monkeypatch, tmp_path):
    """An exercise on a server, proven as it stands."""
    monkeypatch.setattr(records, "RECORDS", tmp_path)
    source = next(s for s in sources.ready() if s.entry.id == "triton-2.5")
    exercise = next(e for e in source.exercises() if e.name == "triton-2.5-duo")
    assert proven.day(source, exercise) is None, "nobody has proven it yet"
    kept = {"date": "2026-01-01", "fingerprint": proven.fingerprint(source, exercise)}
    records.save(proven.RECORD, {"proofs": {exercise.name: kept}})
    assert proven.day(source, exercise) == "2026-01-01"
    return source, exercise


@pytest.mark.parametrize("cell", ["answer", "test"])
def test_another_cell_is_proven_anew(duo, cell):
    source, exercise = duo
    another = copy.deepcopy(getattr(exercise, cell))
    another.source += "\n# another"
    assert proven.day(source, replace(exercise, **{cell: another})) is None


def test_other_points_another_context_or_other_wrong_answers_are_proven_anew(duo, monkeypatch):
    source, exercise = duo
    assert proven.day(source, replace(exercise, points=exercise.points + 1)) is None
    assert proven.day(source, replace(exercise, context=("opening", "files"))) is None
    wrong = proof.mutants(exercise.name)
    monkeypatch.setattr(proof, "mutants", lambda name: wrong | {"does nothing": "pass"})
    assert proven.day(source, exercise) is None


def test_a_module_that_the_cells_or_the_wrong_answers_name_counts(duo, monkeypatch):
    source, exercise = duo
    files = proven.named([exercise.test.source])
    assert ROOT / "servelab" / "capstone_triton.py" in files and ROOT / "servelab" / "__init__.py" in files
    assert proven.named(["import json\nfrom servelab.engines import triton", "a +"]) == [
        ROOT / "servelab" / "engines" / "__init__.py",
        ROOT / "servelab" / "engines" / "triton.py",
    ]
    monkeypatch.setattr(proven, "named", lambda codes: [ROOT / "servelab" / "cli" / "__init__.py"])
    assert proven.day(source, exercise) is None
