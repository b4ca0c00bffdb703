"""Reports and exports: what the results of a class say to a learner, to the instructor, and to another gradebook.

A report is one HTML file without scripts that fetches nothing: figures are SVG, the style is inside, and printing it
gives A4 pages. Names, messages and notes come from people and their submissions; all are escaped, and the page's own
policy forbids whatever an escape might have missed.
"""

from __future__ import annotations

import csv
import html
import io
import math
import re
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from autograder import results, rubric
from autograder.results import Judgement, Mark, load, load_all, save
from autograder.rubric import Graded, Result, Standing, Task
from servelab import course
from servelab.course import Course
from servelab.errors import ServelabError
from servelab.figures import grades, style
from servelab.i18n import _, listed, speaking

__all__ = ["EXPORTS", "Person", "everyone", "export", "klass", "learner", "load", "load_all", "save"]

FOLDER = "reports"
EXPORTS = ("csv", "canvas", "moodle")
SHOWN = 600  # characters of a note or message that a report repeats
HARDEST = 10

Kind = Literal["csv", "canvas", "moodle"]


@dataclass(frozen=True)
class Person:
    """What the gradebook knows of a student beside the id."""

    first_name: str = ""
    last_name: str = ""
    email: str = ""
    lms_id: str = ""  # the learning platform's own number for the student

    @property
    def name(self) -> str:
        """First and last name."""
        return f"{self.first_name} {self.last_name}".strip()


People = Mapping[str, Person]  # {student id: person}


@dataclass(frozen=True)
class Roll:
    """A class: all results, and where each of its students stands."""

    graded: Graded
    people: People
    plan: Course
    tasks: tuple[Task, ...]
    results: Mapping[str, tuple[Result, ...]]
    standings: Mapping[str, Standing]

    @classmethod
    def read(cls, classroom: Path, people: People | None = None, tasks: Iterable[Task] | None = None) -> Roll:
        """The class in `classroom`; students of `people` without results belong to it.

        Raises:
            ServelabError: nothing is graded yet, or a result is damaged.
        """
        graded, plan = load_all(classroom), course.load()
        if not graded:
            raise ServelabError(
                _("Nothing in {folder} is graded yet: run `servelab grade autograde` first.").format(folder=classroom)
            )
        tasks = rubric.tasks() if tasks is None else tuple(tasks)
        names = sorted({name for students in graded.values() for name in students} | set(people or {}))
        found = {name: rubric.results_of(graded, name) for name in names}
        standings = {name: rubric.standing(held, tasks, plan) for name, held in found.items()}
        return cls(graded, people or {}, plan, tasks, found, standings)

    def judgements(self, student: str) -> tuple[Judgement, ...]:
        """Every judged notebook of a student."""
        return tuple(j for students in self.graded.values() for j in students.get(student, ()))

    def title(self, student: str) -> str:
        """What a report calls the student."""
        person = self.people.get(student)
        return person.name if person and person.name else student


# ---------------------------------------------------------------------------------------------------------------
# HTML.

STYLE = Path(__file__).with_name("report.css")
_CODE = re.compile(r"`([^`]+)`")


def _safe(text: object, most: int = SHOWN) -> str:
    """Text of any origin for a page: cut, without control characters, escaped."""
    plain = "".join(c if c.isprintable() else " " for c in str(text)).strip()
    escaped = html.escape(plain if len(plain) <= most else plain[: most - 1] + "…")
    return _CODE.sub(r"<code>\1</code>", escaped)


def _person(text: str) -> str:
    """A name, kept from turning the direction of what stands around it."""
    return f"<bdi>{_safe(text, 120)}</bdi>"


def _page(title: str, body: str, lang: str) -> str:
    colors = f":root {{ --blue: {style.BLUE}; --orange: {style.ORANGE} }}\n"
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return (
        f'<!DOCTYPE html>\n<html lang="{lang.replace("_", "-")}"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{_safe(title)}</title>'
        f"<style>{colors}{STYLE.read_text(encoding='utf-8')}</style></head><body><main>{body}</main></body></html>\n"
    )


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", errors="replace")
    return path


