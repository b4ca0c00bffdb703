"""Move a draft's acceptance, depth and cost, and see what a step gives, what is left as speed, and how deep pays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray

from servelab.figures import speculation as figures
from servelab.figures import style
from servelab.i18n import _, sentences
from servelab.theory import speculation as theory
from servelab.widgets.base import Explorer, slider, steps

COSTS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8)
FADES = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
DEEPEST = 12


def speculation(
    acceptance: float | None = None,
    depth: int = 4,
    cost: float = 0.1,
    *,
    measured: ArrayLike | None = None,
    step_s: Callable[[NDArray], NDArray] | None = None,
) -> Explorer:
    """Explorer: acceptance by position, tokens a step and speed-up by depth, and by batch where `step_s` is given.

    Args:
        acceptance: of a drafted token, to begin with; by default what fits `measured` best, else 0.7.
        depth: drafted tokens a step.
        cost: time of a drafted token over that of one step of the model.
        measured: shares of the steps with a draft that accepted each position, laid over the model: `theory.reached`
            of `theory.conditional` (drafts counted one by one, as `servelab.tiny.history.drafts` gives them), or
            `servelab.engines.metrics.accepted_by_position` (vLLM's counters). Steps without one, where an n-gram finds
            no match, give one token and are not among them.
        step_s: seconds of a step that takes so many tokens through, such as `StepModel.tpot_s`.
    """
    if measured is not None:
        measured = np.asarray(measured, float)
    if acceptance is None:
        acceptance = 0.7 if measured is None else round(theory.iid_of(measured), 2)

    def model(acceptance: float, fade: float) -> NDArray:
        return theory.reached(np.minimum(acceptance * fade ** np.arange(DEEPEST), 1))

    def curves(acceptance: float, fade: float) -> figures.Curves:
        found = {_("i.i.d."): ("modelled", style.ORANGE, model(acceptance, 1))}
        if fade != 1:
            found[_("by position")] = ("modelled", style.GREEN, model(acceptance, fade))
        if measured is not None:
            found[_("counted")] = ("measured", style.BLUE, measured)
        return found

    def draw(acceptance: float, fade: float, depth: int, cost: float, batch: int = 1) -> list[go.Figure]:
        shown = curves(acceptance, fade)
        views = [figures.positions(shown, depth), figures.speedup(shown, cost, depth)]
        if step_s is None:
            return views
        return [*views, figures.by_batch(model(acceptance, fade), cost, depth, batch, step_s)]

    def say(acceptance: float, fade: float, depth: int, cost: float, batch: int = 1) -> str:
        reached = model(acceptance, fade)
        gain = theory.speedup_by_position(reached, cost)
        text = _(
            "At depth {depth} a step gives {tokens:.2f} tokens and is {gain:.2f} times as fast; depth {best} would be "
            "best, {most:.2f} times. An engine would report {rate:.0%} of the drafted tokens as accepted."
        )
        told = text.format(
            depth=depth,
            tokens=1 + reached[:depth].sum(),
            gain=gain[depth],
            best=int(gain.argmax()),
            most=gain.max(),
            rate=reached[:depth].mean() if depth else 0,
        )
        if measured is not None:
            real = theory.speedup_by_position(measured, cost)
            text = _("Counted: best at depth {best}, {most:.2f} times, of at most {n} that were tried.")
            told = sentences(told, text.format(best=int(real.argmax()), most=real.max(), n=measured.size))
        if step_s is not None:
            at = figures.gain_at_batch(reached, cost, [batch], step_s)[0]
            text = _("At batch {batch} this depth is {gain:.2f} times as fast, and depth {best} would be best.")
            told = sentences(told, text.format(batch=batch, gain=at[depth], best=int(at.argmax())))
        return told

    controls = {
        "acceptance": slider(_("Acceptance of a drafted token"), 0, 1, acceptance, 0.01),
        "fade": steps(_("From one position to the next (times)"), FADES, 1.0),
        "depth": slider(_("Depth (drafted tokens a step)"), 0, DEEPEST, depth),
        "cost": steps(_("Cost of a drafted token (in steps)"), sorted({*COSTS, cost}), cost),
    }
    if step_s is not None:
        controls["batch"] = steps(_("Sequences in the batch"), figures.BATCHES.tolist(), 1)
    return Explorer(controls, draw, say=say, columns=2)
