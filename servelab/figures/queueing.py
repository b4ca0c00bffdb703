"""Waiting: what each formula says over the arrival rate, all of them beside simulation and measurement at one load,
and how many wait how long.

Rates are per second, times in seconds. `servers` share one line, and the formulas for one server are then those of
servers with a line each, among which the arrivals are dealt out at random. Simulated waits come from
`servelab.simulate.queueing`, measured ones from `servelab.theory.queueing.observed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray

from servelab.figures import style
from servelab.i18n import _
from servelab.simulate.queueing import Estimate
from servelab.theory import queueing as theory
from servelab.theory.queueing import Observed

NEAR = 0.97
"""Utilisation up to which curves are drawn."""

HIGH = 430
FEWEST = 1e-3
"""Share of requests down to which the tail is drawn."""

COLORS = {"seed": style.GREY, "mm1": style.BLUE, "md1": style.PURPLE, "mg1": style.GREEN, "mmc": style.PURPLE}
COLORS |= {"kingman": style.ORANGE}


@dataclass(frozen=True)
class Line:
    """A queue as the formulas know it: mean service (s), coefficients of variation, and servers of the one line."""

    service_s: float
    service_cv: float = 1.0
    arrival_cv: float = 1.0
    servers: int = 1

    @property
    def capacity(self) -> float:
        """Requests/s with all servers busy."""
        return self.servers / self.service_s

    def waits(self, rate: ArrayLike) -> dict[str, NDArray[np.float64]]:
        """Mean wait (s) by every formula at arrivals of `rate`/s: {its key in `names`: seconds}.

        `seed` is the short form lambda / (mu - lambda), whose number is taken for seconds.
        """
        mu, alone = 1 / self.service_s, np.asarray(rate, float) / self.servers
        found = {
            "seed": theory.seed_form(alone, mu),
            "mm1": theory.mm1(alone, mu).wait_s,
            "md1": theory.md1(alone, mu).wait_s,
            "mg1": theory.mg1(alone, mu, self.service_cv).wait_s,
            "mmc": theory.mmc(rate, mu, self.servers).wait_s,
            "kingman": theory.kingman(rate, mu, self.arrival_cv, self.service_cv, self.servers).wait_s,
        }
        if self.servers == 1:
            found.pop("mmc")
        return found

    def names(self) -> dict[str, str]:
        """What the legend calls each formula."""
        return {
            "seed": _("short form λ/(μ − λ)"),
            "mm1": "M/M/1",
            "md1": "M/D/1",
            "mg1": "M/G/1",
            "mmc": f"M/M/{self.servers}",
            "kingman": _("Kingman"),
        }


def by_rate(
    line: Line,
    busy: float,
    simulated: Sequence[tuple[float, Estimate]] = (),
    loads: Sequence[Observed] = (),
) -> go.Figure:
    """Mean wait over the arrival rate: the formulas as curves, simulation and measured loads as points.

    Args:
        busy: the utilisation chosen, drawn as a line.
        simulated: (utilisation, mean wait in s with its interval).
        loads: one measured load a rate.
    """
    fig = style.figure(_("Arrivals (requests/s)"), _("Mean wait (s)"), height=HIGH)
    rate = np.linspace(0, NEAR, 50)[1:] * line.capacity
    curves, names = line.waits(rate), line.names()
    if line.servers > 1:
        curves.pop("md1")
    for key, values in curves.items():
        fig.add_scatter(x=rate, y=values, **style.mark("modelled", names[key], COLORS[key]))
    tops = [float(curves["kingman"][rate <= 0.9 * line.capacity][-1])]
    if simulated:
        means, halves = [e.mean for _rho, e in simulated], [e.half for _rho, e in simulated]
        fig.add_scatter(
            x=[rho * line.capacity for rho, _e in simulated],
            y=means,
            error_y={"array": halves, "thickness": 1.5, "width": 4, "color": style.INK},
            mode="markers",
            marker={"symbol": "circle-open", "size": 8, "color": style.INK, "line": {"width": 2}},
            name=style.suffix("simulated"),
        )
        tops.append(max(means))
    if loads:
        points = style.mark("measured", color=style.BLUE) | {"mode": "markers"}
        points["marker"] = {"symbol": "star", "size": 13, "color": style.BLUE, "line": {"color": style.INK, "width": 1}}
        waited = [float(one.waits_s.mean()) for one in loads]
        fig.add_scatter(x=[one.rate for one in loads], y=waited, **points)
        tops.append(max(waited))
    style.rule(fig, x=busy * line.capacity, text=_("{share:.0%} busy").format(share=busy))
    fig.update_xaxes(range=[0, max([line.capacity, *(1.05 * one.rate for one in loads)])])
    return fig.update_yaxes(range=[0, 1.25 * max(tops)])


def beside(line: Line, rate: float, simulated: Estimate | None = None, measured: Observed | None = None) -> go.Figure:
    """Every formula's mean wait at one rate, beside simulation and a measured load, on a logarithmic axis."""
    fig = style.figure(_("Mean wait (s)"), height=HIGH)
    names, waits = line.names(), line.waits(rate)
    dot = {"size": 13, "color": [COLORS[key] for key in waits], "symbol": "diamond"}
    rows, values = [names[key] for key in waits], [float(value) for value in waits.values()]
    said = {"mode": "markers+text", "textposition": "middle right", "showlegend": False}
    fig.add_scatter(x=[*values], y=[*rows], text=[f"  {style.number(value)}" for value in values], marker=dot, **said)
    found = []
    if simulated:
        found.append((style.suffix("simulated"), simulated.mean, simulated.half, "circle-open", style.INK))
    if measured:
        name = style.mark("measured", _at(measured))["name"]
        found.append((name, float(measured.waits_s.mean()), 0.0, "star", style.BLUE))
    for name, mean, half, symbol, color in found:
        mark = {"size": 13, "symbol": symbol, "color": color, "line": {"width": 2}}
        error = {"array": [half], "thickness": 1.5, "width": 4, "color": style.INK}
        fig.add_scatter(x=[mean], y=[name], error_x=error, text=[f"  {style.number(mean)}"], marker=mark, **said)
        rows.append(name)
        values.append(mean)
    positive = [value for value in values if value > 0]
    low, high = 10.0 ** np.floor(np.log10(min(positive))), 10.0 ** np.ceil(np.log10(max(positive) * 3))
    fig.update_xaxes(range=[np.log10(low), np.log10(high)], **style.log_ticks(low, high))
    return fig.update_yaxes(type="category", range=[len(rows) - 0.5, -0.5])


