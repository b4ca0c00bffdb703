"""Drive a real JupyterLab in a headless Chromium, and watch what the page asks for and complains about."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest
from playwright.sync_api import Locator, Page, sync_playwright

from servelab import lab as jupyter
from servelab.engines.ports import free_port
from servelab.paths import WORKSPACE_MARKER, home

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
HERE = {"127.0.0.1", "localhost", "::1"}
# Console errors that are provably not ours, each with its reason. Everything else fails the test.
HARMLESS = (
    # JupyterLab 4.6 asks for a workspace of its own that was never saved, and makes it then.
    re.compile(r"Failed to load resource.*404.*/lab/api/workspaces/"),
    # The course switches the server's language-server extension off; the page asks for its status and goes without.
    re.compile(r"Failed to load resource.*404.*/lsp/status"),
    # JupyterLab takes its splash screen away twice when themes change quickly; the second time it is gone already.
    re.compile(r"removeChild.*\n\s+at \S+/jlab_core\."),
)


@dataclass
class Session:
    """One JupyterLab page. `errors` and `strangers` (URLs of other machines) fill while it lives."""

    page: Page
    base: str
    token: str
    errors: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        """Open a notebook (path inside the workspace) and wait for its kernel."""
        self.page.goto(f"{self.base}/lab/tree/{path}?token={self.token}&reset", wait_until="domcontentloaded")
        self.page.wait_for_selector(".jp-NotebookPanel:visible .jp-Notebook .jp-Cell", timeout=120_000)
        self._idle(120)

    def run_all(self, seconds: float = 300, until: int | None = None) -> None:
        """Run every cell, or those up to and including `until`, and wait until the last one is done."""
        if until is None:
            self.command("notebook:run-all-cells")
        else:
            self._activate(until + 1)
            self.command("notebook:run-all-above")
        time.sleep(0.5)
        self._idle(seconds)

    def reopen(self, path: str, end: bool = False) -> None:
        """Save the notebook and load its page anew; `end` ends its kernel before, so that a fresh one serves it."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        if end:
            self.end()
        self.open(path)

    def end(self) -> None:
        """End the open notebook's kernel."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")

    def command(self, name: str) -> None:
        """Execute one of JupyterLab's commands, as its menu does."""
        self.page.evaluate("name => { window.jupyterapp.commands.execute(name) }", name)

    def theme(self, dark: bool) -> None:
        """Switch between JupyterLab's light and dark theme."""
        wanted = "JupyterLab Dark" if dark else "JupyterLab Light"
        self.page.evaluate("t => window.jupyterapp.commands.execute('apputils:change-theme', {theme: t})", wanted)
        flag = "false" if dark else "true"
        self.page.wait_for_selector(f'body[data-jp-theme-light="{flag}"]', state="attached", timeout=60_000)

    def cell(self, index: int) -> Locator:
        """The notebook's cell at `index`, scrolled into view (cells far away are not in the page)."""
        self._activate(index)
        found = self.page.locator(f'.jp-Notebook .jp-Cell[data-windowed-list-index="{index}"]')
        found.wait_for(timeout=60_000)
        return found

    def redraws(self, index: int, presses: int) -> list[float]:
        """Milliseconds from an arrow key on the first slider of cell `index` to the last redraw that follows it.

        A redraw is plotly's own `plotly_afterplot` of any figure in the cell; both instants are read in the page.
        """
        cell = self.cell(index)
        cell.locator(".js-plotly-plot .plot-container").first.wait_for(timeout=60_000)
        cell.locator(".noUi-handle").first.focus()
        self.page.evaluate(
            """() => {
                const cell = document.activeElement.closest('.jp-Cell');
                window.redrawn = [];
                for (const plot of cell.querySelectorAll('.js-plotly-plot')) {
                    if (plot.watched) continue;
                    plot.watched = true;
                    plot.on('plotly_afterplot', () => window.redrawn.push(performance.now()));
                }
                if (!window.pressWatched) {
                    window.pressWatched = true;
                    window.addEventListener('keydown', () => {
                        window.redrawn = [];
                        window.pressed = performance.now();
                    }, true);
                }
            }"""
        )
        times = []
        for press in range(presses):
            self.page.keyboard.press("ArrowLeft" if press % 2 else "ArrowRight")
            self.page.wait_for_timeout(400)
            drawn = self.page.evaluate(
                "() => window.redrawn.length ? Math.max(...window.redrawn) - window.pressed : null"
            )
            if drawn is not None:
                times.append(drawn)
        if len(times) < presses / 2:
            raise AssertionError(f"only {len(times)} of {presses} key presses changed a figure of cell {index}")
        return times

    def failed(self) -> list[str]:
        """Error outputs of the notebook's cells."""
        return self.page.evaluate(
            """() => {
                const cells = window.jupyterapp.shell.currentWidget.content.model.cells;
                const found = [];
                for (const cell of cells) {
                    for (const output of cell.toJSON().outputs ?? []) {
                        if (output.output_type === 'error') found.push(output.ename + ': ' + output.evalue);
                    }
                }
                return found;
            }"""
        )

    def _activate(self, index: int) -> None:
        self.page.evaluate(
            """index => {
                const notebook = window.jupyterapp.shell.currentWidget.content;
                notebook.activeCellIndex = index;
                return notebook.scrollToItem(index, 'start');
            }""",
            index,
        )

    def _idle(self, seconds: float) -> None:
        """Wait until the kernel is idle and no cell waits for its turn."""
        script = """() => {
            const panel = window.jupyterapp?.shell.currentWidget;
            const kernel = panel?.sessionContext?.session?.kernel;
            const waiting = panel?.content?.widgets.some((c) => c.model.executionState === 'running');
            return kernel?.status === 'idle' && !waiting;
        }"""
        self.page.wait_for_function(script, timeout=seconds * 1000, polling=200)


