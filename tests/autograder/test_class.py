"""A class of twelve whose abilities are known, from the release to the reports."""

from __future__ import annotations

import csv
import random

import nbformat
import pytest

from autograder import classroom, pipeline, proof, report, sandbox
from servelab.errors import ServelabError

from . import students

ASSIGNMENT = "level-1"
CLASS = 12


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """Student k solves k of the exercises, the same ones first; what is left, all get equally wrong."""
    try:
        sandbox.isolation()
    except ServelabError as error:
        pytest.skip(str(error))
    room = classroom.init(tmp_path_factory.mktemp("class") / "room")
    sources = classroom.assignment(ASSIGNMENT)
    pipeline.release(room, ASSIGNMENT)
    rng = random.Random(3)
    order = [e for source in sources for e in source.exercises()]
    rng.shuffle(order)
    wrong = {e.name: rng.choice([*proof.mutants(e.name).values()]) for e in order}
    names = [f"student-{n:02}" for n in rng.sample(range(100), CLASS)]
    for k, name in enumerate(names):
        solved = {e.name for e in order[: round(k * len(order) / (CLASS - 1))]}
        lang = ("en", "zh_TW")[k % 2]
        folder = room.step("submitted", ASSIGNMENT, name) / (lang if lang != "en" else ".")
        folder.mkdir(parents=True)
        for source in sources:
            given = {e.answer.id: e.answer.source if e.name in solved else wrong[e.name] for e in source.exercises()}
            nbformat.write(students.notebook(source, given, lang), folder / source.path.name)
    return room, names, pipeline.autograde(room, ASSIGNMENT, seed=5)


@pytest.mark.timeout(600)
def test_the_class_is_ranked_as_able_as_it_is(graded):
    _room, names, found = graded
    marks = {one.student: sum(j.earned for j in one.judgements) for one in found}
    assert [one.cause for one in found] == [None] * CLASS
    assert sorted(marks, key=marks.get) == names
    assert len({*marks.values()}) == CLASS
    assert marks[names[-1]] == sum(j.points for j in found[0].judgements)


def test_nbgraders_gradebook_says_the_same(graded):
    from nbgrader.api import Gradebook

    room, names, found = graded
    with Gradebook(f"sqlite:///{room.root / 'gradebook.db'}") as book:
        scores = {name: book.find_submission(ASSIGNMENT, name).score for name in names}
    assert scores == pytest.approx({one.student: sum(j.earned for j in one.judgements) for one in found})


def test_the_reports_and_the_exports_are_there(graded):
    room, names, _found = graded
    for lang in ("en", "zh_TW"):
        page = report.klass(room.root, lang).read_text()
        assert all(name in page for name in names)
        assert names[-1] in report.learner(room.root, names[-1], lang).read_text()
    for kind in ("csv", "canvas", "moodle"):
        rows = list(csv.reader(report.export(room.root, kind).read_text(encoding="utf-8-sig").splitlines()))
        assert len(rows) >= CLASS + 1 and {
            name for name in names if any(name in cell for row in rows for cell in row)
        } == {*names}


def test_a_second_run_has_nothing_to_do_and_a_seed_gives_the_same_marks(graded):
    room, names, found = graded
    again = pipeline.autograde(room, ASSIGNMENT, seed=5)
    assert not any(one.new for one in again)
    once_more = pipeline.autograde(room, ASSIGNMENT, students=names[4:6], seed=5, again=True)
    for one in once_more:
        before = next(f for f in found if f.student == one.student)
        assert one.new and [m.earned for j in one.judgements for m in j.marks] == [
            m.earned for j in before.judgements for m in j.marks
        ]