def tail(line: Line, rate: float, simulated_s: ArrayLike | None = None, measured: Observed | None = None) -> go.Figure:
    """Share of requests that wait longer than so many seconds, on a logarithmic axis.

    The curve is an exponential with Kingman's mean, begun at the share that waits at all in M/M/c: exact for M/M/c, and
    the better for other queues the nearer they are to saturation (Kingman, "On queues in heavy traffic", J. Royal Stat.
    Soc. B 24, 1962).

    Args:
        simulated_s: simulated waits at this rate, any shape.
    """
    fig = style.figure(_("Wait (s)"), _("Share of requests that wait longer (%)"))
    mean = float(line.waits(rate)["kingman"])
    some = float(theory.erlang_c(rate * line.service_s, line.servers))
    longest = mean / some * np.log(some / FEWEST)
    times = np.linspace(0, longest, 30)
    curve = 100 * some * np.exp(-times * some / mean)
    fig.add_scatter(x=times, y=curve, **style.mark("modelled", _("exponential tail"), style.ORANGE))
    if simulated_s is not None:
        values, shares = _exceeded(simulated_s)
        fig.add_scatter(x=values, y=100 * shares, **style.mark("simulated", color=style.GREY))
        longest = max(longest, values[-1])
    if measured is not None:
        values, shares = _exceeded(measured.waits_s)
        points = style.mark("measured", _at(measured), style.BLUE) | {"mode": "lines"}
        fig.add_scatter(x=values, y=100 * shares, line_shape="hv", **points)
        longest = max(longest, values[-1])
    fig.update_xaxes(range=[0, 1.02 * longest])
    shown = np.log10([80 * FEWEST, 120])
    return fig.update_yaxes(range=list(shown), **style.log_ticks(100 * FEWEST, 100)).update_layout(showlegend=True)


def by_request(foretold_s: ArrayLike, measured_s: ArrayLike) -> go.Figure:
    """Each request's wait in seconds, in order of arrival: foretold and measured, shape (requests,) both."""
    fig = style.figure(_("Request, in order of its arrival"), _("Wait (s)"))
    foretold, measured = np.asarray(foretold_s, float), np.asarray(measured_s, float)
    number = np.arange(1, measured.size + 1)
    fig.add_scatter(x=number, y=measured, **style.mark("measured", color=style.BLUE))
    fig.add_scatter(x=number, y=foretold, **style.mark("modelled", _("Lindley"), style.ORANGE))
    return fig.update_yaxes(rangemode="tozero").update_layout(showlegend=True)


def omission(
    intended_s: ArrayLike, from_sending_s: ArrayLike, from_intended_s: ArrayLike, independent_s: ArrayLike
) -> go.Figure:
    """What a tool with one connection reports of a stall, what it would have to, and what independent users see.

    Args:
        intended_s: seconds at which each request was meant to be sent, shape (requests,).
        from_sending_s, from_intended_s: seconds to its last token in the tool's run, by either clock.
        independent_s: the same from the intended instant, in a run where everybody is sent when meant.
    """
    fig = style.figure(_("Intended send time (s)"), _("Time to the last token (s)"))
    curves = (
        (from_sending_s, _("one connection, from sending"), style.GREY),
        (from_intended_s, _("one connection, from intended"), style.ORANGE),
        (independent_s, _("independent users"), style.BLUE),
    )
    for values, name, color in curves:
        look = style.mark("measured", name, color)
        look["marker"]["size"] = 6
        fig.add_scatter(x=np.asarray(intended_s, float), y=np.asarray(values, float), **look)
    return fig.update_yaxes(rangemode="tozero").update_layout(showlegend=True)


def _at(load: Observed) -> str:
    return _("at {rate}/s").format(rate=style.number(load.rate))


def _exceeded(waits_s: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Waits, and the share of requests that wait longer than each, thinned to about sixty points of the tail."""
    ordered = np.sort(np.ravel(np.asarray(waits_s, float)))
    least = max(FEWEST, 1 / ordered.size)
    shares = np.geomspace(1, least, min(60, ordered.size))
    return np.quantile(ordered, 1 - shares), shares
