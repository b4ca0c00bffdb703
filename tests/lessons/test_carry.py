"""A file beside a notebook, and the cell that carries it."""

from __future__ import annotations

import pytest

from servelab.lessons import carry as carries
from servelab.lessons.carry import carry, grown, refilled, workbench
from servelab.paths import ROOT

pytestmark = pytest.mark.engine

CELL = (
    "from servelab.lessons.carry import carry\n\nmine = carry('service.py', r'''\n# YOUR CODE HERE\n''')\nprint(mine)"
)


def test_a_file_is_made_once_and_never_overwritten(tmp_path):
    path = workbench(tmp_path / "service.py", "naive")
    assert "FastAPI" in path.read_text()
    path.write_text("mine")
    assert workbench(path, "naive").read_text() == "mine"


@pytest.mark.timeout(90)
def test_an_earlier_service_is_gone_on_with_if_it_stands(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SERVELAB_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    ours, mine = ROOT / "labs/vllm/2.3_reference.py", tmp_path / "service.py"
    assert grown(mine, ours) == ours
    mine.write_text((ROOT / "assets/services/naive.py").read_text())
    assert grown(mine, ours) == ours
    mine.write_text(ours.read_text() + "# mine\n")
    made = workbench(tmp_path / "next.py", lambda: grown(mine, ours))
    assert made.read_text() == mine.read_text()
    assert capsys.readouterr().out.count("service.py") == 3
    assert workbench(made, lambda: 1 / 0).read_text() == mine.read_text()


def test_where_nobody_works_the_cell_counts(tmp_path):
    (tmp_path / "service.py").write_text("the file")
    assert carry(tmp_path / "service.py", "the cell").text == "the cell"


def test_in_a_notebook_the_file_counts_and_fills_the_cell(tmp_path, monkeypatch, capsys):
    filled = []
    monkeypatch.setattr(carries, "in_notebook", lambda: True)
    monkeypatch.setattr(carries, "_refill", filled.append)
    file = tmp_path / "service.py"
    file.write_text("a = 1\n")
    assert carry(file, "# YOUR CODE HERE").text == "a = 1\n" and filled == ["a = 1\n"]
    assert carry(file, "\na = 1\n").text == "a = 1\n" and len(filled) == 1
    assert "service.py" in capsys.readouterr().out


def test_a_notebook_without_its_file_writes_it(tmp_path, monkeypatch):
    monkeypatch.setattr(carries, "in_notebook", lambda: True)
    assert carry(tmp_path / "service.py", "\nb = 2\n").text == "b = 2\n"
    assert (tmp_path / "service.py").read_text() == "b = 2\n"


def test_a_refilled_cell_holds_the_text_as_it_is():
    text = 'pattern = r"\\d"\nname = """x"""\n'
    names: dict = {"carry": lambda file, text: text, "print": lambda value: None}
    exec(refilled(CELL, text).replace("from servelab.lessons.carry import carry", ""), names)
    assert names["mine"].strip() == text.strip()
    assert refilled(refilled(CELL, text), "x = 3").count("x = 3") == 1


def test_what_a_cell_cannot_carry_is_refused():
    assert refilled(CELL, "a = '''b'''") is None
    assert refilled("nothing of the kind", "a") is None