def _table(head: Sequence[tuple[str, str]], rows: Iterable[str]) -> str:
    """A table; `head` holds (text, class) of its columns."""
    cells = "".join(f'<th class="{kind}">{html.escape(text)}</th>' for text, kind in head)
    return f'<div class="wide"><table><thead><tr>{cells}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _row(cells: Sequence[tuple[str, str]]) -> str:
    """A row of a table; the cells' contents are HTML."""
    return "<tr>" + "".join(f'<td class="{kind}">{text}</td>' for text, kind in cells) + "</tr>"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def _number(value: float) -> str:
    return f"{round(value, 2):g}"


def _bar(share: float | None, color: int | str, width: int) -> str:
    """A bar and its percentage."""
    return f'<div class="bar">{grades.meter(share, color, width)}<span>{_percent(share)}</span></div>'


def _out_of(earned: float, points: float) -> str:
    return f"{_number(earned)} / {_number(points)}"


def _colors(plan: Course) -> dict[str, int]:
    """{group: its palette position}."""
    return {group.id: number for number, group in enumerate(plan.groups)}


# ---------------------------------------------------------------------------------------------------------------
# One learner.


def learner(classroom: Path, student: str, lang: str = "en", people: People | None = None) -> Path:
    """Write a learner's report: mastery, every exercise with what failed, what to do next.

    Returns:
        `reports/<lang>/learners/<student>.html` in the classroom.

    Raises:
        ServelabError: the student has no results and is not among `people`.
    """
    with speaking(lang):
        return _learner(Path(classroom), Roll.read(classroom, people), student, lang)


def _learner(classroom: Path, roll: Roll, student: str, lang: str) -> Path:
    if student not in roll.results:
        raise ServelabError(
            _("There are no results of {student} in {folder}: check the name, or grade first.").format(
                student=student, folder=classroom
            )
        )
    file = results.path(classroom, "-", student).with_suffix(".html").name
    body = "".join(_learner_parts(roll, student))
    page = _page(f"{roll.title(student)} – {roll.plan.metadata.title}", body, lang)
    return _write(classroom / FOLDER / lang / "learners" / file, page)


def _learner_parts(roll: Roll, student: str) -> Iterator[str]:
    stand, found, plan = roll.standings[student], roll.results[student], roll.plan
    held = [r for r in found if r.mark]
    yield f'<header><div class="kicker">{html.escape(str(plan.metadata.title))}</div>'
    yield f"<h1>{_person(roll.title(student))}</h1>"
    told = _("{exercises} exercises graded, in {notebooks} notebooks").format(
        exercises=len(held), notebooks=len({r.notebook for r in held})
    )
    id = "" if roll.title(student) == student else f"{_person(student)} · "
    yield f'<div class="soft">{id}{html.escape(told)}</div></header>'
    yield _summary(stand, plan)
    yield f'<section class="whole"><h2>{html.escape(_("What to do next"))}</h2>{_next(roll, student)}</section>'
    yield f'<section class="whole"><h2>{html.escape(_("Mastery by item"))}</h2>'
    yield _radar(stand, plan) + "</section>" + _left_out(stand, plan)
    yield f"<section><h2>{html.escape(_('Items and levels'))}</h2>{_items(stand, plan)}</section>"
    yield f"<section><h2>{html.escape(_('Exercises'))}</h2>{''.join(_notebooks(roll, student))}</section>"


def _summary(stand: Standing, plan: Course) -> str:
    mark = "–" if stand.mark is None else f"{stand.mark:.0f} %"
    covers = _("of the {counted:g} % of the assessment that is graded so far").format(counted=round(stand.counted, 1))
    colors, rows = _colors(plan), []
    for group in plan.groups:
        share = stand.groups[group.id]
        title = f'{html.escape(str(group.title))} <span class="soft small">{group.weight} %</span>'
        bar = grades.meter(share, colors[group.id], 130)
        rows.append(f'<div>{title}</div><div>{bar}</div><div class="number">{_percent(share)}</div>')
    return (
        f'<div class="summary"><div><div class="soft">{html.escape(_("Course mark"))}</div>'
        f'<div class="mark">{mark}</div><div class="soft small">{html.escape(covers)}</div></div>'
        f'<div class="groups">{"".join(rows)}</div></div>'
    )


