"""Reports and exports of a class of twelve made-up learners: ranked as they are, escaped, readable alone."""

import csv
import io
import random
import re
from html.parser import HTMLParser

import pytest

from autograder import report, results, rubric
from autograder.report import Person
from autograder.results import Judgement, Mark, Property
from autograder.rubric import Task
from servelab import course
from servelab.errors import ServelabError
from servelab.notebooks import html

QUALITY = {f"s{number:02d}": 1 - number / 12 for number in range(12)}
EVIL = "=1+1|'x'!A1"
SCRIPT = "<script>alert(1)</script>"


def assignment(task):
    return task.notebook if task.part in ("vllm", "triton") else task.part


def judgements(quality, seed, tasks=None, **more):
    """What a learner who meets a property with this probability gets: {assignment: judgements}."""
    rng, found = random.Random(seed), {}
    for task in rubric.tasks() if tasks is None else tasks:
        held = [rng.random() < quality for _ in range(20)]
        properties = tuple(
            Property(f"Property {n} of `{task.exercise}`.", ok, n > 0, False) for n, ok in enumerate(held)
        )
        earned = task.points * sum(held) / len(held)
        marks = found.setdefault(assignment(task), {}).setdefault(task.notebook, [])
        marks.append(Mark(task.exercise, task.item, task.points, earned, properties, **more))
    return {name: [Judgement(n, "en", 1, tuple(m)) for n, m in held.items()] for name, held in found.items()}


def hand_in(classroom, student, graded):
    for name, held in graded.items():
        results.save(classroom, name, student, held)


@pytest.fixture
def classroom(tmp_path):
    for number, (student, quality) in enumerate(QUALITY.items()):
        hand_in(tmp_path, student, judgements(quality, number))
    return tmp_path


class Page(HTMLParser):
    """A page's words, tags and links; every tag must be closed in its turn."""

    VOID = ("meta", "br")

    def __init__(self, path):
        super().__init__()
        self.words, self.tags, self.links, self.open = [], [], [], []
        self.raw = path.read_text()
        self.feed(self.raw)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]
        assert not [name for name, _value in attrs if name.startswith("on")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] not in (["style"], ["script"]):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def rows(path):
    return list(csv.reader(io.StringIO(path.read_text("utf-8-sig"))))


@pytest.mark.parametrize("lang", ["en", "zh_TW"])
def test_every_report_stands_alone_in_both_languages(classroom, lang):
    files = report.everyone(classroom, lang)
    assert len(files) == len(QUALITY) + 1
    plan = course.load()
    for file in files:
        page = Page(file)
        assert "script" not in page.tags and html.remote(page.raw) == []
        assert f'<html lang="{lang.replace("_", "-")}">' in page.raw and "default-src 'none'" in page.raw
        assert plan.metadata.title.get(lang) in page.text and "@page" in page.raw
    learner = Page(files[3])
    assert all(item.title.get(lang) in learner.text for item in plan.items)
    assert all(group.title.get(lang) in learner.text for group in plan.groups)


def test_the_class_is_ranked_as_it_is(classroom):
    files = report.everyone(classroom)
    page = Page(files[-1])
    assert [link.split("/")[-1].removesuffix(".html") for link in page.links] == list(QUALITY)
    assert all((files[-1].parent / link).exists() for link in page.links)


def test_links_lead_only_to_reports_that_are_there(classroom):
    assert Page(report.klass(classroom)).links == []


def test_a_learner_reads_marks_reasons_and_what_to_do(classroom):
    page = Page(report.learner(classroom, "s06"))
    stand = rubric.standing(rubric.results_of(results.load_all(classroom), "s06"))
    assert f"{stand.mark:.0f} %" in page.text
    for task in rubric.tasks():
        assert task.exercise in page.text
    graded = results.load_all(classroom)
    failed = [m for j in graded["level-1"]["s06"] for m in j.marks for m in m.failed]
    assert page.text.count("(hidden check)") + page.text.count("(visible check)") >= len(failed) > 0
    best = rubric.advice(rubric.results_of(graded, "s06"), stand)[0]
    assert rubric.tell(best).partition(" Work ")[0] in page.text


