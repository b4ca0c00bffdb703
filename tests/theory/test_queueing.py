"""Queues against numbers worked by hand, against each other where two laws meet, and against simulated ones."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servelab.errors import ServelabError
from servelab.simulate import queueing as simulated
from servelab.theory import queueing

loads = st.floats(0.01, 0.95)
rates = st.floats(0.1, 1000)
cvs = st.floats(0, 5)


def waits(gaps, services):
    """Lindley's recursion, first come first served."""
    wait = np.zeros(len(gaps))
    for i in range(1, len(gaps)):
        wait[i] = max(0.0, wait[i - 1] + services[i - 1] - gaps[i])
    return wait


def test_the_worked_example():
    queue = queueing.mm1(8, 10)
    assert (queue.wait_s, queue.response_s) == (pytest.approx(0.4), pytest.approx(0.5))
    assert (queue.in_queue, queue.in_system, queue.utilization) == (
        pytest.approx(3.2),
        pytest.approx(4),
        pytest.approx(0.8),
    )


def test_the_seed_s_form_is_a_number_of_requests_and_no_time():
    assert queueing.seed_form(8, 10) == pytest.approx(4) == queueing.mm1(8, 10).in_system
    assert queueing.seed_form(8, 10) / queueing.mm1(8, 10).wait_s == pytest.approx(10)
    minutes = queueing.mm1(8 * 60, 10 * 60)
    assert minutes.wait_s * 60 == pytest.approx(queueing.mm1(8, 10).wait_s)  # the same time, counted in minutes
    assert queueing.seed_form(8 * 60, 10 * 60) == pytest.approx(4)  # and this did not change: it is no time


@given(rho=loads, mu=rates, cv=cvs)
def test_little_and_the_parts_hold_everywhere(rho, mu, cv):
    lam = rho * mu
    for queue in (
        queueing.mm1(lam, mu),
        queueing.md1(lam, mu),
        queueing.mg1(lam, mu, cv),
        queueing.mmc(lam, mu / 3, 3),
        queueing.kingman(lam, mu, 1, cv),
        queueing.ps(lam, mu),
    ):
        assert queue.in_system == pytest.approx(lam * queue.response_s)
        assert queue.in_queue == pytest.approx(lam * queue.wait_s)
        assert queue.utilization == pytest.approx(rho)
        assert queue.response_s > queue.wait_s >= 0


@given(rho=loads, mu=rates, cv=cvs)
def test_where_two_laws_meet(rho, mu, cv):
    lam = rho * mu
    assert queueing.mg1(lam, mu, 1).wait_s == pytest.approx(queueing.mm1(lam, mu).wait_s)
    assert queueing.md1(lam, mu).wait_s == pytest.approx(queueing.mm1(lam, mu).wait_s / 2)
    assert queueing.mmc(lam, mu, 1).wait_s == pytest.approx(queueing.mm1(lam, mu).wait_s)
    assert queueing.kingman(lam, mu, 1, cv).wait_s == pytest.approx(queueing.mg1(lam, mu, cv).wait_s)
    assert queueing.kingman_bound(lam, mu, 1, cv) >= queueing.mg1(lam, mu, cv).wait_s * (1 - 1e-9)
    assert queueing.state_dependent(lam, [mu]).wait_s == pytest.approx(queueing.mm1(lam, mu).wait_s)


@given(rho=loads, mu=rates, c=st.integers(1, 40))
def test_servers_are_a_speed_that_depends_on_the_number(rho, mu, c):
    lam = rho * mu * c
    chain = queueing.state_dependent(lam, mu * np.arange(1, c + 1))
    closed = queueing.mmc(lam, mu, c)
    assert chain.response_s == pytest.approx(closed.response_s)
    assert chain.wait_s == pytest.approx(closed.wait_s, abs=1e-12)


def test_erlang_by_hand():
    """a = 2, c = 3: B = (8/6) / (1 + 2 + 2 + 8/6) = 4/19, C = 4/9."""
    assert queueing.erlang_b(2, 3) == pytest.approx(4 / 19)
    assert queueing.erlang_c(2, 3) == pytest.approx(4 / 9)
    assert queueing.erlang_b(900.0, 1000) < 1e-3  # 1000! would have overflowed


@given(rho=loads, mu=rates, c=st.integers(2, 30))
def test_one_fast_server_beats_many_slow_ones_and_pooling_beats_apart(rho, mu, c):
    pooled, apart = queueing.mmc(rho * mu * c, mu, c), queueing.mm1(rho * mu, mu)
    fast = queueing.mm1(rho * mu * c, mu * c)
    assert fast.response_s <= pooled.response_s <= apart.response_s * (1 + 1e-12)


