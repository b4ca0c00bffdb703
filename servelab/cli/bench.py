"""`servelab bench`: measure, stamp, compare with the aim."""

from __future__ import annotations

from typing import Annotated

import typer

from servelab.i18n import _


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""

    @app.command(help=_("Measure one part of the course and stamp the record in assets/records/."))
    def bench(
        name: Annotated[str, typer.Argument(help=_("Which bench; `all` runs every one."))],
        quick: Annotated[bool, typer.Option(help=_("Under a minute; shows figures, keeps no record."))] = False,
    ) -> None:
        from servelab import bench as benches

        for one in benches.names() if name == "all" else [name]:
            benches.run(one, quick)
