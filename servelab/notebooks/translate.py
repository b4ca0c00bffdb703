"""The two languages of a notebook: a gettext catalogue applied to its prose, never to its code."""

from __future__ import annotations

import copy

from nbformat import NotebookNode

from servelab import i18n


def apply(nb: NotebookNode, stem: str, lang: str) -> NotebookNode:
    """A copy of `nb` whose prose cells are in `lang`; a cell without a current translation stays English.

    Args:
        nb: a source notebook.
        stem: its file name without the ending, which names its catalogue.
        lang: one of `i18n.languages()`.
    """
    nb = copy.deepcopy(nb)
    entries = i18n.catalogue(lang, f"notebooks/{stem}")
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            cell.source = entries.get((cell.id, cell.source), cell.source)
    return nb
