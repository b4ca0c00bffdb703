"""One question on the page: choices or a number, answered in place or, without a frontend, from a cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import anywidget
import traitlets

HERE = Path(__file__).parent


class Ask(anywidget.AnyWidget):
    """The question as an accessible form. All texts are HTML except `unit` and `button`.

    Args:
        on_answer: called with what was typed, or with the position of the choice as a string; returns the
            feedback (HTML) and whether the question is closed.
    """

    _esm = HERE / "ask.js"
    _css = HERE / "ask.css"
    name = traitlets.Unicode().tag(sync=True)
    question = traitlets.Unicode().tag(sync=True)
    hint = traitlets.Unicode().tag(sync=True)
    unit = traitlets.Unicode().tag(sync=True)
    button = traitlets.Unicode().tag(sync=True)
    choices = traitlets.List(traitlets.Unicode()).tag(sync=True)
    answer = traitlets.Unicode().tag(sync=True)
    feedback = traitlets.Unicode().tag(sync=True)
    closed = traitlets.Bool(False).tag(sync=True)

    def __init__(self, on_answer: Callable[[str], tuple[str, bool]], choices: Sequence[str] = (), **texts: str | bool):
        super().__init__(choices=list(choices), **texts)
        self._on_answer = on_answer
        self.on_msg(self._received)

    def _received(self, _widget: object, content: dict, _buffers: object) -> None:
        self.feedback, self.closed = self._on_answer(str(content.get("answer", "")))
