"""From the course's notebooks to marks in nbgrader's gradebook: release, autograde, feedback.

Many processes judge; this one alone writes the gradebook, through nbgrader's own converters.
"""

from __future__ import annotations

import glob
import hashlib
import json
import logging
import os
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader.apps.api import NbGraderAPI
from sqlalchemy.exc import SAWarning
from traitlets.config import Config

from autograder import classroom, intake, results
from autograder.classroom import Classroom
from autograder.config import configure
from autograder.fanout import Lost, Task, best, grade, grade_many
from autograder.results import Judgement, Mark
from servelab import course, i18n
from servelab.errors import ServelabError
from servelab.i18n import _, speaking
from servelab.locks import locked
from servelab.notebooks import translate
from servelab.notebooks.source import LINK, Source
from servelab.paths import ROOT, WORKSPACE_MARKER

STAGING = ".staging"
KEYS = ".keys.json"
HEADER = "handing-in"
JUDGING = ("judge", "properties", "intake", "inside", "remote", "wire", "calls", "sandbox", "engines")
_TEXT_AND_LINK = re.compile(r"\[([^\]\n]*)" + LINK.pattern)


def api(room: Classroom, submitted: str = "submitted") -> NbGraderAPI:
    """nbgrader on this classroom, quiet: what went wrong is in its results.

    Args:
        submitted: where its Autograde reads.
    """
    logging.getLogger("traitlets").propagate = False
    warnings.filterwarnings("ignore", category=SAWarning, module=r"nbgrader\.api")
    beside = str(Path(sys.executable).parent)  # where `alembic` lies, which nbgrader calls to make a gradebook
    if beside not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join(filter(None, (beside, os.environ.get("PATH"))))
    config = configure(Config(), room.root)
    config.CourseDirectory.submitted_directory = submitted
    return NbGraderAPI(config=config)


def _done(result: dict, sentence: str, **names: str) -> None:
    """Pass if nbgrader did what it was asked to, else raise its reason within `sentence`."""
    if not result["success"]:
        lines = [line.strip() for line in f"{result['error']}\n{result.get('log', '')}".splitlines() if line.strip()]
        raised = [line for line in lines if re.match(r"[\w.]*(Error|Entry|Exception): ", line)]
        raise ServelabError(sentence.format(reason=(raised or lines)[-1], **names))


# --- release ---------------------------------------------------------------------------------------------------------


