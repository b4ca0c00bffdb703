"""Four ways to choose a replica, and a fifth, over replicas that differ: who is given what, and who waits."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import plotly.graph_objects as go

from servelab.figures import routing as figures
from servelab.figures.routing import Run
from servelab.i18n import _
from servelab.load.traces import trace
from servelab.load.workload import in_sessions
from servelab.simulate import Cluster, EngineConfig, Node, routers
from servelab.theory.batching import StepModel
from servelab.widgets.base import Explorer, steps

STEP = StepModel(fixed_s=0.045, each_s=0.003, prefill_s=0.004)
"""Of the order of what 1.3 measures on two cores."""
REPLICAS = 3
REQUESTS = 80
SLOWER = (1.0, 1.5, 2.0, 3.0, 4.0)
SESSIONS = (3, 6, 12, 24, 48)
PREFIXES = (0, 128, 256, 512)
RATES = (0.5, 1.0, 1.5, 2.0, 3.0)


@lru_cache(maxsize=128)
def _requests(rate: float, sessions: int, prefix: int) -> tuple:
    return tuple(in_sessions(trace(n=REQUESTS, time_scale=1 / rate), sessions, prefix))


def _routers(slower: float) -> dict[str, Callable[[], routers.Router]]:
    """The policies by the names that the router's figures know."""
    speeds = {f"node-{place}": slower for place in range(REPLICAS - 1)} | {f"node-{REPLICAS - 1}": 1.0}
    return {
        "round_robin": routers.RoundRobin,
        "least_conn": routers.LeastConnections,
        "weighted": lambda: routers.WeightedRoundRobin(speeds),
        "consistent_hash": lambda: routers.ConsistentHash(epsilon=math.inf),
        "bounded_hash": routers.ConsistentHash,
    }


@lru_cache(maxsize=1024)
def simulated(policy: str, slower: float, rate: float, sessions: int, prefix: int, step: StepModel = STEP) -> Run:
    """The course's trace in sessions on three replicas, the last of them `slower` times slower, by one policy."""
    late = StepModel(step.fixed_s * slower, step.each_s * slower, step.prefill_s * slower)
    nodes = [Node(EngineConfig(), step)] * (REPLICAS - 1) + [Node(EngineConfig(), late)]
    done = Cluster(nodes, _routers(slower)[policy]()).run(_requests(rate, sessions, prefix))
    table = done.nodes
    return Run(
        policy,
        dict(zip(_names(slower), table["requests"].tolist(), strict=True)),
        float((table["hit_rate"] * table["prompt_tokens"]).sum() / table["prompt_tokens"].sum()),
        [record.ttft_s for record in done.result.records],
    )


def _names(slower: float) -> list[str]:
    quick = [_("replica {n}").format(n=n + 1) for n in range(REPLICAS - 1)]
    last = _("replica {n}").format(n=REPLICAS)
    return [*quick, last if slower == 1 else _("{name}, the slow one").format(name=last)]


def policies(step: StepModel = STEP) -> Explorer:
    """Explorer: the recorded trace in sessions over three replicas, by five policies: shares, cache hits, waiting.

    Args:
        step: how long a step of a quick replica takes.
    """

    def runs(slower: float, rate: float, sessions: int, prefix: int) -> list[Run]:
        return [simulated(policy, slower, rate, sessions, prefix, step) for policy in _routers(slower)]

    def draw(slower: float, rate: float, sessions: int, prefix: int) -> list[go.Figure]:
        drawn = runs(slower, rate, sessions, prefix)
        return [view(drawn, "simulated") for view in (figures.waits, figures.hits, figures.shares)]

    def say(slower: float, rate: float, sessions: int, prefix: int) -> str:
        told, drawn = figures.names(), runs(slower, rate, sessions, prefix)
        tails = {run.policy: float(np.quantile(run.ttft_s, figures.TAIL)) for run in drawn}
        best, worst = min(tails, key=tails.get), max(tails, key=tails.get)
        text = _("Shortest tail: {best}, 95 % have a first token within {low:.1f} s; longest: {worst}, {high:.1f} s.")
        return text.format(best=told[best], low=tails[best], worst=told[worst], high=tails[worst])

    controls = {
        "slower": steps(_("Replica 3 is slower by (x)"), SLOWER, 2.0),
        "rate": steps(_("Arrivals (requests/s)"), RATES, 2.0),
        "sessions": steps(_("Sessions"), SESSIONS, 12),
        "prefix": steps(_("Tokens that a session shares"), PREFIXES, 256),
    }
    return Explorer(controls, draw, say=say, columns=2)
