"""An engine without an engine: vLLM's scheduler, blocks and prefix cache in simulated time, and clusters of them.

`simulate(requests, EngineConfig(...), step_time, arrivals=poisson(2))` gives the same `Result` as
`servelab.load.drive`; `Cluster` puts routers, failures and an autoscaler in front of many.
"""

from servelab.simulate.cluster import Autoscaler, Cluster, ClusterResult, Failure, Node, Rollout, sample
from servelab.simulate.engine import Engine, Linear, StepTime, sequences, simulate
from servelab.simulate.scheduler import EngineConfig, Scheduler, Sequence
from servelab.theory.latency import Step

__all__ = [
    "Autoscaler",
    "Cluster",
    "ClusterResult",
    "Engine",
    "EngineConfig",
    "Failure",
    "Linear",
    "Node",
    "Rollout",
    "Scheduler",
    "Sequence",
    "Step",
    "StepTime",
    "sample",
    "sequences",
    "simulate",
]
