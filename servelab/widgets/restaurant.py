"""The restaurant: four sliders over one kitchen, drawn as a restaurant and as an inference engine."""

from __future__ import annotations

import plotly.graph_objects as go

from servelab.figures import serving
from servelab.i18n import _, sentences
from servelab.theory.kitchen import Kitchen
from servelab.widgets.base import Explorer, slider, steps

SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)


def restaurant(recipes_s: float, dish_s: float, cooks: int = 2, dishes: int = 32) -> Explorer:
    """The explorer for a machine.

    Args:
        recipes_s: seconds to read the weights once.
        dish_s: seconds one compute unit needs for the arithmetic of one token.
        cooks: compute units the machine has; where the first slider stands.
        dishes: tokens of every answer.
    """

    def state(cooks: int, batch: int, space: int, guests: int) -> Kitchen:
        return Kitchen(cooks, batch, space, guests, recipes_s, dish_s, dishes)

    def draw(**values: int) -> list[go.Figure]:
        here = state(**values)
        return [serving.kitchen(here), serving.rounds(here)]

    def say(**values: int) -> str:
        here = state(**values)
        waits = {
            "recipes": _("A round waits for the recipe book (the weights): more cooks would not help."),
            "cooks": _("A round waits for the cooks (arithmetic): a larger batch makes every guest wait longer."),
        }[here.limit]
        held = {
            "guests": _("Everyone is being served."),
            "space": _("The counter (the KV cache) keeps the round from growing."),
            "batch": _("The batch limit keeps the round from growing."),
        }[here.held_by]
        last = _("Every guest orders {dishes} dishes; the last one gets the first of them after {seconds:.1f} s.")
        last = last.format(dishes=dishes, seconds=here.last_wait_s)
        return sentences(waits, held, last)

    return Explorer(
        {
            "cooks": slider(_("Cooks (compute units)"), 1, 16, cooks),
            "batch": steps(_("Batch (pots at once)"), SIZES, 8),
            "space": steps(_("Kitchen space (KV cache)"), SIZES, 32),
            "guests": steps(_("Guests (requests)"), (*SIZES, 96, 128), 24),
        },
        draw,
        say=say,
    )
