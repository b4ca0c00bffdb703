"""`servelab lab`: open the course."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from servelab.i18n import _


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""

    @app.command(
        help=_("Build your workspace and open JupyterLab at the start page; Ctrl-C ends it and every server it owns.")
    )
    def lab(
        language: Annotated[
            str, typer.Option(help=_("The language of the notebooks and of JupyterLab's menu."))
        ] = "en",
        port: Annotated[int | None, typer.Option(help=_("The port on 127.0.0.1; 8888, or any free one."))] = None,
        folder: Annotated[Path | None, typer.Option(help=_("Where your copies of the notebooks live."))] = None,
        browser: Annotated[bool, typer.Option(help=_("Open a browser window at the start page."))] = True,
    ) -> None:
        import os
        import signal
        import sys
        import webbrowser

        from rich.console import Console

        from servelab import i18n, lab, paths
        from servelab.notebooks import workspace

        console = Console()
        os.environ["SERVELAB_LANGUAGE"] = language
        i18n.language()
        if url := lab.running():
            console.print(_("The course is already open at {url}").format(url=url), soft_wrap=True)
            return
        root = (folder or paths.ROOT / "workspace").resolve()
        for line in workspace.build(root, language).said:
            console.print(line)
        os.environ["SERVELAB_WORKSPACE"] = str(root)
        session = lab.start(root / language, language, port)
        console.print(_("The course is open at {url}").format(url=f"[bold]{session.url}[/bold]"), soft_wrap=True)
        console.print(
            _("Press Ctrl-C here to end it; your work is kept in {folder}").format(folder=root), soft_wrap=True
        )
        if browser and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or sys.platform == "darwin"):
            webbrowser.open(session.url)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            session.process.wait()
        except KeyboardInterrupt:
            console.print(_("Closing the course ..."))
        finally:
            session.stop()
