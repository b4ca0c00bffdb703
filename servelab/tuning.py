"""From a poor configuration to an SLO: one load, what is asked of it, and a ladder of changes, each told before it ran.

A `Task` is requests, their arrival times and three bounds a request: time to the first token, time per token, and the
longest gap between two tokens. Rate and bounds are multiples of what the engine in question does - its capacity, the
time of a busy step -, so the same task is as hard on a fast machine as on a slow one, and where reading is dear beside
writing as where it is cheap.

A `Ladder` holds the changes in their order: what the simulator said, what the engine did, and whether it was kept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from servelab import course, records
from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.load.arrivals import gamma
from servelab.load.client import drive
from servelab.load.metrics import Record, gaps
from servelab.load.workload import Request, renewed, synthetic
from servelab.simulate import EngineConfig, Linear, StepTime, simulate
from servelab.simulate.capacity import capacity
from servelab.theory.kv_cache import model_token_bytes
from servelab.theory.latency import Step

if TYPE_CHECKING:
    import pandas as pd

SHARED, OWN, ANSWER, DOCUMENT, EVERY = 160, (230, 0.2), (32, 0.4), 760, 8
"""Tokens: the instruction all share; a prompt with it and an answer (mean, cv); a long document, each so many."""
MAX_LEN, ROOM = 1024, 3_500
"""Tokens a sequence may have, and tokens of KV cache that the service may take."""
RATE, BURSTS = 0.38, 2.0
"""Mean rate as a share of the capacity, and the coefficient of variation of the gaps between arrivals."""
BUSY = Step(decode=8, context=8 * 250, prefill=64)
"""The step in which the SLO is told: eight sequences write, and a part of a prompt is read beside them."""
FIRST, EACH, GAP = 12.5, 0.95, 3.5
"""The SLO in such steps: first token, time per token, longest gap."""
WORTH = 0.02
"""Of all requests: so many more must meet the bound a change was made for, or it is not worth keeping."""
KNOBS = ("max_num_seqs", "max_num_batched_tokens", "block_size", "enable_prefix_caching")

Verdict = Literal["start", "kept", "dropped", "predicted"]
Bound = Literal["ttft", "tpot", "gap"]


@dataclass(frozen=True)
class Bounds:
    """What every request is promised, in seconds: TTFT, TPOT, and the longest gap between two of its tokens."""

    ttft_s: float
    tpot_s: float
    gap_s: float

    def missed(self, record: Record) -> list[str]:
        """Which bounds a request missed: of `ttft`, `tpot`, `gap`; all of them if it failed."""
        if not record.ok:
            return ["ttft", "tpot", "gap"]
        longest = float(max(gaps(record), default=0.0))
        found = {"ttft": record.ttft_s > self.ttft_s, "tpot": record.tpot_s > self.tpot_s, "gap": longest > self.gap_s}
        return [name for name, broken in found.items() if broken]

    def __str__(self) -> str:
        text = _("first token within {ttft:.2f} s, {tpot:.0f} ms a token, no gap beyond {gap:.2f} s")
        return text.format(ttft=self.ttft_s, tpot=1e3 * self.tpot_s, gap=self.gap_s)


@dataclass(frozen=True)
class Score:
    """A load judged: share of requests that met all bounds, which bounds were missed how often, and how fast it went.

    Attributes:
        met: share of requests, 0 to 1.
        goodput: requests/s that met all bounds, over the whole run.
        ttft_p95_s, tpot_p95_s, gap_p95_s: over all requests.
        tok_s: output tokens a second, over the whole run.
        missed: {bound: share of requests that missed it}.
    """

    met: float
    goodput: float
    ttft_p95_s: float
    tpot_p95_s: float
    gap_p95_s: float
    tok_s: float
    missed: Mapping[str, float]

    @classmethod
    def of(cls, loaded: Sequence[Record], bounds: Bounds) -> Score:
        """Judge a run, all of whose records are given.

        Raises:
            ServelabError: a request failed: a run that is not whole says nothing of its speed.
        """
        if failed := [r for r in loaded if not r.ok]:
            text = _("{n} of {all} requests failed ({why}): look at the server, then run the cell again.")
            raise ServelabError(text.format(n=len(failed), all=len(loaded), why=failed[0].error or failed[0].status))
        missed = [bounds.missed(r) for r in loaded]
        took = max(r.finished_s for r in loaded)
        longest = [float(max(gaps(r), default=0.0)) for r in loaded]
        met = sum(not m for m in missed)
        return cls(
            met=met / len(loaded),
            goodput=met / took,
            ttft_p95_s=float(np.quantile([r.ttft_s for r in loaded], 0.95)),
            tpot_p95_s=float(np.nanquantile([r.tpot_s for r in loaded], 0.95)),
            gap_p95_s=float(np.quantile(longest, 0.95)),
            tok_s=sum(r.output_tokens for r in loaded) / took,
            missed={name: sum(name in m for m in missed) / len(loaded) for name in ("ttft", "tpot", "gap")},
        )

    def __str__(self) -> str:
        text = _("{met:.0%} within the SLO (missed: TTFT {ttft:.0%}, TPOT {tpot:.0%}, gap {gap:.0%})")
        return text.format(met=self.met, **self.missed)


def room(tier: course.Tier) -> dict[str, int]:
    """The flags that no configuration may change: the longest sequence, and the memory for keys and values."""
    bytes_a_token = model_token_bytes(course.load().model(tier.model), tier.dtype)
    return {"max_model_len": MAX_LEN, "kv_cache_memory_bytes": ROOM * int(bytes_a_token)}


def settings(flags: Mapping[str, Any]) -> EngineConfig:
    """An engine with these flags in the service's room, as the simulator takes it.

    Args:
        flags: `max_num_seqs`, `max_num_batched_tokens`, `block_size`, `enable_prefix_caching`, in vLLM's names;
            what is left out is the simulator's default, which is vLLM's on this course's tiers.
    """
    usual = EngineConfig()
    block = int(flags.get("block_size", usual.block_size))
    return replace(usual, **{**flags, "block_size": block, "num_blocks": ROOM // block, "max_model_len": MAX_LEN})


def requests(n: int = 24, seed: int = 1) -> list[Request]:
    """The service's load: an assistant's short questions behind one long instruction, now and then a document.

    Lengths come from the course's own seed and are the same every time; `seed` only changes the words.
    """
    asked = synthetic(n, OWN, ANSWER, seed=1, shared_prefix=SHARED)
    for i in range(EVERY - 1, n, EVERY):
        more = synthetic(1, DOCUMENT, 1, seed=1_000 + i)[0].prompt
        asked[i] = replace(asked[i], prompt=(asked[i].prompt + more)[:DOCUMENT])
    return renewed(asked, seed)


@dataclass(frozen=True)
class Task:
    """Requests, when they come, and what they are promised."""

    requests: list[Request]
    offsets_s: np.ndarray
    bounds: Bounds

    @classmethod
    def of(cls, asked: list[Request], step_time: StepTime, largest: EngineConfig) -> Task:
        """A load and bounds that fit this engine: `largest` is the configuration whose capacity sets the rate."""
        rate = RATE * capacity(asked, largest, step_time)
        step = float(step_time(BUSY))
        bounds = Bounds(FIRST * step, EACH * step, GAP * step)
        return cls(asked, gamma(rate, BURSTS, seed=3).offsets(len(asked)), bounds)

    def simulate(self, config: EngineConfig, step_time: StepTime) -> Score:
        """What the simulator says of a configuration."""
        return Score.of(simulate(self.requests, config, step_time, arrivals=self.offsets_s).records, self.bounds)

    def serve(self, server: Any, seed: int, salted: bool = False) -> Score:
        """What a running engine does; new words with every `seed`.

        Args:
            salted: give every request a hash of its own, so that it finds nothing in the prefix cache.
        """
        asked = renewed(self.requests, seed)
        if salted:
            asked = [replace(r, extra={**r.extra, "cache_salt": f"{seed}-{r.id}"}) for r in asked]
        return Score.of(drive(server, asked, arrivals=self.offsets_s, progress=False).records, self.bounds)


@dataclass(frozen=True)
class Rung:
    """One change: its name, the whole configuration after it, what was predicted and measured, and what came of it."""

    name: str
    flags: Mapping[str, Any]
    predicted: Score | None
    measured: Score | None
    verdict: Verdict

    @property
    def told(self) -> str:
        """Its name in the learner's language; one that the course does not know is itself."""
        return names().get(self.name, self.name)


