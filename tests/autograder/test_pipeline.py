"""A class graded by the real judge: what nbgrader's scoring can be tricked by is not believed, nobody's work is lost,
and the gradebook changes where it should.
"""

from __future__ import annotations

import copy
import html
import json
import re
import shutil
import sqlite3
from pathlib import Path

import nbformat
import pytest

from autograder import classroom, gradebook, pipeline, results
from autograder.fanout import Lost
from autograder.intake import FILE_BYTES, OWN
from servelab.errors import ServelabError
from servelab.notebooks.html import remote
from tests.autograder import works
from tests.autograder.conftest import LEVEL

STEM = "1.3_batching_tradeoff"
STEP, CHOOSE, STEPS = "1.3-step", "1.3-choose", "1.3-steps"
FULL = 12.0


def cell_of(nb, id):
    return next(c for c in nb.cells if c.id == id)


def judgement(school, student, id="1.3"):
    return next(j for j in results.load(school.room.root, LEVEL, student) if j.notebook == id)


def auto_scores(school, student, stem=STEM) -> dict[str, float]:
    with gradebook.open(school.room) as book:
        return {g.name: g.auto_score for g in book.find_submission_notebook(stem, LEVEL, student).grades}


def rows(school, student: str | None = None) -> dict[str, set]:
    """All rows of the gradebook, or those of one student's submissions, by table."""
    path = school.room.root / "gradebook.db"
    with sqlite3.connect(path) as book:
        tables = [r[0] for r in book.execute("select name from sqlite_master where type='table'")]
        found = {t: set(book.execute(f"select * from {t}")) for t in tables}
    if student is None:
        return found
    mine = {r[0] for r in found["submitted_assignment"] if student in r}
    notebooks = {r[0] for r in found["submitted_notebook"] if mine & set(r)}
    return {t: {r for r in rs if student in r or mine & set(r) or notebooks & set(r)} for t, rs in found.items()}


# --- what is handed in, and what nbgrader would make of it -----------------------------------------------------------


