"""The roofline: where a step of the engine stands under its machine's roof, what its time is made of, and how long it
really took.

Intensity is in FLOP/byte, speed in FLOP/s, times of steps in milliseconds; all three on logarithmic axes. `measured`
is a table of timed steps, as `measured_steps` makes it from the samples of a calibration (`servelab.calibrate`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from servelab.course import Model
from servelab.figures import style
from servelab.i18n import _
from servelab.theory import roofline as theory
from servelab.theory.latency import Machine, Step, seconds, work
from servelab.theory.roofline import Work

MS = 1000
GIGA = 1e9
WIDE = (0.2, 2000.0)
"""FLOP/byte that the picture spans."""

HIGH = 430

KINDS = ("decode", "prompt", "mixed")
LOOKS = {"decode": (style.BLUE, "circle"), "prompt": (style.GREEN, "square"), "mixed": (style.PURPLE, "diamond")}
BESIDE = {"decode": ("bottom right", "<br>"), "prompt": ("middle right", ""), "mixed": ("bottom center", "")}
"""Where each kind's name stands, and what keeps two that come near each other apart."""


class Timed(Protocol):
    """A step, and the seconds that it took."""

    @property
    def step(self) -> Step: ...

    @property
    def seconds(self) -> float: ...


def kind_name(kind: str) -> str:
    """What the legend calls a kind of step."""
    return {
        "decode": _("decode step"),
        "prompt": _("prompt step"),
        "mixed": _("both in one step"),
    }[kind]


def kind_of(step: Step) -> str:
    """`decode`, `prompt` or `mixed`: what goes through in the step."""
    if step.decode and step.prefill:
        return "mixed"
    return "prompt" if step.prefill else "decode"


def measured_steps(model: Model, samples: Sequence[Timed], bytes_per_number: float = 4) -> pd.DataFrame:
    """Timed steps as a table, one row a sample: `kind`, `flops`, `bytes`, `seconds`, `batch` (who decoded)."""
    done = [work(model, s.step, bytes_per_number) for s in samples]
    rows = [
        (kind_of(s.step), w.flops, w.bytes, s.seconds, int(np.sum(s.step.decode)))
        for s, w in zip(samples, done, strict=True)
    ]
    return pd.DataFrame(rows, columns=["kind", "flops", "bytes", "seconds", "batch"])


def of_batch(measured: pd.DataFrame | None, batch: int) -> pd.DataFrame:
    """The quickest measured step in which `batch` sequences decoded, and nothing else: one row, or none."""
    if measured is None:
        return pd.DataFrame(columns=["kind", "flops", "bytes", "seconds", "batch"])
    return measured[(measured.kind == "decode") & (measured.batch == batch)].nsmallest(1, "seconds")


