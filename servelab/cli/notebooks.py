"""`servelab run`, `servelab lang`, `servelab workspace`: the notebooks, executed, translated, delivered."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from servelab.i18n import _


class Effort(StrEnum):
    """How long a notebook measures."""

    ci = "ci"
    full = "full"


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""

    @app.command(help=_("Execute notebooks with real engines, and tell time, memory and what failed."))
    def run(
        notebooks: Annotated[list[str], typer.Argument(help=_("Paths or ids (1.3) of notebooks, or `all`."))],
        lang: Annotated[str | None, typer.Option(help=_("Language of the prose and the figures."))] = None,
        effort: Annotated[Effort, typer.Option(help=_("`ci`: short loads; `full`: as a learner runs it."))] = Effort.ci,
        html: Annotated[Path | None, typer.Option(help=_("Folder for a web page of each executed notebook."))] = None,
    ) -> None:
        from servelab import i18n
        from servelab.notebooks import execute

        paths = execute.resolve(notebooks)
        lang = i18n.check(lang) if lang else i18n.language()
        if not _run(paths, lang, effort.value, html):
            raise typer.Exit(1)

    @app.command(help=_("Create the learner's workspace or bring it up to date; edited notebooks stay as they are."))
    def workspace(
        folder: Annotated[Path, typer.Argument(help=_("Where the learner works."))] = Path("workspace"),
        lang: Annotated[str | None, typer.Option(help=_("Language to deliver."))] = None,
    ) -> None:
        from servelab import i18n
        from servelab.notebooks.workspace import build

        delivery = build(folder, i18n.check(lang) if lang else None)
        for sentence in delivery.said:
            print(sentence)
        print(delivery.start)

    app.add_typer(_lang(), name="lang")


def _run(paths: list[Path], lang: str, effort: str, html: Path | None) -> bool:
    """Run every notebook, whatever happens to the others; tell as it goes; True when all passed."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from servelab.notebooks import execute
    from servelab.notebooks import html as pages

    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    runs = []
    with execute.session() as workspace, Progress(*columns, console=console) as bar:
        for number, path in enumerate(paths, 1):
            name = f"{number}/{len(paths)} {path.stem}"
            task = bar.add_task(name, total=None)

            def show(done: int, total: int, cell: str, task=task, name=name) -> None:
                bar.update(task, completed=done, total=total, description=f"{name} [dim]{cell}[/dim]")

            one = execute.run(path, workspace, lang, effort, show)
            bar.update(task, completed=one.cells, total=max(one.cells, 1), description=name)
            runs.append(one)
            for failure in one.failures:
                sentence = _("{notebook}: the cell `{cell}` failed: {error}")
                console.print(
                    sentence.format(notebook=path.name, cell=failure.cell, error=failure),
                    style="red",
                    markup=False,
                    highlight=False,
                )
            for sentence in one.skipped:
                told = _("{notebook}: skipped: {what}").format(notebook=path.name, what=sentence)
                console.print(told, style="yellow", markup=False, highlight=False)
            if html:
                pages.write(one.notebook, html / f"{path.stem}.html", lang)
    console.print(_summary(runs))
    return all(one.passed for one in runs)


def _summary(runs: list):
    """The table of what was run."""
    from rich.table import Table

    table = Table()
    table.add_column(_("notebook"))
    for title in (_("seconds"), _("cells"), _("exercises passed"), _("skipped"), _("peak memory (MiB)")):
        table.add_column(title, justify="right")
    table.add_column(_("result"))
    for one in runs:
        result = _("passed") if one.passed else _("failed at {cell}").format(cell=one.failures[0].cell)
        counts = (one.cells, one.exercises, len(one.skipped))
        numbers = (f"{one.seconds:.0f}", *map(str, counts), f"{one.peak_bytes / 2**20:.0f}")
        table.add_row(one.path.stem, *numbers, result, style=None if one.passed else "red")
    return table


def _lang() -> typer.Typer:
    """The commands of the translators."""
    app = typer.Typer(help=_("The course's two languages."), no_args_is_help=True)

    @app.command(
        help=_("Bring the catalogues up to date with the English: new entries empty, changed ones marked fuzzy.")
    )
    def extract() -> None:
        from servelab.notebooks import catalogues

        for line in catalogues.extract():
            print(line)

    @app.command(
        help=_("Tell every entry that is missing, stale, left over, or against the glossary and the typography.")
    )
    def check() -> None:
        from servelab.notebooks import catalogues

        found = catalogues.check()
        for problem in found:
            print(problem)
        if found:
            raise typer.Exit(1)
        print("Every catalogue is complete.")

    @app.command(help=_("How far each catalogue is."))
    def status() -> None:
        from rich.console import Console
        from rich.table import Table

        from servelab.notebooks import catalogues

        table = Table("catalogue", "entries", "translated", "missing", "stale", "left over")
        for c in catalogues.every():
            numbers = (len(c.wanted), c.translated, len(c.missing), len(c.stale), len(c.left_over))
            table.add_row(c.name, *map(str, numbers))
        Console().print(table)

    @app.command(help=_("Write a notebook with its prose in another language; its code stays as it is."))
    def apply(
        notebook: Annotated[str, typer.Argument(help=_("Path or id of one of the course's notebooks."))],
        lang: Annotated[str, typer.Option(help=_("Language to put its prose into."))],
        to: Annotated[Path, typer.Option(help=_("File to write."))],
    ) -> None:
        import nbformat

        from servelab import i18n
        from servelab.notebooks import execute

        nb = execute.prepare(execute.resolve([notebook])[0], i18n.check(lang))
        to.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(nb, to)
        print(to)

    return app
