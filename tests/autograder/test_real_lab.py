"""A lab through the whole pipeline on real servers, as an instructor types it: what its learners earn, and why."""

from __future__ import annotations

import copy
import html
import re
import zipfile

import nbformat
import pytest

from autograder import classroom, gradebook, results
from servelab.engines import process

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]
LAB = "vllm-2.1"
OWN, HEALTH, STREAM = "vllm-2.1-own", "vllm-2.1-health", "vllm-2.1-stream"
COUNTS_PIECES = """import time


def stream_chat(client, model, messages, max_tokens):
    began, first, pieces = time.perf_counter(), None, []
    options = {"max_tokens": max_tokens, "temperature": 0, "stream": True}
    for piece in client.chat.completions.create(model=model, messages=messages, **options):
        if piece.choices:
            first = first or time.perf_counter() - began
            pieces.append(piece.choices[0].delta.content or "")
    return "".join(pieces), first, len(pieces)
"""
AS_IT_COMES = """from servelab.engines import vllm


def start(n):
    return vllm()
"""


def test_a_lab_from_the_first_command_to_the_last(run, engine_home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("init")
    run("release", LAB)
    room, (source,) = classroom.find(tmp_path / "classroom"), classroom.assignment(LAB)
    blank = nbformat.read(room.step("release", LAB) / source.path.name, as_version=4)

    def answered(**but):
        nb, cells = copy.deepcopy(blank), {e.answer.id: e.answer.source for e in source.exercises()}
        for cell in nb.cells:
            cell.source = {**cells, **but}.get(cell.id, cell.source)
        return nb

    ids = {e.name: e.answer.id for e in source.exercises()}
    handed_in = {
        "ann": answered(),
        "bob": blank,
        "cem": answered(**{ids[OWN]: AS_IT_COMES, ids[STREAM]: COUNTS_PIECES}),
    }
    with zipfile.ZipFile("hand-ins.zip", "w") as archive:
        for student, nb in handed_in.items():
            archive.writestr(f"{student}/{source.path.name}", nbformat.writes(nb))
    assert all(student in run("collect", "hand-ins.zip") for student in handed_in)
    assert "3 graded, 0 unchanged" in run("autograde", LAB, "--workers", 1)

    points = {e.name: e.points for e in source.exercises()}
    marks = {s: {m.exercise: m for m in results.load(room.root, LAB, s)[0].marks} for s in handed_in}
    earned = {s: {name: mark.earned for name, mark in own.items()} for s, own in marks.items()}
    assert earned["ann"] == points
    assert set(earned["bob"].values()) == {0}
    assert earned["cem"][HEALTH] == points[HEALTH]
    assert earned["cem"][OWN] < points[OWN] and earned["cem"][STREAM] < points[STREAM]
    with gradebook.open(room) as book:
        for student, own in earned.items():
            said = {g.name: g.auto_score for g in book.find_submission_notebook(source.stem, LAB, student).grades}
            assert said == {e.test.id: pytest.approx(own[e.name]) for e in source.exercises()}

    assert "0 graded, 3 unchanged" in run("autograde", LAB)
    run("feedback", LAB)
    pages = {p.parts[-3]: p.read_text() for p in (room.root / "feedback").rglob("*.html")}
    told = {s: html.unescape(re.sub(r"<[^>]+>", "", page)) for s, page in pages.items()}
    assert f"{sum(points.values()):g} of {sum(points.values()):g}" in told["ann"]
    assert "a wrong key is taken, or none is asked for" in told["cem"] and "or none is asked for" not in told["ann"]
    assert not any("taipei-102" in text for text in told.values()), "no hidden check is shown"
    assert not any("vLLM by its own defaults" in text for text in told.values()), "exercises, and no other cell"
    names = {one["name"] for one in process.states()}
    assert all(len(process.state(name)["config"]) == 0 for name in names), "servers that learners chose are stopped"
