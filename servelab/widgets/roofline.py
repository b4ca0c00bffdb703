"""Move a step along the roofline: batch, context, prompt tokens, and a machine of another shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go

from servelab.course import Model
from servelab.figures import roofline as figures
from servelab.figures import style
from servelab.i18n import _, sentences
from servelab.theory import roofline as theory
from servelab.theory.latency import Machine, Step, seconds, work
from servelab.theory.roofline import Work
from servelab.widgets.base import Explorer, steps

MS = 1000
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CONTEXTS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
CHUNKS = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
TIMES = (0.25, 0.5, 1, 2, 4)
"""A changed machine: its peak or bandwidth over the given one's."""


def roofline(
    model: Model,
    machine: Machine,
    samples: Sequence[figures.Timed] = (),
    *,
    bytes_per_number: float = 4,
    batch: int = 8,
    context: int = 128,
    chunk: int = 256,
) -> Explorer:
    """Explorer: decode, prompt and mixed steps under one roof, the parts of their time, and measured steps over both.

    Args:
        machine: peaks draw the roof; with a calibration's shares and overhead (`Calibration.machine`) the predictions
            are this engine's, without them the roof's own, which no engine reaches.
        samples: timed steps, such as `Calibration.inside`; of others (`Calibration.samples`) those of requests that
            found the engine idle are left out, since HTTP and tokenizer are in their time.
        bytes_per_number: of weights and cache: 4 for float32, 2 for 16 bits.
        batch, context, chunk: where the sliders begin.
    """
    inside = [s for s in samples if not getattr(s, "features", (0,))[-1]]
    measured = figures.measured_steps(model, inside, bytes_per_number) if inside else None
    contexts = sorted({*(n for n in CONTEXTS if n < model.context), context})

    def shaped(peak: float, bandwidth: float) -> Machine:
        return replace(machine, peak_flops=peak * machine.peak_flops, bandwidth=bandwidth * machine.bandwidth)

    def placed(batch: int, context: int, chunk: int) -> dict[str, Work]:
        decode = {"decode": batch, "context": batch * context}
        prompt = {"prefill": chunk, "chunk": chunk * (chunk + 1) / 2, "pieces": 1}
        kinds = zip(figures.KINDS, (Step(**decode), Step(**prompt), Step(**decode, **prompt)), strict=True)
        return {kind: work(model, step, bytes_per_number) for kind, step in kinds}

    def draw(batch: int, context: int, chunk: int, peak: float, bandwidth: float) -> list[go.Figure]:
        here, shown = shaped(peak, bandwidth), placed(batch, context, chunk)
        other = (peak, bandwidth) != (1, 1)
        trail = theory.forward(model, 1, context, sequences=np.array(BATCHES), bytes_per_number=bytes_per_number)
        span = figures.around(machine, TIMES[-1])
        views = [
            figures.roof(here, shown, trail=trail, measured=measured, span=span, pale=other, batch=batch),
            figures.parts(here, shown),
        ]
        return views if measured is None else [*views, figures.parity(here, measured, other)]

    def say(batch: int, context: int, chunk: int, peak: float, bandwidth: float) -> str:
        here, shown = shaped(peak, bandwidth), placed(batch, context, chunk)
        ridge = theory.ridge(here.peak_flops, here.bandwidth)
        limits = {"memory": _("memory is the limit"), "compute": _("arithmetic is the limit")}

        def of(kind: str) -> str:
            one = shown[kind]
            return _("{kind}: {intensity} FLOP/byte, {limit}, {ms} ms (modelled).").format(
                kind=figures.kind_name(kind).capitalize(),
                intensity=style.number(float(one.intensity)),
                limit=limits[theory.limit(one, here.peak_flops, here.bandwidth)],
                ms=style.number(float(seconds(one, here)) * MS),
            )

        seen = [] if (peak, bandwidth) != (1, 1) else figures.of_batch(measured, batch).seconds.tolist()
        own = _("Your engine's step with this batch took {ms} ms (measured).")
        most = float(theory.batch_limit(model, context, bytes_per_number))
        if most < ridge:
            bound = _("With {context:,} cached tokens each, no batch brings decoding above {most}, nor to the ridge.")
        else:
            bound = _("With {context:,} cached tokens each, no batch brings decoding above {most} FLOP/byte.")
        return sentences(
            _("The ridge is at {ridge} FLOP/byte.").format(ridge=style.number(ridge)),
            *(of(kind) for kind in shown),
            *(own.format(ms=style.number(took * MS)) for took in seen[:1]),
            bound.format(context=context, most=style.number(most)),
        )

    controls = {
        "batch": steps(_("Sequences that decode"), sorted({*BATCHES, batch}), batch),
        "context": steps(_("Cached tokens of each"), contexts, context),
        "chunk": steps(_("Prompt tokens in a step"), sorted({*CHUNKS, chunk}), chunk),
        "peak": steps(_("Arithmetic (times this machine)"), TIMES, 1),
        "bandwidth": steps(_("Bandwidth (times this machine)"), TIMES, 1),
    }
    return Explorer(controls, draw, say=say, columns=2)