def _next(roll: Roll, student: str) -> str:
    found, plan = roll.results[student], roll.plan
    missing = dict.fromkeys(r.notebook for r in found if r.mark is None)
    told = [rubric.tell(one, plan) for one in rubric.advice(found, roll.standings[student], plan)]
    if not told:
        told = [
            _("Nothing to repeat: every exercise graded so far earned full marks.")
            if found
            else _("Hand in your first notebook: nothing of yours is graded yet.")
        ]
    if missing:
        names = listed(f"{n} {plan.notebook(n).title}" for n in missing)
        told.insert(0, _("Not handed in, and counted as 0: {notebooks}.").format(notebooks=names))
    onward = rubric.onward(found, roll.tasks, plan)
    return f'<ol class="next">{"".join(f"<li>{_safe(line)}</li>" for line in told)}</ol><p>{_safe(onward)}</p>'


def _radar(stand: Standing, plan: Course) -> str:
    colors, spokes = _colors(plan), []
    for item in plan.items:
        share = stand.items[item.id]
        note = _("not graded yet") if share.available else _("no exercise yet")
        spokes.append(grades.Spoke(str(item.title), share.mastery, colors[item.group], note))
    legend = "".join(
        f'<span><svg width="11" height="11"><rect width="11" height="11" rx="3" '
        f'fill="{style.colour(colors[g.id])}"/></svg>{html.escape(str(g.title))}</span>'
        for g in plan.groups
    )
    return f'<div class="radar">{grades.radar(spokes)}<div class="legend">{legend}</div></div>'


def _left_out(stand: Standing, plan: Course) -> str:
    """What the mark does not cover, and why."""
    told = []
    for ids, sentence in (
        (stand.ungraded, _("Not graded yet: {items}.")),
        (stand.unwritten, _("Without an exercise in the notebooks that are ready: {items}.")),
    ):
        if ids:
            told.append(sentence.format(items=listed(str(plan.item(id).title) for id in ids)))
    if told:
        told.append(
            _("Their weight ({weight:g} %) is left out of the mark.").format(weight=round(100 - stand.counted, 1))
        )
    return "".join(f'<p class="soft small">{html.escape(line)}</p>' for line in told)


def _items(stand: Standing, plan: Course) -> str:
    """Mastery by item and level: a dash where exercises wait, nothing where there are none."""
    columns = {id: name for id, name in rubric.parts(plan).items() if stand.parts[id].available}
    head = [(_("Item"), ""), (_("Weight"), "number"), (_("Mastery"), ""), (_("Points"), "number")]
    head += [(name, "mid") for name in columns.values()]
    colors, rows = _colors(plan), []
    for group in plan.groups:
        rows.append(f'<tr class="group"><td colspan="{len(head)}">{html.escape(str(group.title))}</td></tr>')
        for item in (i for i in plan.items if i.group == group.id):
            share = stand.items[item.id]
            told = _("{earned} of {points}").format(earned=_number(share.earned), points=_number(share.points))
            if share.available > share.points:
                told += f'<br><span class="soft small">{html.escape(_more(share.available))}</span>'
            cells = [
                (html.escape(str(item.title)), ""),
                (f"{item.weight:g} %", "number"),
                (_bar(share.mastery, colors[group.id], 84), ""),
                (told if share.available else "–", "number"),
            ]
            for part in columns:
                cell = stand.cells.get((item.id, part))
                cells.append((_percent(cell.mastery) if cell else "", "mid"))
            rows.append(_row(cells))
    total = [(_("All"), ""), ("100 %", "number"), ("", ""), ("", "")]
    total += [(_percent(stand.parts[part].mastery), "mid") for part in columns]
    rows.append(_row([(f"<b>{html.escape(text)}</b>", kind) for text, kind in total]))
    return _table(head, rows)


def _more(available: float) -> str:
    return _("{points} exist").format(points=_number(available))


