"""How long requests wait for a server that is sometimes busy: the classical queues, and two for engines that batch.

Rates are per second, times in seconds: `arrivals` is lambda, `service_rate` mu, rho = lambda / mu (per server).
Arrivals are a Poisson process unless a function says otherwise; service times are independent of them. A queue with
rho >= 1 has no steady state: its waits and numbers are infinite. Every function takes numbers or numpy arrays,
except `bulk` and `state_dependent`, which take one arrival rate.

An engine is none of the simple ones. Its prefill, one prompt after the other, is near M/D/1 or M/G/1; its decode,
which serves all at once and each the slower the more there are, is near processor sharing with a rate that depends
on how many share it (`state_dependent`); an engine that forms batches and lets nobody in until one ends is `bulk`.

Sources: Kleinrock, "Queueing Systems", vol. 1 (1975); Harchol-Balter, "Performance Modeling and Design of Computer
Systems" (2013). Numbers in queue and system follow from the times by Little's law (1961).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from servelab.errors import ServelabError
from servelab.i18n import _


@dataclass(frozen=True)
class Queue:
    """A queue in steady state, means. Fields have the inputs' shape: numbers for numbers, arrays for arrays.

    Attributes:
        wait_s: seconds before service begins (W_q).
        response_s: seconds from arrival to departure (W).
        in_queue: requests that wait (L_q).
        in_system: requests that wait or are served (L).
        utilization: share of time a server is busy (rho); 1 or more is unstable.
    """

    wait_s: NDArray[np.float64]
    response_s: NDArray[np.float64]
    in_queue: NDArray[np.float64]
    in_system: NDArray[np.float64]
    utilization: NDArray[np.float64]

    @classmethod
    def of(cls, *means: ArrayLike) -> Queue:
        """The five means, in the fields' order."""
        return cls(*(np.asarray(m, float)[()] for m in means))


def _checked(*values: ArrayLike) -> list[NDArray[np.float64]]:
    arrays = [np.asarray(v, float) for v in values]
    if (arrays[0] < 0).any() or any((a <= 0).any() for a in arrays[1:]):
        raise ServelabError(_("A queue needs arrivals of at least 0 a second and service that takes time."))
    return arrays


def _queue(arrivals: NDArray, wait: NDArray, service: NDArray, rho: NDArray) -> Queue:
    """From waits, with everything infinite where rho >= 1."""
    wait = np.where(rho < 1, wait, np.inf)
    response = wait + service
    busy = arrivals > 0
    shape = np.broadcast(arrivals, response).shape
    in_queue = np.multiply(arrivals, wait, where=busy, out=np.zeros(shape))
    in_system = np.multiply(arrivals, response, where=busy, out=np.zeros(shape))
    return Queue.of(wait, response, in_queue, in_system, rho)


def _over(rho: NDArray) -> NDArray:
    """rho / (1 - rho) below 1; not used at or above it."""
    return rho / np.where(rho < 1, 1 - rho, 1.0)


def mm1(arrivals: ArrayLike, service_rate: ArrayLike) -> Queue:
    """M/M/1, first come first served: exponential service. W = 1 / (mu - lambda), W_q = rho W.

    lambda = 8, mu = 10: 0.4 s waiting, 0.5 s in all, 4 in the system. Kleinrock vol. 1, section 3.2.
    """
    lam, mu = _checked(arrivals, service_rate)
    rho = lam / mu
    return _queue(lam, _over(rho) / mu, 1 / mu, rho)


def seed_form(arrivals: ArrayLike, service_rate: ArrayLike) -> NDArray[np.float64]:
    """The short form lambda / (mu - lambda), called a queueing TIME.

    It is the mean number in an M/M/1 system, which has no unit: 4 at lambda = 8, mu = 10, where a request waits
    0.4 s. Count time in minutes and a time changes its number; this one does not.
    """
    lam, mu = _checked(arrivals, service_rate)
    return lam / (mu - lam)


def mm1_quantile(arrivals: ArrayLike, service_rate: ArrayLike, q: ArrayLike) -> NDArray[np.float64]:
    """The time in an M/M/1 system that a share q of requests does not exceed: -ln(1 - q) W; it is exponential."""
    return -np.log1p(-np.asarray(q, float)) * mm1(arrivals, service_rate).response_s


def md1(arrivals: ArrayLike, service_rate: ArrayLike) -> Queue:
    """M/D/1: every service takes exactly 1/mu. Waits are half of M/M/1's."""
    return mg1(arrivals, service_rate, 0.0)