def submissions(school) -> dict[str, object]:
    """Each trap as a submission of 1.3: (file, what it must earn)."""
    blank, solved = school.released(), school.solved()

    def changed(nb, change):
        nb = copy.deepcopy(nb)
        change(nb)
        return nb

    def test_cells(nb):
        return [c for c in nb.cells if c.metadata.get("nbgrader", {}).get("grade")]

    def show(*outputs, source=None):
        def change(nb):
            for cell in test_cells(nb):
                cell.outputs = [nbformat.v4.new_output(**o) for o in outputs]
                cell.source = cell.source if source is None else source

        return change

    def result(text):
        return {"output_type": "execute_result", "data": {"text/plain": text}, "execution_count": 1}

    def drop(*ids):
        return lambda nb: nb.__setitem__("cells", [c for c in nb.cells if c.id not in ids])

    def double(nb):
        place = nb.cells.index(cell_of(nb, "1-3-step-answer"))
        nb.cells.insert(place, cell_of(blank, "1-3-step-answer"))
        nb.cells.append(copy.deepcopy(cell_of(nb, "1-3-step-test")))

    def retype(nb):
        for id in ("1-3-step-answer", "1-3-step-test", "1-3-choose-test"):
            cell_of(nb, id).cell_type = "markdown"

    def old_schema(nb):
        for cell in nb.cells:
            if told := cell.metadata.get("nbgrader"):
                cell.metadata.nbgrader = {k: told[k] for k in ("grade_id", "grade", "solution", "locked")} | {
                    "schema_version": 1
                }

    def old_format(nb):
        cells = [
            {"cell_type": c.cell_type, "metadata": c.metadata, "input": c.source, "language": "python"}
            for c in nb.cells
        ]
        for key in list(nb):
            del nb[key]
        nb |= {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": cells}]}

    stderr = "import sys\nprint('look here', file=sys.stderr)\n"
    warned = {"output_type": "stream", "name": "stderr", "text": "!"}
    loud = {name: stderr + school_answer(school, name) for name in (STEP, CHOOSE, STEPS)}
    dead = {STEP: "import os\n\n\ndef decode_rate(batch, known):\n    os._exit(0)\n"}
    error = {"output_type": "error", "ename": "E", "evalue": "", "traceback": []}
    return {
        "solved": (solved, FULL),
        "blank": (blank, 0),
        "stderr": (
            changed(school.solved(but=loud), show(warned)),
            FULL,
        ),
        "error": (changed(solved, show(error)), FULL),
        "text": (changed(blank, show(result("'full marks'"))), 0),
        "negative": (changed(blank, show(result("-1.0"), source="-1.0")), 0),
        "nan": (changed(blank, show(result("nan"), source="float('nan')")), 0),
        "forged": (changed(blank, show(result("4.0"), source="4.0")), 0),
        "silent": (changed(blank, show(source="pass")), 0),
        "dead": (school.solved(but=dead), 8),
        "no-tests": (changed(solved, drop("1-3-step-test", "1-3-steps-test")), FULL),
        "no-answer": (changed(solved, drop("1-3-step-answer")), 8),
        "double": (changed(solved, double), FULL),
        "retyped": (changed(solved, retype), FULL),
        "old-schema": (changed(solved, old_schema), FULL),
        "old-format": (changed(solved, old_format), FULL),
        "no-metadata": (changed(solved, lambda nb: [c.metadata.clear() for c in nb.cells]), FULL),
        "broken": (b'{"cells": [', 0),
        "no-notebook": (b"[1, 2]", 0),
        "large": (b" " * (FILE_BYTES + 1), 0),
        "missing": (None, 0),
    }


def school_answer(school, name: str) -> str:
    return next(e.answer.source for e in school.source().exercises() if e.name == name)


NOTED = {"no-answer", "double", "retyped", "broken", "no-notebook", "large", "missing"}


@pytest.fixture(scope="module")
def graded(make_school, tmp_path_factory):
    """A class of traps, graded once."""
    school = make_school(tmp_path_factory.mktemp("traps"))
    wanted = {}
    for student, (nb, earns) in submissions(school).items():
        school.hand_in(student, nb)
        wanted[student] = earns
    school.hand_in("chinese", school.solved(lang="zh_TW", but={STEP: "decode_rate = None"}), lang="zh_TW")
    school.hand_in("loose-chinese", school.solved(lang="zh_TW"))  # a platform knows no folders
    school.hand_in("both", school.solved(but={STEP: "1 / 0"}))
    school.hand_in("both", school.released(lang="zh_TW"), lang="zh_TW")
    school.hand_in("link", None).symlink_to(school.room.step("source", LEVEL) / f"{STEM}.ipynb")
    folder = school.hand_in("solved", school.solved()).parent
    (folder / "evil.py").write_text("raise SystemExit")
    (folder / "autograded").mkdir()
    wanted |= {"chinese": 8, "loose-chinese": FULL, "both": 8, "link": 0}
    before = {p: p.read_bytes() for p in (school.room.root / "submitted").rglob("*") if p.is_file()}
    found = pipeline.autograde(school.room, LEVEL)
    assert {p: p.read_bytes() for p in before} == before, "what was handed in is as it was"
    return school, wanted, {one.student: one for one in found}


def test_each_submission_earns_what_its_answers_are_worth(graded):
    school, wanted, found = graded
    assert {s: round(judgement(school, s).earned, 2) for s in found} == wanted
    assert not [one.cause for one in found.values() if one.cause]


def test_the_gradebook_says_what_the_judge_said(graded):
    school, _, found = graded
    for student, one in found.items():
        for judged in one.judgements:
            source = school.source(judged.notebook)
            said = {e.test.id: judged.mark(e.name).earned for e in source.exercises()}
            assert auto_scores(school, student, source.stem) == pytest.approx(said), student


def test_what_was_wrong_with_a_file_is_kept(graded):
    school, _, found = graded
    assert {s for s in found if judgement(school, s).notes} == NOTED | {"link"}
    assert all(judgement(school, s, "1.4").notes for s in found), "the other notebooks were not handed in"


def test_nbgrader_sees_clean_notebooks_of_the_course_only(graded):
    school, _, found = graded
    files = {p.name for p in (school.room.root / "autograded").rglob("*") if p.is_file()}
    assert files == {s.path.name for s in classroom.assignment(LEVEL)}
    ids = [c.id for c in school.released().cells if c.id != pipeline.HEADER]
    for student in found:
        nb = nbformat.read(school.room.step("autograded", LEVEL, student) / f"{STEM}.ipynb", as_version=4)
        assert [c.id for c in nb.cells if not c.id.startswith(OWN)] == ids, student
    assert not (school.room.root / pipeline.STAGING).exists()


def test_chinese_prose_stays_chinese(graded):
    school, _, _ = graded
    for student in ("chinese", "loose-chinese"):
        nb = nbformat.read(school.room.step("autograded", LEVEL, student) / f"{STEM}.ipynb", as_version=4)
        assert nb.cells[0].source == school.released(lang="zh_TW").cells[0].source
        assert judgement(school, student).language == "zh_TW"
    assert judgement(school, "both").language == "en", "the copy with more answers counts"


def test_a_rerun_grades_nothing_anew(graded):
    school, _, found = graded
    before = rows(school)
    again = pipeline.autograde(school.room, LEVEL, work=works.never)
    assert not any(one.new for one in again)
    assert {one.student: one.judgements for one in again} == {s: one.judgements for s, one in found.items()}
    assert rows(school) == before


def without_seconds(judgements) -> str:
    return re.sub(r'"seconds": [\d.e-]+', "", json.dumps([j.to_json() for j in judgements]))


def test_the_same_seed_gives_the_same_result_and_only_that_submissions_rows_change(graded):
    school, _, found = graded
    others = {s: rows(school, s) for s in found if s != "dead"}
    again = pipeline.autograde(school.room, LEVEL, students=["dead"], again=True, workers=1)
    assert without_seconds(again[0].judgements) == without_seconds(found["dead"].judgements)
    assert {s: rows(school, s) for s in others} == others


# --- feedback --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pages(graded, tmp_path_factory):
    """The feedback for some of them."""
    room = classroom.find(shutil.copytree(graded[0].room.root, tmp_path_factory.mktemp("feedback") / "classroom"))
    for folder in (room.root / "autograded").iterdir():
        if folder.name not in ("blank", "dead", "chinese", "double"):
            shutil.rmtree(folder)
    return {(p.parts[-3], p.stem): p.read_text() for p in pipeline.feedback(room, LEVEL)}


def text_of(page: str) -> str:
    """What a reader sees of a page."""
    body = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]+>", "", body))


