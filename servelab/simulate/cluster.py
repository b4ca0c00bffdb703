"""Many engines behind a router, with what happens to them: failures, an autoscaler, a rollout, and the bill.

Each replica is an `Engine`, exact as one alone, and is simulated only as far as somebody looks at it: a router that
asks two replicas costs two, however many there are. So 10,000 nodes are feasible directly behind a router that asks
few (round robin, power of two, a plain ring), and for the others by aggregation: `sample` gives a part of the nodes
the same part of the load, and counts each of them for many. That is exact where the router treats requests
independently, and the usual mean-field limit where it compares loads (each of very many replicas behaves as if the
others were independent of it: Mitzenmacher 2001); the error shrinks as the sampled part grows.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable
from collections.abc import Sequence as Many
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.load.arrivals import Arrivals, replay
from servelab.load.metrics import NAN, Record
from servelab.load.report import Result
from servelab.load.workload import Request
from servelab.simulate.engine import Engine, StepTime, sequences
from servelab.simulate.routers import LeastConnections, Router
from servelab.simulate.scheduler import EngineConfig, Sequence
from servelab.theory.batching import StepModel
from servelab.theory.cost import SECONDS_PER_HOUR, cost_per_million

State = Literal["starting", "ready", "draining", "stopped"]


@dataclass(frozen=True)
class Node:
    """A kind of replica: its engine, how long it takes to start, and what an hour of it costs."""

    config: EngineConfig
    step_time: StepTime | StepModel
    start_s: float = 30.0
    price_per_hour: float = 0.0
    kind: str = "node"


@dataclass(frozen=True)
class Failure:
    """At `at_s` the replica of place `place` (in the order they were first started) dies, and its cache with it.

    A process watches and starts it again after `down_s`; it is ready `start_s` of its node later.
    """

    at_s: float
    place: int
    down_s: float = 0.0


@dataclass(frozen=True)
class Rollout:
    """From `at_s` on every replica is replaced by `node`: one is started beside the rest, then one is drained."""

    at_s: float
    node: Node


@dataclass(frozen=True)
class Autoscaler:
    """Keeps `target` outstanding requests a ready replica: every `every_s`, ceil(replicas x mean / target).

    Kubernetes' Horizontal Pod Autoscaler: no change within `tolerance` of the target; down only to the most that
    was wanted in the last `patience_s`. Between `least` and `most` replicas; those that start count. With `least` 0 an
    idle cluster goes to nothing, and whoever comes then waits in line for a cold start, as serverless does it.
    """

    target: float
    least: int = 1
    most: int = 100
    every_s: float = 15.0
    tolerance: float = 0.1
    patience_s: float = 300.0

    def __post_init__(self) -> None:
        if self.target <= 0 or self.every_s <= 0 or not 0 <= self.least <= self.most or self.most < 1:
            raise ServelabError(_("An autoscaler needs a target and an interval above 0, and bounds in order."))


class Replica:
    """One engine of the cluster, seen by routers as a `Target`. Looking at it brings it up to the cluster's time."""

    def __init__(self, cluster: Cluster, node: Node, place: int, name: str, started_s: float) -> None:
        self.cluster, self.node, self.place, self.name = cluster, node, place, name
        self.state: State = "starting"
        self.started_s, self.ready_s, self.stopped_s = started_s, started_s, NAN
        self.requests = self.served = self.hit_tokens = self.prompt_tokens = self.output_tokens = 0
        self.busy_s = 0.0
        self.engine = self._new_engine()
        self.flying: dict[Sequence, None] = {}
        self._ends: list[tuple[float, int, Sequence]] = []
        self._tokens = 0

    def _new_engine(self) -> Engine:
        return Engine(self.node.config, self.node.step_time, on_end=self._ended)

    def _ended(self, sequence: Sequence, now: float) -> None:
        heapq.heappush(self._ends, (now, sequence.order, sequence))

    @property
    def outstanding(self) -> int:
        """Requests sent here and not answered at the cluster's time."""
        self._catch_up()
        return len(self.flying)

    @property
    def tokens(self) -> int:
        """Prompt and answer tokens of those requests."""
        self._catch_up()
        return self._tokens

    def send(self, sequence: Sequence) -> None:
        """A request comes in now."""
        self.requests += 1
        self._tokens += sequence.prompt + sequence.output
        self.flying[sequence] = None
        self.engine.add(sequence)

    def _catch_up(self) -> None:
        now = self.cluster.now
        self.engine.run(now)
        while self._ends and self._ends[0][0] <= now:
            _end, _order, sequence = heapq.heappop(self._ends)
            del self.flying[sequence]
            self._tokens -= sequence.prompt + sequence.output
            self._answered(sequence)

    def _answered(self, sequence: Sequence) -> None:
        self.served += 1
        self.hit_tokens += sequence.hit_tokens
        self.prompt_tokens += sequence.prompt
        self.output_tokens += sequence.tokens - sequence.prompt
        self.cluster.answered(sequence, self.engine.token_times(sequence), self)

    def finish(self) -> float:
        """Answer everything that is here, with nothing more to come; returns when the last answer ended."""
        self.engine.run()
        return max((end for end, _order, _s in self._ends), default=self.cluster.now)

    def die(self) -> list[tuple[Sequence, list[float]]]:
        """Everything is lost: returns the requests that were here, each with the times of the tokens it had sent."""
        self._catch_up()
        self.engine.settle()
        lost = []
        for sequence in self.flying:
            lost.append((sequence, [t for t in self.engine.token_times(sequence) if t <= self.cluster.now]))
        self.busy_s += self.engine.busy_s
        self.engine = self._new_engine()
        self.flying, self._ends, self._tokens = {}, [], 0
        return lost

    def row(self, end_s: float) -> dict[str, Any]:
        """The replica in numbers, until `end_s`."""
        until = end_s if math.isnan(self.stopped_s) else self.stopped_s
        up = max(0.0, until - self.started_s)
        busy = self.busy_s + self.engine.busy_s
        return {
            "name": self.name,
            "kind": self.node.kind,
            "state": self.state,
            "requests": self.requests,
            "served": self.served,
            "prompt_tokens": self.prompt_tokens,
            "output_tokens": self.output_tokens,
            "hit_rate": self.hit_tokens / self.prompt_tokens if self.prompt_tokens else 0.0,
            "preemptions": self.engine.scheduler.preemptions,
            "up_s": up,
            "busy": min(1.0, busy / up) if up else 0.0,
            "cost": up / SECONDS_PER_HOUR * self.node.price_per_hour,
        }


