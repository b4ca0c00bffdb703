"""A ring of hashes: nodes, their points, a bound of the loads and hot keys, and what it does to load and to moves."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from functools import lru_cache

import numpy as np
import plotly.graph_objects as go

from servelab.figures import ring as figures
from servelab.i18n import _, sentences
from servelab.theory import routing as theory
from servelab.theory.routing import Ring
from servelab.widgets.base import Explorer, slider, steps

POINTS = (1, 2, 5, 10, 20, 50, 100)
BOUNDS = (0.0, 0.05, 0.1, 0.25, 0.5, 1.0)
SKEWS = (0.0, 0.4, 0.6, 0.8, 1.0, 1.2, 1.5)
KEYS = 400
REQUESTS = 1000
MOVED = 1000
MOST_NODES = 10


@lru_cache(maxsize=256)
def _ring(nodes: int, vnodes: int) -> Ring:
    return Ring(range(1, nodes + 1), vnodes)


@lru_cache(maxsize=16)
def zipf(skew: float, keys: int = KEYS, requests: int = REQUESTS, seed: int = 0) -> tuple[int, ...]:
    """Keys of requests in order, key k drawn with a chance in proportion to k ** -skew; 0 for equal chances."""
    chance = np.arange(1, keys + 1) ** -float(skew)
    return tuple(np.random.default_rng(seed).choice(np.arange(1, keys + 1), requests, p=chance / chance.sum()).tolist())


def ring(nodes: int = 4, vnodes: int = 20, *, skew: float = 0.8, recorded: Sequence[Hashable] = ()) -> Explorer:
    """Explorer: the ring, the nodes' load against the fair share, and keys that move.

    Args:
        nodes, vnodes: nodes on the ring and points of each, to begin with.
        skew: Zipf exponent of the keys' popularity, to begin with.
        recorded: keys of real requests in order (sessions, prefixes, users), laid over the simulated ones.
    """
    recorded = tuple(recorded)

    def placed(trace: Sequence[Hashable], on: Ring, epsilon: float) -> np.ndarray:
        return on.owners(trace) if math.isinf(epsilon) else on.bounded(trace, epsilon)

    def draw(nodes: int, vnodes: int, epsilon: float, skew: float) -> list[go.Figure]:
        here, trace = _ring(nodes, vnodes), zipf(skew)
        owners = placed(trace, here, epsilon)
        bars = {_("keys of this skew"): ("simulated", np.bincount(owners, minlength=nodes))}
        if recorded:
            real = np.bincount(placed(recorded, here, epsilon), minlength=nodes)
            bars[_("recorded keys")] = ("measured", real)
        return [
            figures.circle(here, trace, owners),
            figures.loads(here.nodes, bars, epsilon),
            figures.moves(_moves(nodes, vnodes)),
        ]

    def say(nodes: int, vnodes: int, epsilon: float, skew: float) -> str:
        here, trace = _ring(nodes, vnodes), zipf(skew)
        home, owners = here.owners(trace), placed(trace, here, epsilon)
        most = np.bincount(owners, minlength=nodes).max() * nodes / len(trace)
        hottest = np.bincount(trace).max() / len(trace)
        text = _("The fullest node holds {most:.2f} times its fair share; the hottest key makes {hottest:.0%} of all.")
        shares = here.arc_shares()
        uneven = _("The nodes' arcs deviate by {found:.0%} of their mean; random points would by {expected:.0%}.")
        told = sentences(
            uneven.format(found=float(shares.std() * nodes), expected=float(theory.arc_cv(nodes, vnodes))),
            text.format(most=most, hottest=hottest),
        )
        if math.isfinite(epsilon):
            away = _("{share:.0%} of the requests went to another node than their key's: its cache misses them.")
            told = sentences(told, away.format(share=float((home != owners).mean())))
        if recorded:
            real = np.bincount(placed(recorded, here, epsilon), minlength=nodes).max() * nodes / len(recorded)
            told = sentences(told, _("With the recorded keys it is {most:.2f} times.").format(most=real))
        return told

    bounds = [*((f"{bound:.0%}", bound) for bound in BOUNDS), (_("without a bound"), math.inf)]
    controls = {
        "nodes": slider(_("Nodes"), 2, max(MOST_NODES, nodes), nodes),
        "vnodes": steps(_("Virtual nodes of each"), sorted({*POINTS, vnodes}), vnodes),
        "epsilon": steps(_("Above the mean at most (ε)"), bounds, math.inf),
        "skew": steps(_("Skew of the keys (Zipf exponent)"), sorted({*SKEWS, skew}), skew),
    }
    return Explorer(controls, draw, say=say, columns=2)


@lru_cache(maxsize=256)
def _moves(nodes: int, vnodes: int) -> dict[str, dict[str, tuple[float, float]]]:
    """Shares of keys that move, counted and expected, when a node joins and when one leaves."""
    keys, here = range(1, MOVED + 1), _ring(nodes, vnodes)
    before, found = theory.modulo_owner(keys, nodes), {}
    for name, after in ((_("a node joins"), nodes + 1), (_("a node leaves"), nodes - 1)):
        most = max(nodes, after)
        found[name] = {
            _("ring"): (theory.moved(here, _ring(after, vnodes), keys), 1 / most),
            _("hash modulo nodes"): (float((before != theory.modulo_owner(keys, after)).mean()), 1 - 1 / most),
        }
    return found
