"""The `servelab` command. Each file beside this one adds the commands of one subject."""

from __future__ import annotations

import sys

import typer

from servelab.errors import ServelabError
from servelab.i18n import _

app = typer.Typer(
    name="servelab",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _register() -> None:
    from servelab.cli import bench, calibrate, engines, grade, lab, load, notebooks

    app.info.help = _("Efficient Inference & Serving: real engines, predicted and measured.")
    for module in (lab, engines, load, calibrate, notebooks, grade, bench):
        module.register(app)


def main() -> None:
    """Run the command; a `ServelabError` becomes one sentence on stderr and exit code 1."""
    try:
        _register()
        app()
    except ServelabError as error:
        print(f"servelab: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
