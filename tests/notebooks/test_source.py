"""The committed notebooks keep the rules; and each rule notices what breaks it."""

from __future__ import annotations

import pytest
from nbformat import NotebookNode

from servelab.errors import ServelabError
from servelab.lessons import texts
from servelab.notebooks import source as sources

from .conftest import addition, code, markdown, notebook


@pytest.mark.parametrize("source", sources.ready(), ids=lambda s: s.stem)
def test_a_ready_notebook_keeps_every_rule(source):
    assert sources.problems(source) == []


@pytest.mark.parametrize("source", sources.ready(), ids=lambda s: s.stem)
def test_its_code_cells_are_short(source, record_property):
    record_property("median_code_lines", source.code_lines())
    assert source.code_lines() <= 8


def test_no_code_cell_stands_in_two_notebooks():
    assert sources.repeated(sources.ready()) == []


def test_every_notebook_on_disk_is_in_the_course():
    assert sources.unlisted() == []


def test_the_small_course_keeps_the_rules(school):
    assert sources.problems(school.source()) == []
    assert sources.unlisted() == []
    assert [e.name for e in school.source().exercises()] == ["1.1-add", "1.1-multiply"]


def cell(nb: NotebookNode, id: str) -> NotebookNode:
    return next(c for c in nb.cells if c.id == id)


def _outputs(nb):
    cell(nb, "guess").execution_count = 3


def _widgets(nb):
    nb.metadata.widgets = {}


def _kernel(nb):
    nb.metadata.kernelspec.name = "r"


def _minor(nb):
    nb.nbformat_minor = 4


def _random_id(nb):
    cell(nb, "quiz").id = "3f2a9c1b"


def _twice(nb):
    cell(nb, "quiz").id = "guess"


def _prose_graded(nb):
    cell(nb, "task").metadata.nbgrader = {"schema_version": 3, "grade": False, "solution": False, "locked": True}


def _long(nb):
    cell(nb, "quiz").source += "\nx = 1" * 25


def _installs(nb):
    cell(nb, "quiz").source += "\n%pip install torch"


def _empty(nb):
    cell(nb, "task").source = " "


def _no_title(nb):
    nb.cells.pop(0)


def _no_opening(nb):
    nb.cells.insert(1, code("early", "1 + 1"))


def _other_lesson(nb):
    cell(nb, "opening").source = 'import servelab\nlesson = servelab.lesson("1.2")'


def _no_reveal(nb):
    cell(nb, "truth").source = "2 + 3"


def _no_quiz(nb):
    cell(nb, "quiz").source = "2 + 3"


def _unknown_text(nb):
    cell(nb, "quiz").source = 'lesson.quiz("who")\nlesson.quiz("whom")'


def _one_exercise(nb):
    nb.cells = [c for c in nb.cells if "multiply" not in c.id]


def _bad_grade_id(nb):
    cell(nb, "1-1-add-test").metadata.nbgrader.grade_id = "1.1-add-test"


def _no_points(nb):
    del cell(nb, "1-1-add-test").metadata.nbgrader["points"]


def _unknown_item(nb):
    cell(nb, "1-1-add-test").metadata.servelab["item"] = "juggling"


def _other_item(nb):
    cell(nb, "1-1-add-test").metadata.servelab["item"] = "fastapi"


def _no_difficulty(nb):
    del cell(nb, "1-1-add-test").metadata.servelab["difficulty"]


def _no_answer(nb):
    nb.cells = [c for c in nb.cells if c.id != "1-1-add-answer"]


def _no_hidden(nb):
    test = cell(nb, "1-1-add-test")
    test.source = test.source.split("### BEGIN HIDDEN")[0]


def _not_passed(nb):
    test = cell(nb, "1-1-add-test")
    test.source = test.source.replace("lesson.passed", "print")


def _context(nb):
    cell(nb, "1-1-add-test").metadata.servelab["context"] = ["nowhere"]


def _link(nb):
    cell(nb, "task").source += " See [this](../nowhere.ipynb)."


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_outputs, "outputs or an execution count"),
        (_widgets, "widget state"),
        (_kernel, "kernel python3"),
        (_minor, "format 4.4"),
        (_random_id, "not a readable name"),
        (_twice, "`guess` twice"),
        (_prose_graded, "must not carry nbgrader metadata"),
        (_long, "26 lines; 25 is the most"),
        (_installs, "installs something"),
        (_empty, "`task` is empty"),
        (_no_title, "begin with its title"),
        (_no_opening, "first code cell must be `opening`"),
        (_other_lesson, 'servelab.lesson("1.1")'),
        (_no_reveal, "prediction that is revealed"),
        (_no_quiz, "lacks a quiz"),
        (_unknown_text, 'quiz("whom") has no text'),
        (_one_exercise, "1 exercises; 2 is the least"),
        (_bad_grade_id, "nbgrader refuses"),
        (_no_points, "does not have points"),
        (_unknown_item, "the assessment does not have"),
        (_other_item, "course.toml does not list"),
        (_no_difficulty, "does not say its difficulty"),
        (_no_answer, "an answer cell of the same name"),
        (_no_hidden, "BEGIN HIDDEN TESTS"),
        (_not_passed, 'lesson.passed("1.1-add")'),
        (_context, "`nowhere`, which is not there"),
        (_link, "no notebook of the course"),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)
def test_a_broken_rule_is_told(school, spoil, told):
    nb = addition()
    spoil(nb)
    (school.root / "levels/1-intuition/1.1_sum.ipynb").write_text(_dump(nb))
    found = sources.problems(school.source())
    assert any(told in problem for problem in found), found


def _dump(nb: NotebookNode) -> str:
    import json

    return json.dumps(nb)


def test_a_question_never_asked_is_told(school):
    lesson = school.root / "assets/lessons/1.1.toml"
    lesson.write_text(
        lesson.read_text().replace("[predict.sum]", '[predict.more]\nquestion = "?"\nkind = "number"\n[predict.sum]')
    )
    texts.source.cache_clear()
    assert any('predict "more" of assets/lessons is never used' in p for p in sources.problems(school.source()))


def test_the_same_cell_in_two_notebooks_is_told(school):
    for id in ("0", "1.2"):
        nb = school.source(id).notebook
        nb.cells += [code("twin", "x = 1\ny = 2"), code("one-line", "x = 1")]
        school.write(id, nb)
    assert len(sources.repeated(sources.ready())) == 1
    assert "0_start.ipynb#twin and 1.2_product.ipynb#twin" in sources.repeated(sources.ready())[0]


def test_a_notebook_outside_the_map_is_told(school):
    school.write("1.3", addition())
    assert sources.unlisted() == ["levels/1-intuition/1.3_quotient.ipynb"]


def test_a_damaged_notebook_is_one_sentence(school):
    path = school.root / "levels/1-intuition/1.1_sum.ipynb"
    path.write_text("{")
    with pytest.raises(ServelabError, match="cannot be read as a notebook"):
        _ = school.source().notebook
    path.unlink()
    with pytest.raises(ServelabError, match="There is no notebook"):
        _ = school.source().notebook


def test_the_start_page_comes_to_the_top(school):
    assert school.entry("0").delivered == "0_start.ipynb"
    assert school.entry("1.1").delivered == "levels/1-intuition/1.1_sum.ipynb"


def test_prose_alone_has_no_median(school):
    school.write("0", notebook([markdown("title", "# Start")]))
    assert school.source("0").code_lines() == 0
