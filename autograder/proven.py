"""What is already proven: an exercise on a running server takes minutes to prove, so each proof is kept as a record.

The record (`make bench NAME=proofs`) holds a fingerprint of all that the proof is about: the exercise's cells, its
wrong answers, and the modules of this project that they name. While the fingerprint is the same, the proof stands;
where anything differs, `make test` proves the exercise anew.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from autograder import proof
from servelab import records
from servelab.notebooks import source as sources
from servelab.notebooks.source import Exercise, Source
from servelab.paths import ROOT

RECORD = "proofs"


def exercises() -> list[tuple[Source, Exercise]]:
    """Every ready exercise that a running server judges, with its notebook."""
    return [(s, e) for s in sources.ready() if s.path.exists() for e in s.exercises() if e.engine]


def proofs() -> dict[str, dict]:
    """The proofs on record: {exercise: {date, seconds, fingerprint}}; empty where there is no record."""
    return (records.find(RECORD) or {}).get("proofs", {})


def day(source: Source, exercise: Exercise) -> str | None:
    """The day on which the exercise was proven as it stands now; None where it was not."""
    kept = proofs().get(exercise.name, {})
    return kept["date"] if kept.get("fingerprint") == fingerprint(source, exercise) else None


def fingerprint(source: Source, exercise: Exercise) -> str:
    """SHA-256 of the exercise's cells and points, its wrong answers, and the modules that they name."""
    cells = [*(source.cells[id] for id in exercise.context), exercise.answer, exercise.test]
    answers = proof.mutants(exercise.name)
    codes = [cell.source for cell in cells]
    modules = {str(path.relative_to(ROOT)): path.read_text() for path in named([*codes, *answers.values()])}
    whole = json.dumps([codes, exercise.points, answers, modules], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()


def named(codes: Iterable[str]) -> list[Path]:
    """The project's own files that these pieces of code import by name; what is no Python imports nothing."""
    found = set()
    for name in {name for code in codes for name in _imports(code)}:
        place = ROOT.joinpath(*name.split("."))
        found |= {path for path in (place.with_suffix(".py"), place / "__init__.py") if path.exists()}
    return sorted(found)


def _imports(code: str) -> Iterator[str]:
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
