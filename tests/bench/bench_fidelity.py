"""The calibrated simulator against real vLLM, as a client sees it, on loads that the calibration never saw.

A calibration measures single steps in a closed loop; here requests come as they like - Poisson, in bursts, as in the
course's trace - with other lengths, and what is compared is what a user feels: TTFT, TPOT, E2E and throughput. The
simulator gets the same lengths and send times, the engine's own settings and the calibrated prices, and nothing of the
run it is held against.

A machine's speed drifts. So a short load before and after every run (`servelab.calibrate.glimpse`) tells how much
slower than at the calibration decoding and prompts are now: the run's rate is set from the pace before it, so that its
load stays what it says, and the simulator's prices from the mean of both. Each load is repeated, with the same lengths
and gaps in new prompts, all of them interleaved. A run counts if the machine was one and the same while it lasted:
other programs took no more than `OTHERS` of the cores, and the paces before and after it lie no more than `STEADY`
apart. Loads are run again until `WANTED` of their runs count or the time is over. The other runs stay in the record,
and do not count unless fewer than two would be left of a load.

An error is the mean of measured / predicted over the repeats, less one; the run-to-run interval is that ratio's own
(95 %, Student's t). An aim is met within its per cent or within twice the interval, as the aim says;
`within_the_aim_itself` in the record tells which were met without that. Over all loads up to 70 % together the
interval is narrow enough to show what the simulator always gets wrong.

Probes of seconds cannot tell what happens between them where neighbours come and go within seconds. So every run is
simulated once more with the pace that it turned out to have, taken from its own steps in windows of `WINDOW_S`
(`at its own pace`). That is no forecast, since the run told it; it answers the other question, what of an error is the
machine's drift and what the simulator's. No interval is allowed for there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any

import numpy as np
from scipy import stats

from servelab import calibrate, hardware
from servelab.bench import Bench
from servelab.calibrate import Calibration
from servelab.engines import Server, vllm
from servelab.engines.busy import Others
from servelab.load import Request, drive, gamma, poisson, replay, synthetic, trace
from servelab.load.arrivals import Arrivals
from servelab.load.metrics import Record
from servelab.load.workload import renewed
from servelab.simulate import Engine, EngineConfig, Step, sequences, simulate
from servelab.simulate.capacity import capacity

AIMS = {"throughput": 2, "tpot_mean": 5, "e2e_mean": 5, "ttft_p50": 10, "ttft_p95": 15}
"""Per cent, up to 70 % of capacity."""
BUSY_AIMS = {"e2e_p50": 8, "e2e_p95": 12}
"""At 85 %."""
CAPACITY_AIM = 5
OTHERS, STEADY = 0.04, 0.15
WINDOW_S = 3.0
WANTED, BUDGET_S = 4, 600
TOGETHER = "all up to 70%"
NEAR = 0.97
"""Near saturation: the errors are published, none is asked for."""


@dataclass(frozen=True)
class Workload:
    """Requests, when they come if the rate is 1/s, and which share of the capacity they ask for.

    A `load` of None is all at once: what is measured then is the capacity.
    """

    name: str
    requests: list[Request]
    arrivals: Arrivals | None = None
    load: float | None = None

    @property
    def label(self) -> str:
        """For tables."""
        return self.name if self.load is None else f"{self.name}, {self.load:.0%}"


def workloads(quick: bool) -> list[Workload]:
    """Four held-out loads up to 70 % of capacity, one at 85 %, one near saturation, and all at once."""

    def some(n: int, prompt: tuple[float, float], output: tuple[float, float], seed: int) -> list[Request]:
        return synthetic(8 if quick else n, prompt, output, seed=seed)

    course = trace(n=8 if quick else 56)
    rate = (len(course) - 1) / course[-1].arrival_s
    loads = [
        Workload("chat, Poisson", some(26, (90, 0.6), (48, 0.6), 11), poisson(1, seed=1), 0.5),
        Workload("long prompts, Poisson", some(22, (320, 0.7), (20, 0.5), 12), poisson(1, seed=2), 0.7),
        Workload("long answers, bursts", some(30, (48, 1.0), (72, 0.8), 13), gamma(1, 2.0, seed=3), 0.6),
        Workload("the course's trace", course, replay([r.arrival_s * rate for r in course]), 0.7),
        Workload("mixed, Poisson", some(42, (130, 1.0), (40, 0.7), 14), poisson(1, seed=4), 0.85),
        Workload("mixed, Poisson", some(48, (130, 1.0), (40, 0.7), 15), poisson(1, seed=5), NEAR),
        Workload("all at once", some(48, (100, 0.8), (40, 0.6), 16)),
    ]
    return loads[:1] if quick else loads


def figures(loaded: Sequence[Record]) -> dict[str, float]:
    """What a client sees of a load: tokens/s, and latencies in seconds."""
    ttft, e2e = np.array([r.ttft_s for r in loaded]), np.array([r.e2e_s for r in loaded])
    return {
        "throughput": sum(r.output_tokens for r in loaded) / max(r.finished_s for r in loaded),
        "tpot_mean": float(np.nanmean([r.tpot_s for r in loaded])),
        "e2e_mean": float(e2e.mean()),
        "ttft_p50": float(np.quantile(ttft, 0.5)),
        "ttft_p95": float(np.quantile(ttft, 0.95)),
        "e2e_p50": float(np.quantile(e2e, 0.5)),
        "e2e_p95": float(np.quantile(e2e, 0.95)),
    }


@dataclass(frozen=True)
class Pace:
    """How many times longer than at the calibration: all steps together, decoding, prompts; what others took."""

    overall: float
    decode: float
    prompts: float
    others: float

    @classmethod
    def now(cls, server: Server, made: Calibration, seed: int) -> Pace:
        """Of a few seconds; measured again where other programs took too much of the cores."""
        tries = []
        for attempt in range(3):
            with Others(server) as others:
                seen = calibrate.glimpse(server, seed + 3 * attempt)
            tries.append(cls(calibrate.lag(made, seen), *calibrate.lags(made, seen), others.share))
            if others.share <= OTHERS:
                break
        return min(tries, key=lambda one: one.others)

    def slow(self, made: Calibration) -> Calibration:
        """The calibration at this pace."""
        return made.slower(self.decode, self.prompts)

    def mean(self, other: Pace) -> Pace:
        """Of two."""
        return Pace(*((a + b) / 2 for a, b in zip(astuple(self), astuple(other), strict=True)))


def once(
    server: Server, config: EngineConfig, made: Calibration, work: Workload, pace: Pace, seed: int
) -> tuple[dict[str, Any], list[Record], list[Request], dict[str, Any]]:
    """One run at the rate that the pace before it allows: what is known of it, its records, what was asked and when."""
    requests, how, rate = renewed(work.requests, seed), {"concurrency": len(work.requests)}, None
    if work.load is not None:
        rate = work.load * capacity(requests, config, pace.slow(made))
        how = {"arrivals": work.arrivals.offsets(len(requests)) / rate}
    with Others(server) as others:
        measured = drive(server, requests, progress=False, **how).records
    if failed := [r for r in measured if not r.ok]:
        raise RuntimeError(failed[0].error)
    row = {"workload": work.label, "load": work.load, "rate": rate, "others": others.share}
    return row, measured, requests, how


def run(bench: Bench) -> None:
    """Calibrate, then all loads in turn, repeat by repeat, a pace probe between any two."""
    tier, loads = hardware.tier(), workloads(bench.quick)
    rows: list[dict[str, Any]] = []
    with vllm(name="bench-fidelity") as server:
        config, budget = calibrate.settings(server), calibrate.token_budget(server)
        known = calibrate.probes(config.max_num_seqs, config.max_model_len, budget)
        if bench.quick:
            known = [load for load in known if load.context <= 32 and load.prompt <= 256]
        bench.say(f"calibrating with {len(known)} loads")
        made = calibrate.fit(calibrate.run(server, known, 1 if bench.quick else 2, progress=False))
        seed, started = 1_000, time.monotonic()
        pace = Pace.now(server, made, seed)
        while todo := missing(loads, rows, time.monotonic() - started, bench.quick):
            for work in todo:
                seed += 10
                row, measured, requests, how = once(server, config, made, work, pace, seed)
                before, pace = pace, Pace.now(server, made, seed)
                row |= {"pace": [asdict(before), asdict(pace)]}
                row |= compare(made, config, before.mean(pace), measured, requests, how, budget)
                quiet = max(row["others"], before.others, pace.others) <= OTHERS
                row["counts"] = quiet and abs(pace.overall / before.overall - 1) <= STEADY
                rows.append(row)
                told = f"{max(r.finished_s for r in measured):.0f} s, pace {before.overall:.2f} and {pace.overall:.2f}"
                told += f" (its own {row['own_pace']:.2f}), others took {row['others']:.1%} of the cores"
                bench.say(f"{work.label}: {told}{'' if row['counts'] else '; does not count'}")
        server.stop()
    judge(bench, loads, rows)
    bench.data = {
        "tier": tier.id,
        "config": asdict(config),
        "prices": made.prices,
        "left_out_of_the_fit": asdict(made.held_out) if made.held_out else None,
        **bench.data,
        "columns": [
            "prompt_tokens",
            "output_tokens",
            "sent_ms",
            "ttft_ms",
            "e2e_ms",
            "said_ttft_ms",
            "said_e2e_ms",
            "own_ttft_ms",
            "own_e2e_ms",
        ],
        "runs": rows,
    }


def missing(loads: Sequence[Workload], rows: Sequence[dict[str, Any]], passed_s: float, quick: bool) -> list[Workload]:
    """Loads that want another run: each at least twice, then until enough count or the time is over."""
    some = []
    for work in loads:
        mine = [row for row in rows if row["workload"] == work.label]
        wanted = 1 if quick else 2 if work.load == NEAR else WANTED
        most = 1 if quick else 2 * wanted
        late = passed_s > BUDGET_S and len(mine) >= 2
        if sum(row["counts"] for row in mine) < wanted and len(mine) < most and not late:
            some.append(work)
    return some


def compare(
    made: Calibration,
    config: EngineConfig,
    pace: Pace,
    measured: Sequence[Record],
    requests: Sequence[Request],
    how: dict[str, Any],
    budget: int,
) -> dict[str, Any]:
    """A run's figures, and what the simulator says of it: from the probes, and at the run's own pace."""
    own = calibrate.lag(made, calibrate.observe(measured, budget=budget))
    said = simulate(requests, config, pace.slow(made), **how).records
    after = at_its_own_pace(made, config, measured, requests, how.get("arrivals"), budget)
    each = [
        [m.prompt_tokens, m.output_tokens, *(round(1000 * x) for x in (m.intended_s, m.ttft_s, m.e2e_s))]
        + [round(1000 * x) for one in (p, a) for x in (one.ttft_s, one.e2e_s)]
        for m, p, a in zip(measured, said, after, strict=True)
    ]
    return {
        "own_pace": own,
        "measured": figures(measured),
        "predicted": figures(said),
        "at_its_own_pace": figures(after),
        "requests": each,
    }


def at_its_own_pace(
    made: Calibration,
    config: EngineConfig,
    measured: Sequence[Record],
    requests: Sequence[Request],
    arrivals: np.ndarray | None,
    budget: int,
) -> list[Record]:
    """The run simulated with prices that follow its own steps: their pace in windows of `WINDOW_S`."""
    seen = calibrate.observe_over_time(measured, budget=budget)
    times = np.arange(0, seen[-1][0] + 1, 1.0)
    windows = [[s for end, s in seen if abs(end - s.seconds / 2 - t) <= WINDOW_S / 2] for t in times]
    known = [(t, calibrate.lag(made, window)) for t, window in zip(times, windows, strict=True) if window]
    at, pace = np.array(known).T

    def seconds(step: Step) -> float:
        took = float(made(step))
        for _again in range(2):  # the pace in the middle of the step, which depends on how long it takes
            took = float(made(step)) * float(np.interp(engine.now + took / 2, at, pace))
        return took

    engine = Engine(config, seconds, jump=False)
    delay = made.request_s * float(np.mean(pace))
    for one in sequences(requests, config, delay + (np.zeros(len(requests)) if arrivals is None else arrivals)):
        engine.add(one)
    engine.run()
    return sorted(engine.records(delay), key=lambda r: r.id)


@dataclass(frozen=True)
class Error:
    """measured / predicted over the repeats of one load: its mean less one, and half of its 95 % interval, in %."""

    off: float
    half: float

    @classmethod
    def of(cls, rows: Sequence[dict[str, Any]], metric: str, against: str = "predicted") -> Error:
        """Of one figure; with a single run the interval is not known."""
        ratios = np.array([row["measured"][metric] / row[against][metric] for row in rows])
        half = math.inf
        if len(ratios) > 1:
            half = float(stats.t.ppf(0.975, len(ratios) - 1) * ratios.std(ddof=1) / math.sqrt(len(ratios)))
        return cls(100 * float(ratios.mean() - 1), 100 * half)


def counted(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of one load's runs that other programs left alone; all, where fewer than two are left."""
    quiet = [row for row in rows if row["counts"]]
    return quiet if len(quiet) > 1 else list(rows)


