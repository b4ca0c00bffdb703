"""Queues with one waiting line and c servers, first come first served, by simulating every job.

This is how the simulator is held against mathematics: where a closed form exists (`servelab.theory.queueing`), the
simulated mean must meet it within its own confidence interval.

Each job's start is the later of its arrival and the first moment a server is free. For one server the waits follow
from the last one (Lindley, "The theory of queues with a single server", 1952) and come out of one running minimum;
for c servers from the c moments at which they get free (Kiefer & Wolfowitz, "On the theory of queues with many
servers", 1955), here for many independent runs side by side. `events` does the same with an event list, one job at a
time, as a simulator of anything does: on the same times it gives the same waits.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.load.metrics import CONFIDENCE
from servelab.theory.little import time_average

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]
"""Draws service times in seconds of the given shape."""

Service = Literal["exponential", "deterministic", "lognormal", "gamma", "hyperexponential"]


def service(kind: Service, mean_s: float, cv: float = 1.0) -> Draw:
    """Service times of a given mean (s) and coefficient of variation (sd / mean; ignored where the kind sets it).

    `hyperexponential` is a mixture of two exponentials with balanced means (cv at least 1): short answers and a few
    very long ones. Source of its weights: Whitt, "Approximating a point process by a renewal process", 1982.

    Raises:
        ServelabError: a mean or spread that is not positive, or one the kind cannot have.
    """
    if mean_s <= 0 or cv < 0 or (kind == "hyperexponential" and cv < 1):
        raise ServelabError(_("A service time needs a positive mean and a spread that its kind can have."))
    if kind == "exponential":
        return lambda rng, shape: rng.exponential(mean_s, shape)
    if kind == "deterministic" or cv == 0:
        return lambda rng, shape: np.full(shape, mean_s)
    if kind == "gamma":
        return lambda rng, shape: rng.gamma(1 / cv**2, mean_s * cv**2, shape)
    if kind == "lognormal":
        sigma2 = np.log1p(cv**2)
        return lambda rng, shape: rng.lognormal(np.log(mean_s) - sigma2 / 2, np.sqrt(sigma2), shape)
    if kind != "hyperexponential":
        raise ServelabError(_("There is no service time of kind {kind}.").format(kind=kind))
    share = (1 + np.sqrt((cv**2 - 1) / (cv**2 + 1))) / 2

    def mixed(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
        mean = np.where(rng.random(shape) < share, mean_s / (2 * share), mean_s / (2 * (1 - share)))
        return rng.standard_exponential(shape) * mean

    return mixed


def waits(arrivals: Floats, services: Floats, servers: int = 1) -> Floats:
    """Seconds each job waits, shape of `services`: (jobs,), or (runs, jobs) for independent runs side by side.

    Args:
        arrivals: arrival times in s, increasing along the last axis; the first job finds the servers free.
        services: service times in s.
        servers: how many serve the one line.
    """
    arrivals, services = np.asarray(arrivals, float), np.asarray(services, float)
    if servers == 1:
        # W_n = max(0, W_{n-1} + S_{n-1} - A_n): the sum of the steps, less the lowest it has been
        steps = np.zeros_like(services)
        steps[..., 1:] = services[..., :-1] - np.diff(arrivals, axis=-1)
        walk = np.cumsum(steps, axis=-1)
        return walk - np.minimum(np.minimum.accumulate(walk, axis=-1), 0)
    runs = np.atleast_2d(services)
    came = np.ascontiguousarray(np.broadcast_to(np.atleast_2d(arrivals), runs.shape).T)
    took = np.ascontiguousarray(runs.T)
    free_at = np.zeros((runs.shape[0], servers))
    flat, row = free_at.reshape(-1), np.arange(runs.shape[0]) * servers
    start = np.empty_like(came)
    for job, now in enumerate(came):
        first = free_at.argmin(axis=1) + row
        start[job] = np.maximum(flat[first], now)
        flat[first] = start[job] + took[job]
    waited = np.ascontiguousarray((start - came).T)
    return waited.reshape(services.shape)


def events(arrivals: Floats, services: Floats, servers: int = 1) -> Floats:
    """The same with an event list: arrivals and departures in order of time, one line, `servers` servers."""
    line: list[int] = []
    waited = np.zeros(len(services))
    todo = [(float(t), 1, job) for job, t in enumerate(arrivals)]  # at one time, departures (0) come first
    heapq.heapify(todo)
    idle, head = servers, 0
    while todo:
        now, is_arrival, job = heapq.heappop(todo)
        if is_arrival:
            line.append(job)
        else:
            idle += 1
        while idle and head < len(line):
            nxt, head, idle = line[head], head + 1, idle - 1
            waited[nxt] = now - arrivals[nxt]
            heapq.heappush(todo, (now + float(services[nxt]), 0, nxt))
    return waited


def by_load(
    loads: Sequence[float],
    arrival_cv: float = 1.0,
    service_cv: float = 1.0,
    servers: int = 1,
    *,
    jobs: int = 2500,
    runs: int = 16,
    warm: float = 0.3,
    seed: int = 0,
) -> Floats:
    """Waits of a G/G/c at several utilisations, in mean service times, shape (loads, runs, counted jobs).

    Gaps and services are gamma distributed (exponential at a cv of 1). Every load sees the same jobs, only closer
    together: what differs between two of them is the load, not the luck. Small enough to be drawn at once; near
    saturation so few jobs tell little, which the spread over the runs shows.

    Args:
        loads: utilisations above 0, of each server.
        arrival_cv, service_cv: deviation over mean of the gaps between arrivals, and of the services.
        jobs, runs, warm: of each load, as in `queue`.
    """
    rng = np.random.default_rng(seed)
    gaps = service("gamma", 1.0, arrival_cv)(rng, (runs, jobs))
    took = service("gamma", 1.0, service_cv)(rng, (runs, jobs))
    came = np.cumsum(gaps, axis=1) / (np.asarray(loads, float)[:, None, None] * servers)
    side_by_side = (len(loads) * runs, jobs)
    waited = waits(came.reshape(side_by_side), np.broadcast_to(took, came.shape).reshape(side_by_side), servers)
    return waited.reshape(came.shape)[..., int(jobs * warm) :]


@dataclass(frozen=True)
class Estimate:
    """A simulated mean with the half-width of its 95 % confidence interval, from independent runs."""

    mean: float
    half: float

    def covers(self, truth: float) -> bool:
        """Whether the interval contains `truth`."""
        return abs(self.mean - truth) <= self.half

    @classmethod
    def of(cls, runs: Floats) -> Estimate:
        """From one mean a run, shape (runs,)."""
        half = stats.t.ppf((1 + CONFIDENCE) / 2, len(runs) - 1) * runs.std(ddof=1) / np.sqrt(len(runs))
        return cls(float(runs.mean()), float(half))


@dataclass(frozen=True)
class Simulated:
    """A simulated queue: waiting and response time (s), jobs in the system, and arrivals/s that were counted.

    `in_system` is measured as a mean over time, not made from the others: L = lambda W can be tested with it.
    """

    wait_s: Estimate
    response_s: Estimate
    in_system: Estimate
    rate: float
    jobs: int


def queue(
    rate: float,
    draw: Draw,
    servers: int = 1,
    *,
    jobs: int = 20_000_000,
    runs: int = 200,
    warm: float = 0.2,
    seed: int = 0,
) -> Simulated:
    """Poisson arrivals of `rate` a second to `servers` servers whose service times `draw` gives: M/G/c.

    `runs` independent runs share the `jobs`. Each starts empty; its first part, `warm` of its jobs, is not counted.
    Jobs in the system are counted over the time between the first and the last counted arrival.

    Raises:
        ServelabError: too few jobs for the runs.
    """
    each = jobs // runs
    skip = int(each * warm)
    if runs < 2 or each - skip < 2:
        raise ServelabError(_("Give at least two runs, and at least two counted jobs a run."))
    rng = np.random.default_rng(seed)
    # many servers are walked job by job, so there many runs go side by side
    at_once = max(1, min(runs, (2_000_000 if servers == 1 else 8_000_000) // each))
    waited, response, present, span = [], [], [], 0.0
    done = 0
    while done < runs:
        n = min(at_once, runs - done)
        came = np.cumsum(rng.exponential(1 / rate, (n, each)), axis=1)
        took = draw(rng, (n, each))
        wait = waits(came, took, servers)
        left = came + wait + took
        waited.append(wait[:, skip:].mean(axis=1))
        response.append((wait + took)[:, skip:].mean(axis=1))
        for a, d in zip(came, left, strict=True):
            present.append(time_average(a, d, a[skip], a[-1]))
            span += a[-1] - a[skip]
        done += n
    counted = runs * (each - skip)
    return Simulated(
        Estimate.of(np.concatenate(waited)),
        Estimate.of(np.concatenate(response)),
        Estimate.of(np.asarray(present)),
        (counted - runs) / span,
        counted,
    )
