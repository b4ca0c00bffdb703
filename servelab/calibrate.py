"""A step-time model of one engine on one machine, fitted to a handful of short loads.

The load is made so that the client can tell from outside which steps the engine ran: nobody's prompt is longer than
what one step takes, so whoever receives a first token had the whole prompt in the step that ends there, and whoever
receives another one decoded in it. The time of a step is that between its reads and the reads of the step before.
Nothing of the engine is opened: what fits vLLM fits any server that streams and batches continuously.

    step = fixed + decode x sequences + context x cached tokens
         + prefill x prompt tokens + chunk x pairs + piece x pieces

Every price is at least 0 (non-negative least squares: Lawson & Hanson 1974, chapter 23), on relative errors. A
request that finds the engine idle costs `request_s` besides: the way through HTTP and tokenizer and back, which
belongs to TTFT and to no step.

The features are those of `servelab.simulate.Step`. Kept by machine and engine configuration under `home()`, stamped.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares, nnls

from servelab import records
from servelab.course import Model
from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.load.metrics import Record
from servelab.load.workload import Request, synthetic
from servelab.paths import home
from servelab.progress import Progress
from servelab.simulate.scheduler import EngineConfig
from servelab.theory.latency import Linear, Machine, Step, step_s

if TYPE_CHECKING:
    from servelab.engines import Server

FEATURES = ("fixed_s", "decode_s", "context_s", "prefill_s", "chunk_s", "pieces_s", "request_s")
"""Names of the prices; `Sample.features` has what each is paid for."""

QUARTILE = 0.25
"""Of a kind of step's medians in all rounds, the one that counts."""

BUDGET = 2048
"""Tokens a step takes where the engine does not tell (vLLM's default for a server, data-centre cards apart)."""


# ------------------------------------------------------------------------------------------------ what is asked


@dataclass(frozen=True)
class Probe:
    """One short load: `decoders` long answers, and beside them `newcomers` one after the other.

    Attributes:
        decoders, context: how many sequences decode, and their prompts' length in tokens.
        tokens: of their answers.
        prompt, newcomers: prompt length in tokens of each newcomer, and how many; without decoders they are alone.
    """

    decoders: int = 0
    context: int = 16
    tokens: int = 16
    prompt: int = 0
    newcomers: int = 0

    @property
    def name(self) -> str:
        """In short, for tables and records."""
        decoding = f"{self.decoders} x {self.context}" if self.decoders else ""
        prompts = f"prompt {self.prompt}" if self.newcomers else ""
        return " + ".join(filter(None, (decoding, prompts)))

    @property
    def concurrency(self) -> int:
        """Users of the closed loop: all decoders, and one newcomer at a time."""
        return self.decoders + bool(self.newcomers)

    def requests(self, seed: int) -> list[Request]:
        """The load. Newcomers' prompts are new with every `seed`; the decoders' may be cached: only their decoding is
        timed."""
        asked = synthetic(self.decoders, self.context, self.tokens, seed=self.context) if self.decoders else []
        if self.newcomers:
            asked += synthetic(self.newcomers, self.prompt, 2 if self.decoders else 1, seed=1_000_003 * (seed + 1))
        return [replace(request, id=i) for i, request in enumerate(asked)]