def _notebooks(roll: Roll, student: str) -> Iterator[str]:
    """Every notebook that was graded for the class, with this learner's exercises."""
    found, judged = roll.results[student], roll.judgements(student)
    waiting = rubric.pending(judged, roll.tasks)
    notes: dict[str, list[str]] = {}
    for judgement in judged:
        notes.setdefault(judgement.notebook, []).extend(judgement.notes)
    by_hand = {t.exercise: t.notebook for t in roll.tasks if t.exercise in waiting}
    for notebook in dict.fromkeys([*(r.notebook for r in found), *notes, *by_hand.values()]):
        here = [r for r in found if r.notebook == notebook]
        total = _out_of(math.fsum(r.earned for r in here), math.fsum(r.points for r in here))
        title = f"{notebook} {roll.plan.notebook(notebook).title}"
        yield f'<h3><span>{html.escape(title)}</span><span class="number">{total}</span></h3>'
        for note in dict.fromkeys(notes.get(notebook, ())):
            yield f'<div class="exercise"><ul><li class="note soft">{_safe(note)}</li></ul></div>'
        for result in here:
            yield _exercise(result, roll.plan)
        for exercise in (e for e, n in by_hand.items() if n == notebook):
            told = html.escape(_("waits to be marked by hand"))
            yield f'<div class="exercise"><b>{html.escape(exercise)}</b> <span class="soft">{told}</span></div>'


def _exercise(result: Result, plan: Course) -> str:
    titles, colors = {i.id: str(i.title) for i in plan.items}, _colors(plan)
    groups = {i.id: i.group for i in plan.items}
    share = result.earned / result.points if result.points else None
    color = colors.get(groups.get(result.item, ""), 0)
    lines = _reasons(result.mark)
    return (
        f'<div class="exercise"><div class="head"><b>{html.escape(result.exercise)}</b>'
        f'<span class="soft small">{html.escape(titles.get(result.item, result.item))}</span>'
        f'{grades.meter(share, color, 96)}<span class="number">{_out_of(result.earned, result.points)}</span></div>'
        f"{'<ul>' + ''.join(lines) + '</ul>' if lines else ''}</div>"
    )


def _reasons(mark: Mark | None) -> list[str]:
    """Why marks are missing, as list entries; none where nothing is missing."""
    if mark is None:
        return [f'<li class="cause">{html.escape(_("The notebook was not handed in."))}</li>']
    lines = [f'<li class="cause">{_safe(mark.cause)}</li>'] if mark.cause else []
    for prop in mark.failed if mark.earned < mark.points or mark.cause else ():
        where = _("(hidden check)") if prop.hidden else _("(visible check)")
        lines.append(f'<li>{_safe(prop.message)} <span class="soft small">{html.escape(where)}</span></li>')
    return lines


# ---------------------------------------------------------------------------------------------------------------
# A class.


def klass(classroom: Path, lang: str = "en", people: People | None = None) -> Path:
    """Write the report of the class: marks, the hardest items, how each exercise behaves, troubled submissions.

    Returns:
        `reports/<lang>/class.html` in the classroom.
    """
    with speaking(lang):
        return _klass(Path(classroom), Roll.read(classroom, people), lang)


def everyone(classroom: Path, lang: str = "en", people: People | None = None) -> list[Path]:
    """Write the report of every learner and then the one of the class, which links them; the results are read once."""
    with speaking(lang):
        roll = Roll.read(classroom, people)
        files = [_learner(Path(classroom), roll, student, lang) for student in roll.results]
        return [*files, _klass(Path(classroom), roll, lang)]


def _klass(classroom: Path, roll: Roll, lang: str) -> Path:
    folder = classroom / FOLDER / lang
    body = "".join(_klass_parts(roll, folder))
    return _write(folder / "class.html", _page(f"{_('The class')} – {roll.plan.metadata.title}", body, lang))


