"""Many servers, one request after another, and a rule that chooses: who waits how long.

Each server is a queue of its own, first come, first served, one at a time. The rule sees how many are at each server
(or at those that it draws), or how much work; it does not see the future. Small enough for a hundred thousand requests
a second of computing; for engines with their batches and caches see `servelab.simulate.cluster`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from servelab.errors import ServelabError
from servelab.i18n import _

Floats = NDArray[np.float64]
POLICIES = ("random", "round robin", "two choices", "shortest queue", "least work")


@dataclass(frozen=True)
class Dealt:
    """What a rule did, one entry a request: waiting time and service in seconds, the server, and `met`, how many were
    at a server drawn at random when it came (an unbiased look at the queues, whatever the rule)."""

    wait_s: Floats
    service_s: Floats
    server: NDArray[np.int64]
    met: NDArray[np.int64]

    @property
    def response_s(self) -> Floats:
        """Waiting and service."""
        return self.wait_s + self.service_s

    def at_least(self, length: ArrayLike) -> Floats:
        """Share of servers with at least so many requests."""
        return (self.met[:, None] >= np.atleast_1d(length)).mean(axis=0)


def deal(
    arrivals_s: ArrayLike,
    service_s: ArrayLike,
    servers: int,
    policy: str,
    *,
    weights: ArrayLike | None = None,
    warm: float = 0.1,
    seed: int = 0,
) -> Dealt:
    """Deal requests out.

    Args:
        arrivals_s, service_s: when each comes, in order, and how long it takes, shape (requests,).
        policy: one of `POLICIES`. `random` draws a server by `weights` (alike without them); `two choices` the shorter
            of two drawn; ties go to the first drawn, of all servers to one drawn at random.
        warm: share of the requests that come before the counting.

    Raises:
        ServelabError: an unknown policy, no servers, or times that do not fit together.
    """
    came, took = np.asarray(arrivals_s, float), np.asarray(service_s, float)
    if policy not in POLICIES or servers < 1 or came.shape != took.shape or not came.size or (np.diff(came) < 0).any():
        text = _("Deal requests in the order of their arrival to one server or more, by one of: {policies}.")
        raise ServelabError(text.format(policies=", ".join(POLICIES)))
    rng = np.random.default_rng(seed)
    n = came.size
    chance = None if weights is None else np.asarray(weights, float) / np.sum(weights)
    first = rng.choice(servers, n, p=chance).tolist()
    other = ((np.asarray(first) + rng.integers(1, servers, n)) % servers).tolist() if servers > 1 else first
    looked = rng.integers(servers, size=n).tolist()
    leaves: list[deque[float]] = [deque() for _server in range(servers)]
    free = [0.0] * servers
    wait, chosen, met = np.empty(n), np.empty(n, np.int64), np.empty(n, np.int64)

    def present(server: int, now: float) -> int:
        queue = leaves[server]
        while queue and queue[0] <= now:
            queue.popleft()
        return len(queue)

    for i, (now, service) in enumerate(zip(came.tolist(), took.tolist(), strict=True)):
        met[i] = present(looked[i], now)
        if policy == "random":
            to = first[i]
        elif policy == "round robin":
            to = i % servers
        elif policy == "two choices":
            to = other[i] if present(other[i], now) < present(first[i], now) else first[i]
        else:
            order = [(first[i] + k) % servers for k in range(servers)]
            loads = [present(s, now) if policy == "shortest queue" else max(free[s], now) for s in order]
            to = order[loads.index(min(loads))]
        begin = max(now, free[to])
        free[to] = begin + service
        leaves[to].append(free[to])
        wait[i], chosen[i] = begin - now, to
    counted = slice(int(n * warm), None)
    return Dealt(wait[counted], took[counted], chosen[counted], met[counted])


def deal_on_shared_cores(
    arrivals_s: ArrayLike, service_s: ArrayLike, servers: int, policy: str, alone: float = 1.0
) -> Floats:
    """Responses (s) where the servers share a machine: one that is busy alone works `alone` times as fast.

    As `deal` with `round robin` or `shortest queue`, ties in turn, as NGINX does it; at `alone` = 1 each server has a
    machine of its own. Shape (requests,).

    Args:
        service_s: seconds of each request while the others are busy, too.
        alone: 1 or more; with as many cores as all can use together, up to the number of servers.

    Raises:
        ServelabError: another policy, or times that do not fit together.
    """
    came, left = np.asarray(arrivals_s, float), np.array(service_s, float)
    known = policy in ("round robin", "shortest queue") and servers >= 1 and alone >= 1
    if not known or came.shape != left.shape or not came.size or (np.diff(came) < 0).any():
        text = _("Deal requests in the order of their arrival to one server or more, by one of: {policies}.")
        raise ServelabError(text.format(policies="round robin, shortest queue"))
    queues: list[deque[int]] = [deque() for _server in range(servers)]
    end, now, coming, turn = np.empty(came.size), 0.0, 0, 0
    while coming < came.size or any(queues):
        busy = [queue for queue in queues if queue]
        speed = alone if len(busy) == 1 else 1.0
        until = min((left[queue[0]] / speed for queue in busy), default=np.inf)
        arrives = came[coming] - now if coming < came.size else np.inf
        step = min(until, arrives)
        now += step
        for queue in busy:
            left[queue[0]] -= step * speed
        if arrives <= until:
            order = [(turn + k) % servers for k in range(servers)]
            to = order[0] if policy == "round robin" else min(order, key=lambda s: len(queues[s]))
            queues[to].append(coming)
            turn, coming = to + 1, coming + 1
        else:
            done = min(busy, key=lambda queue: left[queue[0]])
            end[done.popleft()] = now
    return end - came


def poisson_load(
    rho: float, servers: int, jobs: int, *, cv: float = 1.0, mean_s: float = 1.0, seed: int = 0
) -> tuple[Floats, Floats]:
    """Arrivals (Poisson) and services (s) that keep `servers` busy a share `rho` of the time, shape (jobs,) each.

    Services have mean `mean_s` and the given coefficient of variation: exponential at 1, equal at 0, else lognormal.
    """
    rng = np.random.default_rng(seed)
    came = np.cumsum(rng.exponential(mean_s / (rho * servers), jobs))
    if cv == 0:
        return came, np.full(jobs, mean_s)
    if cv == 1:
        return came, rng.exponential(mean_s, jobs)
    sigma = np.sqrt(np.log1p(cv**2))
    return came, rng.lognormal(np.log(mean_s) - sigma**2 / 2, sigma, jobs)
