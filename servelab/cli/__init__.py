"""The `servelab` command. Each file beside this one adds the commands of one subject."""

from __future__ import annotations

import sys

import typer

from servelab.errors import ServelabError

app = typer.Typer(
    name="servelab",
    help="Efficient Inference & Serving: real engines, predicted and measured.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _register() -> None:
    from servelab.cli import bench, engines, lab, load, notebooks

    for module in (lab, engines, load, notebooks, bench):
        module.register(app)


def main() -> None:
    """Run the command; a `ServelabError` becomes one sentence on stderr and exit code 1."""
    _register()
    try:
        app()
    except ServelabError as error:
        print(f"servelab: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
