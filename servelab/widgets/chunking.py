"""Choose a token budget: who stands still when a long prompt arrives, and how long its sender waits."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from servelab.figures import chunking as figures
from servelab.i18n import _
from servelab.simulate.chunking import budgets, interrupt
from servelab.simulate.engine import StepTime
from servelab.widgets.base import Explorer, slider, steps

MS = 1000
BUDGETS = (64, 128, 256, 512, 1024, 2048)
PROMPTS = (64, 128, 256, 384, 512, 1024, 2048)
MOST = 32
"""Running readers at most: fewer than the smallest budget."""


def chunking(
    step_time: StepTime, measured: pd.DataFrame | None = None, *, prompt: int = 512, decoding: int = 4
) -> Explorer:
    """Explorer over the token budget, the newcomer's prompt and the number of running readers; all simulated.

    Args:
        step_time: seconds of an engine's step, such as `Linear` fitted to it.
        measured: what an engine did; columns `budget`, `stall_s`, `ttft_s`. Shown at the lengths it was measured at.
        prompt, decoding: those lengths (tokens; sequences); the explorer begins there.
    """
    begin = int(measured.budget.min()) if measured is not None and len(measured) else BUDGETS[1]

    def draw(budget: int, prompt_tokens: int, readers: int) -> list[go.Figure]:
        one = interrupt(step_time, budget, prompt_tokens, readers)
        curve = budgets(step_time, sorted({*BUDGETS, budget}), prompt_tokens, readers)
        same = (prompt_tokens, readers) == (prompt, decoding)
        return [
            figures.gaps(one.ends_s, one.gaps_s, one.ttft_s),
            figures.tradeoff(curve, measured if same else None, chosen=budget),
        ]

    def say(budget: int, prompt_tokens: int, readers: int) -> str:
        one = interrupt(step_time, budget, prompt_tokens, readers)
        return _(
            "A step takes {budget} tokens, {readers} of them the running readers'; pieces of the prompt: {pieces}. "
            "A reader stands still for {stall:.0f} ms at most, the newcomer waits {ttft:.2f} s (simulated)."
        ).format(
            budget=budget,
            readers=readers,
            pieces=-(-prompt_tokens // (budget - readers)),
            stall=one.stall_s * MS,
            ttft=one.ttft_s,
        )

    controls = {
        "budget": steps(_("Token budget"), sorted({*BUDGETS, begin}), begin),
        "prompt_tokens": steps(_("Newcomer's prompt (tokens)"), sorted({*PROMPTS, prompt}), prompt),
        "readers": slider(_("Running readers"), 1, MOST, decoding),
    }
    return Explorer(controls, draw, say=say, columns=2)
