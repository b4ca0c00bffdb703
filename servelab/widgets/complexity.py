"""How a pass's work grows with its length: counted, in its short form, and as it was measured."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from servelab import course
from servelab.course import Model
from servelab.figures import complexity as figures
from servelab.figures import style
from servelab.i18n import _, sentences
from servelab.theory import complexity as theory
from servelab.theory.latency import crossover
from servelab.widgets.base import Explorer, choice, steps

LENGTHS = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072)
TIMES = (0.25, 0.5, 1, 2, 4)


def complexity(
    model: str = "smollm2-135m",
    phase: str = "prefill",
    length: int = 1024,
    *,
    measured: Mapping[str, Mapping[int, float]] | None = None,
) -> Explorer:
    """Explorer: FLOPs of a pass over its length, where they go, and the short form beside them.

    Args:
        model: of course.toml.
        phase: `prefill` of a prompt, or `decode` of one token after so many cached ones.
        length: of the prompt or the context, in tokens.
        measured: {phase: {length: FLOPs}} of the model the explorer begins with: seconds of real passes times a speed,
            drawn over the count while the model is that one, unchanged.
    """
    models = {m.id: m for m in course.load().models}

    def shaped(model: str, vocab: float, layers: float) -> Model:
        one = models[model]
        return one.model_copy(update={"vocab": int(one.vocab * vocab), "layers": int(one.layers * layers)})

    def counted(one: Model, phase: str) -> tuple[theory.Parts, np.ndarray, str]:
        n = np.array(LENGTHS, float)
        if phase == "prefill":
            return theory.prefill(one, n), theory.seed_prefill(n, one.hidden), _("Prompt (tokens)")
        return theory.decode(one, n), theory.seed_decode(n, one.hidden, one.vocab), _("Context (tokens)")

    def draw(model: str, phase: str, length: int, vocab: float, layers: float) -> list[go.Figure]:
        one = shaped(model, vocab, layers)
        done, short, x = counted(one, phase)
        total = np.broadcast_to(done.total, short.shape)
        cross = {_("attention overtakes"): crossover(one)} if phase == "prefill" else None
        curves = {_("counted"): total, _("short form, moved to the first point"): short * total[0] / short[0]}
        fig = figures.growth(LENGTHS, {}, curves, x, _("FLOPs of a pass"), cross)
        seen = (measured or {}).get(phase)
        if seen and (model, vocab, layers) == (first, 1, 1):
            points = style.mark("measured", _("seconds times speed"), 4) | {"mode": "markers"}
            fig.add_scatter(x=list(seen), y=list(seen.values()), **points)
        return [fig, figures.parts(one, done, LENGTHS, length, x)]

    def say(model: str, phase: str, length: int, vocab: float, layers: float) -> str:
        one = shaped(model, vocab, layers)
        pass_of = theory.prefill if phase == "prefill" else theory.decode
        once, twice = (float(pass_of(one, n).total) for n in (length, 2 * length))
        told = _("From {n:,} to {m:,} tokens the pass takes {times:.2f} times the FLOPs.")
        return sentences(
            told.format(n=length, m=2 * length, times=twice / once),
            _("In a prompt of {n:,} tokens attention costs as much as the matrices.").format(n=round(crossover(one))),
        )

    first = model
    controls = {
        "model": choice(_("Model"), {m.title: m.id for m in models.values()}, model),
        "phase": choice(_("Pass"), {_("prefill"): "prefill", _("decode, one token"): "decode"}, phase),
        "length": steps(_("Length (tokens)"), LENGTHS, length),
        "vocab": steps(_("Vocabulary (times the model's)"), TIMES, 1),
        "layers": steps(_("Layers (times the model's)"), TIMES, 1),
    }
    return Explorer(controls, draw, say=say, columns=2)
