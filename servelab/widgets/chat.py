"""A chat front for a prototype: what is asked goes to a running server, and the answer appears as it is written."""

from __future__ import annotations

import html
from typing import Any

import ipywidgets as widgets
from IPython.display import HTML, display

from servelab.figures.style import ORANGE
from servelab.i18n import _
from servelab.progress import is_static
from servelab.still import keeping

MINE = "text-align:right;opacity:.75"


class Chat:
    """A conversation with a server. Displays itself: a box to write in, or the conversation so far.

    Args:
        server: a running server of the course (`.client()`, `.model`).
        settings: sampling parameters for every answer, such as `temperature=0.7`.
    """

    def __init__(self, server: Any, **settings: Any) -> None:
        self.server = server
        self.settings = {"max_tokens": 80, "temperature": 0.0} | settings
        self.messages: list[dict[str, str]] = []
        self._page = widgets.HTML(layout={"max_width": "48rem"})

    def ask(self, question: str) -> str:
        """Send a question with the conversation before it; the answer, shown piece by piece.

        Raises:
            ServelabError: the server is gone.
        """
        client = self.server.client()
        asked = [*self.messages, {"role": "user", "content": question}]
        self.messages = [*asked, {"role": "assistant", "content": ""}]
        stream = client.chat.completions.create(model=self.server.model, messages=asked, stream=True, **self.settings)
        for chunk in stream:
            if chunk.choices:
                self.messages[-1]["content"] += chunk.choices[0].delta.content or ""
                self._page.value = self.page()
        return self.messages[-1]["content"]

    def page(self) -> str:
        """The conversation as HTML."""
        lines = [
            f'<div style="margin:6px 0;{MINE if m["role"] == "user" else ""}">{html.escape(m["content"])}</div>'
            for m in self.messages
        ]
        return "".join(lines)

    def live(self) -> widgets.Widget:
        """The widget: the conversation above, a box to write in below."""
        box = widgets.Text(placeholder=_("Ask something, then press Enter"), layout={"width": "min(100%, 48rem)"})

        def sent(_event: Any) -> None:
            question, box.value = box.value.strip(), ""
            if not question:
                return
            before = self.messages
            try:
                self.ask(question)
            except Exception as error:  # told where the learner looks, whatever it is
                self.messages = before
                self._page.value = self.page() + f'<div style="color:{ORANGE}">{html.escape(str(error))}</div>'

        button = widgets.Button(description=_("Send"), button_style="primary")
        button.on_click(sent)
        box.continuous_update = False
        box.observe(lambda change: change.new and sent(change), names="value")
        whole = widgets.VBox([self._page, widgets.HBox([box, button])])
        return keeping(whole, lambda: [HTML(self.page())])

    def _ipython_display_(self) -> None:
        display(HTML(self.page()) if is_static() else self.live())