def test_saturation_is_infinite_and_nothing_else():
    queue = queueing.mm1(np.array([0, 5, 10, 20]), 10)
    assert np.isinf(queue.wait_s).tolist() == [False, False, True, True]
    assert queue.wait_s[0] == queue.in_system[0] == 0 and queue.response_s[0] == pytest.approx(0.1)
    assert np.isinf(queueing.kingman_bound([0, 5, 10], 10, 1, 1)).tolist() == [True, False, True]
    assert np.isinf(queueing.bulk(40, [0.1, 0.05]).wait_s) and np.isinf(queueing.state_dependent(3, [1, 2]).wait_s)


@pytest.mark.parametrize("cv", [0.0, 0.5, 1.0, 2.0])
def test_pollaczek_khinchine_against_a_simulated_queue(cv):
    rng, n, lam, mu = np.random.default_rng(7), 200_000, 7.0, 10.0
    services = np.full(n, 1 / mu) if cv == 0 else rng.gamma(1 / cv**2, cv**2 / mu, n)
    wait = waits(rng.exponential(1 / lam, n), services)[n // 20 :]
    error = np.array([b.mean() for b in np.array_split(wait, 20)]).std(ddof=1) / 20**0.5
    assert abs(wait.mean() - queueing.mg1(lam, mu, cv).wait_s) < 4 * error


def test_kingman_is_close_for_regular_and_bursty_arrivals_near_saturation():
    rng, n, lam, mu = np.random.default_rng(8), 200_000, 9.0, 10.0
    for cv in (0.5, 2.0):
        wait = waits(rng.gamma(1 / cv**2, cv**2 / lam, n), rng.exponential(1 / mu, n))
        assert wait.mean() == pytest.approx(queueing.kingman(lam, mu, cv, 1).wait_s, rel=0.25)
        assert wait.mean() < queueing.kingman_bound(lam, mu, cv, 1) * 1.1


def test_quantiles_of_mm1():
    assert queueing.mm1_quantile(8, 10, 0.5) == pytest.approx(0.5 * np.log(2))
    assert queueing.mm1_quantile(8, 10, [0.9, 0.99]).tolist() == pytest.approx([0.5 * np.log(10), 0.5 * np.log(100)])


def shared(lam, sizes, seed, speed=lambda k: 1.0):
    """Mean response of a simulated processor-sharing server whose total speed depends on how many it serves."""
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1 / lam, len(sizes)))
    now, i, left, start, spent = 0.0, 0, {}, {}, []
    while i < len(sizes) or left:
        rate = speed(len(left)) / len(left) if left else 0.0
        first = min(left, key=left.get) if left else None
        ends = now + left[first] / rate if left else np.inf
        comes = arrivals[i] if i < len(sizes) else np.inf
        step = min(ends, comes) - now
        for k in left:
            left[k] -= step * rate
        now += step
        if comes <= ends:
            left[i], start[i] = sizes[i], now
            i += 1
        else:
            del left[first]
            spent.append(now - start[first])
    return np.mean(spent)


@pytest.mark.parametrize("cv", [0.0, 2.0])
def test_processor_sharing_does_not_see_the_distribution_of_sizes(cv):
    rng = np.random.default_rng(1)
    sizes = np.full(20_000, 0.1) if cv == 0 else rng.gamma(1 / cv**2, cv**2 / 10, 20_000)
    assert shared(6, sizes, 2) == pytest.approx(queueing.ps(6, 10).response_s, rel=0.08)
    assert queueing.ps_response_s(6, 10, 0.2) == pytest.approx(0.5)


@pytest.mark.parametrize("cv", [0.0, 1.0])
def test_a_batching_engine_is_sharing_with_a_speed_that_grows(cv):
    """50 + 5 k ms a step, answers of 20 tokens: 18 times the speed of one at most."""
    k = np.arange(1, 201)
    queue = queueing.state_dependent(2.5, k / (20 * (0.05 + 0.005 * k)))
    rng = np.random.default_rng(3)
    tokens = np.full(12_000, 20.0) if cv == 0 else rng.exponential(20.0, 12_000)
    simulated = shared(2.5, tokens, 4, speed=lambda n: n / (0.05 + 0.005 * n))
    assert simulated == pytest.approx(queue.response_s, rel=0.06)
    assert queue.wait_s == pytest.approx(0, abs=1e-9)


def served_in_bulk(lam, batch_s, exponential, n, seed):
    rng = np.random.default_rng(seed)
    arrivals, now, i, total = np.cumsum(rng.exponential(1 / lam, n)), 0.0, 0, 0.0
    while i < n:
        now = max(now, arrivals[i])
        size = min(len(batch_s), int(np.searchsorted(arrivals, now, side="right")) - i)
        now += batch_s[size - 1] * (rng.exponential() if exponential else 1)
        total += (now - arrivals[i : i + size]).sum()
        i += size
    return total / n