def _klass_parts(roll: Roll, folder: Path) -> Iterator[str]:
    marks = [s.mark for s in roll.standings.values() if s.mark is not None]
    counted = max((s.counted for s in roll.standings.values()), default=0.0)
    told = _("{assignments} assignments graded: {names}").format(
        assignments=len(roll.graded), names=listed(sorted(roll.graded))
    )
    yield f'<header><div class="kicker">{html.escape(str(roll.plan.metadata.title))}</div>'
    yield f'<h1>{html.escape(_("The class"))}</h1><div class="soft">{_safe(told)}</div></header>'
    yield '<div class="figures">'
    for value, label in (
        (str(len(roll.results)), _("learners")),
        (f"{statistics.fmean(marks):.0f} %" if marks else "–", _("mean mark")),
        (f"{statistics.median(marks):.0f} %" if marks else "–", _("median mark")),
        (f"{statistics.stdev(marks):.0f} %" if len(marks) > 1 else "–", _("standard deviation")),
        (f"{counted:g} %", _("of the assessment graded")),
    ):
        yield f'<div><b>{value}</b><span class="soft small">{html.escape(label)}</span></div>'
    yield "</div>"
    yield f'<section class="whole"><h2>{html.escape(_("Distribution of marks"))}</h2>'
    yield f"{grades.histogram(marks)}</section>"
    yield f"<section><h2>{html.escape(_('The hardest items'))}</h2>{_hardest(roll)}</section>"
    yield f"<section><h2>{html.escape(_('Exercises'))}</h2>{_behaviours(roll)}</section>"
    yield f"<section><h2>{html.escape(_('Learners'))}</h2>{_learners(roll, folder)}</section>"
    yield f"<section><h2>{html.escape(_('Submissions with problems'))}</h2>{_problems(roll)}</section>"


def _hardest(roll: Roll) -> str:
    """Items by the class's mastery, the lowest first, with how well each tells learners apart."""
    colors, rows = _colors(roll.plan), []
    for item in roll.plan.items:
        held = [(s.items[item.id], student) for student, s in roll.standings.items() if s.items[item.id].points]
        if not held:
            continue
        mastery = [share.mastery or 0.0 for share, _student in held]
        rest = [math.fsum(r.earned for r in roll.results[student] if r.item != item.id) for _share, student in held]
        rows.append((statistics.fmean(mastery), item, mastery, rubric.discrimination(mastery, rest)))
    rows.sort(key=lambda row: row[0])
    head = [(_("Item"), ""), (_("Weight"), "number"), (_("Mastery"), ""), (_("Range"), "number")]
    body = [
        _row(
            [
                (html.escape(str(item.title)), ""),
                (f"{item.weight:g} %", "number"),
                (_bar(mean, colors[item.group], 150), ""),
                (f"{100 * min(all_):.0f}–{100 * max(all_):.0f} %", "number"),
                (_lean(told), "number"),
            ]
        )
        for mean, item, all_, told in rows[:HARDEST]
    ]
    stand = next(iter(roll.standings.values()))
    return _table([*head, (_("Discrimination"), "number")], body) + _left_out(stand, roll.plan)


def _lean(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}".replace("-", "−")


def _verdict(value: float | None) -> str:
    """What a discrimination says (Ebel and Frisbie's steps)."""
    if value is None:
        return _("nobody differs")
    if value < 0:
        return _("against the rest: check it")
    if value < 0.2:
        return _("weak")
    return _("fair") if value < 0.4 else _("good")


def _behaviours(roll: Roll) -> str:
    head = [
        (_("Exercise"), ""), (_("Handed in"), "number"), (_("Mean"), ""),
        (_("Full marks"), "number"), (_("No marks"), "number"), (_("Discrimination"), ""), ("", ""),
    ]  # fmt: skip
    titles, colors = {i.id: i for i in roll.plan.items}, _colors(roll.plan)
    rows = []
    for one in rubric.behaviours(roll.results):
        item = titles.get(one.item)
        title, told = html.escape(str(item.title) if item else one.item), _lean(one.discrimination)
        rows.append(
            _row(
                [
                    (f'<b>{html.escape(one.exercise)}</b><br><span class="soft small">{title}</span>', ""),
                    (str(one.handed_in), "number"),
                    (_bar(one.mean, colors[item.group] if item else 0, 70), ""),
                    (str(one.full), "number"),
                    (str(one.none), "number"),
                    (f'<div class="bar">{grades.lean(one.discrimination, 70)}<span>{told}</span></div>', ""),
                    (f'<span class="soft small">{html.escape(_verdict(one.discrimination))}</span>', "line"),
                ]
            )
        )
    note = _(
        "Discrimination is the correlation of an exercise with the marks for all else: from 0.4 it tells strong from "
        "weak learners well, below 0.2 hardly. With {n} learners, chance alone moves it by about ±{error:.2f}."
    ).format(n=len(roll.results), error=1 / math.sqrt(max(len(roll.results) - 1, 1)))
    return _table(head, rows) + f'<p class="soft small">{html.escape(note)}</p>'


