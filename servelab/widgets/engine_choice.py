"""Which engine, and what in front of it: the decision tree, moved by the learner's own numbers."""

from __future__ import annotations

import html
import math
import os
from collections.abc import Mapping
from dataclasses import replace

import plotly.graph_objects as go

from servelab import course
from servelab.figures import choice as figures
from servelab.figures.lessons import quantity
from servelab.i18n import _, listed, sentences
from servelab.theory import choice as theory
from servelab.theory.choice import Case, Need, Path, Server
from servelab.widgets.base import Explorer, slider, steps, switch

GIB, MS = 2**30, 1000
RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 9, 20, 50, 100, 200, 500, 1000)
LENGTHS = (1, 2, 4, 8, 16, 32, 64, 128, 200, 256, 512, 1024)
ROOM = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16)
NOTEBOOK = "2.1"


def engine_choice(
    server: Server,
    *,
    rate: float = 2,
    prompt: int = 64,
    output: int = 64,
    measured: Mapping[str, tuple[float, float]] | None = None,
) -> Explorer:
    """Explorer over the decision tree; its server is the one that was measured.

    Args:
        server: step-time model, batch limit, weights and cache of the engine.
        rate: requests/s to begin with.
        prompt, output: tokens of a request to begin with.
        measured: {name: (requests/s, tokens an answer)} that it served, drawn beside the load.
    """
    weights = server.weight_bytes / GIB
    held = 1.0 if math.isinf(server.memory_bytes) else round((server.memory_bytes - server.weight_bytes) / GIB, 2)
    slowest = float(server.step.tpot_s(server.most_sequences)) * MS
    fastest = float(server.step.tpot_s(1)) * MS

    def case(rate: float, prompt: int, output: int, tpot_ms: float, room: float, models: int, prototype: bool) -> Case:
        need = Need(rate, prompt, output, tpot_ms / MS, models, prototype)
        return Case(need, replace(server, memory_bytes=server.weight_bytes + room * GIB))

    def draw(**values: float) -> list[go.Figure]:
        one = case(**values)
        return [figures.tree(theory.walk(one)), figures.load(one, measured)]

    def say(**values: float) -> str:
        one = case(**values)
        path, outline = theory.walk(one), theory.walk(one, theory.by_requests)
        told = (_leaf(path), _numbers(one), _others(one, path), _outline(path, outline))
        return sentences(*filter(None, told))

    most = math.ceil(slowest * 1.5)
    controls = {
        "rate": steps(_("Arrivals (requests/s)"), sorted({*RATES, rate}), rate),
        "prompt": steps(_("Prompt (tokens)"), sorted({*LENGTHS, prompt}), prompt),
        "output": steps(_("Answer (tokens)"), sorted({*LENGTHS, output}), output),
        "tpot_ms": slider(_("TPOT at most (ms)"), max(1, math.floor(fastest / 2)), most, most),
        "room": steps(
            _("Memory beside the weights of {weights:.2f} GiB (GiB)").format(weights=weights),
            sorted({*ROOM, held}),
            held,
        ),
        "models": slider(_("Models"), 1, 8, 1),
        "prototype": switch(_("Only a prototype"), False),
    }
    return Explorer(controls, draw, say=say, columns=2)


def links(notebooks: tuple[str, ...]) -> str:
    """Notebooks of the course as HTML links from this lesson's own place, each with its title."""
    plan = course.load()
    here = os.path.dirname(plan.notebook(NOTEBOOK).path)
    told = []
    for id in notebooks:
        entry = plan.notebook(id)
        href = html.escape(os.path.relpath(entry.path, here))
        told.append(f'<a href="{href}" target="_blank">{html.escape(f"{id} {entry.title}")}</a>')
    return listed(told)


def _leaf(path: Path) -> str:
    leaf = theory.leaves()[path.leaf]
    told = _("<b>{title}</b>: {why} Practised in {links}.")
    return told.format(
        title=html.escape(leaf.title, quote=False), why=html.escape(leaf.why, quote=False), links=links(leaf.notebooks)
    )


def _numbers(one: Case) -> str:
    asked = _("{rate} requests/s of {length} tokens ask for {tokens} tokens/s.").format(
        rate=quantity(one.need.requests_per_s),
        length=one.need.output_tokens,
        tokens=quantity(one.need.tokens_per_s),
    )
    if one.engines is None:
        return asked
    given = _(
        "One such engine gives {capacity} tokens/s with {batch} at once; engines needed: {engines}, requests in "
        "flight: {flying} (modelled)."
    )
    return sentences(
        asked,
        given.format(
            capacity=quantity(one.capacity),
            batch=one.batch,
            engines=f"{one.engines:,}",
            flying=quantity(one.engines * one.in_flight(one.engines)),
        ),
    )


def _others(one: Case, path: Path) -> str:
    """What else is true of the case: a tree stops at the first."""
    found = theory.leaves()
    others = [found[id].title for id in theory.concerns(one) if id != path.leaf]
    if not others:
        return ""
    return _("Also called for: {others}.").format(others=listed(html.escape(title) for title in others))


def _outline(path: Path, outline: Path) -> str:
    """Where the outline's thresholds would have led, if elsewhere."""
    if path.leaf == outline.leaf:
        return ""
    title = theory.leaves()[outline.leaf].title
    return _("By requests/s alone the outline says: {title}.").format(title=html.escape(title))