def probes(max_num_seqs: int, max_model_len: int, budget: int = BUDGET) -> list[Probe]:
    """A dozen loads that span what the engine allows: batch, context, prompt, and prompts among decoders."""
    seats = max(2, min(max_num_seqs, 64))
    longest = min(max_model_len, budget) - 64
    if longest < 32:
        raise ServelabError(_("A calibration needs an engine that takes prompts of 96 tokens or more."))
    far = max(16, min(1500, longest))
    near = max(16, min(448, longest))
    return [
        Probe(1, 16, 24),
        Probe(max(1, seats // 8), min(256, near), 20),
        Probe(max(2, seats // 2), 32, 16),
        Probe(seats, 16, 14),
        Probe(max(2, seats // 2), near, 12),
        Probe(2, far, 14),
        Probe(prompt=32, newcomers=3),
        Probe(prompt=min(128, longest), newcomers=3),
        Probe(prompt=min(512, longest), newcomers=2),
        Probe(prompt=longest, newcomers=1),
        Probe(max(1, seats // 4), 32, 20, min(64, longest), 3),
        Probe(max(1, seats * 3 // 4), 32, 14, min(256, longest), 2),
    ]


# -------------------------------------------------------------------------------------------- what was observed


@dataclass(frozen=True)
class Sample:
    """One step, or one that stands for many of its kind: what it had to do, and its seconds.

    `features` has the order of `FEATURES`: steps, sequences that decode, their cached tokens, prompt tokens, pairs,
    pieces, requests that found the engine idle. `steps` says how many were seen.
    """

    probe: str
    features: tuple[float, ...]
    seconds: float
    steps: int = 1

    @property
    def step(self) -> Step:
        """The same as a step of the theory."""
        _fixed, decode, context, prefill, chunk, pieces, _request = self.features
        return Step(decode=decode, context=context, prefill=prefill, chunk=chunk, pieces=pieces)


def bursts(loaded: Sequence[Record]) -> list[tuple[float, dict[int, int]]]:
    """The steps' ends as the client saw them: (time of the first read, {request: number of its token, from 0}).

    A step gives nobody two tokens, its tokens come within a third of the time from step to step, and none of them is
    of a request that was sent after it.
    """
    reads = sorted((t, r.id, k, r.sent_s) for r in loaded for k, t in enumerate(r.token_times_s))
    near = _median_gap(loaded) / 3
    found: list[tuple[float, dict[int, int]]] = []
    for t, who, k, sent in reads:
        if found and who not in found[-1][1] and t - found[-1][0] < near and sent <= found[-1][0]:
            found[-1][1][who] = k
        else:
            found.append((t, {who: k}))
    return found


def _median_gap(loaded: Sequence[Record]) -> float:
    """The usual time from token to token of one answer; infinite where no answer has two."""
    gaps = [np.diff(r.token_times_s) for r in loaded if len(r.token_times_s) > 1]
    return float(np.median(np.concatenate(gaps))) if gaps else math.inf


def observe(loaded: Sequence[Record], probe: str = "", budget: int = BUDGET) -> list[Sample]:
    """The samples of `observe_over_time`, without their times."""
    return [sample for _end, sample in observe_over_time(loaded, probe, budget)]


def observe_over_time(loaded: Sequence[Record], probe: str = "", budget: int = BUDGET) -> list[tuple[float, Sample]]:
    """Every step of a load whose work is known for certain: when its tokens were read, and one sample each.

    Left out: steps whose prompts together exceed `budget` (they took several), the first step of several requests
    that found the engine idle (who came in time is not known), and steps while somebody waits (a part of that prompt
    may be in them). A prompt that may be cached looks like any other from outside: `timed` leaves those out.
    Where busy cores let the server tell of two steps at once, neither's time is known: both are left out.
    """
    by_id = {r.id: r for r in loaded}
    steps = bursts(loaded)
    apart = np.diff([end for end, _wrote in steps])
    least = 0.1 * gap if math.isfinite(gap := _median_gap(loaded)) else 0.0
    told_late = {i for at in np.flatnonzero(apart <= least).tolist() for i in (at, at + 1)}
    last = {i: at for at, (_end, wrote) in enumerate(steps) for i in wrote}
    samples: list[tuple[float, Sample]] = []
    before = -math.inf
    for at, (end, wrote) in enumerate(steps):
        started = [by_id[i] for i, k in wrote.items() if k == 0]
        decoding = [(by_id[i], k) for i, k in wrote.items() if k > 0]
        flying = any(r.sent_s < before and last[r.id] >= at for r in loaded if r.token_times_s)
        prompt = sum(r.prompt_tokens for r in started)
        waiting = [r for r in loaded if r.sent_s < before and r.first_token_s > end and r.id not in wrote]
        alone = len(started) == 1 and not decoding
        known = prompt + len(decoding) <= budget and not waiting and (flying or alone) and at not in told_late
        if known:
            features = (
                1.0,
                len(decoding),
                sum(r.prompt_tokens + k - 1 for r, k in decoding),
                prompt,
                sum(r.prompt_tokens * (r.prompt_tokens + 1) / 2 for r in started),
                len(started),
                float(not flying),
            )
            samples.append((end, Sample(probe, features, end - (before if flying else started[0].sent_s))))
        before = end
    return samples


def gather(samples: Iterable[Sample], quantile: float = 0.5) -> list[Sample]:
    """One sample for each kind of step of each probe, equal in all but the context: the one of median duration, or
    of another `quantile` (the lower of two)."""
    kinds: dict[tuple, list[Sample]] = {}
    for one in samples:
        kind = (one.probe, one.features[1], *one.features[3:])
        kinds.setdefault(kind, []).append(one)
    chosen = []
    for group in kinds.values():
        group.sort(key=lambda one: one.seconds)
        chosen.append(replace(group[int(quantile * (len(group) - 1))], steps=sum(one.steps for one in group)))
    return chosen


def timed(samples: Iterable[Sample], probe: Probe) -> list[Sample]:
    """Those samples of a probe that it was made for: all decoders at work, and no prompt but the newcomers'."""
    return [
        one
        for one in samples
        if one.features[1] in (probe.decoders, probe.decoders + 1)
        and one.features[3] in (0, probe.prompt)
        and (probe.decoders or one.features[5])
    ]


def run(server: Any, loads: Sequence[Probe], rounds: int = 3, seed: int = 0, progress: bool = True) -> list[Sample]:
    """Run every load `rounds` times, interleaved (speeds drift), and return one sample for each kind of step.

    Of one run the median counts, of the rounds the lower quartile: whatever else the machine does makes a step
    slower, never faster.

    Raises:
        ServelabError: nothing answers, or requests failed.
    """
    from servelab.load.client import drive

    budget = token_budget(server)
    seen: list[Sample] = []
    with Progress(progress) as line:
        drive(server, synthetic(4, 16, 8, seed=seed + 77), concurrency=4, progress=False)
        for turn in range(rounds):
            for i, load in enumerate(loads):
                text = _("calibrating: round {turn} of {rounds}, {name}")
                line.say(text.format(turn=turn + 1, rounds=rounds, name=load.name))
                asked = load.requests(seed + 1000 * turn + i)
                result = drive(server, asked, concurrency=load.concurrency, progress=False)
                _require_answers(result.records)
                seen += gather(timed(observe(result.records, load.name, budget), load))
    return gather(seen, QUARTILE)


PACE = (Probe(8, 32, 16), Probe(24, 32, 8), Probe(prompt=256, newcomers=3))
"""A few seconds' load: decoding at two batch sizes, and prompts."""


def pace(server: Any, made: Calibration, seed: int = 0, loads: Sequence[Probe] = PACE) -> float:
    """How many times longer the engine's steps take now than a calibration says: machines' speeds drift.

    The ratio of two sums of seconds over the steps of a short load: nothing is left out, since whatever slowed these
    steps slows the ones that are to be predicted too.

    Raises:
        ServelabError: nothing answers, requests failed, or no step could be observed.
    """
    return lag(made, glimpse(server, seed, loads))


def glimpse(server: Any, seed: int = 0, loads: Sequence[Probe] = PACE) -> list[Sample]:
    """The steps of a few seconds' load, every one that could be observed: what `lag` and `lags` judge.

    Raises:
        ServelabError: nothing answers, or requests failed.
    """
    from servelab.load.client import drive

    budget, seen = token_budget(server), []
    for i, load in enumerate(loads):
        result = drive(server, load.requests(seed + i), concurrency=load.concurrency, progress=False)
        _require_answers(result.records)
        seen += timed(observe(result.records, load.name, budget), load)
    return seen


def lag(made: Calibration, samples: Sequence[Sample]) -> float:
    """How many times longer these steps took, all together, than a calibration says.

    Raises:
        ServelabError: there are none.
    """
    if not samples:
        raise ServelabError(_("No step could be observed: give the engine a load that decodes for longer."))
    return float(sum(s.seconds * s.steps for s in samples) / (made.predict(samples) @ [s.steps for s in samples]))


def lags(made: Calibration, samples: Sequence[Sample]) -> tuple[float, float]:
    """How many times longer decoding took than a calibration says, and prompts: as `Calibration.slower` takes them.

    The first is that of the steps without a prompt, the second of what then remains of those with one. Decoding reads
    memory and prompts compute, so whoever takes memory's bandwidth on the same machine slows the first more.

    Raises:
        ServelabError: there are no steps, or only of one kind.
    """
    with_prompt = [s for s in samples if s.features[3]]
    times = lag(made, [s for s in samples if not s.features[3]])
    decoding = made.slower(times, 0.0)
    left = sum((s.seconds - p) * s.steps for s, p in zip(with_prompt, decoding.predict(with_prompt), strict=True))
    prompts = made.slower(0.0, 1.0)
    if not with_prompt or left <= 0:
        raise ServelabError(_("No step could be observed: give the engine a load that decodes for longer."))
    return times, float(left / (prompts.predict(with_prompt) @ [s.steps for s in with_prompt]))


def _require_answers(loaded: Sequence[Record]) -> None:
    if failed := [r for r in loaded if not r.ok]:
        raise ServelabError(_("A request of the calibration failed: {why}").format(why=failed[0].error))


def settings(server: Server) -> EngineConfig:
    """A running vLLM's settings as the simulator takes them: from its command, its metrics and its log."""
    asked = dict(zip(server.command, server.command[1:], strict=False))
    cache = server.kv_cache
    told = server.metrics().samples("vllm:cache_config_info")[0].labels
    usual = EngineConfig()
    return EngineConfig(
        num_blocks=cache.num_blocks,
        block_size=cache.block_size,
        max_num_seqs=int(asked.get("--max-num-seqs", usual.max_num_seqs)),
        max_num_batched_tokens=token_budget(server),
        max_model_len=int(asked["--max-model-len"]) if "--max-model-len" in asked else None,
        enable_prefix_caching=told["enable_prefix_caching"] == "True",
        enable_chunked_prefill="--no-enable-chunked-prefill" not in server.command,
        long_prefill_token_threshold=int(asked.get("--long-prefill-token-threshold", 0)),
        policy=asked.get("--scheduling-policy", usual.policy),
    )


def token_budget(server: Any) -> int:
    """Tokens that one step takes at most (`max_num_batched_tokens`), from the server's configuration or its log."""
    config = getattr(server, "config", {})
    if config.get("max_num_batched_tokens"):
        return int(config["max_num_batched_tokens"])
    path = getattr(server, "log_path", None)
    told = re.search(r"max_num_batched_tokens=(\d+)", path.read_text(errors="replace")) if path else None
    return int(told.group(1)) if told else BUDGET


# ------------------------------------------------------------------------------------------------------ the fit


@dataclass(frozen=True)
class Fit:
    """Relative errors |predicted / measured - 1| of samples: median, 95th percentile, the largest; how many."""

    median: float
    p95: float
    worst: float
    samples: int

    @classmethod
    def of(cls, predicted: Any, measured: Any) -> Fit:
        """Of two arrays of seconds, shape (samples,)."""
        off = np.abs(np.asarray(predicted, float) / np.asarray(measured, float) - 1)
        return cls(float(np.median(off)), float(np.quantile(off, 0.95)), float(off.max()), off.size)


@dataclass(frozen=True)
class Calibration(Linear):
    """Prices in seconds of a step's features: a `StepTime` for the simulator, and how well it fits.

    Attributes:
        request_s: of a request that finds the engine idle, beside its steps.
        held_out: errors on each probe's steps when that probe is left out of the fit.
        about: machine, engine, configuration, peaks, stamp.
    """

    request_s: float = 0.0
    held_out: Fit | None = None
    about: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def prices(self) -> dict[str, float]:
        """Every price by its name."""
        return {name: getattr(self, name) for name in FEATURES}

    def predict(self, samples: Sequence[Sample]) -> NDArray[np.float64]:
        """Seconds of samples, the way to an idle engine included, shape (samples,)."""
        return np.array([s.features for s in samples]).reshape(-1, len(FEATURES)) @ list(self.prices.values())

    def slower(self, times: float, prompts: float | None = None) -> Calibration:
        """The same engine on a machine so many times slower: every price multiplied, those of prompts by another
        number where it is given."""
        factors = dict.fromkeys(FEATURES, times)
        if prompts is not None:
            factors |= dict.fromkeys(("prefill_s", "chunk_s", "pieces_s"), prompts)
        return replace(self, **{name: price * factors[name] for name, price in self.prices.items()})

    @property
    def samples(self) -> list[Sample]:
        """The steps that it was fitted to, one for each kind."""
        kept = self.about.get("samples", ())
        return [Sample(s["probe"], tuple(s["features"]), s["seconds"], s["steps"]) for s in kept]

    @property
    def inside(self) -> list[Sample]:
        """The same without what a request that finds the engine idle costs besides its step (`request_s`)."""
        less = [(s, s.seconds - self.request_s * s.features[-1]) for s in self.samples]
        return [replace(s, features=(*s.features[:-1], 0.0), seconds=seconds) for s, seconds in less if seconds > 0]

    @property
    def machine(self) -> Machine | None:
        """The roofline's constants fitted to the same steps; None where the model's shape is not known."""
        return Machine(**self.about["machine"]) if "machine" in self.about else None

    def save(self, folder: Path | None = None) -> Path:
        """Keep it, stamped, under its machine's and engine's key."""
        path = (folder or home() / "calibration") / f"{self.about['key']}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"stamp": records.stamp(), **asdict(self)}, indent=1, ensure_ascii=False) + "\n")
        return path

    @classmethod
    def read(cls, path: Path) -> Calibration:
        """A kept one."""
        kept = json.loads(path.read_text())
        about = {**kept["about"], "stamp": kept["stamp"]}
        fit = Fit(**kept["held_out"]) if kept["held_out"] else None
        return cls(**{name: kept[name] for name in FEATURES}, held_out=fit, about=about)


def _solve(samples: Sequence[Sample]) -> Calibration:
    rows = np.array([s.features for s in samples], float)
    seconds = np.array([s.seconds for s in samples])
    weight = np.sqrt(np.minimum([s.steps for s in samples], 9)) / seconds
    rows, aims = rows * weight[:, None], seconds * weight
    scale = np.maximum(rows.max(axis=0), 1e-300)
    price, _residual = nnls(rows / scale, aims)
    return Calibration(**dict(zip(FEATURES, (price / scale).tolist(), strict=True)))


def fit(samples: Sequence[Sample], about: dict[str, Any] | None = None) -> Calibration:
    """Prices that fit best, and how well each probe is predicted by the others.

    Raises:
        ServelabError: fewer kinds of steps than prices.
    """
    samples = list(samples)
    if len(samples) <= len(FEATURES) or any(s.seconds <= 0 for s in samples):
        text = _("A calibration needs more than {n} kinds of steps, each of some duration; {m} were seen.")
        raise ServelabError(text.format(n=len(FEATURES), m=len(samples)))
    predicted, measured = [], []
    for left_out in dict.fromkeys(s.probe for s in samples):
        rest = [s for s in samples if s.probe != left_out]
        if not rest:
            continue
        tested = [s for s in samples if s.probe == left_out]
        predicted += _solve(rest).predict(tested).tolist()
        measured += [s.seconds for s in tested]
    held_out = Fit.of(predicted, measured) if predicted else None
    return replace(_solve(samples), held_out=held_out, about=about or {})


def fit_machine(
    samples: Sequence[Sample], model: Model, peak_flops: float, bandwidth: float, bytes_per_number: float = 4
) -> Machine:
    """The roofline's constants of this engine - MFU, MBU, overlap, t0 - by least squares of relative errors.

    Only steps that began behind another are used: a request that finds the engine idle brings time of its own.
    """
    inside = [s for s in samples if not s.features[-1]]
    seconds = np.array([s.seconds for s in inside])
    steps = Step(*(np.array(column) for column in zip(*((s.features[1:6]) for s in inside), strict=True)))
    least = float(seconds.min())

    def machine(x: NDArray) -> Machine:
        mfu, mbu, overlap, waits = map(float, x)
        return Machine(peak_flops, bandwidth, mfu, mbu, waits * least, overlap)

    def off(x: NDArray) -> NDArray:
        return step_s(model, steps, machine(x), bytes_per_number) / seconds - 1

    starts = ([0.5, 0.7, 0.9, 0.1], [0.5, 0.5, 0.1, 0.1], [0.2, 0.9, 0.5, 0.5], [0.8, 0.4, 0.5, 0.0])
    bounds = ([1e-3, 1e-3, 0, 0], [1, 1, 1, 1])
    found = [least_squares(off, x, bounds=bounds, loss="soft_l1", f_scale=0.1) for x in starts]
    return machine(min(found, key=lambda one: one.cost).x)


# ---------------------------------------------------------------------------------------------------- keeping


def key(server: Server) -> str:
    """Name of a calibration: the machine, the model, and a digest of the engine's configuration and versions."""
    machine = records.card() or re.sub(r"[^a-z0-9]+", "-", records.cpu_name().lower()).strip("-")
    about = {**description(server), "versions": records.versions()}
    digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()[:8]
    return f"{machine}-{server.model}-{digest}"


def description(server: Server) -> dict[str, Any]:
    """What an engine is, for the record: the words that it was started with, ports and folders left out."""
    before = ["", *server.command]
    words = [w for w, last in zip(server.command, before, strict=False) if not w.startswith("/") and last != "--port"]
    return {"model": server.model, "config": server.config, "words": words, "env": server.env}


def kept(server: Server) -> Calibration | None:
    """The calibration of this engine on this machine, if there is one."""
    path = home() / "calibration" / f"{key(server)}.json"
    return Calibration.read(path) if path.exists() else None


def calibrate(server: Server, rounds: int = 3, progress: bool = True) -> Calibration:
    """Measure the machine's peaks and a running engine's steps, fit, and keep the result.

    Raises:
        ServelabError: the server does not answer, or too little could be observed.
    """
    from servelab import hardware
    from servelab.engines.peaks import BYTES, peaks

    tier = hardware.tier()
    with Progress(progress) as line:
        line.say(_("calibrating: matrix product and memory bandwidth"))
        top = peaks()
    loads = probes(
        int(server.config.get("max_num_seqs") or tier.max_num_seqs),
        int(server.config.get("max_model_len") or tier.max_model_len),
        token_budget(server),
    )
    samples = run(server, loads, rounds, progress=progress)
    about: dict[str, Any] = {
        "key": key(server),
        "engine": description(server),
        "peaks": asdict(top),
        "budget": token_budget(server),
        "samples": [asdict(s) for s in samples],
    }
    if model := _model(server):
        size = BYTES.get(str(server.config.get("dtype") or tier.dtype), 4)
        machine = fit_machine(samples, model, top.gemm_flops_per_s, top.bandwidth_bytes_per_s, size)
        about["machine"] = asdict(machine)
    made = fit(samples, about)
    made.save()
    return made


def _model(server: Server) -> Model | None:
    from servelab import course

    return next((m for m in course.load().models if m.id == server.model), None)
