"""An autoscaler and its signal: replicas of a model that take time to start, led by Kubernetes' own rule.

Requests are a flow, not single ones: in each second so many come, and so many can be served. Who finds no place waits,
in a backlog while more come than can be served, and for Sakasegawa's M/M/c wait, halved for even service times, while
they can ("An approximation formula Lq = a rho^b / (1 - rho)", 1977). The rule is the HorizontalPodAutoscaler's
(Kubernetes' documentation, "Horizontal Pod Autoscaling"): wanted = ceil(ready x value / target), nothing within a tenth
of the target, at most double or four more in each look, and down only to the most that was wanted for a while.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from servelab.errors import ServelabError
from servelab.i18n import _

Signal = Literal["cpu", "busy", "queue", "pending"]
EVERY_S = 15
"""Seconds between two looks of the autoscaler."""
TOLERANCE = 0.1
FULL = 0.98
"""The load at which the wait without a backlog is taken, at most: beyond it the backlog tells."""


@dataclass(frozen=True)
class Fleet:
    """What came of it, one value a second.

    Attributes:
        offered, capacity: requests a second that come, and that the ready replicas can serve.
        ready, started: replicas that serve, and those with the ones that still start.
        wait_s: what a request that comes now waits.
        value: the signal, in its own unit.
    """

    offered: NDArray[np.float64]
    capacity: NDArray[np.float64]
    ready: NDArray[np.int64]
    started: NDArray[np.int64]
    wait_s: NDArray[np.float64]
    value: NDArray[np.float64]

    def late(self, slo_s: float) -> float:
        """Share of all requests that wait longer than this."""
        return float(self.offered[self.wait_s > slo_s].sum() / self.offered.sum())

    @property
    def hours(self) -> float:
        """Hours of replicas, also of those that start: what it costs."""
        return float(self.started.sum()) / 3600


def wait_s(rate: float, service_s: float, servers: int) -> float:
    """Mean wait without a backlog, even service times: half of rho^(sqrt(2(c+1)) - 1) / (c (1 - rho)) x service."""
    rho = min(rate * service_s / servers, FULL)
    return 0.5 * rho ** (math.sqrt(2 * (servers + 1)) - 1) / (servers * (1 - rho)) * service_s


def autoscale(
    offered: Sequence[float] | NDArray[np.float64],
    service_s: float,
    signal: Signal,
    target: float,
    *,
    start_s: int = 60,
    least: int = 1,
    most: int = 16,
    down_s: int = 300,
    cpu: tuple[float, float] = (0.05, 0.15),
) -> Fleet:
    """Lead replicas by a signal.

    Args:
        offered: requests a second, one value a second.
        service_s: what one request takes; a replica serves one at a time.
        signal: `cpu` (share of the processor: `cpu[0]` idle, `cpu[1]` when all instances are busy, for the work is the
            accelerator's), `busy` (share of time that instances work), `queue` (seconds in the queue) or `pending`
            (requests that wait, a replica).
        target: what the signal should be.
        start_s: seconds from the decision until a replica is ready.
        least, most: bounds of the number of replicas.
        down_s: replicas leave only when none of the looks in this time wanted them.

    Raises:
        ServelabError: a signal that is none, or a number that cannot be.
    """
    if signal not in ("cpu", "busy", "queue", "pending"):
        raise ServelabError(_("There is no signal {name}.").format(name=signal))
    if min(service_s, target) <= 0 or not 1 <= least <= most or start_s < 0:
        raise ServelabError(_("An autoscaler needs a target and an interval above 0, and bounds in order."))
    ready, backlog = least, 0.0
    due: deque[int] = deque()
    looks: deque[tuple[int, int]] = deque()
    rows = []
    for t, rate in enumerate(np.asarray(offered, float)):
        while due and due[0] <= t:
            due.popleft()
            ready += 1
        capacity = ready / service_s
        backlog = max(0.0, backlog + rate - capacity)
        waits = backlog / capacity + wait_s(rate, service_s, ready)
        busy = 1.0 if backlog else min(1.0, rate / capacity)
        values = {
            "cpu": cpu[0] + (cpu[1] - cpu[0]) * busy,
            "busy": busy,
            "queue": waits,
            "pending": (backlog + rate * wait_s(rate, service_s, ready)) / ready,
        }
        value = values[signal]
        if t % EVERY_S == 0:
            all_now = ready + len(due)
            wanted = all_now if abs(value / target - 1) <= TOLERANCE else math.ceil(ready * value / target)
            looks.append((t, min(max(wanted, least), most)))
            while looks[0][0] < t - down_s:
                looks.popleft()
            if looks[-1][1] > all_now:
                more = min(looks[-1][1] - all_now, max(4, all_now))
                due.extend([t + start_s] * more)
            elif (keep := max(n for _t, n in looks)) < all_now:
                for _less in range(all_now - keep):
                    if due:
                        due.pop()
                    else:
                        ready -= 1
        rows.append((rate, capacity, ready, ready + len(due), waits, value))
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Fleet(*columns)