def roof(
    machine: Machine,
    placed: Mapping[str, Work],
    *,
    trail: Work | None = None,
    measured: pd.DataFrame | None = None,
    span: tuple[float, float] | None = None,
    pale: bool = False,
    batch: int | None = None,
) -> go.Figure:
    """The machine's roof, and under it each kind of step at the speed that the model of its time predicts.

    Args:
        machine: its peaks draw the roof; its shares and overhead (1, 1 and 0: none is lost) lower the predictions.
        placed: {kind: the work of one such step}; the kinds are `KINDS`.
        trail: the decode step's way as its batch grows, arrays.
        measured: timed steps, drawn as open markers.
        span: FLOP/s at the lower and the upper edge; by default around this machine's roof.
        pale: draw the measurements faintly, since they were taken on another machine than the one drawn.
        batch: measured decode steps of this batch are drawn as stars.
    """
    fig = style.figure(_("Arithmetic intensity (FLOP/byte)"), _("Speed (GFLOP/s)"), height=HIGH)
    ridge = theory.ridge(machine.peak_flops, machine.bandwidth)
    bend = float(np.clip(ridge, *WIDE))
    corners = np.array([WIDE[0], bend, WIDE[1]])
    limit = theory.attainable(machine.peak_flops, machine.bandwidth, corners) / GIGA
    memory = {"x0": WIDE[0], "x1": bend, "y0": 0, "y1": 1, "yref": "y domain"}
    fig.add_shape(type="rect", fillcolor=style.fade(style.ORANGE, 0.08), line_width=0, layer="below", **memory)
    fig.add_scatter(x=corners, y=limit, **style.mark("modelled", _("the machine's roof"), color=1))
    if trail is not None:
        way = {"line": {"color": style.fade(style.BLUE, 0.6), "width": 1.5}, "marker": {"size": 4}}
        fig.add_scatter(
            x=trail.intensity,
            y=trail.flops / seconds(trail, machine) / GIGA,
            name=_("{name} ({kind})").format(name=_("decoding, batch doubled"), kind=style.suffix("modelled")),
            mode="lines+markers",
            marker_color=style.BLUE,
            hoverinfo="skip",
            **way,
        )
    _measured(fig, measured, pale)
    here = of_batch(measured, batch) if batch else of_batch(None, 0)
    if len(here):
        fig.add_scatter(
            x=(here.flops / here.bytes).to_numpy(),
            y=(here.flops / here.seconds).to_numpy() / GIGA,
            mode="markers",
            marker={"symbol": "star", "size": 17, "color": style.BLUE, "line": {"color": style.INK, "width": 1}},
            opacity=0.3 if pale else 1,
            name=_("{name} ({kind})").format(name=_("this batch"), kind=style.suffix("measured")),
        )
    for kind, one in placed.items():
        color, symbol = LOOKS[kind]
        fig.add_scatter(
            x=[float(one.intensity)],
            y=[float(one.flops / seconds(one, machine)) / GIGA],
            name=kind_name(kind),
            text=[BESIDE[kind][1] + kind_name(kind)],
            textposition=BESIDE[kind][0],
            mode="markers+text",
            marker={"symbol": symbol, "size": 15, "color": color, "line": {"color": style.INK, "width": 1.5}},
            showlegend=False,
        )
    for x, text in ((WIDE[0] * bend, _("memory is the limit")), (bend * WIDE[1], _("arithmetic is the limit"))):
        fig.add_annotation(x=np.log10(x) / 2, y=0, yref="y domain", yanchor="bottom", text=text)
    fig.update_xaxes(range=[np.log10(n) for n in WIDE], **style.log_ticks(*WIDE))
    low, high = (n / GIGA for n in span or around(machine))
    return fig.update_yaxes(range=[np.log10(low), np.log10(high)], **style.log_ticks(low, high))


def operation_names() -> dict[str, str]:
    """The operations of `servelab.theory.roofline.OPERATIONS` in the learner's language."""
    return {
        "qkv": _("query, key, value"),
        "attention": _("attention"),
        "output": _("attention's output"),
        "gate_up": _("gate and up"),
        "down": _("down"),
        "logits": _("output layer"),
    }


SYMBOLS = ("circle", "star", "square", "diamond", "triangle-up", "cross")


def operations(machine: Machine, table: pd.DataFrame) -> go.Figure:
    """Each operation under the machine's roof, measured alone, a line from its smallest batch to its largest.

    Args:
        table: columns `operation`, `rows`, `intensity` (FLOP/byte) and `flop_s`, as `engines.operations.measure` has.
            An operation without a name of its own is drawn under the one it has.
    """
    fig = style.figure(_("Arithmetic intensity (FLOP/byte)"), _("Speed (GFLOP/s)"), height=460)
    ridge = theory.ridge(machine.peak_flops, machine.bandwidth)
    left, right = min(WIDE[0], 0.8 * table.intensity.min()), max(WIDE[1] / 4, 1.3 * table.intensity.max(), 2 * ridge)
    corners = np.array([left, ridge, right])
    limit = theory.attainable(machine.peak_flops, machine.bandwidth, corners) / GIGA
    roof_line = style.mark("measured", _("the machine's roof"), color=style.GREY) | {"mode": "lines"}
    fig.add_scatter(x=corners, y=limit, **roof_line)
    for at, (name, rows) in enumerate(table.groupby("operation", sort=False)):
        color = style.colour(at)
        fig.add_scatter(
            x=rows.intensity,
            y=rows.flop_s / GIGA,
            text=[_("batch {n}").format(n=n) for n in rows.rows],
            mode="lines+markers",
            line={"color": style.fade(color, 0.5), "width": 1.5},
            marker={"symbol": SYMBOLS[at % len(SYMBOLS)], "size": 10, "color": color},
            name=_("{name} ({kind})").format(name=operation_names().get(name, name), kind=style.suffix("measured")),
        )
    style.rule(fig, x=ridge, text=_("ridge"))
    low, high = min(limit[0], table.flop_s.min() / GIGA) / 1.5, 2 * max(limit[-1], table.flop_s.max() / GIGA)
    fig.update_xaxes(range=[np.log10(left), np.log10(right)], **style.log_ticks(left, right))
    fig.update_yaxes(range=[np.log10(low), np.log10(high)], **style.log_ticks(low, high))
    return fig.update_layout(showlegend=True)


