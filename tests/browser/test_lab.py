"""A learner's session: open 1.3 in JupyterLab, run it, move a slider, answer a quiz. Nothing leaves the machine."""

from __future__ import annotations

import json
import os
import shutil

import nbformat
import pytest

from servelab import course
from servelab.paths import ROOT
from tests.browser.lab import opened, write_notebook

BATCHING = course.load().notebook("1.3")

pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium on this machine")


def cell_with(path, text: str) -> int:
    """The position of the first code cell that contains `text`."""
    cells = nbformat.read(path, as_version=4).cells
    return next(n for n, cell in enumerate(cells) if cell.cell_type == "code" and text in cell.source)


@pytest.fixture
def small(tmp_path):
    """A workspace with a notebook that needs no engine but has everything a lesson shows."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    sources = [
        "import servelab\nlesson = servelab.lesson('1.3')",
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from tests.widgets.samples import EXPLORERS\nlesson.show(EXPLORERS['batching']())",
        "from servelab.lessons import quiz, predict, texts\n"
        "question = texts.Question(id='q', question='Why?', choices=[dict(text='a', why='No: a.'), "
        "dict(text='b', right=True, why='Yes: b.')])\nquiz.Quiz('1.3', question, lesson.progress)",
        "spec = texts.Prediction(question='How many?', unit='tokens')\n"
        "predict.Predict('1.3', 'many', spec, lesson.progress)",
        "lesson.map()",
    ]
    write_notebook(workspace / "small.ipynb", sources)
    return workspace


def test_lesson_layer_in_a_page(small, tmp_path):
    with opened(small, tmp_path / "state") as session:
        session.open("small.ipynb")
        session.run_all(120)
        assert session.failed() == []
        assert "tier cpu" in session.cell(0).inner_text()

        assert len(session.redraws(1, 4)) >= 2
        for dark in (True, False):
            session.theme(dark)
        explorer = session.cell(1)
        widths = [plot.bounding_box()["width"] for plot in explorer.locator(".js-plotly-plot").all()]
        area = explorer.locator(".jp-OutputArea-output").last.bounding_box()["width"]
        assert widths[0] <= area and widths[0] + widths[1] <= area

        asked = session.cell(2).locator(".jp-OutputArea")
        asked.get_by_role("radio").first.check()
        asked.get_by_role("button", name="Answer").click()
        asked.get_by_text("Yes: b.").wait_for()
        assert asked.get_by_text("No: a.").is_visible()

        guessed = session.cell(3).locator(".jp-OutputArea")
        guessed.get_by_role("textbox", name="How many?").fill("1,200")
        guessed.get_by_role("button", name="Commit").click()
        guessed.get_by_text("1,200 tokens").wait_for()

        session.cell(4).locator(".js-plotly-plot").first.wait_for()

        session.reopen("small.ipynb")
        assert len(session.redraws(1, 2)) == 2, "its kernel still runs: the explorer lives again"
        session.reopen("small.ipynb", end=True)
        assert session.cell(1).locator(".js-plotly-plot").count() == 3
        assert "run the cell" in session.cell(1).locator(".jp-OutputArea").inner_text()
        assert "How many?" in session.cell(3).locator(".jp-OutputArea").inner_text()
        assert "model not found" not in session.page.content()
        assert session.strangers == []
        assert session.errors == []
    stored = json.loads((small / "progress.json").read_text())["notebooks"]["1.3"]
    assert stored["predictions"]["many"]["guess"] == 1200
    assert stored["quiz"]["q"]["right"] is False


@pytest.mark.engine
@pytest.mark.skipif(not BATCHING.ready or not (ROOT / BATCHING.path).exists(), reason="1.3 is not written yet")
def test_batching_lesson_in_a_page(tmp_path):
    from servelab.notebooks import workspace as delivery

    source = ROOT / BATCHING.path
    made = delivery.build(tmp_path / "workspace", "en")
    (notebook,) = made.folder.glob(f"en/**/{source.name}")
    explorer = cell_with(notebook, "lesson.show(")
    with opened(made.folder, tmp_path / "state", SERVELAB_EFFORT="ci") as session:
        try:
            session.open(str(notebook.relative_to(made.folder)))
            session.run_all(600, until=explorer)
            assert session.failed() == []
            assert len(session.redraws(explorer, 6)) >= 3
            assert session.strangers == []
            assert session.errors == []
        finally:
            _stop_engines()


def _stop_engines() -> None:
    from servelab.engines import running

    assert "SERVELAB_HOME" in os.environ
    for server in running():
        server.stop(force=True)  # its user is the kernel that the page still holds
