"""A server's life: where its start spends the seconds, and what its health tells when the engine is killed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from servelab.figures import style
from servelab.i18n import _


def stages(log: str, ready_seconds: float) -> dict[str, float]:
    """Seconds of each stage of a vLLM start, read from its log (clock times there are whole seconds).

    Args:
        log: the server's log.
        ready_seconds: from the command to the first healthy answer; what the log does not cover is the first stage.
    """
    signs = ("non-default args", "Initializing a V1", "Starting to load", "weights took", "Starting vLLM server")
    clock = [_clock(log, sign) for sign in signs]
    between = [(after - before).seconds for before, after in zip(clock, clock[1:], strict=False)]
    weights = float(re.search(r"Loading weights took ([\d.]+) seconds", log)[1])
    return {
        _("first process: imports"): max(ready_seconds - sum(between), 0.0),
        _("settings; engine process: imports"): between[0],
        _("engine set up"): between[1],
        _("weights"): weights,
        _("KV cache, warm-up, port"): max(between[2] + between[3] - weights, 0.0),
    }


def _clock(log: str, sign: str) -> datetime:
    """The time of day of the first line that holds `sign`."""
    line = next(line for line in log.splitlines() if sign in line)
    return datetime.strptime(re.search(r"\d\d:\d\d:\d\d", line)[0], "%H:%M:%S")


def startup(stages: Mapping[str, float], title: str | None = None) -> go.Figure:
    """Seconds of a start, stage after stage: {stage: seconds}, each bar where the one before it ends."""
    fig = style.figure(title or _("Time since the start (s)"), height=110 + 44 * len(stages), showlegend=False)
    begin = 0.0
    for number, (stage, seconds) in enumerate(stages.items()):
        fig.add_bar(
            x=[seconds],
            y=[stage],
            base=[begin],
            orientation="h",
            marker_color=style.colour(number),
            text=[f"{seconds:.1f} s"],
            textposition="outside",
            cliponaxis=False,
        )
        begin += seconds
    return fig.update_yaxes(autorange="reversed", showgrid=False).update_xaxes(range=[0, 1.12 * begin])


def health(times_s: ArrayLike, codes: ArrayLike) -> go.Figure:
    """HTTP status of /health over time; a refused connection is given as 0."""
    names = {200: _("200: ready"), 503: _("503: engine dead"), 0: _("no answer")}
    fig = style.figure(_("Time since the engine was killed (s)"), height=260)
    codes = np.asarray(codes, int)
    said = [names.get(int(code), str(code)) for code in codes]
    fig.add_scatter(x=np.asarray(times_s, float), y=said, line_shape="hv", **style.mark("measured", "/health", 1))
    order = [names[0], names[503], *sorted(set(said) - set(names.values())), names[200]]
    return fig.update_yaxes(categoryorder="array", categoryarray=order, type="category")
