"""What a notebook shows of its live parts when it is opened again and the kernel that moved them is gone.

A widget lives in its kernel. Its output in the saved file names it and no more, and JupyterLab writes "model not
found" there. So each live part leaves in its output, beside that name, what it looks like standing still; the
course's JupyterLab shows this in its place for as long as no kernel knows the widget (`notebooks/reopen.py`).
"""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets

from servelab.i18n import _

MIME = "application/vnd.servelab.still+json"


def keeping(widget: ipywidgets.Widget, still: Callable[[], Sequence[Any]]) -> ipywidgets.Widget:
    """`widget` itself, which from now on leaves `still()` in the notebook wherever it is displayed.

    Args:
        still: makes what to show in the widget's place; each thing knows its MIME bundle or its HTML.
    """
    own = widget._repr_mimebundle_

    def bundle(**options: Any) -> Any:
        found = own(**options)
        data, *rest = found if isinstance(found, tuple) else (found,)
        data = {**data, MIME: {"kernel": os.getpid(), "shown": [*map(_bundle, still()), _bundle(_note())]}}
        return (data, *rest) if rest else data

    widget._repr_mimebundle_ = bundle
    return widget


class _Html:
    def __init__(self, text: str):
        self.text = text

    def _repr_html_(self) -> str:
        return self.text


def _note() -> _Html:
    text = _("This stands still: run the cell to use it.")
    return _Html(f'<div style="opacity:.72"><i>{html.escape(text)}</i></div>')


def _bundle(one: Any) -> dict[str, Any]:
    return one._repr_mimebundle_() if hasattr(one, "_repr_mimebundle_") else {"text/html": one._repr_html_()}
