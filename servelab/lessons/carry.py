"""A file that a learner writes beside a notebook, and the cell that carries it into the notebook she hands in.

Graders receive notebooks, and a service is no cell. So she works in a file; a cell takes its text in when she runs it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection
from pathlib import Path

from servelab import battery
from servelab.battery import Carried
from servelab.battery.contract import CONTRACT
from servelab.battery.streaming import STREAMING
from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.paths import ASSETS, workspace
from servelab.progress import in_notebook, is_static

STUB = "YOUR CODE HERE"


def workbench(file: str | Path, start: str | Callable[[], Path]) -> Path:
    """The learner's file in her workspace, the same for both languages: made from `assets/services/<start>.py`, or
    from the file that `start()` names, where there is none yet; what she wrote stays. Shows a link that opens it
    beside the notebook.
    """
    path = _place(file)
    if not path.exists():
        path.write_text((start() if callable(start) else ASSETS / "services" / f"{start}.py").read_text())
    if in_notebook() and not is_static():
        from IPython.display import FileLink, display

        display(FileLink(os.path.relpath(path)))
    return path


def grown(file: str | Path, otherwise: Path, needs: Collection[str] = ("answers", "health", "pieces")) -> Path:
    """A service that the learner wrote in an earlier lab, for her to go on with; `otherwise`, where it does not stand.

    Args:
        file: what she wrote.
        otherwise: the course's own.
        needs: the battery's verdicts that must hold.
    """
    path = _place(file)
    with contextlib.suppress(ServelabError):
        if path.exists() and not battery.run(path, CONTRACT, STREAMING, only=needs, progress=False).failed:
            print(_("You go on with your own {file}.").format(file=path.name))
            return path
    print(_("You go on with the course's service: {file} does not stand yet.").format(file=path.name))
    return otherwise


def carry(file: str | Path, text: str) -> Carried:
    """The service that this cell carries.

    In JupyterLab the file's present text takes the place of what the cell held: save the notebook, and the service is
    in it. Where nobody works (a grader's sandbox, a run without a browser), the text in the cell is what counts. A
    notebook that comes without its file, handed in by somebody, writes it.
    """
    if is_static() or not in_notebook():
        return Carried(text)
    path = _place(file)
    if not path.exists() and STUB not in text:
        path.write_text(text.lstrip("\n"))
    written = path.read_text() if path.exists() else text
    if written.strip() != text.strip():
        _refill(written)
    print(_("This cell carries {file}: save the notebook to hand it in.").format(file=path.name))
    return Carried(written)


def _place(file: str | Path) -> Path:
    return Path(file) if Path(file).is_absolute() else workspace() / file


def refilled(cell: str, text: str) -> str | None:
    """A carrying cell with another text in it; None where the cell has not the form that it came in."""
    head, mark, rest = cell.partition(", r'''")
    _old, end, tail = rest.rpartition("''')")
    if not (mark and end) or "'''" in text or text.rstrip().endswith("\\"):
        return None
    return f"{head}, r'''\n{text.strip()}\n''')" + tail


def _refill(text: str) -> None:
    """Put the file's text into the cell that runs now."""
    from IPython import get_ipython

    shell = get_ipython()
    history = shell.user_ns.get("In", [""])
    new = refilled(history[-1], text)
    if new is None:
        print(_("The file holds three single quotes in a row, which this cell cannot carry: write them otherwise."))
    else:
        shell.set_next_input(new, replace=True)
