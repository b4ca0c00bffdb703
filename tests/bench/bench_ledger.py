"""Every model of level 3 held against its measurement: the six notebooks run as CI does, and their ledgers.

A single run of each: the rows are what one learner on this machine sees. How far calibrated models, and how far the
short forms, are off is told by the median over those rows; what a row's model is true for stands in the lessons' texts.
"""

from __future__ import annotations

import numpy as np

from servelab import course
from servelab.bench import Bench
from servelab.lessons.ledger import Ledger, error
from servelab.notebooks import execute
from servelab.notebooks import source as sources

SHORT = ("seed_", "inverted")
AIM = 0.25


def run(bench: Bench) -> None:
    """Run level 3; `--quick` runs its first notebook."""
    level = [s for s in sources.ready() if s.entry.part == "level-3"][: 1 if bench.quick else None]
    with execute.session() as workspace:
        for number, source in enumerate(level, 1):
            bench.say(f"{number}/{len(level)} {source.stem}")
            one = execute.run(source.path, workspace, "en")
            for failure in one.failures:
                bench.say(f"{source.stem}: the cell `{failure.cell}` failed: {failure}")
            bench.figure(f"{source.entry.id} ran", float(one.passed), "", "1", one.passed)
        rows = Ledger(workspace).rows(entry.id for entry in course.load().notebooks)
    bench.data["rows"] = [{key: row[key] for key in ("notebook", "key", "predicted", "measured")} for row in rows]
    off = {(r["notebook"], r["key"]): abs(error(r["predicted"], r["measured"])) for r in rows}
    short = [e for (_id, key), e in off.items() if key.startswith(SHORT)]
    others = [e for (_id, key), e in off.items() if not key.startswith(SHORT)]
    bench.figure("models, median error", 100 * np.median(others), "%", f"under {AIM:.0%}", np.median(others) < AIM)
    bench.figure(
        "short forms, median error",
        100 * np.median(short),
        "%",
        "more than the models'",
        np.median(short) > np.median(others),
    )