def mg1(arrivals: ArrayLike, service_rate: ArrayLike, cv: ArrayLike) -> Queue:
    """M/G/1: service times of any distribution, with coefficient of variation `cv` (deviation over mean).

    W_q = lambda E[S^2] / (2 (1 - rho)) = rho / (1 - rho) x (1 + cv^2) / 2 x E[S]: Pollaczek-Khinchine; Kleinrock
    vol. 1, chapter 5. First come first served, or any order that does not look at sizes.
    """
    lam, mu = _checked(arrivals, service_rate)
    rho = lam / mu
    return _queue(lam, _over(rho) * (1 + np.square(cv)) / 2 / mu, 1 / mu, rho)


def erlang_b(offered: ArrayLike, servers: int) -> NDArray[np.float64]:
    """Share of requests that find all `servers` busy and leave (M/G/c/c); `offered` = lambda / mu.

    By the recursion B(c) = a B(c-1) / (c + a B(c-1)), which does not overflow. Kleinrock vol. 1, section 3.7.
    """
    a = np.asarray(offered, float)
    blocked = np.ones_like(a)
    for c in range(1, servers + 1):
        blocked = a * blocked / (c + a * blocked)
    return blocked


def erlang_c(offered: ArrayLike, servers: int) -> NDArray[np.float64]:
    """Share of requests that must wait in M/M/c: B / (1 - rho (1 - B)); 1 where rho >= 1."""
    rho = np.asarray(offered, float) / servers
    blocked = erlang_b(offered, servers)
    return np.where(rho < 1, blocked / np.where(rho < 1, 1 - rho * (1 - blocked), 1), 1.0)


def mmc(arrivals: ArrayLike, service_rate: ArrayLike, servers: int) -> Queue:
    """M/M/c: one queue, `servers` servers of rate mu each. W_q = C(c, lambda/mu) / (c mu - lambda).

    C is Erlang's delay formula. Kleinrock vol. 1, section 3.5.

    Raises:
        ServelabError: fewer than one server.
    """
    lam, mu = _checked(arrivals, service_rate)
    if servers < 1:
        raise ServelabError(_("A queue needs at least one server."))
    rho = lam / (servers * mu)
    spare = np.where(rho < 1, servers * mu - lam, 1.0)
    return _queue(lam, erlang_c(lam / mu, servers) / spare, 1 / mu, rho)


def kingman(
    arrivals: ArrayLike, service_rate: ArrayLike, arrival_cv: ArrayLike, service_cv: ArrayLike, servers: ArrayLike = 1
) -> Queue:
    """G/G/c: any arrivals and any service, by their coefficients of variation. An APPROXIMATION, best near rho = 1.

    W_q ~ rho / (1 - rho) x (c_a^2 + c_s^2) / 2 x E[S] (Kingman, Proc. Cambridge Phil. Soc. 57, 1961); exact for
    M/G/1. For more servers rho / (1 - rho) becomes rho^(sqrt(2 (c + 1)) - 1) / (c (1 - rho)) (Sakasegawa 1977).
    Gaps between arrivals must be independent: bursts that last are worse than this says.
    """
    lam, mu, c = _checked(arrivals, service_rate, servers)
    rho = lam / (c * mu)
    crowd = rho ** (np.sqrt(2 * (c + 1)) - 1) / (c * np.where(rho < 1, 1 - rho, 1.0))
    return _queue(lam, crowd * (np.square(arrival_cv) + np.square(service_cv)) / 2 / mu, 1 / mu, rho)


def kingman_bound(
    arrivals: ArrayLike, service_rate: ArrayLike, arrival_cv: ArrayLike, service_cv: ArrayLike
) -> NDArray[np.float64]:
    """What the mean wait of a stable G/G/1 never exceeds: (c_a^2 / rho^2 + c_s^2) rho / (2 (1 - rho)) E[S].

    W_q <= lambda (var A + var S) / (2 (1 - rho)): Kingman, "Some inequalities for the queue GI/G/1", Biometrika 49,
    1962. Near saturation it is Kingman's approximation; at low load it says little, and at lambda = 0 nothing.
    """
    lam, mu = _checked(arrivals, service_rate)
    rho = lam / mu
    bounded = (rho > 0) & (rho < 1)
    load = np.where(bounded, rho, 0.5)
    wait = (np.square(arrival_cv) / load + np.square(service_cv) * load) / (2 * (1 - load)) / mu
    return np.where(bounded, wait, np.inf)


@dataclass(frozen=True)
class Observed:
    """A queue as it really ran, seen from outside: what the formulas ask for, and what they predict.

    Attributes:
        rate: arrivals/s, over the time from the first to the last.
        arrival_cv: deviation over mean of the gaps between arrivals.
        service_s, service_cv: mean of the times in service, and their deviation over it.
        servers: how many requests were served at once at most.
        waits_s: seconds that each waited, in order of arrival, shape (requests,).
    """

    rate: float
    arrival_cv: float
    service_s: float
    service_cv: float
    servers: int
    waits_s: NDArray[np.float64]

    @property
    def utilization(self) -> float:
        """rho = lambda E[S] / c."""
        return self.rate * self.service_s / self.servers


