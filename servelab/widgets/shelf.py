"""More models than memory: how many stay loaded, how uneven they are asked for, and who waits for a load."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import plotly.graph_objects as go

from servelab.figures import triton as figures
from servelab.i18n import _, sentences
from servelab.theory import caching
from servelab.widgets.base import Explorer, slider, steps
from servelab.widgets.ring import zipf

MODELS = (4, 8, 12, 16)
SKEWS = (0.0, 0.4, 0.8, 1.0, 1.2, 1.5, 2.0)
LOADS = (0.2, 1.0, 5.0, 30.0)
SIZES = (50, 500, 2000, 15000)
REQUESTS = 400


@lru_cache(maxsize=64)
def shares(models: int, skew: float) -> dict[str, tuple[float, ...]]:
    """Percent of `REQUESTS` requests that need a load, for 1 to `models` places, by policy (simulated)."""
    trace, rooms = zipf(skew, models, REQUESTS), range(1, models + 1)
    depth = caching.reuse_distances(trace)
    found = {"lru": tuple(100 * float((depth > room).mean()) for room in rooms)}
    for policy in ("fifo", "optimal"):
        found[policy] = tuple(100 * float(1 - caching.hits(trace, room, policy).mean()) for room in rooms)
    return {policy: found[policy] for policy in figures.policies()}


def shelf(models: int = 8, room: int = 3, *, skew: float = 1.0, load_s: float = 1.0, model_mb: int = 500) -> Explorer:
    """Explorer: a server that has more models than memory for them: loads, waiting and memory, by policy.

    Args:
        models, room: models in the repository, and how many may be loaded, to begin with.
        skew: Zipf exponent of their popularity.
        load_s, model_mb: what it takes to load one, and what it holds then.
    """

    def draw(models: int, room: int, skew: float, load_s: float, model_mb: int) -> list[go.Figure]:
        found, here = shares(models, skew), min(room, models)
        waits = {policy: np.array(values) / 100 * load_s for policy, values in found.items()}
        memory = model_mb * np.arange(1, models + 1)
        return [
            figures.shelf(range(1, models + 1), found, chosen=here),
            figures.price(memory.tolist(), {policy: values.tolist() for policy, values in waits.items()}, here - 1),
        ]

    def say(models: int, room: int, skew: float, load_s: float, model_mb: int) -> str:
        here = min(room, models)
        lru = shares(models, skew)["lru"][here - 1] / 100
        text = _(
            "{room} of {models} loaded (LRU): {share:.0%} of the requests wait for a load, {wait:.2g} s on average."
        )
        saved = _("The shelf takes {held:,} MB instead of {all:,} MB.")
        return sentences(
            text.format(room=here, models=models, share=lru, wait=lru * load_s),
            saved.format(held=here * model_mb, all=models * model_mb),
        )

    controls = {
        "room": slider(_("Models that may be loaded"), 1, max(MODELS), room),
        "models": steps(_("Models in the repository"), sorted({*MODELS, models}), models),
        "skew": steps(_("Skew of their popularity (Zipf exponent)"), sorted({*SKEWS, skew}), skew),
        "load_s": steps(_("One load takes (s)"), sorted({*LOADS, load_s}), load_s),
        "model_mb": steps(_("One model holds (MB)"), sorted({*SIZES, model_mb}), model_mb),
    }
    return Explorer(controls, draw, say=say, columns=2)
