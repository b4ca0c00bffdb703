"""Step forward and back through an engine's life: its blocks, its block tables, its queues, and what a step did."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import reduce

import pandas as pd
import plotly.graph_objects as go

from servelab.errors import ServelabError
from servelab.figures import player as figures
from servelab.figures.style import Kind
from servelab.i18n import _, listed
from servelab.load.history import Moment
from servelab.widgets.base import Explorer, slider

MS = 1000


def player(
    history: Sequence[Moment],
    name: str,
    kind: Kind = "measured",
    *,
    readings: pd.DataFrame | None = None,
    readings_name: str | None = None,
    begin: int | None = None,
) -> Explorer:
    """Explorer with one slider, the step: four views of one moment, and a sentence on what happened in it.

    Args:
        history: of any engine: `servelab.tiny.history.moments`, `servelab.simulate.history.moments`, or what a client
            saw of a real one, `servelab.load.history.observed`.
        name, kind: what the legend calls it, and where it comes from.
        readings: a real engine's, laid over the history: column `blocks`, and `t_s` on the history's clock or `step`
            (`servelab.load.history.on_steps`).
        readings_name: what the legend calls them.
        begin: step to begin with; by default the first in which a request was put back, else the middle.

    Raises:
        ServelabError: there is no step to show.
    """
    if not history:
        raise ServelabError(_("There is no step to show: let the engine answer something first."))
    first = history[0].step
    if begin is None:
        begin = next((one.step for one in history if one.preempted), history[len(history) // 2].step)
    rows = max(len(one.running) for one in history)
    longest = max((len(table) for one in history for table in one.tables.values()), default=1)
    places = max(len(one.waiting) for one in history)

    def draw(step: int) -> list[go.Figure]:
        at = step - first
        return [
            figures.pool(history[at]),
            figures.tables(history[at], rows, longest),
            figures.queues(history[at], max(rows, places)),
            figures.run(history, at, name=name, kind=kind, readings=readings, readings_name=readings_name),
        ]

    def say(step: int) -> str:
        return told(history[step - first])

    return Explorer({"step": slider(_("Step"), first, history[-1].step, begin)}, draw, say=say, columns=2)


def told(moment: Moment) -> str:
    """One sentence: how large and how long a step was, who came and went, and what each part of it did."""
    clauses = [
        _("Step {step}: {tokens} tokens in {ms:.0f} ms, {used} of {all} blocks held").format(
            step=moment.step,
            tokens=moment.tokens,
            ms=moment.seconds * MS,
            used=moment.used,
            all=moment.num_blocks - 1,
        )
    ]
    for text, ids in ((_("admitted: {who}"), moment.admitted), (_("put back: {who}"), moment.preempted)):
        if ids:
            clauses.append(text.format(who=spans(ids)))
    alike: dict[tuple, list[int]] = defaultdict(list)
    for turn in moment.turns:
        reads = turn.tokens > 1 or not turn.written or turn.request in moment.admitted
        kind = ("read", turn.tokens, turn.found) if reads else ("write", turn.drafts, turn.accepted)
        alike[kind].append(turn.request)
    for (what, n, more), ids in alike.items():
        if what == "read" and more:
            text = _("{n} tokens read, {more} more found in the cache: {who}")
        elif what == "read":
            text = _("{n} tokens read: {who}")
        elif n:
            text = _("one token and {n} drafts run, {more} kept: {who}")
        else:
            text = _("one token run: {who}")
        clauses.append(text.format(n=n, more=more, who=spans(ids)))
    if moment.finished:
        clauses.append(_("ended: {who}").format(who=spans(moment.finished)))
    return _("{text}.").format(text=reduce(lambda a, b: _("{first}; {then}").format(first=a, then=b), clauses))


def spans(numbers: Iterable[int]) -> str:
    """Requests in short: R0, R2–R5, R7."""
    runs: list[list[int]] = []
    for n in sorted(numbers):
        if runs and n == runs[-1][-1] + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    ends = [[figures.name_of(n) for n in dict.fromkeys((run[0], run[-1]))] for run in runs]
    return listed("–".join(pair) for pair in ends)
