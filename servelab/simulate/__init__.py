"""An engine without an engine: vLLM's scheduler, blocks and prefix cache in simulated time, and clusters of them.

`simulate(requests, EngineConfig(...), step_time, arrivals=poisson(2))` gives the same `Result` as
`servelab.load.drive`; `Cluster` puts routers, failures and an autoscaler in front of many.
"""

from servelab.simulate.engine import Engine, Linear, StepTime, sequences, simulate
from servelab.simulate.scheduler import EngineConfig, Scheduler, Sequence
from servelab.theory.latency import Step

__all__ = [
    "Engine",
    "EngineConfig",
    "Linear",
    "Scheduler",
    "Sequence",
    "Step",
    "StepTime",
    "sequences",
    "simulate",
]
