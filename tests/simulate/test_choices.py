"""Rules that choose a server: small cases by hand, and the laws of `theory.routing` where they hold."""

import numpy as np
import pytest

from servelab.errors import ServelabError
from servelab.simulate.choices import POLICIES, deal, deal_on_shared_cores, poisson_load
from servelab.theory.routing import choices, choices_tail

RHO, SERVERS = 0.8, 50


@pytest.fixture(scope="module")
def load():
    return poisson_load(RHO, SERVERS, 60_000, seed=1)


def test_round_robin_by_hand():
    done = deal([0, 1, 2, 3], [5.0, 1.0, 1.0, 1.0], 2, "round robin", warm=0)
    assert done.server.tolist() == [0, 1, 0, 1]
    assert done.wait_s.tolist() == [0, 0, 3, 0] and done.response_s.tolist() == [5, 1, 4, 1]


def test_the_shortest_queue_looks_and_the_least_work_knows():
    came, took = [0, 0.1, 0.2, 0.3], [9.0, 1.0, 1.0, 1.0]
    short = deal(came, took, 2, "shortest queue", warm=0)
    least = deal(came, took, 2, "least work", warm=0)
    assert short.server[0] != short.server[1] and least.wait_s[2:].tolist() == pytest.approx([0.9, 1.8])
    assert short.wait_s.sum() >= least.wait_s.sum()


@pytest.mark.parametrize("d", [1, 2])
def test_queues_and_responses_are_what_the_balance_says(load, d):
    done = deal(*load, SERVERS, {1: "random", 2: "two choices"}[d], seed=3)
    assert done.at_least(np.arange(5)) == pytest.approx(choices_tail(RHO, d, np.arange(5)), abs=0.02)
    assert done.response_s.mean() == pytest.approx(float(choices(RHO, 1, d).response_s), rel=0.06)


def test_each_look_more_shortens_the_tail(load):
    tails = [np.quantile(deal(*load, SERVERS, policy).response_s, 0.99) for policy in POLICIES]
    assert tails[0] > tails[1] > tails[2] > tails[3] > tails[4]


def test_random_by_weights_gives_shares(load):
    done = deal(*load, 3, "random", weights=[5, 1, 2])
    assert np.bincount(done.server) / done.server.size == pytest.approx([0.625, 0.125, 0.25], abs=0.01)


@pytest.mark.parametrize("cv", [0.0, 1.0, 3.0])
def test_a_load_has_its_utilisation_and_spread(cv):
    came, took = poisson_load(0.5, 4, 200_000, cv=cv, mean_s=2.0)
    assert took.mean() == pytest.approx(2, rel=0.05) and took.std() / took.mean() == pytest.approx(cv, rel=0.15)
    assert took.sum() / came[-1] / 4 == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("wrong", [([0], [1], 1, "by name"), ([1, 0], [1, 1], 1, "random"), ([0], [1, 2], 1, "random")])
def test_what_cannot_be_dealt_is_one_sentence(wrong):
    with pytest.raises(ServelabError, match="Deal requests"):
        deal(*wrong)


def test_on_shared_cores_whoever_is_alone_is_faster():
    # 0 alone at double speed until 1, half done; then both at single speed
    assert deal_on_shared_cores([0, 1], [4.0, 1.0], 2, "round robin", alone=2) == pytest.approx([2.5, 1.0])
    # behind a long one: the short one waits, though the other server is free
    assert deal_on_shared_cores([0, 0, 0], [4.0, 1.0, 1.0], 2, "round robin") == pytest.approx([4, 1, 5])
    assert deal_on_shared_cores([0, 0, 2], [4.0, 1.0, 1.0], 2, "shortest queue") == pytest.approx([4, 1, 1])


def test_with_a_machine_each_it_is_the_other_simulation(load):
    came, took = load[0][:4000], load[1][:4000]
    here = deal_on_shared_cores(came, took, SERVERS, "round robin")
    assert here == pytest.approx(deal(came, took, SERVERS, "round robin", warm=0).response_s)


def test_on_shared_cores_a_policy_matters_less():
    came, took = poisson_load(0.7, 2, 20_000, cv=1.5, seed=4)

    def ratio(alone):
        here = [
            deal_on_shared_cores(came, took, 2, policy, alone).mean() for policy in ("round robin", "shortest queue")
        ]
        return here[0] / here[1]

    assert 1 < ratio(2) < ratio(1)
    with pytest.raises(ServelabError, match="Deal requests"):
        deal_on_shared_cores(came, took, 2, "least work")
