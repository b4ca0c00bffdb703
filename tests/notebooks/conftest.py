"""A small school for the tests: a course of two notebooks in a folder of its own, and the runs' wall times."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nbformat
import polib
import pytest

from autograder import proof
from servelab import course, i18n
from servelab.notebooks import catalogues, execute, release, workspace
from servelab.notebooks import source as sources

LESSON = """
[predict.sum]
question = "How much is 2 + 3?"
unit = "1"
kind = "number"

[[quiz]]
id = "who"
question = "Who adds?"
[[quiz.choices]]
text = "The adder"
right = true
why = "It adds."

[[quiz.choices]]
text = "The divider"
why = "It divides."
"""

CHINESE = {
    "title": "# 加法\n\n讀完，你就會算 $a + b$。下一頁：[乘法](1.2_product.ipynb)，之後 [除法](1.3_quotient.ipynb)。",
    "task": "### 練習\n\n寫出 `add(a, b)`。",
    "predict.sum.question": "2 + 3 是多少？",
    "predict.sum.unit": "1",
    "quiz.who.question": "誰負責相加？",
    "quiz.who.0.text": "加法器",
    "quiz.who.0.why": "它負責相加。",
    "quiz.who.1.text": "除法器",
    "quiz.who.1.why": "它負責相除。",
}


def markdown(id: str, text: str) -> nbformat.NotebookNode:
    cell = nbformat.v4.new_markdown_cell(text)
    cell.id = id
    return cell


def code(id: str, text: str, **metadata) -> nbformat.NotebookNode:
    cell = nbformat.v4.new_code_cell(text, metadata=metadata)
    cell.id = id
    return cell


def exercise(notebook: str, name: str, function: str, right: str, **about) -> list[nbformat.NotebookNode]:
    """An answer and a test cell for a function of two numbers whose body returns `right`."""
    id = f"{notebook.replace('.', '-')}-{name}"
    answer = f"def {function}(a, b):\n    ### BEGIN SOLUTION\n    return {right}\n    ### END SOLUTION"
    test = (
        f"a, b = 2, 3\nassert {function}(a, b) == {right}, 'try 2 and 3'\nlesson.passed(\"{notebook}-{name}\")\n"
        f"### BEGIN HIDDEN TESTS\nfor a, b in [(7, 5), (-1, 4)]:\n    assert {function}(a, b) == {right}\n"
        "### END HIDDEN TESTS"
    )
    flags = {"schema_version": 3, "task": False}
    return [
        code(
            f"{id}-answer",
            answer,
            nbgrader={**flags, "grade": False, "solution": True, "locked": False, "grade_id": f"{id}-answer"},
        ),
        code(
            f"{id}-test",
            test,
            nbgrader={
                **flags,
                "grade": True,
                "solution": False,
                "locked": True,
                "grade_id": f"{id}-test",
                "points": 2,
            },
            servelab={"item": "metrics", "difficulty": 1, "importance": 2, "minutes": 3, "context": [], **about},
        ),
    ]


def notebook(cells: list[nbformat.NotebookNode]) -> nbformat.NotebookNode:
    nb = nbformat.v4.new_notebook(
        cells=cells,
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"},
        },
    )
    nb.nbformat_minor = 5
    return nb


def addition() -> nbformat.NotebookNode:
    """A whole little notebook, `1.1`, that keeps every rule."""
    promise = "After this you can compute $a + b$. Next: [products](1.2_product.ipynb), then"
    return notebook(
        [
            markdown("title", f"# Sums\n\n{promise} [quotients](1.3_quotient.ipynb)."),
            code("opening", 'import servelab\n\nlesson = servelab.lesson("1.1")'),
            code("guess", 'lesson.predict("sum")'),
            code("truth", 'lesson.reveal("sum", 2 + 3)'),
            markdown("task", "### Exercise\n\nWrite `add(a, b)`."),
            *exercise("1.1", "add", "add", "a + b"),
            *exercise("1.1", "multiply", "multiply", "a * b"),
            code("quiz", 'lesson.quiz("who")'),
        ]
    )


@dataclass
class School:
    """The folder of the small course."""

    root: Path

    def entry(self, id: str) -> course.Notebook:
        return course.load().notebook(id)

    def source(self, id: str = "1.1") -> sources.Source:
        return sources.Source(self.entry(id))

    def write(self, id: str, nb: nbformat.NotebookNode) -> Path:
        path = self.root / self.entry(id).path
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(nb, path)
        return path

    def translate(self, chinese: dict[str, str] = CHINESE) -> Path:
        """Write the catalogue of `1.1`."""
        file = polib.POFile()
        for place, (context, text) in catalogues.notebook_texts(self.source()).items():
            if place in chinese:
                file.append(polib.POEntry(msgctxt=context, msgid=text, msgstr=chinese[place]))
        path = self.root / "assets/locale/zh_TW/notebooks/1.1_sum.po"
        path.parent.mkdir(parents=True, exist_ok=True)
        file.save(str(path))
        i18n.catalogue.cache_clear()
        return path


def _entry(id: str, path: str, status: str) -> course.Notebook:
    return course.Notebook(
        id=id,
        path=path,
        part="level-1",
        title={"en": id, "zh_TW": id},
        status=status,
        minutes={"read": 1, "practise": 1, "master": 1},
        needs="none",
        gpu="none",
        items=("metrics",),
        enables={"en": "x", "zh_TW": "x"},
        day=1,
    )


@pytest.fixture
def school(tmp_path, monkeypatch) -> School:
    """A course of three notebooks (`0`, `1.1`, and `1.2` still planned) with one catalogue, all in a fresh folder."""
    root = tmp_path / "school"
    entries = (
        _entry("0", "levels/0_start.ipynb", "ready"),
        _entry("1.1", "levels/1-intuition/1.1_sum.ipynb", "ready"),
        _entry("1.2", "levels/1-intuition/1.2_product.ipynb", "ready"),
        _entry("1.3", "levels/1-intuition/1.3_quotient.ipynb", "planned"),
    )
    small = course.load().model_copy(update={"notebooks": entries})
    monkeypatch.setattr(course, "load", lambda: small)
    for module in (sources, release, workspace, catalogues):
        monkeypatch.setattr(module, "ROOT", root, raising=False)
        monkeypatch.setattr(module, "ASSETS", root / "assets", raising=False)
        monkeypatch.setattr(module, "LOCALE", root / "assets/locale", raising=False)
    monkeypatch.setattr(i18n, "LOCALE", root / "assets/locale")
    monkeypatch.setattr(workspace, "HANDOUTS", root / "assets/workspace")
    monkeypatch.setattr(proof, "MUTANTS", root / "mutants")
    i18n.catalogue.cache_clear()
    for folder in ("assets/lessons", "assets/locale/zh_TW", "assets/workspace", "mutants"):
        (root / folder).mkdir(parents=True)
    polib.POFile().save(str(root / "assets/locale/zh_TW/servelab.po"))
    (root / "assets/lessons/1.1.toml").write_text(LESSON)
    (root / "assets/workspace/AGENTS.md").write_text("Tutor; do not solve.\n")
    school = School(root)
    school.write("1.1", addition())
    opening = 'import servelab\n\nlesson = servelab.lesson("{}")'
    school.write("0", notebook([markdown("title", "# Start"), code("opening", opening.format("0"))]))
    school.write("1.2", notebook([markdown("title", "# Products"), code("opening", opening.format("1.2"))]))
    school.translate()
    yield school
    i18n.catalogue.cache_clear()


@pytest.fixture
def headless(tmp_path, monkeypatch) -> None:
    """The environment of a notebook without a frontend, in this process."""
    workspace = tmp_path / "headless"
    workspace.mkdir()
    for name, value in execute.environment("en", "ci", workspace).items():
        if name.startswith("SERVELAB_"):
            monkeypatch.setenv(name, value)
