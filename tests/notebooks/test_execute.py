"""Notebooks run in kernels of their own; what failed is told in one line, and the others go on."""

from __future__ import annotations

import os

import nbformat
import pytest
import typer
from typer.testing import CliRunner

from servelab.cli import notebooks as cli
from servelab.errors import ServelabError
from servelab.notebooks import execute

from .conftest import code, markdown, notebook

GOOD = [
    markdown("title", "# Good"),
    code("where", "import os, sys\nprint(os.environ['SERVELAB_LANGUAGE'], os.environ['SERVELAB_EFFORT'])"),
    code("owner", "print(os.environ['SERVELAB_STATIC'], os.environ['SERVELAB_OWNER'], sys.prefix)"),
    code("memory", "import time\nblock = bytearray(150 * 2**20)\ntime.sleep(1.5)\nprint(os.getcwd())"),
    code("widget", "import ipywidgets\nipywidgets.IntSlider()"),
]


def write(path, cells):
    nbformat.write(notebook(cells), path)
    return path


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebooks")
    path = write(folder / "good.ipynb", GOOD)
    told = []
    with execute.session() as workspace:
        run = execute.run(path, workspace, "zh_TW", "full", lambda *step: told.append(step))
    return run, told


def printed(run, id):
    cell = next(c for c in run.notebook.cells if c.id == id)
    return cell.outputs[0].text.split()


def test_a_kernel_of_this_environment_gets_what_it_needs(good):
    import sys

    run, _ = good
    assert run.passed and run.cells == 4 and run.failures == []
    assert printed(run, "where") == ["zh_TW", "full"]
    assert printed(run, "owner") == ["1", str(os.getpid()), sys.prefix]
    assert printed(run, "memory") == [str(run.path.parent)]


def test_its_memory_and_progress_are_told_and_no_widget_state_is_kept(good):
    run, told = good
    assert run.peak_bytes > 150 * 2**20 and run.seconds > 1.5
    assert told == [(n, 4, id) for n, id in enumerate(("where", "owner", "memory", "widget"))]
    assert "widgets" not in run.notebook.metadata


def test_the_first_error_ends_a_notebook_and_is_told_in_one_line(tmp_path):
    path = write(
        tmp_path / "bad.ipynb", [code("fine", "1"), code("bad", "raise ValueError('no\\nmore')"), code("z", "1")]
    )
    with execute.session() as workspace:
        run = execute.run(path, workspace, "en")
    assert not run.passed and run.cells == 2
    assert (run.failures[0].cell, str(run.failures[0])) == ("bad", "ValueError: no")


@pytest.fixture
def app(monkeypatch):
    """The command line with this subject's commands, on a wide terminal."""
    monkeypatch.setenv("COLUMNS", "200")
    app = typer.Typer()
    cli.register(app)
    return app


def test_what_a_notebook_skips_is_counted_and_told(tmp_path, app):
    opening = code("opening", "import servelab\nlesson = servelab.lesson('1.3')")
    cells = [opening, code("gpu", "lesson.skip('it needs a GPU.')")]
    path = write(tmp_path / "skips.ipynb", cells)
    with execute.session() as workspace:
        run = execute.run(path, workspace, "en", "ci")
    assert run.passed and run.skipped == ["it needs a GPU."]
    result = CliRunner().invoke(app, ["run", str(path)])
    assert result.exit_code == 0 and "skips.ipynb: skipped: it needs a GPU." in result.output


def test_a_sentence_for_people_is_told_as_it_is():
    assert str(execute.Failure("x", "ServelabError", "Do this.")) == "Do this."
    assert str(execute.Failure("x", "KeyboardInterrupt", "")) == "KeyboardInterrupt"


def test_an_allowed_error_does_not_end_the_run(tmp_path):
    bad = code("bad", "1 / 0", tags=["raises-exception"])
    path = write(tmp_path / "bad.ipynb", [bad, code("after", "print('on')")])
    with execute.session() as workspace:
        run = execute.run(path, workspace, "en")
    assert [f.cell for f in run.failures] == ["bad"] and run.cells == 2


@pytest.mark.parametrize(("text", "told"), [("import os\nos._exit(1)", "DeadKernel"), ("while 1: 1", "Timeout")])
def test_a_dead_kernel_and_a_cell_over_its_time_are_told(tmp_path, text, told):
    nb = notebook([code("first", "1"), code("stuck", text)])
    run = execute.execute(nb, tmp_path, env=dict(os.environ), cwd=tmp_path, cell_seconds=3)
    assert run.failures[0].cell == "stuck" and told in run.failures[0].name


def test_the_owner_of_an_outer_session_stays(monkeypatch):
    monkeypatch.setenv("SERVELAB_OWNER", "4121")
    with execute.session():
        assert os.environ["SERVELAB_OWNER"] == "4121"
    assert os.environ["SERVELAB_OWNER"] == "4121"


def test_names_are_ids_paths_or_all(school, tmp_path, monkeypatch):
    ready = [school.root / f"levels/{p}.ipynb" for p in ("0_start", "1-intuition/1.1_sum", "1-intuition/1.2_product")]
    assert execute.resolve(["all"]) == ready
    assert execute.resolve(["1.1"]) == [ready[1]]
    mine = write(tmp_path / "mine.ipynb", GOOD)
    monkeypatch.chdir(tmp_path)
    assert execute.resolve(["mine.ipynb"]) == [mine]
    with pytest.raises(ServelabError, match="'9.9': give a path, `all`, or one of: 0, 1.1, 1.2"):
        execute.resolve(["9.9"])


def test_the_courses_notebook_is_translated_with_its_solutions(school):
    nb = execute.prepare(school.source().path, "zh_TW")
    assert nb.cells[0].source.startswith("# 加法") and any("BEGIN SOLUTION" in c.source for c in nb.cells)


def test_a_notebook_in_a_workspace_keeps_its_own(tmp_path):
    (tmp_path / ".servelab-workspace").write_text("{}")
    assert execute.workspace_of(tmp_path / "en/levels/1.ipynb") == tmp_path
    assert execute.workspace_of(tmp_path.parent / "1.ipynb") is None


def test_the_command_goes_on_after_a_failure_and_exits_with_one(tmp_path, app):
    bad, good = write(tmp_path / "bad.ipynb", [code("bad", "1 / 0")]), write(tmp_path / "good.ipynb", [code("a", "1")])
    (tmp_path / "broken.ipynb").write_text("{")
    names = [str(bad), str(tmp_path / "broken.ipynb"), str(good), "--html", str(tmp_path / "pages")]
    result = CliRunner().invoke(app, ["run", *names])
    assert result.exit_code == 1
    assert "bad.ipynb: the cell `bad` failed: ZeroDivisionError: division by zero" in result.output
    assert "cannot be read as a notebook" in result.output
    assert "passed" in next(line for line in result.output.splitlines() if line.startswith("│ good"))
    assert (tmp_path / "pages/bad.html").exists() and (tmp_path / "pages/good.html").exists()
    assert CliRunner().invoke(app, ["run", str(good)]).exit_code == 0
