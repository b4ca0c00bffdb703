"""Choose an operating point: concurrency, lengths and SLO, and what they do to throughput and latency."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from servelab.figures import batching as figures
from servelab.i18n import _, sentences
from servelab.theory.batching import StepModel
from servelab.widgets.base import Explorer, slider, steps

MS = 1000
LENGTHS = (8, 16, 32, 64, 128, 256, 512, 1024)


def batching(
    sweep: pd.DataFrame,
    model: StepModel,
    *,
    prompt_tokens: int,
    output_tokens: int,
    slo_s: float | None = None,
    kv_tokens: int | None = None,
) -> Explorer:
    """Explorer over a measured sweep (see `figures.batching`) and the model fitted to it.

    Args:
        prompt_tokens, output_tokens: lengths the sweep was measured at; the explorer begins there.
        slo_s: TPOT bound to begin with; by default halfway between the sweep's ends.
        kv_tokens: tokens the engine's KV cache holds; beyond it requests wait or are preempted.
    """
    most = int(sweep.concurrency.max())
    top = int(np.ceil(sweep.tpot_s.max() * MS * 1.2))
    slo_ms = int(np.clip(round((slo_s or sweep.tpot_s.agg(["min", "max"]).mean()) * MS), 1, top))

    def capacity(prompt: int, output: int) -> float | None:
        return kv_tokens / (prompt + output) if kv_tokens else None

    def draw(batch: int, prompt: int, output: int, slo_ms: float) -> list[go.Figure]:
        return figures.operating(
            sweep,
            model,
            batch=batch,
            prompt_tokens=prompt,
            output_tokens=output,
            slo_s=slo_ms / MS,
            same_lengths=(prompt, output) == (prompt_tokens, output_tokens),
            fits=capacity(prompt, output),
        )

    def say(batch: int, prompt: int, output: int, slo_ms: float) -> str:
        tpot = float(model.tpot_s(batch))
        verdict = _("meets the SLO") if tpot * MS <= slo_ms else _("misses the SLO")
        told = _(
            "At concurrency {batch}: {rate:.0f} tokens/s in all, {tpot:.0f} ms per token for each reader "
            "({verdict}), first token after {ttft:.2f} s, whole answer after {e2e:.1f} s (modelled)."
        ).format(
            batch=batch,
            rate=float(model.throughput(batch, prompt, output)),
            tpot=tpot * MS,
            verdict=verdict,
            ttft=float(model.ttft_s(batch, prompt)),
            e2e=float(model.e2e_s(batch, prompt, output)),
        )
        room = capacity(prompt, output)
        if room is not None and batch > room:
            waits = _("The KV cache holds {room:.0f} such requests: the others would wait.").format(room=room)
            told = sentences(told, waits)
        return told

    controls = {
        "batch": slider(_("Concurrency (requests)"), 1, most, min(8, most)),
        "prompt": steps(_("Prompt (tokens)"), sorted({*LENGTHS, prompt_tokens}), prompt_tokens),
        "output": steps(_("Answer (tokens)"), sorted({*LENGTHS, output_tokens}), output_tokens),
        "slo_ms": slider(_("TPOT at most (ms)"), 1, top, slo_ms),
    }
    return Explorer(controls, draw, say=say, columns=2)
