"""The doors: alone vLLM saves the second server, in company one server saves it; time does not know the company."""

import pytest

from servelab.figures.doors import Door
from servelab.widgets.doors import doors


@pytest.fixture(scope="module")
def explorer():
    return doors(Door(0.1, 0.02, 3000, 25), Door(0.12, 0.025, 3060, 30), server_mb=50, each_mb=30)


def test_time_follows_the_tokens_only(explorer):
    answers, _memory = explorer.figures(tokens=16, models=5)
    plain, inside = answers.data
    at = list(plain.x).index(16)
    assert plain.y[at] == pytest.approx(0.4) and inside.y[at] == pytest.approx(0.495)
    assert "0.40 s" in explorer.caption(tokens=16) and "+24%" in explorer.caption(tokens=16)


def test_without_others_two_servers_are_one(explorer):
    apart, together = explorer.figures()[1].data
    assert (apart.y[0], together.y[0]) == (3000, 3060)
    assert "3,000 MB for vLLM alone" in explorer.caption(models=0)


def test_with_others_the_second_server_is_paid(explorer):
    apart, together = explorer.figures(models=3)[1].data
    assert (apart.y[3], together.y[3]) == (3000 + 50 + 90, 3060 + 90)
    assert "3,140 MB in two servers, 3,150 MB in one" in explorer.caption(models=3)
