"""The workspace: delivered once, brought up to date, never at the cost of the learner's work."""

from __future__ import annotations

import json

import nbformat
import pytest

from servelab import paths
from servelab.errors import ServelabError
from servelab.notebooks import workspace
from servelab.notebooks.workspace import build

from .conftest import addition, markdown


@pytest.fixture
def folder(school, tmp_path):
    return tmp_path / "workspace"


def edit(path, text="x = 1"):
    nb = nbformat.read(path, as_version=4)
    nb.cells[-1].source = text
    nbformat.write(nb, path)


def run(path):
    nb = nbformat.read(path, as_version=4)
    for n, cell in enumerate(c for c in nb.cells if c.cell_type == "code"):
        cell.execution_count = n + 1
        cell.outputs = [nbformat.v4.new_output("stream", text="42\n")]
    nbformat.write(nb, path)


def renew(school, text="More."):
    nb = addition()
    nb.cells.append(markdown("more", text))
    school.write("1.1", nb)


def test_a_fresh_workspace_has_the_ready_notebooks_and_no_planned_one(folder):
    delivery = build(folder, "en")
    assert delivery.start == folder / "en" / "0_start.ipynb"
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == [
        paths.WORKSPACE_MARKER,
        "AGENTS.md",
        "en/0_start.ipynb",
        "en/levels/1-intuition/1.1_sum.ipynb",
        "en/levels/1-intuition/1.2_product.ipynb",
    ]
    assert len(delivery.written) == 4 and not delivery.said


def test_a_notebook_in_it_finds_it(folder, monkeypatch):
    build(folder, "zh_TW")
    monkeypatch.delenv("SERVELAB_WORKSPACE", raising=False)
    monkeypatch.chdir(folder / "zh_TW/levels/1-intuition")
    assert paths.workspace() == folder


def test_the_second_build_touches_nothing(folder):
    build(folder, "en")
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}
    assert build(folder, "en").written == []
    assert before == {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def test_two_languages_share_one_workspace(folder):
    build(folder, "en")
    (folder / "progress.json").write_text("{}")
    run(folder / "en/levels/1-intuition/1.1_sum.ipynb")
    before = (folder / "en/levels/1-intuition/1.1_sum.ipynb").read_text()
    delivery = build(folder, "zh_TW")
    assert delivery.start == folder / "zh_TW/0_start.ipynb" and delivery.start.exists()
    assert (folder / "en/levels/1-intuition/1.1_sum.ipynb").read_text() == before
    assert "# 加法" in (folder / "zh_TW/levels/1-intuition/1.1_sum.ipynb").read_text()
    assert (folder / "progress.json").read_text() == "{}"
    assert json.loads((folder / paths.WORKSPACE_MARKER).read_text())["language"] == "zh_TW"


def test_a_new_version_replaces_a_notebook_that_was_only_run(folder, school):
    build(folder, "en")
    path = folder / "en/levels/1-intuition/1.1_sum.ipynb"
    run(path)
    renew(school)
    delivery = build(folder, "en")
    assert delivery.written == [path] and not delivery.said
    assert "More." in path.read_text()


def test_a_new_version_comes_beside_a_notebook_that_was_edited(folder, school):
    build(folder, "en")
    path = folder / "en/levels/1-intuition/1.1_sum.ipynb"
    edit(path, "my answer")
    renew(school)
    delivery = build(folder, "en")
    new = path.with_name("1.1_sum.new.ipynb")
    assert delivery.written == [new] and "my answer" in path.read_text() and "More." in new.read_text()
    assert len(delivery.said) == 1 and "1.1_sum.new.ipynb" in delivery.said[0]
    assert build(folder, "en").written == []


def test_an_edited_new_version_is_left_alone_too(folder, school):
    build(folder, "en")
    path = folder / "en/levels/1-intuition/1.1_sum.ipynb"
    edit(path)
    renew(school)
    build(folder, "en")
    edit(path.with_name("1.1_sum.new.ipynb"), "y = 2")
    renew(school, "Still more.")
    build(folder, "en")
    assert "y = 2" in path.with_name("1.1_sum.new.ipynb").read_text()
    assert path.with_name("1.1_sum.new-2.ipynb").exists()


def test_an_edited_notebook_without_a_new_version_stays(folder):
    build(folder, "en")
    path = folder / "en/levels/1-intuition/1.1_sum.ipynb"
    edit(path, "my answer")
    assert build(folder, "en").written == []
    assert "my answer" in path.read_text()


def test_a_deleted_notebook_comes_back(folder):
    build(folder, "en")
    path = folder / "en/levels/1-intuition/1.1_sum.ipynb"
    path.unlink()
    assert build(folder, "en").written == [path]


def test_a_file_the_course_did_not_put_there_is_not_overwritten(folder):
    path = folder / "en/levels/1-intuition/1.1_sum.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    build(folder, "en")
    assert path.read_text() == "mine" and path.with_name("1.1_sum.new.ipynb").exists()


def test_a_changed_handout_is_renewed_unless_the_learner_changed_it(folder, school):
    build(folder, "en")
    handout = school.root / "assets/workspace/AGENTS.md"
    handout.write_text("Second.\n")
    build(folder, "en")
    assert (folder / "AGENTS.md").read_text() == "Second.\n"
    (folder / "AGENTS.md").write_text("mine\n")
    handout.write_text("Third.\n")
    build(folder, "en")
    assert (folder / "AGENTS.md").read_text() == "mine\n"


def test_a_damaged_marker_is_one_sentence(folder):
    build(folder, "en")
    (folder / paths.WORKSPACE_MARKER).write_text("{")
    with pytest.raises(ServelabError, match="is damaged"):
        build(folder, "en")


def test_a_workspace_that_cannot_be_written_is_one_sentence(folder, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(workspace, "_write", full)
    with pytest.raises(ServelabError, match="No space left on device"):
        build(folder, "en")


def test_running_does_not_change_the_fingerprint_and_editing_does(folder):
    path = build(folder, "en").start
    before = workspace.fingerprint(path)
    run(path)
    assert workspace.fingerprint(path) == before
    edit(path)
    assert workspace.fingerprint(path) != before