class Ladder:
    """Changes in their order. `flags` is the configuration that stands now: the start, and whatever was kept.

    Args:
        start: the poor configuration's flags.
    """

    def __init__(self, start: Mapping[str, Any]) -> None:
        self.flags = dict(start)
        self.rungs: list[Rung] = []
        self._last: Score | None = None

    def begin(self, predicted: Score | None, measured: Score) -> None:
        """The first rung: what the poor configuration does."""
        self._keep(Rung("start", dict(self.flags), predicted, measured, "start"))
        self._last = measured

    def change(
        self, name: str, flags: Mapping[str, Any], aim: Bound, predicted: Score | None, measured: Score | None = None
    ) -> None:
        """A change on top of what was kept; it stays if `WORTH` or more of all requests miss its bound no longer.

        A change is judged by what it was made for. By the share that meets everything, a first step may look like a
        loss: whoever waits less for a seat sits closer, and another bound breaks.

        Args:
            flags: only those that change.
            aim: the bound it was made for.
            measured: None if no engine ran: then the prediction decides, and the rung says so.

        Raises:
            ServelabError: there is neither a prediction nor a measurement, or no start.
        """
        judged = measured or predicted
        if judged is None or self._last is None:
            raise ServelabError(_("A change needs a start, and a prediction or a measurement."))
        after = {**self.flags, **flags}
        better = judged.missed[aim] <= self._last.missed[aim] - WORTH
        verdict: Verdict = ("kept" if better else "dropped") if measured else "predicted"
        self._keep(Rung(name, after, predicted, measured, verdict))
        if better:
            self.flags, self._last = after, judged

    def _keep(self, rung: Rung) -> None:
        self.rungs.append(rung)
        said = rung.measured or rung.predicted
        print(_("{name}: {score}: {verdict}").format(name=rung.told, score=said, verdict=verdicts()[rung.verdict]))

    def frame(self) -> pd.DataFrame:
        """One row a change: predicted and measured share within the SLO in %, and the verdict."""
        import pandas as pd

        def percent(score: Score | None) -> float | None:
            return None if score is None else 100 * score.met

        words = verdicts()
        rows = [(r.told, percent(r.predicted), percent(r.measured), words[r.verdict]) for r in self.rungs]
        return pd.DataFrame(rows, columns=[_("change"), _("predicted (%)"), _("measured (%)"), _("verdict")])