def test_full_marks_hide_no_reproach(tmp_path):
    hand_in(tmp_path, "ada", judgements(1.0, 1))
    page = Page(report.learner(tmp_path, "ada"))
    assert "Nothing to repeat" in page.text and "check)" not in page.text and "100 %" in page.text


def test_what_is_left_out_is_told(tmp_path):
    (task, *_rest) = rubric.tasks()
    hand_in(tmp_path, "ada", judgements(1.0, 1, [task]))
    page, plan = Page(report.learner(tmp_path, "ada")), course.load()
    weight = plan.item(task.item).weight
    assert f"Their weight ({100 - weight:g} %) is left out of the mark." in page.text
    assert f"of the {weight:g} % of the assessment" in page.text


def test_what_others_handed_in_counts_and_is_told(tmp_path):
    hand_in(tmp_path, "ada", judgements(1.0, 1))
    first, *others = {task.notebook for task in rubric.tasks()}
    hand_in(tmp_path, "bo", judgements(1.0, 1, [t for t in rubric.tasks() if t.notebook == first]))
    page = Page(report.learner(tmp_path, "bo"))
    assert "Not handed in, and counted as 0" in page.text and "The notebook was not handed in." in page.text
    everyone = Page(report.klass(tmp_path, people={"new": Person("New", "Comer")}))
    assert "New Comer" in everyone.text and "not handed in" in everyone.text
    assert all(other in everyone.text for other in others)


def test_what_waits_for_a_hand_is_neither_zero_nor_full(tmp_path, monkeypatch):
    (first, *_rest) = rubric.tasks()
    essay = Task(f"{first.notebook}-essay", first.notebook, first.part, "propose", 12, manual=True)
    monkeypatch.setattr(rubric, "tasks", lambda: (first, essay))
    hand_in(tmp_path, "ada", judgements(1.0, 1, [first, essay]))
    hand_in(tmp_path, "bo", judgements(1.0, 1, [first]))
    assert "waits to be marked by hand" in Page(report.learner(tmp_path, "bo")).text
    ada, bo = (
        dict(zip(rows(report.export(tmp_path))[0], row, strict=True)) for row in rows(report.export(tmp_path))[1:]
    )
    whole = next(name for name in ada if name.startswith(assignment(first)))
    assert (ada[whole], bo[whole]) == (f"{first.points + 12.0}", "")
    assert ada["course mark (%)"] == bo["course mark (%)"] == "100.0"


def test_nothing_a_submission_says_becomes_markup(tmp_path):
    graded = judgements(0.5, 1, cause=f"The answer raised {SCRIPT} & `{SCRIPT}`.")
    name, (first, *others) = next(iter(graded.items()))
    marks = (Mark("1.1-<b>x</b>", f"<i>{SCRIPT}", 2, 1, (Property(SCRIPT, False, True, False),)), *first.marks)
    noted = Judgement(first.notebook, "en", 1, marks, notes=(f"A file named {SCRIPT}\u202e\x00\ud800", "y" * 5000))
    hand_in(tmp_path, EVIL, graded | {name: [noted, *others]})
    people = {EVIL: Person(f"Robert{SCRIPT}", '"><img src=x onerror=alert(1)>')}
    for file in report.everyone(tmp_path, people=people):
        page = Page(file)
        assert not {"script", "img", "i"} & set(page.tags)
        assert "alert(1)" in page.text and "\u202e" not in page.raw and "\x00" not in page.raw
        assert "y" * 700 not in page.raw