def observed(arrived: ArrayLike, left: ArrayLike, servers: int = 1) -> Observed:
    """Waits and services of requests of which only arrival and departure are known.

    First come first served: a request begins when it arrives, or when the first of the `servers` seats gets free. An
    engine's seats are its `max_num_seqs`, where its memory does not run out before. If it batches, the time in
    service depends on who else is served, which no formula with a mean and a cv knows.

    Args:
        arrived: seconds at which each arrived (`intended_s` of a load's `frame()`), in any order.
        left: seconds at which each left (`last_token_s`); NaN for one that failed, which is left out.

    Raises:
        ServelabError: fewer than three requests, or more of them in service at once than there are seats.
    """
    arrived, left = np.asarray(arrived, float), np.asarray(left, float)
    known = np.isfinite(arrived) & np.isfinite(left)
    order = np.argsort(arrived[known], kind="stable")
    arrived, left = arrived[known][order], left[known][order]
    if arrived.size < 3 or servers < 1:
        raise ServelabError(_("An observed queue needs at least three requests that were served, and a server."))
    seats = [-np.inf] * servers
    began = np.empty_like(arrived)
    for i, (came, went) in enumerate(zip(arrived.tolist(), left.tolist(), strict=True)):
        began[i] = max(came, heapq.heapreplace(seats, went))
    service, gaps = left - began, np.diff(arrived)
    if (service <= 0).any():
        text = _("More than {n} requests were served at once: give the engine's own limit.")
        raise ServelabError(text.format(n=servers))
    return Observed(
        rate=float(gaps.size / gaps.sum()),
        arrival_cv=float(gaps.std() / gaps.mean()),
        service_s=float(service.mean()),
        service_cv=float(service.std() / service.mean()),
        servers=servers,
        waits_s=began - arrived,
    )


def ps(arrivals: ArrayLike, service_rate: ArrayLike) -> Queue:
    """M/G/1 with processor sharing: everybody present is served at once, each at an equal share of the speed.

    W = 1 / (mu - lambda) whatever the distribution of sizes (insensitivity). Nobody waits for service to begin:
    `wait_s` is the time lost to sharing, W - 1/mu, and `in_queue` the number that corresponds to it.
    Kleinrock, "Time-shared systems: a theoretical treatment" (JACM 1967); Harchol-Balter 2013, chapter 30.
    """
    return mm1(arrivals, service_rate)


def ps_response_s(arrivals: ArrayLike, service_rate: ArrayLike, size_s: ArrayLike) -> NDArray[np.float64]:
    """Seconds in an M/G/1-PS system for a request that alone would take `size_s`: size / (1 - rho).

    Every size is slowed by the same factor, which first come first served does not do.
    """
    lam, mu = _checked(arrivals, service_rate)
    rho = lam / mu
    return np.where(rho < 1, np.asarray(size_s, float) / np.where(rho < 1, 1 - rho, 1), np.inf)


def state_dependent(arrivals: float, completions: ArrayLike) -> Queue:
    """A server whose speed depends on how many it serves: continuous batching with a limit of seats.

    Args:
        arrivals: requests/s.
        completions: requests/s that leave while k = 1, 2, ..., K are in service, shape (K,); K is `max_num_seqs`.
            For an engine with TPOT(k) and answers of n tokens: k / (n TPOT(k)). More than K wait in order.

    p_k ~ product of lambda / mu(i): a birth-death chain (Kleinrock vol. 1, section 3.1), exact for exponential sizes.
    As long as nobody waits for a seat it is processor sharing and holds for every distribution of sizes (Cohen, "The
    multiple phase service network with generalized processor sharing", Acta Informatica 12, 1979).
    `utilization` is lambda over the speed with all seats taken. Prompts are taken as free.

    Raises:
        ServelabError: no seat, or a speed that is not above 0.
    """
    mu = np.asarray(completions, float)
    if mu.ndim != 1 or not mu.size:
        raise ServelabError(_("An engine needs at least one seat."))
    _checked(arrivals, mu)
    rho = arrivals / mu[-1]
    if arrivals == 0:
        return Queue.of(0.0, 1 / mu[0], 0.0, 0.0, 0.0)
    if rho >= 1:
        return Queue.of(np.inf, np.inf, np.inf, np.inf, rho)
    log = np.concatenate([[0.0], np.cumsum(np.log(arrivals / mu))])
    weight = np.exp(log - log.max())
    seats, last = mu.size, weight[-1]
    total = weight.sum() + last * rho / (1 - rho)
    in_queue = last * rho / (1 - rho) ** 2 / total
    in_service = (weight @ np.arange(seats + 1) + seats * last * rho / (1 - rho)) / total
    in_system = in_queue + in_service
    return Queue.of(in_queue / arrivals, in_system / arrivals, in_queue, in_system, rho)


