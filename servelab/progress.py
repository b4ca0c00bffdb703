"""Progress as one line that changes: a spinner in a terminal, one output in a notebook, one final line in CI."""

from __future__ import annotations

import html
import os
import sys
import time
from contextlib import ExitStack

from rich.console import Console


def in_notebook() -> bool:
    """True inside a Jupyter kernel."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None


def is_static() -> bool:
    """True where nobody watches live (`SERVELAB_STATIC`): only final lines and static figures are shown."""
    return os.environ.get("SERVELAB_STATIC", "") not in ("", "0")


class Progress:
    """One line about one long step. `with Progress() as line: line.say("reading"); line.done("ready")`.

    `say` replaces the line (at most five times a second); `done` leaves the line that stays. A line that ends
    without `done` leaves nothing behind: the exception tells what happened. `show=False` is silent.
    """

    def __init__(self, show: bool = True) -> None:
        self._show = show
        self._notebook = show and in_notebook()
        self._live = show and not is_static()
        self._console = Console(stderr=True, highlight=False)
        self._stack = ExitStack()
        self._status = None
        self._handle = None
        self._last = ("", 0.0)
        self._started = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            self._write("")
        self._stack.close()

    @property
    def seconds(self) -> float:
        """Seconds since this line began."""
        return time.monotonic() - self._started

    def say(self, text: str) -> None:
        """Show what is going on now."""
        previous, then = self._last
        if not self._live or text == previous or time.monotonic() - then < 0.2:
            return
        self._last = (text, time.monotonic())
        if self._notebook:
            self._write(f"{text} ...")
        elif self._console.is_terminal:
            if self._status is None:
                self._status = self._stack.enter_context(self._console.status(text))
            self._status.update(text)

    def done(self, text: str) -> None:
        """Show the line that stays."""
        if not self._show:
            return
        if self._notebook and self._live:
            self._write(text)
            self._handle = None
        elif self._notebook:
            print(text)
        else:
            self._stack.close()
            self._status = None
            self._console.print(text, markup=False)

    def _write(self, text: str) -> None:
        from IPython.display import display

        data = {"text/plain": text, "text/html": f"<span>{html.escape(text)}</span>" if text else ""}
        if self._handle is None:
            self._handle = display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)
