"""A load as a Gantt chart: who waited, was read and wrote when; how long the queue was; and what latency came of it.

Phases are a frame with one row each: `id`, `phase`, `start_s`, `end_s` (`servelab.load.history.phases`). Where both a
simulated and a measured load are given, they stand in the same picture, inferred by the same rule.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from servelab.figures import style
from servelab.i18n import _
from servelab.load.history import BACK, DECODE, PREFILL, QUEUE, queue
from servelab.load.metrics import vocabulary

MOST_ROWS = 40
HEIGHT = 640
MS = 1000
BINS = 18
PHASES = {QUEUE: style.ORANGE, PREFILL: style.GREEN, DECODE: style.BLUE, BACK: style.PURPLE}
PANELS = (("ttft_s", 1, "s"), ("tpot_s", MS, "ms"), ("e2e_s", 1, "s"))

Loads = Mapping[style.Kind, pd.DataFrame]
"""One frame for each of "simulated" and "measured"; either may be missing."""


def names() -> dict[str, str]:
    """What the legend calls each phase."""
    return {QUEUE: _("waits"), PREFILL: _("prompt is read"), DECODE: _("writes"), BACK: _("put back, waits")}


def timeline(phases: Loads) -> go.Figure:
    """Each of the first requests as a row of its phases over time, and below how many wait and run, on the same axis.

    Of two loads the simulated one is pale, and the measured one full and below it in each row.
    """
    shown = list(dict.fromkeys(next(iter(phases.values())).id))[:MOST_ROWS]
    row, height = {i: n for n, i in enumerate(shown)}, 0.84 / len(phases)
    hover = _("request %{customdata}: %{x:.2f} s, from %{base:.2f} s on")
    end = max(float(frame.end_s.max()) for frame in phases.values())
    fig = style.figure(
        _("Time (s)"),
        _("Request, in order of arrival"),
        height=HEIGHT,
        barmode="overlay",
        showlegend=True,
        xaxis={"range": [0, 1.02 * end], "anchor": "y2"},
        yaxis={"domain": [0.34, 1], "range": [len(shown) - 0.4, -0.6], "showgrid": False, "zeroline": False},
        yaxis2={"domain": [0, 0.26], "title": {"text": _("Requests")}, "rangemode": "tozero"},
    )
    called = names()
    for n, (kind, frame) in enumerate(phases.items()):
        columns = zip(frame.id.tolist(), frame.phase, frame.start_s.tolist(), frame.end_s.tolist(), strict=True)
        spans = [span for span in columns if span[0] in row]
        for phase, color in PHASES.items():
            mine = [(i, row[i], start, end - start) for i, one, start, end in spans if one == phase]
            if mine:
                ids, rows, starts, lengths = map(np.array, zip(*mine, strict=True))
                marker = {"color": color, "line": {"width": 0}}
                if kind == "simulated":
                    marker = {"color": style.fade(color, 0.4), "line": {"color": color, "width": 0.8}}
                fig.add_bar(
                    x=lengths,
                    y=rows + (n - (len(phases) - 1) / 2) * height,
                    base=starts,
                    orientation="h",
                    width=height,
                    marker=marker,
                    name=called[phase],
                    showlegend=n == len(phases) - 1,
                    customdata=ids,
                    hovertemplate=hover + f"<extra>{called[phase]}, {style.suffix(kind)}</extra>",
                )
    if len(phases) > 1:
        for name, opacity in ((_("pale: simulated"), 0.4), (_("full: measured"), 1)):
            square = {"symbol": "square", "size": 11, "color": style.fade(style.GREY, opacity)}
            fig.add_scatter(x=[None], y=[None], mode="markers", marker=square, name=name)
    for kind, frame in phases.items():
        counted = queue(frame)
        for column, name, color in (("waiting", _("waiting"), style.ORANGE), ("running", _("running"), style.BLUE)):
            look = style.mark(kind, name, color)
            look |= {"mode": "lines", "line": {**look["line"], "shape": "hv", "width": 2}}
            fig.add_scatter(x=counted.t_s.to_numpy(), y=counted[column].to_numpy(), yaxis="y2", **look)
    return fig


def latencies(frames: Loads) -> go.Figure:
    """Histograms of TTFT, TPOT and E2E below each other: measured as bars, simulated as an outline.

    Args:
        frames: one row a request, the columns of `Result.frame()`.
    """
    data, axes, words = [], {}, vocabulary()
    for place, (metric, times, unit) in enumerate(PANELS):
        values = {kind: times * succeeded(frame, metric) for kind, frame in frames.items()}
        longest = max([v.max() for v in values.values() if v.size], default=1.0) or 1.0
        edges, number = np.linspace(0, longest, BINS + 1), str(place + 1) if place else ""
        for kind, one in values.items():
            counts = np.histogram(one, edges)[0]
            shared = {"xaxis": f"x{number}", "yaxis": f"y{number}", "showlegend": not place}
            if kind == "measured":
                bars = {"type": "bar", "x": (edges[:-1] + edges[1:]) / 2, "y": counts, "width": edges[1] * 0.96}
                data.append({**bars, "marker": {"color": style.fade(style.BLUE, 0.55)}, "name": style.suffix(kind)})
            else:
                look = style.mark(kind, color=style.ORANGE)
                look["line"] |= {"shape": "hv", "width": 2}
                # from zero and back to zero, so that the outline closes
                data.append({"type": "scatter", "x": [0, *edges], "y": [0, *counts, 0], **look})
            data[-1] |= shared
        name = words[metric].name
        axes[f"xaxis{number}"] = {
            "title": {"text": f"{name} ({unit})"},
            "anchor": f"y{number}",
            "range": [0, 1.02 * longest],
        }
        axes[f"yaxis{number}"] = {
            "title": {"text": _("Requests")},
            "anchor": f"x{number}",
            "rangemode": "tozero",
            "domain": [0.365 * (2 - place), 0.365 * (2 - place) + 0.27],
        }
    return style.figure(data=data, height=HEIGHT, showlegend=True, **axes)


def succeeded(frame: pd.DataFrame, metric: str) -> np.ndarray:
    """A metric's values over the requests that succeeded and have one, shape (n,)."""
    values = frame[metric].to_numpy(float)[(frame.status == "ok").to_numpy()]
    return values[~np.isnan(values)]
