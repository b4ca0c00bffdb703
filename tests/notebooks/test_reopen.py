"""A notebook that is opened again: live parts whose kernel is gone stand still, all else stays as it is."""

import asyncio
from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from traitlets.config import Configurable

from servelab.notebooks.reopen import Contents, stand_still
from servelab.still import MIME

WIDGET = {
    "application/vnd.jupyter.widget-view+json": {"model_id": "1"},
    MIME: {"kernel": 7, "shown": [{"text/html": "a"}, {"text/html": "b"}]},
}


@pytest.fixture
def notebook():
    outputs = [
        new_output("stream", text="before"),
        new_output("display_data", data=WIDGET),
        new_output("display_data", data={"text/plain": "after"}),
    ]
    return new_notebook(cells=[new_markdown_cell("x"), new_code_cell("y", outputs=outputs)])


def texts(notebook) -> list:
    return [o.get("text") or list(o.data.values())[0] for o in notebook.cells[1].outputs]


def test_a_lost_widget_is_replaced_by_what_it_left(notebook):
    stand_still(notebook, {8})
    assert texts(notebook) == ["before", "a", "b", "after"]
    nbformat.validate(notebook)


def test_a_widget_whose_kernel_lives_stays(notebook):
    stand_still(notebook, {7, 8})
    assert texts(notebook) == ["before", {"model_id": "1"}, "after"]


@pytest.mark.parametrize(("path", "pid", "lives"), [("n.ipynb", 7, True), ("n.ipynb", 8, False), ("m.ipynb", 7, False)])
def test_the_server_looks_for_the_kernel_of_this_notebook(notebook, tmp_path, path, pid, lives):
    async def sessions():
        return [{"path": path, "kernel": {"id": "k"}}]

    manager = SimpleNamespace(provisioner=SimpleNamespace(pid=pid))
    server = Configurable()
    server.session_manager = SimpleNamespace(list_sessions=sessions)
    server.kernel_manager = SimpleNamespace(get_kernel={"k": manager}.__getitem__)
    nbformat.write(notebook, tmp_path / "n.ipynb")
    contents = Contents(root_dir=str(tmp_path), parent=server)
    opened = asyncio.run(contents.get("n.ipynb"))
    assert (texts(opened["content"])[1] == {"model_id": "1"}) is lives
    assert asyncio.run(contents.get("n.ipynb", content=False))["content"] is None
    assert asyncio.run(contents.get(""))["type"] == "directory"