def write_notebook(path: Path, sources: list[str]) -> None:
    """A notebook of code cells, with the kernel named (JupyterLab would ask for it)."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)


@contextmanager
def opened(workspace: Path, state: Path, language: str = "en", **env: str) -> Iterator[Session]:
    """JupyterLab over `workspace` in a browser page.

    Args:
        workspace: a folder with notebooks; gets the workspace's marker if it has none.
        state: an empty folder that serves as `SERVELAB_HOME`; prepared models are borrowed from the usual one.
        env: more environment variables of the kernels.
    """
    browser_path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser_path is None:
        pytest.skip("no Chromium on this machine")
    (workspace / WORKSPACE_MARKER).touch()
    models = home() / "models"
    state.mkdir(parents=True, exist_ok=True)
    if models.exists() and not (state / "models").exists():
        (state / "models").symlink_to(models.resolve())
    # The page's own command registry is what a test can hold on to when JupyterLab changes its looks.
    config = state / "jupyter"
    config.mkdir(exist_ok=True)
    (config / "jupyter_lab_config.json").write_text('{"LabApp": {"expose_app_in_browser": true}}')
    before = dict(os.environ)
    os.environ.update({"SERVELAB_HOME": str(state), "JUPYTER_CONFIG_PATH": str(config), **env})
    for name in ("SERVELAB_STATIC", "SERVELAB_WORKSPACE"):
        os.environ.pop(name, None)
    lab = None
    try:
        lab = jupyter.start(workspace, language, free_port(), page="")
        address = urlsplit(lab.url)
        token = address.query.removeprefix("token=")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=browser_path, args=FLAGS)
            page = browser.new_page(viewport={"width": 1280, "height": 960})
            page.set_default_timeout(120_000)
            session = Session(page, f"{address.scheme}://{address.netloc}", token)
            _watch(session)
            try:
                yield session
            finally:
                browser.close()
    finally:
        if lab is not None:
            lab.stop()
        os.environ.clear()
        os.environ.update(before)


def _watch(session: Session) -> None:
    def request(url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob", "about") and parts.hostname not in HERE:
            session.strangers.append(url)

    def complaint(text: str) -> None:
        if not any(known.search(text) for known in HARMLESS):
            session.errors.append(text)

    def console(message) -> None:
        if message.type == "error":
            complaint(f"{message.text} {message.location.get('url', '')}")

    session.page.on("request", lambda r: request(r.url))
    session.page.on("websocket", lambda w: request(w.url))
    session.page.on("console", console)
    session.page.on("pageerror", lambda e: complaint(f"uncaught: {e.stack or e}"))