def test_feedback_holds_no_hidden_line_and_asks_the_network_for_nothing(graded, pages):
    school, _, _ = graded
    assert len(pages) == 16
    for source in classroom.assignment(LEVEL):
        shown = [(s, p) for (s, stem), p in pages.items() if stem == source.stem]
        texts = {student: text_of(page) for student, page in shown}
        assert not any(remote(page) for _, page in shown)
        for exercise in source.exercises():
            visible, _, hidden = exercise.test.source.partition("### BEGIN HIDDEN TESTS")
            lines = {line.strip() for line in hidden.splitlines()} - {line.strip() for line in visible.splitlines()}
            released = cell_of(school.released(source.entry.id), exercise.answer.id).source
            solution = {line for line in exercise.answer.source.splitlines() if line not in released.splitlines()}
            for line in (line for line in lines if len(line) > 12 and "END HIDDEN" not in line):
                assert not [s for s, t in texts.items() if line in t], line
            assert max(solution, key=len).strip() not in texts["blank"]
            assert "Traceback" not in texts["dead"]
            assert visible.splitlines()[0] in texts["blank"]


def test_feedback_tells_marks_and_reasons_in_the_learners_language(pages, monkeypatch):
    english, chinese = text_of(pages["dead", STEM]), text_of(pages["chinese", STEM])
    assert "8 of 12" in english and '<html lang="en">' in pages["dead", STEM]
    assert "批次" in chinese and '<html lang="zh-TW">' in pages["chinese", STEM]
    assert "No response." not in text_of(pages["blank", STEM])


# --- the gradebook ---------------------------------------------------------------------------------------------------


def test_marks_and_words_of_a_human_survive_a_rerun(school):
    school.hand_in("ann", school.solved())
    school.hand_in("bob", school.released())
    pipeline.autograde(school.room, LEVEL, work=works.full)
    with gradebook.open(school.room) as book:
        grade = book.find_grade("1-3-step-test", STEM, LEVEL, "ann")
        grade.manual_score = 1.5
        book.find_comment("1-3-step-answer", STEM, LEVEL, "ann").manual_comment = "See *me*.\nToday."
        book.db.commit()
    pipeline.autograde(school.room, LEVEL, work=works.full, again=True)
    with gradebook.open(school.room) as book:
        grade = book.find_grade("1-3-step-test", STEM, LEVEL, "ann")
        assert (grade.manual_score, grade.auto_score, grade.score) == (1.5, 4.0, 1.5)
        assert book.find_submission(LEVEL, "bob").score == 41
    gradebook.take_in(school.room, LEVEL)
    assert judgement(school, "ann").mark(STEP).earned == 1.5
    page = next(p for p in pipeline.feedback(school.room, LEVEL) if p.parts[-3] == "ann" and p.stem == STEM)
    assert "1.5 of 4" in text_of(page.read_text()) and "<em>me</em>" in page.read_text()
    with gradebook.open(school.room) as book:
        book.find_grade("1-3-step-test", STEM, LEVEL, "ann").manual_score = None
        book.db.commit()
    gradebook.take_in(school.room, LEVEL)
    assert judgement(school, "ann").mark(STEP).earned == 4.0, "taken back"


