"""A dynamic batcher, simulated: requests wait in one line, and a free instance takes as many as it may.

Its rule is Triton's (documentation, "Batchers", "Dynamic Batcher"): a batch leaves when an instance is free and either
the largest batch is full or the request at the head of the line has waited for the delay. An execution of b rows takes
`fixed_s + each_s * b`. What it leaves out: the client, the network, copies of tensors, and chance in the service time.
"""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from servelab.errors import ServelabError
from servelab.i18n import _


@dataclass(frozen=True)
class Batched:
    """What came of a load.

    Attributes:
        waits_s: of each request, from its arrival until its execution begins.
        latency_s: of each request, from its arrival until its execution ends.
        sizes: rows of each execution, in order.
        ended_s: when the last execution ended.
        busy: share of the time until then in which an instance worked, over all instances.
    """

    waits_s: NDArray[np.float64]
    latency_s: NDArray[np.float64]
    sizes: list[int]
    ended_s: float
    busy: float

    @property
    def batch(self) -> float:
        """Mean rows of an execution."""
        return float(np.mean(self.sizes))

    @property
    def throughput(self) -> float:
        """Requests a second."""
        return len(self.waits_s) / self.ended_s

    def counts(self) -> dict[int, int]:
        """{rows: executions of so many}."""
        return {int(size): int(n) for size, n in zip(*np.unique(self.sizes, return_counts=True), strict=True)}


def capacity(fixed_s: float, each_s: float, max_batch: int, instances: int = 1) -> float:
    """Requests a second that full batches on all instances can answer: `instances max_batch / (t0 + t1 max_batch)`."""
    return instances * max_batch / (fixed_s + each_s * max_batch)


def batched(
    arrivals_s: Sequence[float] | NDArray[np.float64],
    fixed_s: float,
    each_s: float,
    *,
    max_batch: int = 1,
    delay_s: float = 0.0,
    instances: int = 1,
) -> Batched:
    """Requests of one row each through a dynamic batcher.

    Args:
        arrivals_s: when they come, in order.
        fixed_s, each_s: an execution of b rows takes `fixed_s + each_s b` seconds.
        max_batch: rows that an execution may have; 1 is no batching.
        delay_s: how long the head of the line may be held for others to come.
        instances: copies of the model; each works on one execution at a time.

    Raises:
        ServelabError: no requests, or a setting below what it can be.
    """
    came = np.asarray(arrivals_s, dtype=float)
    if len(came) == 0 or max_batch < 1 or instances < 1 or delay_s < 0 or fixed_s < 0 or each_s < 0:
        raise ServelabError(_("A batcher needs requests, times that are not negative, and batches of at least one."))
    free, first, sizes = [0.0] * instances, 0, []
    begun, ended = np.empty(len(came)), np.empty(len(came))
    while first < len(came):
        full = came[first + max_batch - 1] if first + max_batch <= len(came) else np.inf
        begins = max(heapq.heappop(free), min(came[first] + delay_s, full))
        last = min(int(np.searchsorted(came, begins, side="right")), first + max_batch)
        ends = begins + fixed_s + each_s * (last - first)
        begun[first:last], ended[first:last] = begins, ends
        heapq.heappush(free, ends)
        sizes.append(last - first)
        first = last
    until = float(ended.max())
    worked = fixed_s * len(sizes) + each_s * len(came)
    return Batched(begun - came, ended - came, sizes, until, worked / (instances * until))


def crowd(
    users: int,
    fixed_s: float,
    each_s: float,
    *,
    max_batch: int = 1,
    around_s: float = 0.0,
    client_s: float = 0.0,
    executions: int = 200,
) -> Batched:
    """Users who each ask again as soon as they are answered, before one instance that holds nobody back.

    Args:
        users: how many there are.
        fixed_s, each_s: an execution of b rows takes `fixed_s + each_s b` seconds.
        max_batch: rows that an execution may have; 1 is no batching.
        around_s: what each request needs on its way back and in, beside the others: server, network.
        client_s: what the program of all these users works for one request; it does one after the other.
        executions: how many to play.

    Raises:
        ServelabError: no users, or a setting below what it can be.
    """
    if (
        users < 1
        or max_batch < 1
        or executions < 1
        or fixed_s + each_s <= 0
        or min(fixed_s, each_s, around_s, client_s) < 0
    ):
        raise ServelabError(_("A batcher needs requests, times that are not negative, and batches of at least one."))
    came, now, client = [0.0] * users, 0.0, 0.0
    begun, latency, sizes, worked = [], [], [], 0.0
    for _execution in range(executions):
        begins = max(now, came[0])
        taken = min(bisect.bisect_right(came, begins), max_batch)
        took = fixed_s + each_s * taken
        now, worked = begins + took, worked + took
        begun += [begins - one for one in came[:taken]]
        latency += [now - one for one in came[:taken]]
        sizes.append(taken)
        client = max(client, now)
        came = came[taken:] + [client + client_s * (n + 1) + around_s for n in range(taken)]
        client += client_s * taken
    return Batched(np.array(begun), np.array(latency), sizes, now, worked / now)
