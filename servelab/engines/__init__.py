"""Real engines as real processes: start, share, watch and stop them."""

from servelab.engines.metrics import Metrics, Sample, Watch
from servelab.engines.router import Router, router
from servelab.engines.server import KVCache, Server, running
from servelab.engines.triton import TritonServer, triton
from servelab.engines.vllm import vllm

__all__ = [
    "KVCache",
    "Metrics",
    "Router",
    "Sample",
    "Server",
    "TritonServer",
    "Watch",
    "router",
    "running",
    "triton",
    "vllm",
]
