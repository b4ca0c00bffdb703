"""Triton or plain `vllm serve`? What was measured behind each door, carried on to other answers and other company."""

from __future__ import annotations

import plotly.graph_objects as go

from servelab.figures import doors as figures
from servelab.figures.doors import Door
from servelab.i18n import _, sentences
from servelab.widgets.base import Explorer, slider, steps

TOKENS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
MOST_MODELS = 12


def doors(
    plain: Door, inside: Door, *, server_mb: float, each_mb: float, tokens: int = 64, models: int = 0
) -> Explorer:
    """Explorer: time of an answer and memory, with the engine alone or inside a Triton that serves others too.

    Args:
        plain, inside: what was measured of vLLM alone and of vLLM inside Triton.
        server_mb, each_mb: a Triton without models, and one more model of its Python backend.
        tokens, models: an answer's tokens, and other models, to begin with.
    """

    def memory(models: int) -> tuple[float, float]:
        others = models * each_mb
        return plain.memory_mb + (server_mb + others if models else 0), inside.memory_mb + others

    def draw(tokens: int, models: int) -> list[go.Figure]:
        both = {"plain": plain, "http": inside}
        counts = range(MOST_MODELS + 1)
        apart, together = zip(*(memory(n) for n in counts), strict=True)
        lengths = sorted({*TOKENS, tokens})
        return [figures.answers(both, lengths, tokens), figures.memory(counts, apart, together, models)]

    def say(tokens: int, models: int) -> str:
        a, b = plain.answer_s(tokens), inside.answer_s(tokens)
        apart, together = memory(models)
        time = _("{tokens} tokens: {a:.2f} s from plain vLLM, {b:.2f} s from inside Triton ({more:+.0%}).")
        room = _("With {models} other models: {apart:,.0f} MB in two servers, {together:,.0f} MB in one.")
        alone = _("With no other model: {apart:,.0f} MB for vLLM alone, {together:,.0f} MB inside Triton.")
        return sentences(
            time.format(tokens=tokens, a=a, b=b, more=b / a - 1),
            (room if models else alone).format(models=models, apart=apart, together=together),
        )

    controls = {
        "tokens": steps(_("Answer (tokens)"), sorted({*TOKENS, tokens}), tokens),
        "models": slider(_("Other models beside the language model"), 0, MOST_MODELS, models),
    }
    return Explorer(controls, draw, say=say, columns=2)