def around(machine: Machine, times: float = 1) -> tuple[float, float]:
    """FLOP/s between which the roof lies, also of a machine that is so many times faster."""
    return machine.bandwidth * WIDE[0] / 8, 2 * times * machine.peak_flops


def parts(machine: Machine, placed: Mapping[str, Work]) -> go.Figure:
    """What each kind of step takes: its arithmetic at the peak, its traffic at full bandwidth, and the step itself."""
    fig = style.figure(_("Time (ms)"), height=HIGH)
    names = [kind_name(kind) for kind in placed]
    rows = {
        _("arithmetic, at the peak"): ([w.flops / machine.peak_flops for w in placed.values()], 1, "triangle-up"),
        _("memory traffic, at full bandwidth"): (
            [w.bytes / machine.bandwidth for w in placed.values()],
            0,
            "triangle-down",
        ),
        _("the step (modelled)"): ([float(seconds(w, machine)) for w in placed.values()], 3, "star"),
    }
    times = np.array([row for row, _color, _symbol in rows.values()]) * MS
    for at, name in enumerate(names):
        line = {"color": style.GRID, "width": 6}
        ends = [times[:, at].min(), times[:, at].max()]
        fig.add_scatter(x=ends, y=[name, name], mode="lines", line=line, showlegend=False, hoverinfo="skip")
    for values, (name, (_row, color, symbol)) in zip(times, rows.items(), strict=True):
        last = symbol == "star"
        text = [style.number(v) for v in values] if last else None
        marker = {"symbol": symbol, "size": 16 if last else 13, "color": style.colour(color)}
        mode = "markers+text" if last else "markers"
        fig.add_scatter(x=values, y=names, name=name, mode=mode, text=text, textposition="top center", marker=marker)
    low, high = 10.0 ** np.floor(np.log10(times.min())), 10.0 ** np.ceil(np.log10(times.max() * 1.2))
    fig.update_xaxes(range=[np.log10(low), np.log10(high)], **style.log_ticks(low, high))
    return fig.update_yaxes(type="category", range=[len(names) - 0.5, -0.7], showgrid=False)


def parity(machine: Machine, measured: pd.DataFrame, pale: bool = False) -> go.Figure:
    """Predicted over measured time of every step: on the diagonal the prediction is right, below it the step took
    longer than predicted."""
    fig = style.figure(_("Measured step (ms)"), _("Predicted step (ms)"))
    predicted = seconds(Work(measured.flops.to_numpy(), measured.bytes.to_numpy()), machine) * MS
    took = measured.seconds.to_numpy() * MS
    low, high = min(took.min(), predicted.min()) / 1.5, max(took.max(), predicted.max()) * 1.5
    line = {"color": style.INK, "width": 1.5, "dash": "dash"}
    fig.add_scatter(x=[low, high], y=[low, high], mode="lines", line=line, name=_("equal"), hoverinfo="skip")
    for kind in KINDS:
        some = (measured.kind == kind).to_numpy()
        if some.any():
            color, symbol = LOOKS[kind]
            marker = {"symbol": symbol, "size": 10, "color": color}
            dim = 0.3 if pale else 1
            fig.add_scatter(
                x=took[some], y=predicted[some], mode="markers", marker=marker, name=kind_name(kind), opacity=dim
            )
    span = {"range": [np.log10(low), np.log10(high)], **style.log_ticks(low, high)}
    return fig.update_xaxes(**span).update_yaxes(**span)


def _measured(fig: go.Figure, measured: pd.DataFrame | None, pale: bool) -> None:
    if measured is None:
        return
    color = [LOOKS[kind][0] for kind in measured.kind]
    symbol = [f"{LOOKS[kind][1]}-open" for kind in measured.kind]
    fig.add_scatter(
        x=(measured.flops / measured.bytes).to_numpy(),
        y=(measured.flops / measured.seconds).to_numpy() / GIGA,
        text=[kind_name(kind) for kind in measured.kind],
        mode="markers",
        marker={"symbol": symbol, "size": 9, "color": color, "line": {"width": 1.5}},
        opacity=0.3 if pale else 1,
        name=_("{name} ({kind})").format(name=_("steps"), kind=style.suffix("measured")),
    )
