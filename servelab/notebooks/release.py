"""The learner's copy of a notebook: without solutions and hidden tests, in the learner's language."""

from __future__ import annotations

import copy
import os
import posixpath
import re

from nbformat import NotebookNode

from servelab import course
from servelab.notebooks import translate
from servelab.notebooks.source import LINK, Source
from servelab.paths import ROOT

_ANY_LINK = re.compile(r"\[([^\]\n]*)" + LINK.pattern)


def strip(nb: NotebookNode) -> NotebookNode:
    """A copy without solutions and hidden tests, its test cells locked, by nbgrader's own preprocessors."""
    from nbgrader.preprocessors import ClearHiddenTests, ClearSolutions, LockCells

    nb = copy.deepcopy(nb)
    for preprocessor in (ClearSolutions, LockCells, ClearHiddenTests):
        nb, _ = preprocessor().preprocess(nb, {})
    return nb


def release(source: Source, lang: str) -> NotebookNode:
    """What a learner receives: stripped, translated, its links leading to the delivered notebooks."""
    nb = translate.apply(strip(source.notebook), source.stem, lang)
    here = posixpath.dirname(source.entry.delivered)
    entries = {os.path.abspath(ROOT / entry.path): entry for entry in course.load().notebooks}

    def lead(match: re.Match[str]) -> str:
        text, target, anchor = match.groups()
        entry = entries.get(os.path.abspath(source.path.parent / target))
        if entry is None or entry.status != "ready":
            return text
        return f"[{text}]({posixpath.relpath(entry.delivered, here or '.')}{anchor or ''})"

    for cell in nb.cells:
        if cell.cell_type == "markdown":
            cell.source = _ANY_LINK.sub(lead, cell.source)
    return nb