def names() -> dict[str, str]:
    """What the course's changes are called, by their short names, in the learner's language."""
    return {
        "start": _("start"),
        "seats": _("seats"),
        "prefix": _("prefix cache"),
        "block": _("small blocks"),
        "budget": _("token budget"),
        "int8": _("int8 weights"),
        "awq": _("AWQ weights"),
    }


def verdicts() -> dict[Verdict, str]:
    """The verdicts in the learner's language."""
    return {"start": _("start"), "kept": _("kept"), "dropped": _("dropped"), "predicted": _("predicted only")}


# ------------------------------------------------------------------------------------- a running engine, examined


CROWD, TOGETHER = 12, 8
"""Requests that arrive in one moment, and how many of them must be served at a time."""
REUSED = 0.9
"""Of the instruction's tokens, how many the second request must find."""
READERS, TOKENS = 4, 4
"""Readers beside a long document, and how many tokens each must get while it is read."""
ENOUGH = 0.9
"""Share of the load that must meet the SLO, by the simulator with a stamped engine's prices."""


def examine(server: Any, seed: int = 0, only: Collection[str] = ()) -> dict[str, str]:
    """What a running vLLM does with a crowd, an instruction it knows, a document among readers, and the whole load.

    Nothing here depends on how fast the machine is: requests, tokens and blocks are counted. The SLO is judged by the
    simulator, from the settings that the server itself reports and the prices of a stamped calibration.

    Args:
        only: look at these alone.

    Returns:
        {`room`, `crowd`, `prefix`, `gap`, `slo`: why it does not hold, or empty}.
    """
    looks = {
        "room": lambda: _room(server),
        "crowd": lambda: _crowd(server, seed),
        "prefix": lambda: _prefix(server, seed + 1),
        "gap": lambda: _gap(server, seed + 2),
        "slo": lambda: _slo(server),
    }
    return {name: look() for name, look in looks.items() if not only or name in only}


