"""`servelab bench`: measure, stamp, compare with the aim."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""

    @app.command()
    def bench(
        name: Annotated[str, typer.Argument(help="Which bench; `all` runs every one.")],
        quick: Annotated[bool, typer.Option(help="Under a minute; shows figures, keeps no record.")] = False,
    ) -> None:
        """Measure one part of the course and stamp the record in assets/records/."""
        from servelab import bench as benches

        for one in benches.names() if name == "all" else [name]:
            benches.run(one, quick)