def test_people_are_those_of_the_gradebook(school):
    with gradebook.open(school.room) as book:
        book.add_student("ann", first_name="Ann", last_name="Lee", email="a@x", lms_user_id="17")
    ann = gradebook.people(school.room)["ann"]
    assert (ann.name, ann.email, ann.lms_id) == ("Ann Lee", "a@x", "17")


def test_lateness_is_nbgraders_and_a_forged_time_is_none(school):
    with gradebook.open(school.room) as book:
        book.update_or_create_assignment(LEVEL, duedate="2026-03-01 12:00:00 UTC")
    for student, time in (("late", "2026-03-01 13:00:00 UTC"), ("odd", "yesterday\n" * 9), ("none", None)):
        folder = school.hand_in(student, school.solved()).parent
        if time:
            (folder / "timestamp.txt").write_text(time)
    (school.hand_in("link", school.solved()).parent / "timestamp.txt").symlink_to("/etc/hostname")
    assert not [one.cause for one in pipeline.autograde(school.room, LEVEL, work=works.full) if one.cause]
    with gradebook.open(school.room) as book:
        late = {s.student.id: s.total_seconds_late for s in book.assignment_submissions(LEVEL)}
    assert late == {"late": 3600, "odd": 0, "none": 0, "link": 0}


def test_a_submission_whose_grader_dies_is_recorded_and_graded_the_next_time(school):
    for student in ("ann", "bob", "cem"):
        school.hand_in(student, school.solved())
    seen = []
    found = pipeline.autograde(
        school.room, LEVEL, work=works.dies_for_bob, progress=lambda done, total, one: seen.append((done, total))
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]
    bob = judgement(school, "bob")
    assert bob.earned == 0 and "exit code 3" in bob.marks[0].cause
    assert judgement(school, "ann").earned == judgement(school, "cem").earned == FULL
    assert sum(auto_scores(school, "bob").values()) == 0
    nb = nbformat.read(school.room.step("autograded", LEVEL, "bob") / f"{STEM}.ipynb", as_version=4)
    assert "def decode_rate" in cell_of(nb, "1-3-step-answer").source, "a human can still read what she wrote"
    assert [(one.student, bool(one.cause)) for one in found] == [("ann", False), ("bob", True), ("cem", False)]
    again = pipeline.autograde(school.room, LEVEL, work=works.full)
    assert [one.student for one in again if one.new] == ["bob"]
    assert judgement(school, "bob").earned == FULL


def test_what_changed_is_graded_anew(school, monkeypatch):
    for student in ("ann", "bob"):
        school.hand_in(student, school.released())

    def new(**options) -> list[str]:
        return [o.student for o in pipeline.autograde(school.room, LEVEL, work=works.full, **options) if o.new]

    assert new() == ["ann", "bob"] and new() == []
    school.hand_in("bob", school.solved())
    assert new() == ["bob"]
    assert new(seed=5) == ["ann", "bob"] and new(seed=5) == []
    assert new() == ["ann", "bob"]
    results.path(school.room.root, LEVEL, "ann").write_text("{damaged")
    assert new() == ["ann"]
    monkeypatch.setattr(pipeline, "_checks", lambda notebook: "other tests")
    assert new() == ["ann", "bob"]
    assert new(students=["ann"], again=True) == ["ann"]


