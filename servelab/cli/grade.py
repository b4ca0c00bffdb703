"""`servelab grade`: a classroom for an instructor, a report for a learner alone."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from servelab.errors import ServelabError
from servelab.i18n import _

if TYPE_CHECKING:
    from rich.table import Table

    from autograder.classroom import Classroom
    from autograder.pipeline import Graded
    from autograder.results import Judgement


class Shape(StrEnum):
    """Whose columns an export has."""

    csv = "csv"
    canvas = "canvas"
    moodle = "moodle"


Where = Annotated[
    Path | None, typer.Option("--classroom", help=_("The classroom's folder (default: this one, or ./classroom)."))
]
Name = Annotated[str, typer.Argument(metavar="ASSIGNMENT", help=_("level-1, vllm-2.1, ..."))]
Language = Annotated[str | None, typer.Option("--lang", help=_("Language of the report."))]


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    grade = typer.Typer(help=_("Release, collect and grade a class; or yourself, with `me`."), no_args_is_help=True)
    app.add_typer(grade, name="grade")

    @grade.command(help=_("Make a classroom, where nbgrader's panels work too."))
    def init(folder: Annotated[Path, typer.Argument(help=_("Its folder."))] = Path("classroom")) -> None:
        from autograder import classroom

        room = classroom.init(folder)
        print(_("The classroom is {folder}.").format(folder=room.root))
        print(_("Next: `servelab grade release level-1`"))

    @grade.command(help=_("Make the learners' notebooks, in every language, and note their exercises."))
    def release(
        names: Annotated[list[str], typer.Argument(metavar="ASSIGNMENT...|all", help=_("level-1, vllm-2.1, ..."))],
        where: Where = None,
    ) -> None:
        from autograder import classroom, pipeline

        room = _room(where)
        for name in classroom.assignments() if names == ["all"] else names:
            written = pipeline.release(room, name)
            print(_("{name}: {n} notebooks in {folder}").format(name=name, n=len(written), folder=written[0].parent))

    @grade.command(help=_("Take in what was handed in: a platform's folder or zip, or nbgrader's exchange."))
    def collect(
        place: Annotated[
            Path | None, typer.Argument(metavar="FOLDER|ZIP", help=_("Without it: nbgrader's exchange."))
        ] = None,
        assignment: Annotated[str | None, typer.Option(help=_("Only this assignment's notebooks."))] = None,
        where: Where = None,
    ) -> None:
        _collect(_room(where), place, assignment)

    @grade.command(help=_("Grade what is new or changed, and write nbgrader's gradebook."))
    def autograde(
        name: Name,
        student: Annotated[list[str] | None, typer.Option(help=_("Only this student; may be repeated."))] = None,
        workers: Annotated[int, typer.Option(min=1, help=_("Processes that judge."))] = os.cpu_count() or 2,
        seed: Annotated[int | None, typer.Option(help=_("Of the checks' inputs (default: the classroom's)."))] = None,
        again: Annotated[bool, typer.Option(help=_("Also what has not changed."))] = False,
        unsafe: Annotated[bool, typer.Option(help=_("Without a sandbox, on a machine that has none."))] = False,
        cluster: Annotated[
            str | None, typer.Option(metavar="ADDRESS|local", help=_("Judge on a Dask cluster."))
        ] = None,
        where: Where = None,
    ) -> None:
        options = {"students": student, "workers": workers, "seed": seed, "again": again, "unsafe": unsafe}
        _autograde(_room(where), name, cluster=cluster, **options)

    @grade.command(help=_("Make a page for each learner: marks and why some are missing, no hidden checks."))
    def feedback(name: Name, where: Where = None) -> None:
        from autograder import pipeline

        written = pipeline.feedback(_room(where), name)
        print(_("{n} pages in {folder}").format(n=len(written), folder=written[0].parents[2]))

    @grade.command(help=_("Make the reports of the class and of each learner."))
    def report(
        name: Annotated[str, typer.Argument(metavar="ASSIGNMENT|course", help=_("Whose learners to report on."))],
        lang: Language = None,
        where: Where = None,
    ) -> None:
        from autograder import report as reports
        from autograder import results
        from servelab import i18n

        room, lang = _room(where), i18n.check(lang) if lang else i18n.language()
        people = _marked(room)
        if name == "course":
            written = reports.everyone(room.root, lang, people)
        else:
            students = results.load_all(room.root).get(name, {})
            if not students:
                raise ServelabError(
                    _("Nothing of {name} was graded: run `servelab grade autograde {name}`.").format(name=name)
                )
            written = [reports.learner(room.root, student, lang, people) for student in students]
            written.append(reports.klass(room.root, lang, people))
        print(_("{n} reports; the class: {path}").format(n=len(written), path=written[-1]))

    @grade.command(help=_("Write the marks for another gradebook."))
    def export(
        shape: Annotated[Shape, typer.Option("--for", help=_("Whose columns."))] = Shape.csv, where: Where = None
    ) -> None:
        from autograder import report as reports

        room = _room(where)
        print(reports.export(room.root, shape.value, _marked(room)))

    @grade.command(help=_("Grade your own notebook, at once; nothing is handed in."))
    def me(
        notebook: Annotated[str, typer.Argument(help=_("Its id, like 1.3, or a file."))],
        seed: Annotated[int | None, typer.Option(help=_("Of the checks' inputs (default: new ones)."))] = None,
        html: Annotated[Path | None, typer.Option(help=_("Also write a page to this file."))] = None,
        unsafe: Annotated[bool, typer.Option(help=_("Without a sandbox: it is your own code."))] = False,
    ) -> None:
        _me(notebook, seed, html, unsafe)


def _room(where: Path | None) -> Classroom:
    from autograder import classroom

    here = Path(classroom.FILE).exists()
    return classroom.find(where or (Path() if here else Path("classroom")))


def _marked(room: Classroom) -> dict:
    """Bring in what was marked by hand; who is in the class."""
    from autograder import gradebook, results

    for name in results.load_all(room.root):
        gradebook.take_in(room, name)
    return gradebook.people(room)


def _collect(room: Classroom, place: Path | None, assignment: str | None) -> None:
    from rich.console import Console
    from rich.table import Table

    if place is None:
        from autograder import pipeline

        if not (room.exchange and assignment):
            raise ServelabError(
                _("Name a folder or a zip; or, with an exchange in classroom.toml, an --assignment to collect from it.")
            )
        pipeline.exchange(room, assignment)
        print(_("{n} submissions of {name}").format(n=len(room.students(assignment)), name=assignment))
        return
    from autograder import collect

    done = collect.collect(room, place, assignment)
    table = Table()
    for column in (_("student"), _("assignment"), _("notebooks")):
        table.add_column(column)
    for (student, name), files in sorted(done.taken.items()):
        table.add_row(student, name, str(len(files)))
    console = Console()
    console.print(table)
    for sentence in done.left:
        console.print(sentence, style="yellow", markup=False, highlight=False)


def _autograde(room: Classroom, name: str, **options: object) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from autograder import pipeline

    os.environ.setdefault("SERVELAB_OWNER", str(os.getpid()))  # engines outlive the worker that started them
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(name, total=None)

        def show(done: int, total: int, one: Graded) -> None:
            bar.update(task, completed=done, total=total, description=f"{name} [dim]{one.student}[/dim]")

        graded = pipeline.autograde(room, name, progress=show, **options)
        bar.update(task, description=name, visible=False)
    console.print(_class_table(graded))
    for one in graded:
        told = [one.cause] if one.cause else []
        told += [f"{j.notebook}: {note}" for j in one.judgements for note in j.notes]
        for sentence in dict.fromkeys(told):
            console.print(f"{one.student}: {sentence}", style="yellow", markup=False, highlight=False)
    new = sum(one.new for one in graded)
    console.print(_("{new} graded, {old} unchanged").format(new=new, old=len(graded) - new))
    if any(one.cause for one in graded):
        raise typer.Exit(1)


def _class_table(graded: list[Graded]) -> Table:
    from rich.table import Table

    table = Table()
    table.add_column(_("student"))
    notebooks = list(dict.fromkeys(j.notebook for one in graded for j in one.judgements))
    for title in (*notebooks, _("together"), _("full marks")):
        table.add_column(title, justify="right")
    for one in graded:
        earned = {j.notebook: j.earned for j in one.judgements}
        total, points = (sum(getattr(j, what) for j in one.judgements) for what in ("earned", "points"))
        cells = (f"{earned[n]:.1f}" if n in earned else "-" for n in notebooks)
        table.add_row(one.student, *cells, f"{total:.1f}", f"{points:g}", style=None if one.new else "dim")
    return table


def _me(notebook: str, seed: int | None, html: Path | None, unsafe: bool) -> None:
    from rich.console import Console

    from autograder import alone
    from servelab.progress import Progress

    os.environ.setdefault("SERVELAB_OWNER", str(os.getpid()))
    source, path = alone.find(notebook)
    with Progress() as line:
        line.say(_("Grading {file}").format(file=path.name))
        own = alone.grade(source, path, seed, unsafe)
    console = Console(highlight=False)
    console.print(_own_table(own.judgement))
    for note in own.judgement.notes:
        console.print(note, style="yellow", markup=False)
    for sentence in own.advice:
        console.print(sentence, markup=False)
    if html:
        alone.write(own, html)
        console.print(str(html), markup=False, soft_wrap=True)


def _own_table(judgement: Judgement) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=judgement.notebook, title_justify="left", show_footer=True)
    total = _("{earned:g} of {points:g}").format(earned=round(judgement.earned, 2), points=judgement.points)
    table.add_column(_("exercise"), footer=_("together"))
    table.add_column(_("marks"), justify="right", footer=total)
    table.add_column(_("what does not hold"))
    for mark in judgement.marks:
        told = dict.fromkeys(([mark.cause] if mark.cause else []) + [p.message for p in mark.failed])
        style = "green" if mark.earned == mark.points else "red" if not mark.earned else "yellow"
        marks = _("{earned:g} of {points:g}").format(earned=round(mark.earned, 2), points=mark.points)
        table.add_row(mark.exercise, f"[{style}]{marks}[/{style}]", escape("\n".join(told)))
    return table