def judge(bench: Bench, loads: Sequence[Workload], rows: Sequence[dict[str, Any]]) -> None:
    """Every figure of every load against its aim, and those up to 70 % together."""
    gentle = [work for work in loads if work.load is not None and work.load <= 0.7]
    gentle_labels = {work.label for work in gentle}
    by_load = {work.label: counted([row for row in rows if row["workload"] == work.label]) for work in loads}
    table: list[dict[str, Any]] = []

    def line(label: str, metric: str, mine: Sequence[dict[str, Any]], aim: int | None) -> None:
        error, after = Error.of(mine, metric), Error.of(mine, metric, "at_its_own_pace")
        table.append(
            {
                "workload": label,
                "metric": metric,
                "runs": len(mine),
                "off_percent": error.off,
                "half_interval_percent": error.half if math.isfinite(error.half) else None,
                "off_at_its_own_pace_percent": after.off,
                "aim_percent": aim,
                "within_the_aim_itself": None if aim is None else abs(error.off) <= aim,
            }
        )
        if aim is not None:
            known = math.isfinite(error.half)
            met = abs(error.off) <= max(aim, 2 * error.half if known else 0)
            words = f"within {aim} %" + (f", or twice the interval of {error.half:.1f} %" if known else "")
            bench.figure(f"{metric}, {label}", error.off, "% off", words, met)
            if label not in gentle_labels:
                name = f"{metric}, {label}, at its own pace"
                bench.figure(name, after.off, "% off", f"within {aim} %", abs(after.off) <= aim)

    for metric, aim in AIMS.items():
        line(TOGETHER, metric, [row for work in gentle for row in by_load[work.label]], aim)
    for work in loads:
        mine = by_load[work.label]
        if work in gentle:
            aims: dict[str, int] = AIMS
        elif work.load is None:
            aims = {"throughput": CAPACITY_AIM}
        else:
            aims = {} if work.load == NEAR else BUSY_AIMS
        for metric in mine[0]["measured"]:
            line(work.label, metric, mine, aims.get(metric))
    bench.data["errors"] = table
    asked = [row for row in table if row["aim_percent"] is not None]
    inside = sum(row["within_the_aim_itself"] for row in asked)
    bench.say(f"{inside} of {len(asked)} within the aim itself, without the interval")
    for row in table:
        if row["workload"].endswith(f"{NEAR:.0%}"):
            bench.say(f"near saturation: {row['metric']} {row['off_percent']:+.1f} %")
    bench.say(f"{sum(row['counts'] for row in rows)} of {len(rows)} runs count")
