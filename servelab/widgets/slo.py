"""Drag the SLO over recorded requests, and see who meets it and what is left as goodput."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from servelab.errors import ServelabError
from servelab.figures import slo as figures
from servelab.i18n import _
from servelab.load.metrics import SLO
from servelab.widgets.base import Explorer, slider

MS = 1000
STEPS = 60


def slo(
    requests: pd.DataFrame, duration_s: float, ttft_s: float | None = None, tpot_s: float | None = None
) -> Explorer:
    """Explorer over the requests of one load.

    Args:
        requests: a load's `frame()`.
        duration_s: how long the load took, from its `summary()`.
        ttft_s, tpot_s: bounds to begin with; by default the medians, which half of the requests miss.

    Raises:
        ServelabError: no request brought two tokens.
    """
    served = requests[requests.tpot_s.notna()]
    if served.empty:
        raise ServelabError(_("There is nothing to judge: no request brought at least two tokens."))
    first, per = _ceil(served.ttft_s.max()), _ceil(served.tpot_s.max())
    bounds = np.linspace(0, per * 1.1 / MS, STEPS)

    def bound(ttft_ms: float, tpot_ms: float) -> SLO:
        return SLO(ttft_s=ttft_ms / MS, tpot_s=tpot_ms / MS)

    def draw(ttft_ms: float, tpot_ms: float) -> list[go.Figure]:
        wanted = bound(ttft_ms, tpot_ms)
        return [figures.plane(requests, wanted), figures.goodput(requests, duration_s, wanted, bounds)]

    def say(ttft_ms: float, tpot_ms: float) -> str:
        good = figures.met(requests, bound(ttft_ms, tpot_ms))
        return _("{met} of {all} requests meet it: attainment {share:.0%}, goodput {rate:.2f} requests/s.").format(
            met=int(good.sum()), all=len(good), share=good.mean(), rate=good.sum() / duration_s
        )

    controls = {
        "ttft_ms": slider(_("TTFT at most (ms)"), 1, first, _within(ttft_s or served.ttft_s.median(), first)),
        "tpot_ms": slider(_("TPOT at most (ms)"), 1, per, _within(tpot_s or served.tpot_s.median(), per)),
    }
    return Explorer(controls, draw, say=say, columns=2)


def _ceil(seconds: float) -> int:
    return int(np.ceil(seconds * MS)) + 1


def _within(seconds: float, top: int) -> int:
    return int(np.clip(round(seconds * MS), 1, top))
