"""Move how long a stop waits, and see which answers it breaks off."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from servelab.figures import production as figures
from servelab.figures import style
from servelab.i18n import _
from servelab.theory.draining import cut, open_answers
from servelab.widgets.base import Explorer, steps

WAITS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0)
RATES = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
LONGER = (0.5, 1.0, 2.0, 5.0, 10.0)


def stopping(durations_s: Sequence[float], rate: float, measured: Sequence[tuple[float, float]] = ()) -> Explorer:
    """Explorer: how many answers a stop breaks off, and what the open ones still need.

    Args:
        durations_s: measured durations of answers.
        rate: requests/s of the load that they were measured under, at one replica.
        measured: (wait, answers broken off) of real stops under that load.
    """
    rates = sorted({*RATES, round(rate, 2)})

    def draw(wait: float, rate: float, longer: float) -> list[go.Figure]:
        lengths = longer * np.asarray(durations_s)
        mine = measured if longer == 1 and rate == round(started, 2) else ()
        return [figures.stops(lengths, rate, wait, mine), figures.needs(lengths, wait)]

    def say(wait: float, rate: float, longer: float) -> str:
        lengths = longer * np.asarray(durations_s)
        text = _("{open} answers are open at a moment; a stop that waits {wait} s breaks off {cut} of them (modelled).")
        return text.format(
            open=style.number(open_answers(rate, lengths)),
            wait=style.number(wait),
            cut=style.number(cut(rate, lengths, wait)),
        )

    started = rate
    controls = {
        "wait": steps(_("Time a stop waits (s)"), [(style.number(w), w) for w in WAITS], 1.0),
        "rate": steps(_("Requests/s at the replica"), [(style.number(r), r) for r in rates], round(rate, 2)),
        "longer": steps(_("Answers longer by"), [(f"{n:g} x", n) for n in LONGER], 1.0),
    }
    return Explorer(controls, draw, say=say, columns=2)
