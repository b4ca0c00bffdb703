"""In JupyterLab, the cell that carries a file is refilled with the file's text when it runs."""

from __future__ import annotations

import shutil

import nbformat
import pytest

from tests.browser.lab import opened, write_notebook

pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium on this machine")

BLANK = """from servelab.lessons.carry import carry

mine = carry("service.py", r'''
# YOUR CODE HERE
raise NotImplementedError()
''')"""


def test_the_cell_takes_the_file_in(tmp_path):
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    making = "from servelab.lessons.carry import workbench\n\nworkbench('service.py', 'naive')"
    write_notebook(workspace / "small.ipynb", [making, BLANK, "print(len(mine.text.splitlines()))"])
    with opened(workspace, tmp_path / "state") as session:
        session.open("small.ipynb")
        session.run_all(120)
        (workspace / "service.py").write_text('pattern = r"\\d"  # mine\n')
        session.run_all(120)
        assert session.failed() == []
        assert session.cell(0).locator("a").count() == 1
        session.reopen("small.ipynb")
        assert session.errors == []
    cells = nbformat.read(workspace / "small.ipynb", as_version=4).cells
    assert len(cells) == 3
    names: dict = {}
    exec(cells[1].source.replace("from servelab.lessons.carry import carry", "carry = lambda file, text: text"), names)
    assert names["mine"].strip() == 'pattern = r"\\d"  # mine'
    assert cells[2].outputs[0].text == "1\n"
