"""A long prompt arrives while others write: how long they stand still, and when it gets its own first token.

Chunked prefill cuts the prompt to what the token budget leaves beside one token for each running sequence
(Agrawal et al., "Taming throughput-latency tradeoff in LLM inference with Sarathi-Serve", OSDI 2024, section 4.2).
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.simulate.engine import Engine, StepTime
from servelab.simulate.scheduler import EngineConfig, Sequence

BLOCK = 128
BEFORE = 6
"""Tokens that the running sequences have written when the newcomer arrives, halfway through a step."""
AFTER = 6
"""Tokens that they still write when its first token is out."""


@dataclass(frozen=True)
class Interruption:
    """What one newcomer did to those who were writing. Times in seconds after its arrival.

    Attributes:
        stall_s: the longest gap between two tokens of a running sequence, from the newcomer's arrival on.
        ttft_s: from its arrival to its first token.
        ends_s, gaps_s: when each token of a running sequence came, and the gap before it, shape (tokens,).
    """

    stall_s: float
    ttft_s: float
    ends_s: NDArray[np.float64]
    gaps_s: NDArray[np.float64]


def interrupt(step_time: StepTime, budget: int, prompt: int, decoding: int, context: int = 16) -> Interruption:
    """Simulate `decoding` sequences of `context` prompt tokens, and a prompt of `prompt` tokens that comes among them.

    Args:
        step_time: seconds of a step.
        budget: `max_num_batched_tokens`.

    Raises:
        ServelabError: nobody decodes, or the budget leaves the newcomer nothing beside one token for each.
    """
    if decoding < 1 or budget <= decoding:
        text = _("A budget of {budget} tokens leaves no room for a prompt beside {n} running sequences.")
        raise ServelabError(text.format(budget=budget, n=decoding))
    pieces = -(-prompt // (budget - decoding))
    most = decoding * context // (budget - decoding) + decoding + BEFORE + 1
    alone = Engine(_config(budget, decoding, decoding * (context + most)), step_time)
    last = _decode(alone, decoding, context, most)[-1]
    alone.run()
    arrival = sum(alone.token_times(last)[BEFORE - 1 : BEFORE + 1]) / 2
    output = bisect(alone.ends, arrival) + 1 + pieces + AFTER
    engine = Engine(_config(budget, decoding, decoding * (context + output) + prompt), step_time)
    running = _decode(engine, decoding, context, output)
    newcomer = Sequence(decoding, prompt, 1, arrival)
    engine.add(newcomer)
    engine.run()
    times = np.array(engine.token_times(running[0]))
    ends, gaps = times[1:], np.diff(times)
    after = ends > arrival
    ttft = engine.token_times(newcomer)[0] - arrival
    return Interruption(float(gaps[after].max()), ttft, ends - arrival, gaps)


def _config(budget: int, decoding: int, tokens: int) -> EngineConfig:
    """Seats and blocks for all of them."""
    return EngineConfig(
        num_blocks=tokens // BLOCK + decoding + 3,
        block_size=BLOCK,
        max_num_seqs=decoding + 1,
        max_num_batched_tokens=budget,
        enable_prefix_caching=False,
    )


def _decode(engine: Engine, decoding: int, context: int, output: int) -> list[Sequence]:
    running = [Sequence(i, context, output) for i in range(decoding)]
    for sequence in running:
        engine.add(sequence)
    return running


def budgets(step_time: StepTime, over: Iterable[int], prompt: int, decoding: int, context: int = 16) -> pd.DataFrame:
    """`interrupt` at several budgets: `budget`, `stall_s`, `ttft_s`; budgets that leave no room are left out."""
    runs = {b: interrupt(step_time, b, prompt, decoding, context) for b in over if b > decoding}
    return pd.DataFrame(
        [(b, one.stall_s, one.ttft_s) for b, one in runs.items()], columns=["budget", "stall_s", "ttft_s"]
    )
