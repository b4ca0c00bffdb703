"""Every model beside what was measured, with its error and where it is true. `ledger.json` keeps a row for each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servelab import course, records
from servelab.errors import ServelabError
from servelab.figures.style import number
from servelab.i18n import _
from servelab.lessons import texts
from servelab.lessons.progress import now
from servelab.lessons.store import Store
from servelab.paths import workspace

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

FILE = "ledger.json"
RECORD = "ledger"
"""The stamped record of all notebooks' rows."""


def error(predicted: float | None, measured: float) -> float:
    """How far a prediction is off, as a share of what was measured: 0.1 is 10 % too much; inf for a prediction of inf.

    >>> round(error(1.1, 1.0), 3)
    0.1
    """
    if predicted is None:
        return math.inf
    return (
        predicted / measured - 1 if measured else (0.0 if predicted == measured else math.copysign(math.inf, predicted))
    )


class Ledger:
    """What a learner's models said and what her machine did; the newest run of a comparison counts."""

    def __init__(self, folder: Path | None = None, say: Callable[[str], None] = print):
        self.store = Store((folder or workspace()) / FILE, say)

    def keep(self, notebook: str, key: str, predicted: float, measured: float) -> None:
        """Keep one comparison.

        Args:
            predicted: what the model says, in the unit of its text; inf where it says that there is no end.
            measured: what was measured (or, where the text says so, simulated), in the same unit.

        Raises:
            ServelabError: nothing was measured, or the prediction is no number.
        """
        predicted, measured = float(predicted), float(measured)
        if not math.isfinite(measured) or math.isnan(predicted):
            text = _("{key} is no comparison: predicted {predicted}, measured {measured}; run the cells above first.")
            raise ServelabError(text.format(key=key, predicted=predicted, measured=measured))
        row = {"predicted": predicted if math.isfinite(predicted) else None, "measured": measured, "when": now()}
        with self.store.update() as data:
            data.setdefault(notebook, {})[key] = row

    def rows(self, notebooks: Iterable[str]) -> list[dict[str, Any]]:
        """The comparisons of these notebooks that their lessons know: `notebook`, `key`, `predicted`, `measured`."""
        kept, found = self.store.read(), []
        for id in notebooks:
            there = kept.get(id, {})
            found += [{"notebook": id, "key": key, **there[key]} for key in texts.source(id).compare if key in there]
        return found

    def table(self, notebooks: Iterable[str]) -> Styler:
        """One row for each comparison; where the stamped record has it too, its error stands beside.

        Raises:
            ServelabError: none of these notebooks has compared anything yet.
        """
        import pandas as pd

        notebooks = list(notebooks)
        rows = self.rows(notebooks)
        if not rows:
            raise ServelabError(_("Nothing was compared yet: run the cells above first."))
        try:
            stamped = {(r["notebook"], r["key"]): r for r in records.load(RECORD)["rows"]}
        except ServelabError:
            stamped = {}
        shown = []
        for row in rows:
            entry = course.load().notebook(row["notebook"])
            told = texts.load(entry.id, Path(entry.path).stem).comparison(row["key"])
            other = stamped.get((row["notebook"], row["key"]))
            shown.append(
                {
                    _("notebook"): row["notebook"],
                    _("model"): told.model,
                    _("predicted"): _valued(row["predicted"], told.unit),
                    _("measured"): _valued(row["measured"], told.unit),
                    _("error"): _percent(error(row["predicted"], row["measured"])),
                    _("error, record"): _percent(error(other["predicted"], other["measured"])) if other else "",
                    _("true for"): told.domain,
                }
            )
        left_out = [_("notebook")] if len(notebooks) == 1 else []
        left_out += [] if any(one[_("error, record")] for one in shown) else [_("error, record")]
        return pd.DataFrame(shown).drop(columns=left_out).style.hide(axis="index")


def _valued(value: float | None, unit: str) -> str:
    return f"{'∞' if value is None else number(value)} {unit}".strip()


def _percent(share: float) -> str:
    return f"{100 * share:+,.0f} %" if math.isfinite(share) else "∞"