def release(room: Classroom, name: str) -> list[Path]:
    """Bring one assignment's sources into the classroom, its cells into the gradebook, and make the learners' copies.

    nbgrader makes the English copies, which the gradebook knows; the others have the same code cells, test and answer
    cells with their metadata included, and translated prose.

    Raises:
        ServelabError: there is no such assignment, or nbgrader refuses, e.g. because cells came or went after
            something was handed in.
    """
    sources = classroom.assignment(name)
    folder, target = room.step("source", name), room.step("release", name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for source in sources:
        nbformat.write(handout(source, name, i18n.SOURCE), folder / source.path.name)
    _done(api(room).generate_assignment(name), _("nbgrader did not release {name}: {reason}"), name=name)
    written = [target / source.path.name for source in sources]
    for lang in i18n.languages()[1:]:
        (target / lang).mkdir(exist_ok=True)
        for source in sources:
            master = {c.id: c for c in nbformat.read(target / source.path.name, as_version=4).cells}
            nb = handout(source, name, lang)
            nb.cells = [master[c.id] if c.cell_type == "code" else c for c in nb.cells]
            nbformat.write(nb, target / lang / source.path.name)
            written.append(target / lang / source.path.name)
    # Wherever a learner keeps the folder, its notebooks open, and keep what they remember in it.
    (target / WORKSPACE_MARKER).write_text(json.dumps({"language": i18n.SOURCE, "delivered": {}}) + "\n")
    return written


def handout(source: Source, assignment: str, lang: str) -> NotebookNode:
    """A notebook, solutions and all, with its prose in `lang`, a cell on handing in, and links that lead somewhere.

    A link to a notebook of the same assignment leads to the file beside it; one to any other becomes its text, since
    nobody knows where a learner keeps other assignments.
    """
    nb = translate.apply(source.notebook, source.stem, lang)
    beside = {one.path.resolve() for one in classroom.assignment(assignment)}

    def lead(match: re.Match[str]) -> str:
        text, to, anchor = match.groups()
        path = (source.path.parent / to).resolve()
        return f"[{text}]({path.name}{anchor or ''})" if path in beside else text

    for cell in nb.cells:
        if cell.cell_type == "markdown":
            cell.source = _TEXT_AND_LINK.sub(lead, cell.source)
    with speaking(lang):
        cell = nbformat.v4.new_markdown_cell(
            _(
                "> **Handing in.** Write your answers into the cells that say `YOUR CODE HERE`, save, and hand in "
                "`{file}` under this name. The checks you see are only a part: hidden ones, with other inputs, give "
                "the marks. Leave the exercises' cells where they are; cells of your own may stand between them. "
                "One language is enough; of two copies the one with more answers counts."
            ).format(file=source.path.name)
        )
    cell.id = HEADER
    nb.cells.insert(1, cell)
    return nb


def exchange(room: Classroom, name: str) -> None:
    """Collect an assignment from nbgrader's exchange, later submissions in place of earlier ones.

    Raises:
        ServelabError: there is no such assignment, or nbgrader refuses.
    """
    classroom.assignment(name)
    _done(api(room).collect(name), _("nbgrader did not collect {name}: {reason}"), name=name)


# --- autograde -------------------------------------------------------------------------------------------------------


@dataclass
class Graded:
    """One submission after grading.

    Attributes:
        judgements: one for each notebook of the assignment, in the course's order.
        new: it was graded now; otherwise nothing had changed since the last time.
        cause: why it could not be graded as it should, a sentence; the next run tries again.
    """

    student: str
    judgements: tuple[Judgement, ...]
    new: bool
    cause: str | None = None


def autograde(
    room: Classroom,
    name: str,
    *,
    students: Iterable[str] | None = None,
    workers: int = 2,
    seed: int | None = None,
    again: bool = False,
    unsafe: bool = False,
    cluster: str | None = None,
    work: Callable[[Task], Judgement] = grade,
    progress: Callable[[int, int, Graded], None] = lambda done, total, one: None,
) -> list[Graded]:
    """Grade an assignment's submissions: those that are new, changed, or asked for again.

    A submission's marks depend on what was handed in, the checks and the seed, and on nothing else. Whatever happens
    while one is graded, it has a result, and the others are graded.

    Args:
        students: only these.
        seed: of the checks' inputs (default: the classroom's).
        again: grade what has not changed, too.
        unsafe: without a sandbox, where the machine has none.
        cluster: see `fanout.grade_many`.
        progress: called after each submission: (how many are graded, of how many, the last one).

    Raises:
        ServelabError: the assignment was not released, one of `students` did not hand in, or there is no sandbox.
    """
    sources = classroom.assignment(name)
    if not room.step("release", name).is_dir():
        raise ServelabError(_("{name} was not released yet: run `servelab grade release {name}`.").format(name=name))
    known = room.students(name)
    chosen = known if students is None else list(students)
    for student in sorted(set(chosen) - set(known)):
        raise ServelabError(_("{student} handed in nothing for {name}.").format(student=student, name=name))
    if cluster is None and work is grade:
        from autograder.sandbox import isolation

        isolation(unsafe)  # refuse before the first submission, not at each
    seed = room.seed if seed is None else seed
    stored = _Keys(room, name)
    graded: dict[str, Graded] = {}
    tasks: dict[str, list[Task]] = {}
    for student in chosen:
        todo = [
            Task(student, name, s.entry.id, tuple(room.copies(student, name, s).items()), seed, room.root, unsafe)
            for s in sources
        ]
        if not stored.current(student, todo) or again:
            tasks[student] = todo
        else:
            graded[student] = Graded(student, results.load(room.root, name, student), new=False)
    if tasks:
        with locked(f"classroom-{hashlib.sha256(str(room.root).encode()).hexdigest()[:16]}", _busy):
            nbgrader, found = api(room, STAGING), {student: {} for student in tasks}
            shutil.rmtree(room.root / STAGING, ignore_errors=True)
            for task, outcome in grade_many([t for many in tasks.values() for t in many], workers, cluster, work):
                mine = found[task.student]
                mine[task.notebook] = outcome
                if len(mine) < len(sources):
                    continue
                one = _write(room, nbgrader, task, sources, mine)
                if one.cause is None:
                    stored.keep(task.student)
                graded[task.student] = one
                progress(sum(g.new for g in graded.values()), len(tasks), one)
    return [graded[student] for student in chosen]


def _busy() -> None:
    raise ServelabError(_("This classroom is being graded already: wait for that to end."))


def _write(room: Classroom, nbgrader: NbGraderAPI, task: Task, sources: list[Source], found: dict) -> Graded:
    """Take one submission's outcomes into the results and, by nbgrader, into the gradebook; never raises for one."""
    judgements: list[Judgement] = []
    folder, handed = (room.step(step, task.assignment, task.student) for step in (STAGING, "submitted"))
    try:
        folder.mkdir(parents=True)
        for source in sources:
            read = best(source, room.copies(task.student, task.assignment, source))
            outcome = found[source.entry.id]
            judgement = lost(source, read, task.seed, outcome.cause) if isinstance(outcome, Lost) else outcome
            judgements.append(judgement)
            nbformat.write(clean(source, read, judgement), folder / source.path.name)
        if time := _timestamp(handed):
            (folder / "timestamp.txt").write_text(time)
        results.save(room.root, task.assignment, task.student, judgements)
        taken = nbgrader.autograde(task.assignment, glob.escape(task.student))
        _done(taken, _("nbgrader did not take the marks: {reason}"))
    except Exception as error:
        told = str(error) if isinstance(error, ServelabError) else f"{type(error).__name__}: {error}"
        return Graded(task.student, tuple(judgements), new=True, cause=told)
    finally:
        shutil.rmtree(room.root / STAGING, ignore_errors=True)
    cause = next((outcome.cause for outcome in found.values() if isinstance(outcome, Lost)), None)
    return Graded(task.student, tuple(judgements), new=True, cause=cause)


def clean(source: Source, read: intake.Intake, judgement: Judgement) -> NotebookNode:
    """The notebook that nbgrader sees, its results in its learner's language."""
    with speaking(judgement.language):
        return intake.rebuild(source, read, judgement, judgement.language)


def lost(source: Source, read: intake.Intake, seed: int, cause: str) -> Judgement:
    """No marks, and why: what is recorded of a notebook that could not be judged."""
    marks = tuple(Mark(e.name, e.item, e.points, 0.0, cause=cause) for e in source.exercises())
    return Judgement(source.entry.id, read.language, seed, marks, notes=read.notes, digest=read.digest)


def judge_now(room: Classroom, student: str, name: str, source: Source) -> NotebookNode:
    """One submitted notebook judged in this process, its result kept, as the notebook that nbgrader sees."""
    copies = room.copies(student, name, source)
    task = Task(student, name, source.entry.id, tuple(copies.items()), room.seed, room.root)
    read = best(source, copies)
    try:
        judgement = grade(task)
    except ServelabError as error:
        judgement = lost(source, read, room.seed, str(error))
    others = [j for j in results.load(room.root, name, student) if j.notebook != source.entry.id]
    order = [s.entry.id for s in classroom.assignment(name)]
    results.save(room.root, name, student, sorted([*others, judgement], key=lambda j: order.index(j.notebook)))
    return clean(source, read, judgement)


def _timestamp(folder: Path) -> str | None:
    """When nbgrader's exchange says a submission was made; None where it says nothing that is a time."""
    from nbgrader.utils import parse_utc

    path = folder / "timestamp.txt"
    try:
        if path.is_symlink():
            return None
        with path.open() as file:
            text = file.read(100).strip()
        return text if text and parse_utc(text) else None
    except (OSError, ValueError, OverflowError):
        return None


class _Keys:
    """What each submission's marks were made from, to know what has changed since; one file per assignment."""

    def __init__(self, room: Classroom, name: str) -> None:
        self._room, self._name = room, name
        self._path = room.root / results.FOLDER / name / KEYS
        self._new: dict[str, str] = {}  # as they were before grading began: what comes in meanwhile is graded next
        try:
            self._kept = dict(json.loads(self._path.read_text()))
        except (OSError, ValueError, TypeError):
            self._kept = {}

    def current(self, student: str, tasks: list[Task]) -> bool:
        """Whether the student's result stands and was made from just this."""
        self._new[student] = self._key(tasks)
        try:
            there = {j.notebook: j.seed for j in results.load(self._room.root, self._name, student)}
        except ServelabError:
            return False
        taken = self._room.step("autograded", self._name, student).is_dir()
        same = self._kept.get(student) == self._new[student]
        return taken and same and there == {task.notebook: task.seed for task in tasks}

    def keep(self, student: str) -> None:
        """Remember what the student's result was made from."""
        self._kept[student] = self._new[student]
        part = self._path.with_name(KEYS + ".part")
        part.write_text(json.dumps(self._kept, indent=1))
        part.replace(self._path)

    def _key(self, tasks: list[Task]) -> str:
        told = hashlib.sha256()
        for task in tasks:
            told.update(f"{task.notebook} {task.seed} {_checks(task.notebook)}\n".encode())
            for lang, path in task.copies:
                with path.open("rb") as file:
                    told.update(lang.encode() + hashlib.file_digest(file, "sha256").digest())
        told.update((_timestamp(self._room.step("submitted", self._name, tasks[0].student)) or "").encode())
        return told.hexdigest()


@lru_cache(maxsize=64)
def _checks(notebook: str) -> str:
    """Digest of what a notebook is judged by: its exercises, and the judge itself."""
    entry = course.load().notebook(notebook)
    parts = [ROOT / entry.path, *(Path(__file__).with_name(f"{part}.py") for part in JUDGING)]
    return hashlib.sha256(b"\0".join(p.read_bytes() for p in parts)).hexdigest()


# --- feedback --------------------------------------------------------------------------------------------------------


def feedback(room: Classroom, name: str) -> list[Path]:
    """A page for every graded notebook of an assignment.

    Raises:
        ServelabError: nothing of it was graded, or nbgrader refuses.
    """
    classroom.assignment(name)
    if not any((room.root / "autograded").glob(f"*/{name}")):
        raise ServelabError(_("Nothing of {name} was graded: run `servelab grade autograde {name}`.").format(name=name))
    _done(api(room).generate_feedback(name), _("nbgrader made no feedback on {name}: {reason}"), name=name)
    return sorted((room.root / "feedback").glob(f"*/{name}/*.html"))