@dataclass
class ClusterResult:
    """What a cluster did. `result`: one record a request, as of a real run; `nodes`: one row a replica; `events`.

    With aggregation each replica stands for `each` nodes: costs and rates of the whole are `each` times as much.
    """

    result: Result
    nodes: pd.DataFrame
    events: pd.DataFrame
    each: float = 1.0

    @property
    def cost(self) -> float:
        """What all nodes cost, in the currency of their price."""
        return float(self.nodes["cost"].sum()) * self.each

    @property
    def cost_per_million(self) -> float | None:
        """Price of a million output tokens of requests that succeeded; None if there are none."""
        tokens = sum(r.output_tokens for r in self.result.records if r.ok) * self.each
        return cost_per_million(self.cost * SECONDS_PER_HOUR, tokens)

    @property
    def imbalance(self) -> float:
        """The busiest replica's output tokens over the mean; 1 is even."""
        tokens = self.nodes["output_tokens"]
        return float(tokens.max() / tokens.mean()) if len(tokens) and tokens.mean() > 0 else 1.0


@dataclass
class Cluster:
    """Replicas behind a router.

    Attributes:
        nodes: what is ready at the start.
        router: who gets the next request (`servelab.simulate.routers`).
        failures, rollout, autoscaler: what happens meanwhile. The autoscaler starts copies of the first node.
        retry: a request that a failure cut off is sent again, from its beginning, `detect_s` after it; its user has
            been waiting all the time. Without, it ends as `cut`.
        seed: of the router's draws.
    """

    nodes: Many[Node]
    router: Router = field(default_factory=LeastConnections)
    failures: Many[Failure] = ()
    rollout: Rollout | None = None
    autoscaler: Autoscaler | None = None
    retry: bool = True
    detect_s: float = 0.1
    seed: int = 0

    def run(self, requests: Many[Request], arrivals: Arrivals | Many[float] | NDArray | None = None) -> ClusterResult:
        """Serve `requests`, each at its time: `arrivals`, or the times the requests bring.

        Raises:
            ServelabError: no nodes, no requests, or one that can never fit.
        """
        if not self.nodes or not requests:
            raise ServelabError(_("A cluster needs at least one node, and a load at least one request."))
        if not isinstance(arrivals, Arrivals):
            arrivals = replay(requests if arrivals is None else arrivals)
        self._begin()
        # blocks are named by the first node's size; a cluster mixes machines, not block sizes
        for sequence in sequences(requests, self.nodes[0].config, arrivals.offsets(len(requests))):
            self._at(sequence.arrival_s, self._arrive, sequence)
        self._todo = len(requests)
        while self._queue:
            self.now, _order, do, what = heapq.heappop(self._queue)
            do(what)
            if not self._todo and all(entry[2] == self._scale for entry in self._queue):
                break
            if not self._queue:
                self._run_out()
        end = max((r.finished_s for r in self._records.values() if not math.isnan(r.finished_s)), default=self.now)
        about = {
            "address": "",
            "model": _("simulated cluster of {n}").format(n=len(self.nodes)),
            "load": arrivals.name,
            "router": type(self.router).__name__,
        }
        return ClusterResult(
            Result([self._records[i] for i in sorted(self._records)], about),
            pd.DataFrame([r.row(max(end, r.started_s)) for r in self.replicas]),
            pd.DataFrame(self._events, columns=["t_s", "what", "name"]),
        )

    # What happens, in order of time

    def _begin(self) -> None:
        self.now = 0.0
        self.replicas: list[Replica] = []
        self._ready: list[Replica] = []
        self._queue: list[tuple[float, int, Callable, Any]] = []
        self._order = count()
        self._rng = np.random.default_rng(self.seed)
        self._records: dict[int, Record] = {}
        self._line: deque[Sequence] = deque()
        self._events: list[tuple[float, str, str]] = []
        self._wanted: deque[tuple[float, int]] = deque()
        self._old: deque[Replica] = deque()
        self._node = self.nodes[0]
        self._new: Replica | None = None
        for node in self.nodes:
            self._be_ready(self._start(node))
        for failure in self.failures:
            self._at(failure.at_s, self._fail, failure)
        if self.rollout:
            self._at(self.rollout.at_s, self._roll, None)
        if self.autoscaler:
            self._at(self.autoscaler.every_s, self._scale, None)

    def _at(self, time_s: float, do: Callable, what: Any) -> None:
        heapq.heappush(self._queue, (time_s, next(self._order), do, what))

    def _say(self, what: str, replica: Replica) -> None:
        self._events.append((self.now, what, replica.name))

    def _run_out(self) -> None:
        """Nothing more will happen but answers: let everybody finish, and take the answers in at their times."""
        self.now = max([self.now, *(r.finish() for r in self.replicas if r.state != "stopped")])
        for replica in self.replicas:
            replica._catch_up()

    def _arrive(self, sequence: Sequence) -> None:
        if sequence.id not in self._records:
            self._records[sequence.id] = Record(
                sequence.id, sequence.arrival_s, sequence.arrival_s, asked_tokens=sequence.output
            )
        if self._ready:
            self.router(sequence, self._ready, self._rng).send(sequence)
        else:
            self._line.append(sequence)

    def answered(self, sequence: Sequence, times: list[float], replica: Replica) -> None:
        """A replica has answered a request; `times` are those of its tokens."""
        record = self._records[sequence.id]
        record.first_token_s, record.token_times_s, record.finished_s = times[0], times, times[-1]
        record.prompt_tokens, record.output_tokens = sequence.prompt, len(times)
        record.status, record.error, record.finish_reason = "ok", "", "length"
        self._todo -= 1

    def _start(self, node: Node) -> Replica:
        place = len(self.replicas)
        replica = Replica(self, node, place, f"{node.kind}-{place}", self.now)
        self.replicas.append(replica)
        return replica

    def _ready_in(self, seconds: float, replica: Replica) -> None:
        replica.ready_s = self.now + seconds
        self._at(replica.ready_s, self._be_ready, replica)

    def _be_ready(self, replica: Replica) -> None:
        if replica.state != "starting" or self.now < replica.ready_s:
            return  # stopped meanwhile, or failed while it started, which begins anew
        replica.state = "ready"
        self._ready.append(replica)
        self._say("ready", replica)
        while self._line:
            sequence = self._line.popleft()
            sequence.arrival_s = self.now
            self._arrive(sequence)
        if replica is self._new and self._old:
            self._drain(self._old.popleft())
            self._next_new()

    def _drain(self, replica: Replica) -> None:
        """No new requests; it stops when the last answer is written."""
        if replica.state == "starting":
            self._stop(replica)
            return
        self._ready.remove(replica)
        replica.state = "draining"
        self._say("draining", replica)
        self._at(max(self.now, replica.finish()), self._stop, replica)

    def _stop(self, replica: Replica) -> None:
        if replica.state != "stopped":
            replica._catch_up()
            replica.state, replica.stopped_s = "stopped", self.now
            self._say("stopped", replica)

    def _fail(self, failure: Failure) -> None:
        replica = self.replicas[failure.place] if failure.place < len(self.replicas) else None
        if replica is None or replica.state == "stopped":
            return
        lost = replica.die()
        if replica.state == "ready":
            self._ready.remove(replica)
        self._say("failed", replica)
        if replica.state == "draining":
            self._stop(replica)
        else:
            replica.state = "starting"
            self._ready_in(failure.down_s + replica.node.start_s, replica)
        for sequence, times in lost:
            if self.retry:
                again = Sequence(
                    sequence.id,
                    sequence.prompt,
                    sequence.output,
                    self.now + self.detect_s,
                    sequence.priority,
                    sequence.keys,
                    sequence.session,
                )
                self._at(again.arrival_s, self._arrive, again)
                continue
            record = self._records[sequence.id]
            record.status, record.error, record.finished_s = "cut", _("the replica failed"), self.now
            record.token_times_s, record.output_tokens = times, len(times)
            record.prompt_tokens = sequence.prompt
            record.first_token_s = times[0] if times else NAN
            self._todo -= 1

    def _roll(self, _nothing: None) -> None:
        self._node = self.rollout.node
        self._old = deque(r for r in self.replicas if r.state in ("ready", "starting"))
        self._next_new()

    def _next_new(self) -> None:
        """Start what will take the next old one's place; that one is drained when it is ready."""
        if self._old:
            self._new = self._start(self._node)
            self._say("starting", self._new)
            self._ready_in(self._node.start_s, self._new)

    def _scale(self, _nothing: None) -> None:
        rule = self.autoscaler
        here = [r for r in self.replicas if r.state in ("ready", "starting")]
        load = sum(r.outstanding for r in self._ready) + len(self._line)
        wanted = len(here)
        if not here or abs(load / len(here) / rule.target - 1) > rule.tolerance:
            wanted = math.ceil(load / rule.target - 1e-9)
        wanted = min(max(wanted, rule.least), rule.most)
        self._wanted.append((self.now, wanted))
        while self._wanted[0][0] < self.now - rule.patience_s:
            self._wanted.popleft()
        wanted = max(wanted, min(len(here), max(w for _t, w in self._wanted)))
        for _new in range(wanted - len(here)):
            replica = self._start(self._node)
            self._say("starting", replica)
            self._ready_in(replica.node.start_s, replica)
        for replica in here[::-1][: max(0, len(here) - wanted)]:
            self._drain(replica)
        self._at(self.now + rule.every_s, self._scale, None)


