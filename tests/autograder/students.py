"""Students made up for tests and benches: what each can do decides which exercises they solve."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from autograder import intake, proof
from servelab.notebooks.source import OPENING, Source


def answers(source: Source, quality: float, rng: random.Random) -> dict[str, str | None]:
    """An answer for each exercise that needs no engine: the reference with probability `quality`, else a plausible
    wrong one or none (None)."""
    found: dict[str, str | None] = {}
    for exercise in (e for e in source.exercises() if not e.engine):
        wrong = [*proof.mutants(exercise.name).values(), None]
        found[exercise.answer.id] = exercise.answer.source if rng.random() < quality else rng.choice(wrong)
    return found


def notebook(source: Source, given: dict[str, str | None], lang: str = "en") -> NotebookNode:
    """The released notebook with answers written into it."""
    nb = nbformat.from_dict(dict(intake.released(source, lang)))
    for cell in nb.cells:
        if given.get(cell.id) is not None:
            cell.source = given[cell.id]
    return nb


def without_measurements(source: Source, nb: NotebookNode) -> NotebookNode:
    """The notebook without the course's cells that no exercise builds on: what is left needs no engine."""
    needed = {OPENING}
    for exercise in source.exercises():
        needed |= {exercise.answer.id, exercise.test.id, *exercise.context}
    nb = nbformat.from_dict(dict(nb))
    nb.cells = [cell for cell in nb.cells if cell.cell_type == "markdown" or cell.id in needed]
    return nb


def hand_in(folder: Path, sources: Iterable[Source], quality: float, rng: random.Random, lang: str = "en") -> None:
    """Write a student's notebooks into the folder of her submission."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in sources:
        nbformat.write(notebook(source, answers(source, quality, rng), lang), folder / source.path.name)
