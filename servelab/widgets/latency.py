"""Change one price of a machine, or the seats of its engine, and see where the latency of your own requests goes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from servelab.errors import ServelabError
from servelab.figures import latency as figures
from servelab.figures import style
from servelab.i18n import _, sentences
from servelab.load.history import BACK, DECODE, PREFILL, QUEUE, phases
from servelab.load.metrics import Record
from servelab.load.report import Result
from servelab.load.workload import Request
from servelab.simulate.engine import simulate
from servelab.simulate.scheduler import EngineConfig
from servelab.theory.latency import Linear
from servelab.widgets.base import Explorer, steps

TIMES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0)
"""Factors of a price."""
SEATS = (1, 2, 4, 8, 16, 32, 64)


def split(records: Sequence[Record], prices: Linear, budget: int) -> pd.DataFrame:
    """Each request's seconds as parts that add up to its E2E, in order of arrival.

    Columns `id`, `queue_s`, `prefill_s`, `decode_s`, `fixed_s`: what it waited (put back included), and what reading
    its prompt and writing its answer took, less the fixed price of the steps in which it did so. A prompt takes as
    many steps as `budget` tokens a step make of it at least.
    """
    told = phases(records, budget)
    spans = (told.end_s - told.start_s).groupby([told.id, told.phase]).sum()
    rows = []
    for one in sorted(records, key=lambda r: (r.intended_s, r.id)):
        mine = spans.get(one.id, pd.Series(dtype=float))
        read, wrote = float(mine.get(PREFILL, 0.0)), float(mine.get(DECODE, 0.0))
        read_fixed = min(read, prices.fixed_s * math.ceil(one.prompt_tokens / budget))
        wrote_fixed = min(wrote, prices.fixed_s * max(0, len(one.token_times_s) - 1))
        waited = float(mine.get(QUEUE, 0.0)) + float(mine.get(BACK, 0.0))
        rows.append((one.id, waited, read - read_fixed, wrote - wrote_fixed, read_fixed + wrote_fixed))
    return pd.DataFrame(rows, columns=["id", "queue_s", "prefill_s", "decode_s", "fixed_s"])


def latency(
    requests: Sequence[Request],
    prices: Linear,
    config: EngineConfig | None = None,
    *,
    measured: Result,
    concurrency: int | None = None,
) -> Explorer:
    """Explorer: the budget of a load that was really sent, from a machine's prices; each of them can be changed.

    Args:
        requests: the load; prompts as token ids.
        prices: of the engine's steps, such as a calibration.
        config: the engine's settings; the explorer begins there.
        measured: what a real engine of these settings did with the load.
        concurrency: of a closed loop; without it requests are sent when `measured` sent them.

    Raises:
        ServelabError: none of the measured requests succeeded.
    """
    config = config or EngineConfig()
    told = measured.frame()
    told = told[told.status == "ok"].set_index("id")
    if told.empty:
        raise ServelabError(_("None of the measured requests succeeded: there is nothing to compare with."))
    sent = {r.id: r.intended_s for r in measured.records}
    early = min(sent.values())
    requests = sorted((r for r in requests if r.id in told.index), key=lambda r: (sent[r.id], r.id))
    times = None if concurrency else np.array([sent[r.id] - early for r in requests])
    begin = {"concurrency": concurrency} if concurrency else {"arrivals": times}

    def predicted(fixed: float, each: float, prompt: float, seats: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """One row a request: its parts, and its metrics."""
        dearer = replace(
            prices,
            fixed_s=prices.fixed_s * fixed,
            decode_s=prices.decode_s * each,
            context_s=prices.context_s * each,
            prefill_s=prices.prefill_s * prompt,
            chunk_s=prices.chunk_s * prompt,
            pieces_s=prices.pieces_s * prompt,
        )
        # steps of no time at all have no order that a client could see
        dearer = replace(dearer, fixed_s=max(dearer.fixed_s, 1e-4))
        result = simulate(requests, replace(config, max_num_seqs=seats), dearer, **begin)
        parts = split(result.records, dearer, config.max_num_batched_tokens).set_index("id")
        parts["measured_first_s"], parts["measured_e2e_s"] = told.ttft_s, told.e2e_s
        return parts, result.frame().set_index("id")

    def both(frame: pd.DataFrame, metric: str) -> tuple[np.ndarray, np.ndarray]:
        pair = pd.DataFrame({"said": frame[metric], "seen": told[metric]}).dropna()
        pair = pair[(pair > 0).all(axis=1)]
        return pair.said.to_numpy(), pair.seen.to_numpy()

    def draw(**values: float) -> list[go.Figure]:
        parts, frame = predicted(**values)
        pairs = {"TTFT": both(frame, "ttft_s"), "TPOT": both(frame, "tpot_s")}
        return [figures.budget(parts), figures.agreement(pairs)]

    def say(**values: float) -> str:
        parts, frame = predicted(**values)
        whole = parts[list(figures.PARTS)].sum()
        called = figures.names()
        shares = {called[part]: whole[part] / whole.sum() for part in figures.PARTS}
        off = {}
        for metric in ("ttft_s", "tpot_s"):
            predicted_s, measured_s = both(frame, metric)
            off[metric] = round(float(np.median(predicted_s / measured_s - 1)), 3) + 0.0  # no "-0%"
        text = _("Predicted against measured, middle of the requests: TTFT {ttft:+.0%}, TPOT {tpot:+.0%}.")
        listed = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        told_shares = _("Of all seconds (simulated): {shares}.").format(shares=listed)
        return sentences(told_shares, text.format(ttft=off["ttft_s"], tpot=off["tpot_s"]))

    own = min(config.max_num_seqs, max(2, len(requests)))
    factors = [(f"x {style.number(times)}" if times else "0", times) for times in TIMES]
    controls = {
        "fixed": steps(_("Fixed price of a step"), factors, 1.0),
        "each": steps(_("Price of a sequence that writes"), factors, 1.0),
        "prompt": steps(_("Price of a prompt"), factors, 1.0),
        "seats": steps(_("Requests at once (max_num_seqs)"), sorted({*(s for s in SEATS if s < own), own}), own),
    }
    return Explorer(controls, draw, say=say, columns=2)