def sample(cluster: Cluster, requests: Many[Request], arrivals: NDArray[np.float64], of: int) -> ClusterResult:
    """A cluster of `of` nodes, by simulating the nodes of `cluster` with their part of the load.

    Args:
        cluster: some nodes, a fair sample of all: its k nodes stand for `of`.
        requests: the load of the WHOLE, in order; a part k / of is drawn, each session independently.
        arrivals: their times in seconds, shape (requests,).
        of: how many nodes there are in all.

    Sessions are drawn whole, all requests of one (`extra["session"]`) or none: that is what a router with affinity
    keeps together. Give a session to requests whose shared prefix should stay together too.

    Raises:
        ServelabError: more nodes in the sample than in the whole.
    """
    k = len(cluster.nodes)
    if of < k:
        raise ServelabError(_("A sample of {k} nodes cannot stand for {n}.").format(k=k, n=of))
    rng = np.random.default_rng(cluster.seed)
    drawn: dict[Any, bool] = {}
    kept = []
    for i, request in enumerate(requests):
        key = request.extra.get("session", i)
        if key not in drawn:
            drawn[key] = bool(rng.random() < k / of)
        if drawn[key]:
            kept.append(i)
    if not kept:
        raise ServelabError(_("A load needs at least one request."))
    times = np.asarray(arrivals, float)[kept]
    result = replace(cluster).run([requests[i] for i in kept], times)
    result.each = of / k
    return result