def _learners(roll: Roll, folder: Path) -> str:
    """Everyone with a mark for each assignment, the highest course mark first."""
    head = [(_("Learner"), ""), (_("Course mark"), "")]
    head += [(name, "number") for name in sorted(roll.graded)]
    rows = []
    for student in sorted(roll.results, key=lambda s: (-(roll.standings[s].mark or 0.0), s)):
        stand, name = roll.standings[student], _person(roll.title(student))
        file = f"{student}.html"
        if (folder / "learners" / file).exists():
            name = f'<a href="learners/{html.escape(quote(file))}">{name}</a>'
        share = None if stand.mark is None else stand.mark / 100
        cells = [(name, ""), (_bar(share, 0, 110), "")]
        for assignment in sorted(roll.graded):
            score = _score(roll, assignment, student)
            cells.append((_out_of(*score) if score else "–", "number"))
        rows.append(_row(cells))
    return _table(head, rows)


def _score(roll: Roll, assignment: str, student: str) -> tuple[float, float] | None:
    """(earned, points) of an assignment; None where it was not handed in.

    Points are those of every exercise that was graded for anyone: a notebook that is missing lowers the share.
    """
    judgements = roll.graded[assignment].get(student)
    if not judgements:
        return None
    due = {m.exercise: m.points for held in roll.graded[assignment].values() for j in held for m in j.marks}
    wait = set(rubric.pending(judgements, roll.tasks))
    points = math.fsum(p for exercise, p in due.items() if exercise not in wait)
    return math.fsum(j.earned for j in judgements), points


def _problems(roll: Roll) -> str:
    """Notes about files, answers that failed as a whole, and what was not handed in."""
    rows = []
    for student in roll.results:
        found: list[tuple[str, str]] = []
        for judgement in roll.judgements(student):
            found += [(judgement.notebook, note) for note in judgement.notes]
            found += [(mark.exercise, mark.cause) for mark in judgement.marks if mark.cause]
        missing = dict.fromkeys(r.notebook for r in roll.results[student] if r.mark is None)
        if missing:
            found.append((listed(missing), _("not handed in")))
        for number, (where, what) in enumerate(dict.fromkeys(found)):
            name = _person(roll.title(student)) if not number else ""
            rows.append(_row([(name, ""), (html.escape(where), ""), (_safe(what), "")]))
    if not rows:
        return (
            f'<p class="soft">{html.escape(_("None: every notebook was handed in whole, and every answer ran."))}</p>'
        )
    return _table([(_("Learner"), ""), (_("Where"), ""), (_("What"), "")], rows)


# ---------------------------------------------------------------------------------------------------------------
# Exports.


def export(classroom: Path, kind: Kind = "csv", people: People | None = None) -> Path:
    """Write the marks for another gradebook; an assignment that was not handed in or waits for a hand stays empty.

    - `csv`: course mark, every assignment, every item's mastery, every exercise.
    - `canvas`: Canvas's gradebook file. Five columns say who (Canvas looks for "ID", then for the SIS ids, then for
      the name), a row says the points possible, a column an assignment, found by its title; one that Canvas does
      not know it offers to create or to ignore ("How do I import grades in the Gradebook?", Canvas Instructor Guide;
      lib/gradebook_importer.rb).
    - `moodle`: the columns of Moodle's grade import, which asks what to map: "ID number", "Username" or "Email
      address" says who ("Grade import", MoodleDocs; grade/import/csv). All marks are percent, because a grade item
      that the import creates has a maximum of 100.

    A spreadsheet takes a cell that begins with one of = + - @ for a formula, and would execute what a student chose
    as a name; an apostrophe before it makes it text (OWASP, "CSV Injection").

    Returns:
        `reports/marks.csv`, `reports/canvas.csv` or `reports/moodle.csv` in the classroom.

    Raises:
        ServelabError: an unknown kind, or nothing is graded yet.
    """
    if kind not in EXPORTS:
        raise ServelabError(
            _("There is no export {kind!r}; choose one of: {known}.").format(kind=kind, known=", ".join(EXPORTS))
        )
    with speaking("en"):  # other programs read the headings
        roll = Roll.read(classroom, people)
        rows = {"csv": _plain, "canvas": _canvas, "moodle": _moodle}[kind](roll)
        text = io.StringIO()
        csv.writer(text, quoting=csv.QUOTE_NONNUMERIC).writerows([_inert(cell) for cell in row] for row in rows)
    name = {"csv": "marks"}.get(kind, kind)
    path = Path(classroom) / FOLDER / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    # Excel takes a file without the mark for one in the machine's own encoding.
    encoding = "utf-8-sig" if kind == "csv" else "utf-8"
    path.write_text(text.getvalue(), encoding=encoding, errors="replace", newline="")
    return path


