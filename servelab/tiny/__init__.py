"""An inference engine small enough to be read in one sitting, and real enough to be measured beside vLLM.

Read it in this order: `model` (one forward pass over a flat batch, attention through block tables), `blocks` (who
holds which block, which prefix is kept), `scheduler` (what runs in the next step, who waits, who is put back),
`speculate` (drafts, and why accepting them changes nothing), `engine` (the loop around it, and its history).
"""

from servelab.tiny.engine import Engine
from servelab.tiny.history import Part, Snapshot
from servelab.tiny.model import Llama
from servelab.tiny.sampling import Sampling
from servelab.tiny.scheduler import Request
from servelab.tiny.single import Single
from servelab.tiny.speculate import Draft, DraftModel, NGram, Proposer

__all__ = [
    "Draft",
    "DraftModel",
    "Engine",
    "Llama",
    "NGram",
    "Part",
    "Proposer",
    "Request",
    "Sampling",
    "Single",
    "Snapshot",
]
