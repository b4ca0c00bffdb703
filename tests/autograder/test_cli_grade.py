"""`servelab grade`, as an instructor and as a learner type it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import nbformat
import pytest

from autograder import results
from servelab.errors import ServelabError
from servelab.notebooks import workspace
from servelab.notebooks.html import remote
from tests.autograder.conftest import LEVEL

STEM = "1.3_batching_tradeoff"


def test_a_class_from_the_first_command_to_the_last(run, tmp_path, monkeypatch, school):
    monkeypatch.chdir(tmp_path)
    assert "servelab grade release" in run("init", "fresh")
    assert "2 notebooks" in run("release", "vllm-2.1", "--classroom", "fresh")
    with zipfile.ZipFile("hand-ins.zip", "w") as archive:
        archive.writestr(f"ann/{STEM}.ipynb", nbformat.writes(school.solved()))
        archive.writestr(f"bob/{STEM}.ipynb", "{broken")
        archive.writestr("bob/notes.txt", "")
    told = run("collect", "hand-ins.zip")  # ./classroom is found by itself
    assert "ann" in told and "bob/notes.txt is no notebook" in told
    told = run("autograde", LEVEL, "--workers", 1)
    assert "12.0" in told and "2 graded, 0 unchanged" in told and "is no notebook that can be read" in told
    monkeypatch.chdir(school.room.root)  # so is the one we stand in
    assert "0 graded, 2 unchanged" in run("autograde", LEVEL)
    assert "1 graded, 0 unchanged" in run("autograde", LEVEL, "--student", "ann", "--again", "--seed", 3)
    assert {j.seed for j in results.load(school.room.root, LEVEL, "ann")} == {3}
    assert "8 pages in" in run("feedback", LEVEL)
    assert "3 reports" in run("report", "course") and "3 reports" in run("report", LEVEL, "--lang", "zh_TW")
    for shape in ("csv", "canvas", "moodle"):
        path = Path(run("export", "--for", shape).strip().replace("\n", ""))
        assert "ann" in path.read_text(encoding="utf-8-sig")


def test_what_is_missing_is_told_in_one_sentence(run, tmp_path, monkeypatch, school):
    monkeypatch.chdir(tmp_path / "classroom" / "source")
    with pytest.raises(ServelabError, match="no classroom"):
        run("collect", "x.zip")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ServelabError, match="no assignment 'level-9'"):
        run("release", "level-9")
    with pytest.raises(ServelabError, match="exchange"):
        run("collect")
    with pytest.raises(ServelabError, match="Nothing of level-1 was graded"):
        run("report", LEVEL)
    with pytest.raises(ServelabError, match="not written yet"):
        run("me", "5.8")
    with pytest.raises(ServelabError, match="no notebook of this course"):
        run("me", "nothing.ipynb")


def test_a_learner_alone(run, tmp_path, monkeypatch, school):
    folder = tmp_path / "ws"
    monkeypatch.setenv("SERVELAB_WORKSPACE", str(folder))
    with pytest.raises(ServelabError, match="make lab"):
        run("me", "1.3")
    workspace.build(folder, "en")
    path = folder / "en" / school.source().entry.delivered
    before = {p.relative_to(folder) for p in folder.rglob("*")}
    assert "0 of 12" in run("me", "1.3")
    wrong = {"1.3-steps": "def steps(lengths, slots, continuous):\n    return sum(lengths)"}
    nbformat.write(school.solved(but=wrong), path)
    page = tmp_path / "pages" / "me.html"
    told = run("me", "1.3", "--seed", 1, "--html", page)
    assert "4 of 4" in told and "Next: exercise 1.3-steps" in told
    assert "Static: each group lasts as long as its longest." in told
    assert told.splitlines()[:-1] == run("me", path, "--seed", 1).splitlines()
    text = page.read_text()
    assert "1.3-steps" in text and "makespan" not in text and "schedule(answers" not in text and not remote(text)
    nbformat.write(school.solved(), path)
    told = run("me", "1.3")
    assert "12 of 12" in told and "Everything holds." in told
    assert {p.relative_to(folder) for p in folder.rglob("*")} == before, "nothing is kept"


def test_a_learner_is_told_in_the_language_she_uses(run, tmp_path, monkeypatch, school):
    monkeypatch.setenv("SERVELAB_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("SERVELAB_LANGUAGE", "zh_TW")
    workspace.build(tmp_path, "zh_TW")
    nbformat.write(school.solved(lang="zh_TW"), tmp_path / "zh_TW" / school.source().entry.delivered)
    assert "1.3-step" in run("me", "1.3")
