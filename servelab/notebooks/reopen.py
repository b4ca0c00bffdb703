"""The files of the course's JupyterLab: a notebook opened again shows its explorers, not "model not found"."""

from __future__ import annotations

from typing import Any

from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from nbformat import NotebookNode
from nbformat.v4 import new_output

from servelab.still import MIME


class Contents(AsyncLargeFileManager):
    """Jupyter's own, but for what a notebook that is read shows where a live part has lost its kernel.

    The file stays as it is until the learner saves. While the kernel that displayed a widget still serves the
    notebook (the page was loaded anew), the widget stays, and comes to life again by itself.
    """

    async def get(self, path: str, *args: Any, **options: Any) -> dict[str, Any]:
        """As Jupyter's own."""
        model = await super().get(path, *args, **options)
        if model["type"] == "notebook" and model["content"] is not None:
            stand_still(model["content"], await self._kernels(model["path"]))
        return model

    async def _kernels(self, path: str) -> set[int]:
        """Process ids of the kernels that serve the notebook now."""
        sessions = await self.parent.session_manager.list_sessions()
        managers = [
            self.parent.kernel_manager.get_kernel(one["kernel"]["id"])
            for one in sessions
            if one["path"].strip("/") == path.strip("/") and one["kernel"]
        ]
        return {pid for manager in managers if (pid := getattr(manager.provisioner, "pid", None))}


def stand_still(notebook: NotebookNode, kernels: set[int]) -> None:
    """Put what was left to be shown (`servelab.still`) in the place of each widget that none of `kernels` made."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [one for output in cell.outputs for one in _standing(output, kernels)]


def _standing(output: NotebookNode, kernels: set[int]) -> list[NotebookNode]:
    kept = output.get("data", {}).get(MIME)
    if kept is None or kept["kernel"] in kernels:
        return [output]
    return [new_output("display_data", data=data) for data in kept["shown"]]