def _room(server: Any) -> str:
    held, longest = server.kv_cache.tokens, int(server.config.get("max_model_len") or 0)
    if held > ROOM or longest != MAX_LEN:
        text = _("it takes {held} tokens of KV cache and {longest} a sequence; the room is {room} and {most}")
        return text.format(held=held, longest=longest, room=ROOM, most=MAX_LEN)
    return ""


def _crowd(server: Any, seed: int) -> str:
    before = server.metrics().value("vllm:num_preemptions")
    with server.watch("vllm:num_requests_running", every=0.05) as seen:
        _whole(drive(server, synthetic(CROWD, 200, 24, seed=seed), concurrency=CROWD, progress=False).records)
    together = int(seen.frame()["vllm:num_requests_running"].max())
    if together < TOGETHER:
        text = _("of {crowd} requests that came together, at most {together} were served at a time")
        return text.format(crowd=CROWD, together=together)
    if gave_way := int(server.metrics().value("vllm:num_preemptions") - before):
        return _("{n} answers had to give way and begin anew: memory ran out").format(n=gave_way)
    return ""


def _prefix(server: Any, seed: int) -> str:
    first, second = synthetic(2, SHARED + 40, 2, seed=seed, shared_prefix=SHARED)
    _whole(drive(server, [first], progress=False).records)
    before = server.metrics().value("vllm:prefix_cache_hits")
    _whole(drive(server, [second], progress=False).records)
    found = int(server.metrics().value("vllm:prefix_cache_hits") - before)
    if found < REUSED * SHARED:
        text = _("of an instruction of {shared} tokens that it had just read, it read all but {found} again")
        return text.format(shared=SHARED, found=found)
    return ""


def _gap(server: Any, seed: int) -> str:
    readers = synthetic(READERS, 16, 48, seed=seed)
    document = replace(synthetic(1, DOCUMENT, 2, seed=seed + 1)[0], id=READERS)
    alone = drive(server, synthetic(READERS, 16, 6, seed=seed + 2), concurrency=READERS, progress=False)
    later = 8 * alone.summary().itl.p50
    arrivals = [0.0] * READERS + [later]
    loaded = drive(server, [*readers, document], arrivals=arrivals, progress=False).records
    _whole(loaded)
    *reading, newcomer = loaded
    got = [sum(newcomer.sent_s < t <= newcomer.first_token_s for t in r.token_times_s) for r in reading]
    if min(got) < TOKENS:
        text = _("while a document of {n} tokens was read, a reader got {got} tokens: it was read in too few pieces")
        return text.format(n=DOCUMENT, got=min(got))
    return ""


def _slo(server: Any) -> str:
    from servelab.calibrate import settings as reported

    prices = stamped()
    largest = settings({"max_num_seqs": 16, "max_num_batched_tokens": 256, "block_size": 32})
    met = Task.of(requests(32), prices, largest).simulate(reported(server), prices).met
    if met < ENOUGH:
        text = _("{met:.0%} of the load would be within the SLO, {enough:.0%} are wanted")
        return text.format(met=met, enough=ENOUGH)
    return ""


def stamped() -> Linear:
    """The prices of the stamped record `steptime`."""
    prices = dict(records.load("steptime")["prices"])
    prices.pop("request_s")
    return Linear(**prices)


def _whole(loaded: Sequence[Record]) -> None:
    if failed := [r for r in loaded if not r.ok]:
        raise ServelabError(_("A request failed: {why}").format(why=failed[0].error or failed[0].status))