def bulk(arrivals: float, batch_s: ArrayLike, exponential: bool = False, tolerance: float = 1e-10) -> Queue:
    """Bulk service: a free server takes all who wait, at most B, and lets nobody in until that batch ends.

    Args:
        arrivals: requests/s, Poisson.
        batch_s: mean seconds of a batch of 1, 2, ..., B requests, shape (B,).
        exponential: exponential batch times; False: exact ones.
        tolerance: share of time that the truncated chain may leave out.

    Solved numerically, no approximation but the truncation: the number waiting when a batch ends is a Markov chain
    (Bailey, "On queueing processes with bulk service", J. Royal Stat. Soc. B 16, 1954); its stationary distribution
    on 0..n, with n doubled until the mass near the end is below `tolerance`; then means over a cycle (renewal
    reward). A free server starts with a single arrival. `utilization` is lambda over B / batch_s(B).

    Raises:
        ServelabError: no batch, or so near saturation that a chain of 2048 states is too short.
    """
    times = np.asarray(batch_s, float)
    if times.ndim != 1 or not times.size:
        raise ServelabError(_("An engine needs at least one seat."))
    _checked(arrivals, times)
    seats = times.size
    rho = arrivals * times[-1] / seats
    if arrivals == 0:
        return Queue.of(0.0, times[0], 0.0, 0.0, 0.0)
    if rho >= 1:
        return Queue.of(np.inf, np.inf, np.inf, np.inf, rho)
    states = max(64, 4 * seats)
    while states <= 2048:
        waiting = np.arange(states)
        batch = np.clip(waiting, 1, seats)
        spent = times[batch - 1]
        share = _stationary(_transitions(arrivals, waiting, batch, spent, exponential))
        if share[-max(1, states // 8) :].sum() < tolerance:
            break
        states *= 2
    else:
        text = _("At {rho:.4f} of capacity the queue is too long to be computed: take a lower arrival rate.")
        raise ServelabError(text.format(rho=rho))
    cycle = share @ spent + share[0] / arrivals
    second = spent**2 * (2 if exponential else 1)
    left = np.maximum(waiting - seats, 0)
    in_queue = share @ (left * spent + arrivals * second / 2) / cycle
    in_system = in_queue + share @ (batch * spent) / cycle
    return Queue.of(in_queue / arrivals, in_system / arrivals, in_queue, in_system, rho)


def _transitions(arrivals: float, waiting: NDArray, batch: NDArray, spent: NDArray, exponential: bool) -> NDArray:
    """P[i, j]: from i waiting at the end of a batch to j at the end of the next; the last state takes the rest."""
    states = waiting.size
    left = np.maximum(waiting - batch, 0)
    came = np.arange(states) - left[:, None]
    mean = arrivals * spent[:, None]
    law = stats.geom(1 / (1 + mean), loc=-1) if exponential else stats.poisson(mean)
    chance = np.where(came >= 0, law.pmf(came), 0.0)
    chance[:, -1] = 0.0
    chance[:, -1] = np.maximum(1 - chance.sum(axis=1), 0)
    return chance


def _stationary(chance: NDArray) -> NDArray:
    """The row vector p with p P = p and sum 1."""
    n = len(chance)
    system = chance.T - np.eye(n)
    system[-1] = 1.0
    share = np.linalg.solve(system, np.eye(n)[-1])
    return np.maximum(share, 0)


def dynamic_batching_bound_s(arrivals: ArrayLike, fixed_s: ArrayLike, each_s: ArrayLike) -> NDArray[np.float64]:
    """Mean response of bulk service without a limit of the batch, batch time exactly fixed + each x B: a tight bound.

    The smaller of two upper bounds; infinite where lambda each >= 1. Inoue, "Queueing analysis of GPU-based inference
    servers with dynamic batching: A closed-form characterization", Performance Evaluation 147 (2021).
    """
    lam, fixed, each = _checked(arrivals, fixed_s, each_s)
    load = lam * each
    spare = np.where(load < 1, 1 - load, 1.0)
    low = (each + fixed) / (2 * spare) * (1 + 2 * lam * fixed + (1 - lam * fixed) / (1 + load))
    high = 1.5 * fixed / spare + each / 2 * (load + 2) / (spare * (1 + load))
    return np.where(load < 1, np.minimum(low, high), np.inf)
