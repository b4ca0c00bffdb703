"""The stopping explorer: a longer wait breaks off fewer, longer answers more, and real stops stand beside."""

from servelab.widgets.stopping import stopping

EXPLORER = stopping([1.0, 2.0, 4.0], 2.0, [(0.0, 5.0)])


def here(**changes):
    return EXPLORER.figures(**changes)[0].data[1].y[0]


def test_waiting_saves_and_length_costs():
    assert here(wait=0.0) > here(wait=1.0) > here(wait=2.0) > here(wait=10.0) == 0
    assert here(wait=1.0, longer=5.0) > here(wait=1.0)
    assert here(wait=1.0, rate=10.0) == 5 * here(wait=1.0)


def test_real_stops_are_shown_where_they_belong():
    assert len(EXPLORER.figures()[0].data) == 3
    assert len(EXPLORER.figures(rate=10.0)[0].data) == 2
    assert "breaks off" in EXPLORER.caption(wait=0.0)