def test_what_nbgrader_cannot_take_is_that_submissions_cause(school, monkeypatch):
    for student in ("ann", "bob"):
        school.hand_in(student, school.solved())
    whole = pipeline.clean
    monkeypatch.setattr(
        pipeline, "clean", lambda source, read, judged: {}["x"] if "bob" in seen.pop() else whole(source, read, judged)
    )
    seen = []
    copies = classroom.Classroom.copies
    monkeypatch.setattr(
        classroom.Classroom, "copies", lambda room, student, *a: seen.append(student) or copies(room, student, *a)
    )
    found = {one.student: one for one in pipeline.autograde(school.room, LEVEL, work=works.full)}
    assert found["ann"].cause is None and "KeyError" in found["bob"].cause
    monkeypatch.setattr(pipeline, "clean", whole)
    assert [o.student for o in pipeline.autograde(school.room, LEVEL, work=works.full) if o.new] == ["bob"]


def test_one_grading_at_a_time(school):
    school.hand_in("ann", school.solved())
    inside = []

    def meanwhile(done, total, one):
        with pytest.raises(ServelabError, match="being graded already"):
            pipeline.autograde(school.room, LEVEL, work=works.full, again=True)
        inside.append(one.student)

    pipeline.autograde(school.room, LEVEL, work=works.full, progress=meanwhile)
    assert inside == ["ann"]


def test_what_cannot_be_graded_is_refused_before_it_begins(school, tmp_path, monkeypatch):
    with pytest.raises(ServelabError, match="was not released"):
        pipeline.autograde(school.room, "vllm-2.1")
    with pytest.raises(ServelabError, match="nobody handed in"):
        pipeline.autograde(school.room, LEVEL, students=["nobody"])
    with pytest.raises(ServelabError, match="Nothing of level-1 was graded"):
        pipeline.feedback(school.room, LEVEL)
    monkeypatch.setattr("autograder.sandbox._found", lambda: None)
    school.hand_in("ann", school.solved())
    with pytest.raises(ServelabError, match="no sandbox"):
        pipeline.autograde(school.room, LEVEL)


def test_a_dask_cluster_gives_the_same(school):
    pytest.importorskip("distributed")
    school.hand_in("ann", school.solved(but={STEP: "def decode_rate(batch, known):\n    return 250.0"}))
    here = pipeline.autograde(school.room, LEVEL, workers=1)[0].judgements
    there = pipeline.autograde(school.room, LEVEL, again=True, cluster="local", workers=2)[0].judgements
    assert without_seconds(there) == without_seconds(here) and 0 < judgement(school, "ann").earned < FULL


# --- nbgrader's own panels -------------------------------------------------------------------------------------------


def test_formgraders_autograde_button_judges_as_the_command_does(school):
    school.hand_in("ann", school.solved(but={STEP: "1 / 0"}))
    school.hand_in("ann", b"{", id="1.4")
    done = pipeline.api(school.room).autograde(LEVEL, "ann")
    assert done["success"], done
    assert auto_scores(school, "ann") == {"1-3-step-test": 0, "1-3-choose-test": 4, "1-3-steps-test": 4}
    assert judgement(school, "ann").earned == 8 and judgement(school, "ann", "1.4").notes
    judged = judgement(school, "ann")
    command = pipeline.autograde(school.room, LEVEL, workers=1)[0].judgements
    assert without_seconds([next(j for j in command if j.notebook == "1.3")]) == without_seconds([judged])


def test_the_validate_button_runs_the_visible_checks_of_a_released_notebook(school):
    """nbgrader's validator on the cells of one exercise; the notebook's measurements would need an engine."""
    from nbgrader.validator import Validator
    from traitlets.config import Config

    from autograder.config import configure

    nb = school.solved()
    kept = {"opening", *(f"1-3-{name}-{part}" for name in ("step", "choose", "steps") for part in ("answer", "test"))}
    nb.cells = [c for c in nb.cells if c.id in kept]
    path = school.room.step("release", LEVEL) / "mine.ipynb"
    nbformat.write(nb, path)
    told = Validator(config=configure(Config(), school.room.root)).validate(str(path))
    assert not told.get("failed") and not told.get("changed")


def test_an_api_that_is_asked_for_a_student_without_a_submission_says_so(school):
    done = pipeline.api(school.room).autograde(LEVEL, "nobody")
    assert not done["success"] and "No notebooks were matched" in done["log"]


def test_lost_has_a_mark_for_every_exercise(school):
    source = school.source()
    read = pipeline.best(source, {})
    lost = pipeline.lost(source, read, 1, Lost("gone").cause)
    assert [m.exercise for m in lost.marks] == [STEP, CHOOSE, STEPS] and {m.cause for m in lost.marks} == {"gone"}
    assert read.notes and Path(school.source().path).exists()
