"""The dynamic batcher's three knobs: what delay, batch size and rate do to latency, throughput and batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import plotly.graph_objects as go

from servelab.figures import dynamic_batching as figures
from servelab.i18n import _, sentences
from servelab.simulate.dynamic_batching import Batched, batched, capacity
from servelab.widgets.base import Explorer, steps

RATES = (5.0, 10.0, 20.0, 40.0, 60.0, 80.0, 120.0, 160.0, 240.0, 320.0, 480.0)
BATCHES = (1, 2, 4, 8, 16, 32, 64)
DELAYS = (0.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0)
INSTANCES = (1, 2, 4)
REQUESTS = 300
LOADS = tuple(np.linspace(0.1, 1.1, 9))


@lru_cache(maxsize=512)
def run(fixed_s: float, each_s: float, rate: float, max_batch: int, delay_ms: float, instances: int) -> Batched:
    """`REQUESTS` requests that come by chance (Poisson), the same ones at every setting, faster or slower."""
    gaps = np.random.default_rng(7).exponential(1.0, REQUESTS)
    return batched(
        np.cumsum(gaps) / rate, fixed_s, each_s, max_batch=max_batch, delay_s=delay_ms / 1000, instances=instances
    )


def dynamic_batching(
    fixed_s: float,
    each_s: float,
    measured: Sequence[Mapping[str, Any]] = (),
    *,
    rate: float = 80.0,
    max_batch: int = 32,
    delay_ms: float = 10.0,
    instances: int = 1,
) -> Explorer:
    """Explorer: a dynamic batcher over a model whose execution of b rows takes `fixed_s + each_s b` (simulated).

    Args:
        measured: loads of a running server that are laid over, where the controls stand at theirs: `rate`,
            `delay_ms`, `max_batch`, `instances`, and `p50_ms`, `p95_ms`, `rps`, `sizes` ({rows: executions}).
        rate, max_batch, delay_ms, instances: to begin with.
    """

    def seen(**at: float) -> list[Mapping[str, Any]]:
        return [row for row in measured if all(row[key] == value for key, value in at.items())]

    def draw(rate: float, max_batch: int, delay_ms: float, instances: int) -> list[go.Figure]:
        here = {"max_batch": max_batch, "instances": instances}
        many = sorted({*DELAYS, delay_ms})
        told = {"p50": _("median"), "p95": _("95th percentile")}
        over = [run(fixed_s, each_s, rate, max_batch, delay, instances) for delay in many]
        curves = {told[q]: [_ms(one, q) for one in over] for q in told}
        points = {told[q]: [(row["delay_ms"], row[f"{q}_ms"]) for row in seen(rate=rate, **here)] for q in told}
        most = capacity(fixed_s, each_s, max_batch, instances)
        rates = sorted({*(round(load * most, 1) for load in LOADS), rate})
        runs = [run(fixed_s, each_s, one, max_batch, delay_ms, instances) for one in rates]
        rows, spot = seen(delay_ms=delay_ms, **here), seen(rate=rate, delay_ms=delay_ms, **here)
        chosen = run(fixed_s, each_s, rate, max_batch, delay_ms, instances)
        name = _("{rate:g} requests/s").format(rate=rate)
        tail = figures.over_rate(
            rates, [_ms(one, "p95") for one in runs], [(row["rate"], row["p95_ms"]) for row in rows], rate, most,
            what=_("95th percentile of the latency (ms)"),
        )  # fmt: skip
        flow = figures.over_rate(
            rates, [one.throughput for one in runs], [(row["rate"], row["rps"]) for row in rows], rate, most,
            what=_("Answers a second"),
        )  # fmt: skip
        return [
            figures.over_delay(many, curves, points, delay_ms),
            figures.sizes({name: spot[0]["sizes"]} if spot else {}, {name: chosen.counts()}),
            tail,
            flow,
        ]

    def say(rate: float, max_batch: int, delay_ms: float, instances: int) -> str:
        one = run(fixed_s, each_s, rate, max_batch, delay_ms, instances)
        none = run(fixed_s, each_s, rate, max_batch, 0.0, instances)
        text = _("{batch:.1f} rows an execution, 95 % within {p95:.0f} ms, instances busy for {busy:.0%} of the time.")
        without = _("Without the delay: {batch:.1f} rows, {p95:.0f} ms, {busy:.0%}.")
        return sentences(
            text.format(batch=one.batch, p95=_ms(one, "p95"), busy=one.busy),
            without.format(batch=none.batch, p95=_ms(none, "p95"), busy=none.busy),
        )

    controls = {
        "rate": steps(_("Requests that come a second"), sorted({*RATES, rate}), rate),
        "max_batch": steps(_("max_batch_size"), sorted({*BATCHES, max_batch}), max_batch),
        "delay_ms": steps(_("Largest delay in the queue (ms)"), sorted({*DELAYS, delay_ms}), delay_ms),
        "instances": steps(_("Instances"), sorted({*INSTANCES, instances}), instances),
    }
    return Explorer(controls, draw, say=say, columns=2)


def _ms(run: Batched, which: str) -> float:
    return 1000 * float(np.quantile(run.latency_s, {"p50": 0.5, "p95": 0.95}[which]))