def _inert(cell: object) -> object:
    """A cell that no spreadsheet takes for a formula; numbers are ours and stay."""
    if isinstance(cell, int | float):
        return round(cell, 2)
    text = "".join(c if c.isprintable() else " " for c in str(cell))
    return f"'{text}" if text.lstrip().startswith(tuple("=+-@＝＋－＠")) else text


def _mark(stand: Standing) -> float | str:
    return "" if stand.mark is None else stand.mark


def _earned(roll: Roll, assignment: str, student: str) -> tuple[float, float] | None:
    """(earned, points) of a whole assignment; None where it is missing or not all of it is marked."""
    judgements = roll.graded[assignment].get(student, ())
    return None if rubric.pending(judgements, roll.tasks) else _score(roll, assignment, student)


def _possible(roll: Roll, assignment: str) -> float:
    due = {m.exercise: m.points for held in roll.graded[assignment].values() for j in held for m in j.marks}
    return math.fsum(due.values())


def _plain(roll: Roll) -> Iterator[list[object]]:
    assignments, exercises = sorted(roll.graded), dict.fromkeys(r.exercise for f in roll.results.values() for r in f)
    yield [
        "student", "first name", "last name", "email", "course mark (%)", "assessment graded (%)",
        *(f"{a} (of {_number(_possible(roll, a))})" for a in assignments),
        *(f"item {item.id} (%)" for item in roll.plan.items), *exercises,
    ]  # fmt: skip
    for student, found in roll.results.items():
        person, stand = roll.people.get(student, Person()), roll.standings[student]
        shares = [stand.items[item.id].mastery for item in roll.plan.items]
        earned = {r.exercise: r.earned for r in found if r.mark}
        scores = [_earned(roll, a, student) for a in assignments]
        yield [
            student, person.first_name, person.last_name, person.email, _mark(stand), stand.counted,
            *("" if score is None else score[0] for score in scores),
            *("" if share is None else 100 * share for share in shares),
            *(earned.get(e, "") for e in exercises),
        ]  # fmt: skip


def _canvas(roll: Roll) -> Iterator[list[object]]:
    assignments = sorted(roll.graded)
    yield ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *assignments, "Course mark"]
    yield ["Points Possible", "", "", "", "", *(_possible(roll, a) for a in assignments), 100]
    for student in roll.results:
        person = roll.people.get(student, Person())
        scores = [_earned(roll, a, student) for a in assignments]
        yield [
            f"{person.last_name}, {person.first_name}".strip(", ") or student, person.lms_id, "", student, "",
            *("" if score is None else score[0] for score in scores), _mark(roll.standings[student]),
        ]  # fmt: skip


def _moodle(roll: Roll) -> Iterator[list[object]]:
    assignments = sorted(roll.graded)
    yield ["First name", "Last name", "ID number", "Username", "Email address", *assignments, "Course mark"]
    for student in roll.results:
        person = roll.people.get(student, Person())
        scores = [_earned(roll, a, student) for a in assignments]
        yield [
            person.first_name, person.last_name, person.lms_id or student, student, person.email,
            *("" if not score or not score[1] else 100 * score[0] / score[1] for score in scores),
            _mark(roll.standings[student]),
        ]  # fmt: skip
