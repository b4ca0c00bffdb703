"""What nbgrader's gradebook knows and the results do not: who the students are, and what was marked by hand."""

from __future__ import annotations

from dataclasses import replace

from nbgrader.api import Gradebook, SubmittedAssignment

from autograder import classroom, results
from autograder.classroom import Classroom
from autograder.report import Person
from autograder.results import Judgement, Mark
from autograder.rubric import tasks_of
from servelab.notebooks.source import Source


def open(room: Classroom) -> Gradebook:
    """The classroom's gradebook; to be closed, as a `with` block does."""
    return Gradebook(f"sqlite:///{room.root / 'gradebook.db'}", room.name)


def people(room: Classroom) -> dict[str, Person]:
    """Everyone in the gradebook, by id."""
    with open(room) as book:
        return {
            s.id: Person(s.first_name or "", s.last_name or "", s.email or "", s.lms_user_id or "")
            for s in book.students
        }


def take_in(room: Classroom, name: str) -> None:
    """Bring an assignment's results in line with what was marked in formgrader since.

    A mark given by hand counts in place of the automatic one, which returns when it is taken back.
    """
    sources = {source.stem: source for source in classroom.assignment(name)}
    with open(room) as book:
        for submission in book.assignment_submissions(name):
            student = submission.student.id
            before = results.load(room.root, name, student)
            after = tuple(_marked(j, submission, sources) for j in before)
            if after != before:
                results.save(room.root, name, student, after)


def _marked(judgement: Judgement, submission: SubmittedAssignment, sources: dict[str, Source]) -> Judgement:
    notebook = next((n for n in submission.notebooks if sources[n.name].entry.id == judgement.notebook), None)
    if notebook is None:
        return judgement
    source = sources[notebook.name]
    names = {e.test.id: e.name for e in source.exercises()}
    by_hand = {task.exercise: task for task in tasks_of(source) if task.manual}
    for grade in notebook.grades:
        given, automatic = grade.manual_score, grade.auto_score
        score = automatic if given is None else given
        name = names.get(grade.name, judgement.notebook + grade.name.removeprefix(judgement.notebook.replace(".", "-")))
        name = name.removesuffix("-answer")
        mark = next((m for m in judgement.marks if m.exercise == name), None)
        if mark is None and name in by_hand and given is not None:
            mark = Mark(name, by_hand[name].item, by_hand[name].points, 0.0)
        if mark is not None and score is not None:
            judgement = judgement.having(replace(mark, earned=min(max(float(score), 0.0), mark.points)))
    return judgement