@pytest.mark.parametrize("exponential", [False, True])
def test_bulk_service_against_a_simulated_one(exponential):
    batch = 0.05 + 0.01 * np.arange(1, 9)
    queue = queueing.bulk(40, batch, exponential)
    assert served_in_bulk(40, batch, exponential, 100_000, 5) == pytest.approx(queue.response_s, rel=0.03)


@given(rho=st.floats(0.05, 0.85), mu=rates)
def test_a_batch_of_one_is_the_plain_queue(rho, mu):
    assert queueing.bulk(rho * mu, [1 / mu]).wait_s == pytest.approx(queueing.md1(rho * mu, mu).wait_s, rel=1e-6)
    assert queueing.bulk(rho * mu, [1 / mu], exponential=True).wait_s == pytest.approx(
        queueing.mm1(rho * mu, mu).wait_s, rel=1e-6
    )


@given(rho=st.floats(0.1, 0.8), b=st.integers(2, 12))
def test_equal_exponential_batches_are_geometric(rho, b):
    """M/M/1 with batches of up to b: the number waiting falls by the root r of mu r^(b+1) - (lam + mu) r + lam."""
    lam = rho * b
    polynomial = np.zeros(b + 2)
    polynomial[0], polynomial[-2], polynomial[-1] = 1, -(lam + 1), lam
    roots = np.roots(polynomial)
    r = next(z.real for z in roots if abs(z.imag) < 1e-9 and 1e-6 < z.real < 1 - 1e-6)
    busy = lam / (lam + 1 - r)  # who leaves nobody waiting, at rate 1 - r, lets the server idle for 1 / lam
    queue = queueing.bulk(lam, np.ones(b), exponential=True)
    assert queue.in_queue == pytest.approx(busy * r / (1 - r), rel=1e-6)


@settings(max_examples=25)
@given(lam=st.floats(1, 60), fixed=st.floats(0.001, 0.2), each=st.floats(0.001, 0.012))
def test_the_closed_bound_of_dynamic_batching_holds_and_is_tight(lam, fixed, each):
    bound = queueing.dynamic_batching_bound_s(lam, fixed, each)
    exact = queueing.bulk(lam, fixed + each * np.arange(1, 201)).response_s
    assert exact <= bound * (1 + 1e-6)
    assert bound <= exact * 1.15


@pytest.mark.parametrize(("lam", "mu"), [(-1, 10), (1, 0), (1, -2)])
def test_impossible_queues_are_refused(lam, mu):
    for queue in (queueing.mm1, queueing.md1, queueing.ps):
        with pytest.raises(ServelabError):
            queue(lam, mu)


def test_no_servers_no_seats_and_a_chain_too_long_are_refused():
    for call in (
        lambda: queueing.mmc(1, 1, 0),
        lambda: queueing.state_dependent(1, []),
        lambda: queueing.bulk(1, []),
        lambda: queueing.bulk(0.99999, [1.0]),
    ):
        with pytest.raises(ServelabError):
            call()


def test_a_queue_is_plain_numbers_for_plain_numbers():
    assert all(isinstance(v, float) for v in dataclasses.asdict(queueing.mm1(8, 10)).values())
    assert queueing.mm1(np.array([1.0, 2.0]), 10).wait_s.shape == (2,)


@pytest.mark.parametrize("servers", [1, 3])
def test_an_observed_queue_gives_back_the_waits_that_made_it(servers):
    rng = np.random.default_rng(servers)
    came = np.cumsum(rng.exponential(0.5 / servers, 400))
    took = rng.gamma(4, 0.1, 400)
    waited = simulated.waits(came, took, servers)
    shuffled = rng.permutation(400)
    seen = queueing.observed(came[shuffled], (came + waited + took)[shuffled], servers)
    assert seen.waits_s == pytest.approx(waited)
    assert (seen.service_s, seen.service_cv) == (pytest.approx(took.mean()), pytest.approx(took.std() / took.mean()))
    assert seen.rate == pytest.approx(399 / (came[-1] - came[0]))
    assert seen.utilization == pytest.approx(seen.rate * took.mean() / servers)
    assert seen.arrival_cv == pytest.approx(1, abs=0.15)


def test_an_observed_queue_leaves_out_who_failed():
    whole = queueing.observed([0, 1, 2, 3], [2, 3, 4, 5])
    assert whole.waits_s.tolist() == [0, 1, 1, 1] and whole.service_s == pytest.approx(1.25)
    assert queueing.observed([0, 1, 1.5, 2, 3], [2, 3, np.nan, 4, 5]).waits_s.tolist() == [0, 1, 1, 1]


def test_an_observed_queue_with_too_many_at_once_is_refused():
    with pytest.raises(ServelabError, match="More than 1 requests"):
        queueing.observed([0, 1, 2], [5, 4, 6])
    assert queueing.observed([0, 1, 2], [5, 4, 6], 3).waits_s.tolist() == [0, 0, 0]
    with pytest.raises(ServelabError, match="at least three"):
        queueing.observed([0, 1], [5, 6])
