"""Reading what was handed in: nothing in a file but the texts of its cells counts, and no file is too odd."""

from __future__ import annotations

import json
import os

import nbformat
import pytest

from autograder import intake
from autograder.results import Judgement, Mark
from servelab.notebooks import source as sources


@pytest.fixture(scope="module")
def source():
    return next(s for s in sources.ready() if s.entry.id == "1.1")


@pytest.fixture
def nb(source) -> dict:
    return json.loads(json.dumps(intake.released(source, "en")))


@pytest.fixture
def read(source, tmp_path):
    def of(nb) -> intake.Intake:
        path = tmp_path / source.path.name
        path.write_bytes(nb if isinstance(nb, bytes) else json.dumps(nb).encode())
        return intake.read(path, source)

    return of


def put(nb: dict, id: str, text: str) -> dict:
    next(c for c in nb["cells"] if c["id"] == id)["source"] = text
    return nb


def test_the_released_notebook_has_no_answers(read, nb):
    got = read(nb)
    assert (got.answered, got.notes) == (0, ())
    assert list(got.answers) == ["1-1-ceiling-answer", "1-1-bend-answer", "1-1-line-answer"]
    assert all(cell.answer for cell in got.cells)


def test_answers_and_own_cells_are_taken_in_their_order(read, nb):
    put(nb, "1-1-bend-answer", ["def x():\n", "    pass"])
    nb["cells"].insert(1, {"cell_type": "code", "source": "first = 1", "metadata": {}})
    nb["cells"].append({"id": "mine", "cell_type": "code", "source": "last = 1", "metadata": {}, "outputs": []})
    got = read(nb)
    assert got.answered == 1 and got.answers["1-1-bend-answer"] == "def x():\n    pass"
    assert (got.cells[0].source, got.cells[-1].source) == ("first = 1", "last = 1")
    assert len(got.cells) == 5


def test_an_editor_that_knows_no_ids_keeps_the_names(read, nb):
    put(nb, "1-1-bend-answer", "x = 1")
    for n, cell in enumerate(nb["cells"]):
        cell["id"] = f"random-{n}"
    assert read(nb).answers["1-1-bend-answer"] == "x = 1"


def test_of_two_answers_the_changed_one_counts_and_is_said_once(read, nb):
    blank = next(c for c in nb["cells"] if c["id"] == "1-1-bend-answer")
    nb["cells"] += [dict(blank, source="x = 1")] + [dict(blank)] * 50
    got = read(nb)
    assert got.answers["1-1-bend-answer"] == "x = 1" and len(got.notes) == 1 and "more than once" in got.notes[0]


def test_missing_answers_are_said(read, nb):
    nb["cells"] = [c for c in nb["cells"] if c["id"] != "1-1-line-answer"]
    got = read(nb)
    assert got.notes == ("The answer cell 1-1-line-answer is missing.",) and "1-1-line-answer" in got.answers


def test_too_many_own_cells_are_left_out(read, nb):
    nb["cells"] += [{"cell_type": "code", "source": f"x = {n}"} for n in range(300)]
    got = read(nb)
    assert sum(cell.answer is None for cell in got.cells) == intake.OWN_CELLS and len(got.notes) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"7",
        b'"cells"',
        b"[]",
        b"{}",
        b'{"cells": 1}',
        b'{"cells": null}',
        b'{"cells": {}}',
        b'{"worksheets": [1]}',
        b'{"worksheets": [{"cells": 5}]}',
        b"{" * 10**6,
        b"[" * 10**6,
        b'{"cells": [' + b"9" * 10**5 + b"]}",
        bytes(range(256)),
        b"\x89PNG\r\n",
        "{".encode("utf-16"),
    ],
    ids=lambda b: repr(b[:20]),
)
def test_what_is_no_notebook_is_said(read, content):
    got = read(content)
    assert got.answered == 0 and len(got.notes) >= 1


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8"])
def test_a_mark_of_the_byte_order_does_no_harm(read, nb, encoding):
    assert read(json.dumps(put(nb, "1-1-bend-answer", "x = 1")).encode(encoding)).answered == 1


