"""What the ring figures draw: every arc and key in its owner's colour, loads against the bound, what moves."""

import numpy as np
import pytest

from servelab.figures import ring as figures
from servelab.figures import style
from servelab.theory.routing import Ring

RING = Ring(range(1, 5), 10)
TRACE = [1] * 50 + list(range(2, 30))


def named(fig, part):
    return next(t for t in fig.data if t.name and part in t.name)


def test_arcs_cover_the_ring_in_proportion_to_the_shares():
    fig = figures.circle(RING, TRACE, RING.owners(TRACE))
    for place, share in enumerate(RING.arc_shares()):
        arcs = fig.data[place]
        x, y = (np.array([np.nan if v is None else v for v in values], float) for values in (arcs.x, arcs.y))
        assert np.nanmax(np.abs(np.hypot(x, y) - 1)) < 1e-9
        length = np.nansum(np.hypot(np.diff(x), np.diff(y))) / (2 * np.pi)
        assert length == pytest.approx(share, rel=0.01)


def test_keys_have_their_owner_s_colour_and_hot_ones_are_larger():
    keys = figures.circle(RING, TRACE, RING.owners(TRACE)).data[-1]
    assert (
        "1: 50 requests" in keys.text and max(keys.marker.size) == keys.marker.size[keys.text.index("1: 50 requests")]
    )
    assert keys.marker.color[0] == style.colour(int(RING.owners([1])[0]))
    assert set(keys.marker.symbol) == {"circle"}


def test_a_key_whose_requests_were_passed_on_is_hollow():
    keys = figures.circle(RING, TRACE, RING.bounded(TRACE, 0.1)).data[-1]
    assert keys.marker.symbol[keys.text.index("1: 50 requests")] == "circle-open"


def test_loads_are_shares_beside_the_fair_one_and_the_bound():
    fig = figures.loads(RING.nodes, {"keys": ("simulated", [10, 20, 30, 40])}, 0.5)
    assert fig.data[0].y == pytest.approx((10, 20, 30, 40))
    assert [shape.y0 for shape in fig.layout.shapes] == pytest.approx([25, 37.5])
    assert len(figures.loads(RING.nodes, {"keys": ("simulated", [1, 1, 1, 1])}).layout.shapes) == 1


def test_moves_say_what_was_found_and_expected():
    fig = figures.moves({"a node joins": {"ring": (0.22, 0.2), "modulo": (0.79, 0.8)}})
    assert [t.y[0] for t in fig.data] == pytest.approx([22, 79])
    assert fig.data[0].text == ("22 %<br>expected 20 %",)


def test_spread_stars_the_ring_shown():
    fig = figures.spread(4, 10, {1: [0.7, 0.9], 10: [0.2, 0.3]})
    star = named(fig, "the ring shown")
    assert (star.x, star.y) == ((10,), (20,))
    assert len(named(fig, "rings").x) == 4
