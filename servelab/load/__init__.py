"""Drive a server and measure it: one client, one vocabulary.

`result = drive(server, synthetic(n=32), arrivals=poisson(rate=2))`, then `result.frame()`, `result.summary(SLO(...))`,
`result.report()`.
"""

from servelab.load.arrivals import Arrivals, constant, gamma, poisson, replay
from servelab.load.client import drive
from servelab.load.metrics import SLO, Percentiles, Record, Summary, vocabulary
from servelab.load.report import Result
from servelab.load.traces import trace
from servelab.load.workload import Request, synthetic, texts

__all__ = [
    "SLO",
    "Arrivals",
    "Percentiles",
    "Record",
    "Request",
    "Result",
    "Summary",
    "constant",
    "drive",
    "gamma",
    "poisson",
    "replay",
    "synthetic",
    "texts",
    "trace",
    "vocabulary",
]