def test_ids_of_any_kind_are_passed_over(read, nb):
    deep = json.loads("[" * 300 + "]" * 300)
    for key in ("id", "cell_type", "source", "metadata"):
        nb["cells"] += [{key: deep}, {key: None}, {key: {"nbgrader": []}}, {key: {"nbgrader": {"grade_id": deep}}}]
    assert read(nb).answered == 0


def test_an_old_format_is_read(read, nb):
    put(nb, "1-1-bend-answer", "x = 1")
    cells = [{"cell_type": c["cell_type"], "input": c["source"], "metadata": c["metadata"]} for c in nb["cells"]]
    assert read({"nbformat": 3, "worksheets": [{"cells": cells}]}).answers["1-1-bend-answer"] == "x = 1"


def test_a_text_of_half_characters_can_be_written(read, nb):
    got = read(put(nb, "1-1-bend-answer", "x = '\ud800'"))
    json.dumps(got.answers, ensure_ascii=False).encode()
    assert len(read(put(nb, "1-1-bend-answer", "x" * 10**6)).answers["1-1-bend-answer"]) == intake.CELL_CHARACTERS


def test_only_plain_files_are_read(source, nb, tmp_path):
    good = tmp_path / "good.ipynb"
    good.write_text(json.dumps(put(nb, "1-1-bend-answer", "x = 1")))
    assert intake.read(good, source).answered == 1
    (tmp_path / "link.ipynb").symlink_to(good)
    (tmp_path / "nowhere.ipynb").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "pipe.ipynb")
    (tmp_path / "folder.ipynb").mkdir()
    with (tmp_path / "hole.ipynb").open("wb") as file:
        file.truncate(2**40)
    for name in ("link", "nowhere", "pipe", "folder", "hole", "missing", "good.ipynb/below"):
        got = intake.read(tmp_path / f"{name}.ipynb", source)
        assert got.answered == 0 and len(got.notes) == 1, name


def test_the_digest_is_of_what_is_graded(read, nb):
    before = read(nb).digest
    nb["metadata"] = {"changed": True}
    for cell in nb["cells"]:
        cell["metadata"].pop("nbgrader", None)
    assert read(nb).digest == before
    assert read(put(nb, "1-1-bend-answer", "x = 1")).digest != before


def test_the_rebuilt_notebook_is_the_courses_with_the_marks_in_it(read, nb, source):
    put(nb, "1-1-bend-answer", "x = 1")
    for cell in nb["cells"]:
        cell["metadata"] = {"nbgrader": cell["metadata"].get("nbgrader", {}) | {"points": 1e9, "locked": False}}
        if cell["id"].endswith("-test"):
            cell["source"] = "1000.0"
    nb["cells"].append({"id": "1-1-bend-test", "cell_type": "code", "source": "again", "metadata": {}})
    got = read(nb)
    marks = tuple(Mark(e.name, e.item, e.points, 0.5, cause="a cause") for e in source.exercises())
    rebuilt = intake.rebuild(source, got, Judgement("1.1", "en", 0, marks))
    nbformat.validate(rebuilt)
    blank = {c.id: c for c in intake.released(source, "en").cells}
    for cell in rebuilt.cells:
        if cell.id.endswith("-test"):
            assert (cell.source, cell.metadata) == (blank[cell.id].source, blank[cell.id].metadata)
            assert cell.outputs[-1].data["text/plain"] == "0.5" and "a cause" in cell.outputs[0].text
    assert {c.id for c in rebuilt.cells} == set(blank)
    assert next(c for c in rebuilt.cells if c.id == "1-1-bend-answer").source == "x = 1"
    assert "1-1-bend-test" not in got.answers


def test_a_learners_own_cells_are_told_from_the_courses_by_their_names(read, nb, source):
    nb["cells"].insert(3, {"id": "own-defaults", "cell_type": "code", "source": "mine = 1", "metadata": {}})
    marks = tuple(Mark(e.name, e.item, e.points, 0.0) for e in source.exercises())
    rebuilt = intake.rebuild(source, read(nb), Judgement("1.1", "en", 0, marks))
    assert [c.source for c in rebuilt.cells if c.id.startswith(intake.OWN)] == ["mine = 1"]
    assert not [id for s in sources.ready() for id in s.cells if id.startswith(intake.OWN)]