def test_troubled_submissions_are_listed(tmp_path):
    hand_in(tmp_path, "ada", judgements(0.0, 1, cause="The answer killed its process."))
    page = Page(report.klass(tmp_path))
    assert page.text.count("The answer killed its process.") == len(rubric.tasks())
    hand_in(tmp_path, "ada", judgements(0.5, 1))
    assert "None: every notebook was handed in whole" in Page(report.klass(tmp_path)).text


def test_who_is_unknown_is_told(classroom, tmp_path_factory):
    with pytest.raises(ServelabError, match="There are no results of nobody"):
        report.learner(classroom, "nobody")
    with pytest.raises(ServelabError, match="is graded yet"):
        report.klass(tmp_path_factory.mktemp("empty"))


def test_reports_are_the_same_for_the_same_results(classroom):
    first = [file.read_text() for file in report.everyone(classroom)]
    assert [file.read_text() for file in report.everyone(classroom)] == first


# ---------------------------------------------------------------------------------------------------------------
# Exports.


def test_csv_holds_marks_items_and_exercises(classroom):
    head, *body = rows(report.export(classroom, "csv"))
    assert [row[0] for row in body] == list(QUALITY) and len(set(map(len, [head, *body]))) == 1
    assert {f"item {item.id} (%)" for item in course.load().items} <= set(head)
    assert {task.exercise for task in rubric.tasks()} <= set(head)
    marks = [float(row[head.index("course mark (%)")]) for row in body]
    assert marks == sorted(marks, reverse=True) and marks[0] == 100


def test_canvas_finds_its_columns(classroom):
    people = {"s00": Person("Ada", "Lovelace", "ada@example.org", "4711")}
    head, points, ada, *others = rows(report.export(classroom, "canvas", people))
    names = sorted({assignment(task) for task in rubric.tasks()})
    assert head == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *names, "Course mark"]
    assert points[0] == "Points Possible" and points[-1] == "100"
    total = {name: sum(t.points for t in rubric.tasks() if assignment(t) == name) for name in names}
    assert [float(value) for value in points[5:-1]] == list(total.values())
    assert ada[:5] == ["Lovelace, Ada", "4711", "", "s00", ""] and ada[5:-1] == points[5:-1]
    assert others[0][:5] == ["s01", "", "", "s01", ""]


def test_moodle_takes_percent_of_a_hundred(classroom):
    people = {"s00": Person("Ada", "Lovelace", "ada@example.org")}
    head, ada, *others = rows(report.export(classroom, "moodle", people))
    assert head[:5] == ["First name", "Last name", "ID number", "Username", "Email address"]
    assert ada[:5] == ["Ada", "Lovelace", "s00", "s00", "ada@example.org"] and set(ada[5:]) == {"100.0"}
    assert all(0 <= float(value) <= 100 for row in others for value in row[5:])


def test_what_was_not_handed_in_stays_empty(classroom):
    for kind in report.EXPORTS:
        last = rows(report.export(classroom, kind, {"zed": Person("Zed")}))[-1]
        assert "zed" in last and last.count("") > 2


@pytest.mark.parametrize("kind", report.EXPORTS)
@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "＝1", "\r=1"])
def test_no_cell_is_a_formula(tmp_path, kind, text):
    hand_in(tmp_path, EVIL, judgements(0.5, 1))
    people = {EVIL: Person(text, text, text, text)}
    for row in rows(report.export(tmp_path, kind, people)):
        for cell in row:
            assert re.fullmatch(r"[\d.]+", cell) or not cell.strip().startswith(tuple("=+-@＝\t\r"))


def test_exports_are_english_whatever_the_language(classroom, monkeypatch):
    monkeypatch.setenv("SERVELAB_LANGUAGE", "zh_TW")
    assert rows(report.export(classroom, "canvas"))[0][0] == "Student"


def test_an_unknown_export_names_those_there_are(classroom):
    with pytest.raises(ServelabError, match="csv, canvas, moodle"):
        report.export(classroom, "excel")
