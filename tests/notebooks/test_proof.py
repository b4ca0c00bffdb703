"""The proof of an exercise sees what it should: empty answers, bad references, mutants that score."""

from __future__ import annotations

import pytest

from autograder import proof
from servelab.errors import ServelabError
from servelab.notebooks import execute, names

from .conftest import addition, code

WRONG = ["a - b", "a", "b", "0", "a + b + 1"]


@pytest.fixture
def written(school):
    """The small course with its wrong answers."""

    def write(name, bodies):
        answers = {f"returns {body}": f"def add(a, b):\n    return {body}" for body in bodies}
        (school.root / f"mutants/{name}.py").write_text(f"MUTANTS = {answers!r}\n")

    write("1.1-add", WRONG)
    school.mutants = write
    return school


def told(school, nb=None):
    if nb is not None:
        school.write("1.1", nb)
    source = school.source()
    return proof.problems(source, source.exercises()[0])


def test_a_sound_exercise_proves_itself(written, capsys):
    assert told(written) == []
    assert capsys.readouterr() == ("", "")


def test_an_exercise_without_enough_wrong_answers_is_told(written):
    written.mutants("1.1-add", WRONG[:4])
    with pytest.raises(ServelabError, match="4 wrong answers; 5 is the least"):
        told(written)
    (written.root / "mutants/1.1-add.py").unlink()
    with pytest.raises(ServelabError, match="1.1-add lacks its wrong answers"):
        told(written)


def test_a_wrong_answer_that_scores_is_told(written):
    written.mutants("1.1-add", [*WRONG, "b + a"])
    assert told(written) == ["1.1-add: the answer that returns b + a scores"]


def test_a_wrong_answer_that_is_no_python_is_told(written):
    written.mutants("1.1-add", [*WRONG, "a +"])
    assert "the answer that returns a + is no answer at all" in told(written)[0]


def test_a_wrong_reference_is_told(written):
    nb = addition()
    answer = next(c for c in nb.cells if c.id == "1-1-add-answer")
    answer.source = answer.source.replace("a + b", "a * b")
    assert "the reference loses at seed 0: None, ['try 2 and 3'" in told(written, nb)[0]


def test_a_test_that_an_empty_answer_passes_is_told(written):
    nb = addition()
    test = next(c for c in nb.cells if c.id == "1-1-add-test")
    test.source = test.source.replace("assert add(a, b) == a + b, 'try 2 and 3'", "assert True")
    assert told(written, nb)[0] == "1.1-add: the empty answer passes the visible checks"
    test.source = test.source.replace("assert add(a, b) == a + b", "assert True")
    assert "1.1-add: the reference loses at seed 0: None, []" in told(written, nb)  # anything passes: it earns nothing


def test_the_context_cells_are_there_and_each_answer_gets_them_fresh(written):
    nb = addition()
    nb.cells.insert(5, code("start", "log = []"))
    answer = next(c for c in nb.cells if c.id == "1-1-add-answer")
    answer.source = answer.source.replace("    return", "    log.append(a)\n    return")
    test = next(c for c in nb.cells if c.id == "1-1-add-test")
    test.source = "assert log == []\n" + test.source
    test.metadata.servelab["context"] = ["opening", "start"]
    assert told(written, nb) == []


def test_names_a_cell_binds_and_reads():
    cell = "import os.path as p, sys\nx, (y, z) = 1, (2, 3)\ndef f(a):\n    b = a\n    return w\nfor i in x: pass"
    assert names.bound(cell) == {"p", "sys", "x", "y", "z", "f", "i"}
    assert {"w", "x"} <= names.read(cell)


def test_names_a_cell_needs():
    assert names.needs("import a\nb = a + c\nb += d\nd = 1\nprint(b, d)") == {"c", "d", "print"}
    assert names.needs("def f(x):\n    y = x\n    return y + z + g(w)\nw = 1\ndef g(x): return w") == {"z", "g", "w"}
    assert names.needs("h = [i + k for i in j]\nfor m in h:\n    m, n") == {"j", "k", "n"}


def test_one_execution_proves_both_copies(written, tmp_path):
    nb = addition()
    nb.cells.insert(2, code("before", "multiply = math = 7"))
    answer = next(c for c in nb.cells if c.id == "1-1-add-answer")
    answer.source = answer.source.replace("### BEGIN SOLUTION", "### BEGIN SOLUTION\n    import math")
    nb.cells += [
        code("uses", "pair = (add, multiply)"),
        code("math", "math"),
        code("shows", "try:\n    print(pair[0](1, 2))\nexcept NotImplementedError:\n    print('unsolved')"),
        code("again", "pair = 1"),
        code("same", "pair"),
        code("raises", "add(1, 2)"),
    ]
    stub = "class Lesson:\n    def __getattr__(self, name):\n        return lambda *a: None\nlesson = Lesson()"
    nb.cells[1].source = stub
    written.write("1.1", nb)
    source = written.source()
    proving, must_raise = proof.proving(source.notebook, source.exercises())
    assert must_raise == {"released-1-1-add-test", "released-1-1-multiply-test"}
    ids = [c.id for c in proving.cells if c.id.startswith(("released", "unsolved"))]
    answers = [f"released-1-1-{name}-{part}" for name in ("add", "multiply") for part in ("answer", "test")]
    assert ids == [*answers, "unsolved-uses", "unsolved-shows", "unsolved-raises"]
    with execute.session() as workspace:
        run = execute.execute(proving, source.path, env=execute.environment("en", "ci", workspace), cwd=tmp_path)
    assert run.exercises == 2
    assert {f.cell for f in run.failures} == {*must_raise, "unsolved-raises"}
    printed = {c.id: c.outputs[0].text.strip() for c in run.notebook.cells if c.id in ("unsolved-shows", "shows")}
    assert printed == {"unsolved-shows": "unsolved", "shows": "3"}
