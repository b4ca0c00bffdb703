"""Does the simulator choose well? Twelve real configurations, one load, two objectives, and the regret of its choice.

`max_num_seqs`, `max_num_batched_tokens` and the prefix cache are varied; requests come in bursts, and every one begins
with the same long instruction and goes on in its own words. The objectives: goodput under an SLO that lets a request
wait but then wants it to be fast - so neither the smallest nor the largest batch is right -, and mean E2E, for which
the largest is. The simulator is calibrated on one of the engines and picks for each objective the best of twelve,
before any of them is loaded.

Then all twelve really run and serve the load, two started at a time. The picks and whoever measured best by either
objective stay; they are the finalists, and serve it again in turns, `ROUNDS` times, the same requests in the same
round. Regret is what the pick loses to the best finalist in those rounds alone: the first runs chose who is measured
again, so they cannot be counted once more. Its interval is over the rounds (95 %, Student's t).

A machine's speed drifts, so the load and its SLO are in the engine's own time: a short probe before a run tells how
much slower than at the calibration steps are now (`servelab.calibrate.pace`, always on the engine that was calibrated);
gaps and bounds are stretched by it, and what was measured is told in the calibration's seconds. A run in which other
programs took more than `OTHERS` of the cores is done once more.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from servelab import calibrate, hardware
from servelab.bench import Bench
from servelab.calibrate import Calibration
from servelab.engines import Server, vllm
from servelab.engines.busy import Others
from servelab.load import SLO, Request, drive, gamma, synthetic
from servelab.load.metrics import Record
from servelab.load.workload import renewed
from servelab.simulate import EngineConfig, simulate
from servelab.simulate.capacity import capacity
from servelab.theory.latency import Step

SEQS, BUDGETS, CACHES = (3, 7, 16), (2048, 64), (True, False)
COMMON = {"kv_cache_memory_bytes": 320_000_000, "max_model_len": 1024}
"""A cache that is large enough for all; twelve engines with the tier's own would not fit one after the other."""
LOAD, BURSTS = 0.7, 2.5
"""Mean rate, of the capacity of the largest configuration with its prefix cache; coefficient of variation of gaps."""
TTFT_STEPS, TPOT_STEPS = 60, 1.35
"""The SLO, in steps of eight sequences that decode."""
ROUNDS = 3
AIM = 5.0
OTHERS = 0.04


@dataclass(frozen=True)
class Choice:
    """One configuration."""

    max_num_seqs: int
    max_num_batched_tokens: int
    enable_prefix_caching: bool

    @property
    def name(self) -> str:
        """In short."""
        cache = "prefix cache" if self.enable_prefix_caching else "no cache"
        return f"{self.max_num_seqs} seqs, {self.max_num_batched_tokens} tokens, {cache}"

    def start(self, i: int) -> Server:
        """A real engine of this configuration."""
        return vllm(name=f"bench-decisions-{i}", progress=False, **asdict(self), **COMMON)

    def simulated(self, like: EngineConfig) -> EngineConfig:
        """The same for the simulator; `like` is the settings of one that runs."""
        return replace(like, **asdict(self))


@dataclass(frozen=True)
class Task:
    """Requests, when they come, in seconds at the calibration's pace, and what is asked of their latency."""

    requests: list[Request]
    offsets_s: np.ndarray
    slo: SLO

    @classmethod
    def of(cls, requests: list[Request], largest: EngineConfig, made: Calibration) -> Task:
        """A load and bounds that fit the machine."""
        rate = LOAD * capacity(requests, largest, made)
        step = float(made(Step(decode=8, context=8 * 220)))
        offsets = gamma(rate, BURSTS, seed=3).offsets(len(requests))
        return cls(requests, offsets, SLO(ttft_s=TTFT_STEPS * step, tpot_s=TPOT_STEPS * step))

    def judge(self, records: Sequence[Record], pace: float) -> dict[str, float]:
        """Both objectives, in seconds at the calibration's pace."""
        slo = SLO(ttft_s=self.slo.ttft_s * pace, tpot_s=self.slo.tpot_s * pace)
        met = sum(slo.met(r) for r in records)
        return {
            "goodput": met * pace / max(r.finished_s for r in records),
            "e2e_mean_s": float(np.mean([r.e2e_s for r in records])) / pace,
            "attainment": met / len(records),
        }

    def simulate(self, config: EngineConfig, made: Calibration) -> dict[str, float]:
        """What the simulator says."""
        return self.judge(simulate(self.requests, config, made, arrivals=self.offsets_s).records, 1.0)

    def serve(self, server: Server, pace: float, seed: int) -> dict[str, Any]:
        """What an engine does; its times stretched by the pace of now. Once more, if others disturb it."""
        tries = []
        for attempt in range(2):
            asked = renewed(self.requests, seed + 50_000 * attempt)
            with Others(server) as others:
                records = drive(server, asked, arrivals=self.offsets_s * pace, progress=False).records
            if failed := [r for r in records if not r.ok]:
                raise RuntimeError(failed[0].error)
            latencies = [[round(1000 * r.ttft_s), round(1000 * r.e2e_s)] for r in records]
            tries.append({**self.judge(records, pace), "pace": pace, "others": others.share, "ttft_e2e_ms": latencies})
            if others.share <= OTHERS:
                break
        return min(tries, key=lambda one: one["others"])


OBJECTIVES = {"goodput": max, "e2e_mean_s": min}


def best(values: dict[Choice, dict[str, float]], objective: str) -> list[Choice]:
    """Choices in order, the best first; on a tie the smaller one."""
    sign = -1 if OBJECTIVES[objective] is max else 1
    return sorted(values, key=lambda c: (sign * values[c][objective], c.max_num_seqs, c.max_num_batched_tokens))


def quiet_pace(server: Server, made: Calibration, seed: int) -> float:
    """The pace now, measured again where other programs took too much of the cores."""
    tries = []
    for attempt in range(3):
        with Others(server) as others:
            pace = calibrate.pace(server, made, seed + 3 * attempt, loads=calibrate.PACE[::2])
        tries.append((others.share, pace))
        if others.share <= OTHERS:
            break
    return min(tries)[1]


def regret(rounds: Sequence[dict[Choice, dict[str, Any]]], pick: Choice, objective: str) -> tuple[float, float, Choice]:
    """What the pick loses to the best finalist, in %, half of its interval over the rounds, and who is the best."""
    finalists = list(rounds[0])
    means = {c: {objective: float(np.mean([r[c][objective] for r in rounds]))} for c in finalists}
    winner = best(means, objective)[0]
    scale = means[winner][objective]
    sign = 1 if OBJECTIVES[objective] is max else -1
    each = np.array([sign * (r[winner][objective] - r[pick][objective]) / scale for r in rounds])
    half = math.inf
    if len(each) > 1:
        half = float(stats.t.ppf(0.975, len(each) - 1) * each.std(ddof=1) / math.sqrt(len(each)))
    return 100 * float(each.mean()), 100 * half, winner


class Contest:
    """The engines that run, what they measured, and the probe that tells the pace."""

    def __init__(self, bench: Bench, choices: Sequence[Choice], stack: ExitStack) -> None:
        self.bench, self.choices, self.stack = bench, list(choices), stack
        self.alive: dict[Choice, Server] = {}
        self.seed = 100
        self.start(self.choices[: 1 if bench.quick else 2])
        self.clock = self.alive[self.choices[0]]

    def start(self, some: Sequence[Choice]) -> None:
        """Start engines at once, one on each core: loading is work for one."""
        with ThreadPoolExecutor(len(some)) as pool:
            for choice, server in zip(some, pool.map(lambda c: c.start(self.choices.index(c)), some), strict=True):
                self.alive[choice] = server
                self.stack.callback(server.stop)

    def keep(self, wanted: set[Choice]) -> None:
        """Stop the others; the clock goes on."""
        for choice in [c for c in self.alive if c not in wanted]:
            server = self.alive.pop(choice)
            if server is not self.clock:
                server.stop()

    def serve(self, task: Task, choice: Choice, made: Calibration, seed: int) -> dict[str, Any]:
        """The pace, then the load."""
        self.seed += 10
        row = task.serve(self.alive[choice], quiet_pace(self.clock, made, self.seed), seed)
        told = ", ".join(f"{k} {row[k]:.2f}" for k in OBJECTIVES)
        self.bench.say(f"{choice.name}: {told}; pace {row['pace']:.2f}, others {row['others']:.1%}")
        return row


def run(bench: Bench) -> None:
    """Calibrate and pick; then start two engines at a time, load each, keep the best, and let them compete."""
    requests = synthetic(6 if bench.quick else 28, (200, 0.4), (32, 0.6), seed=1, shared_prefix=128)
    choices = [Choice(*values) for values in itertools.product(SEQS, BUDGETS, CACHES)]
    choices.sort(key=lambda c: (c.max_num_seqs != max(SEQS), not c.enable_prefix_caching))
    if bench.quick:
        choices = choices[:1]
    with ExitStack() as stack:
        contest = Contest(bench, choices, stack)
        like = calibrate.settings(contest.clock)
        loads = calibrate.probes(like.max_num_seqs, 640, 2048)
        if bench.quick:
            loads = [load for load in loads if load.context <= 32 and load.prompt <= 256]
        made = calibrate.fit(calibrate.run(contest.clock, loads, rounds=1, progress=False))
        task = Task.of(requests, choices[0].simulated(like), made)
        said = {choice: task.simulate(choice.simulated(like), made) for choice in choices}
        picks = {objective: best(said, objective)[0] for objective in OBJECTIVES}
        for objective, pick in picks.items():
            bench.say(f"the simulator's pick by {objective}: {pick.name}, {said[pick][objective]:.2f}")

        measured: dict[Choice, dict[str, Any]] = {}
        for i in range(0, len(choices), 2):
            pair = choices[i : i + 2]
            if i:
                contest.start(pair)
            for choice in pair:
                measured[choice] = contest.serve(task, choice, made, 1_000 + i)
            leaders = {c for objective in OBJECTIVES for c in best(measured, objective)[:2]}
            contest.keep(leaders | set(picks.values()))
        finalists = [choice for choice in choices if choice in contest.alive]
        rounds: list[dict[Choice, dict[str, Any]]] = []
        for turn in range(0 if bench.quick else ROUNDS):
            bench.say(f"round {turn + 1} of {len(finalists)} finalists")
            at = turn % len(finalists)
            order = finalists[at:] + finalists[:at]
            rounds.append({choice: contest.serve(task, choice, made, 10_000 + turn) for choice in order})

    if bench.quick:
        bench.say("a quick run starts no second engine, so it compares nothing")
        return
    results = {}
    for objective, pick in picks.items():
        loss, half, winner = regret(rounds, pick, objective)
        bench.figure(f"regret-{objective}", loss, f"% +- {half:.1f}", f"{AIM:g} % or less", loss <= AIM)
        ranks = stats.kendalltau([said[c][objective] for c in measured], [measured[c][objective] for c in measured])
        in_order = best(measured, objective)
        results[objective] = {
            "pick": pick.name,
            "best_of_the_finals": winner.name,
            "regret_percent": loss,
            "half_interval_percent": half if math.isfinite(half) else None,
            "kendall_tau_of_all": None if math.isnan(ranks.statistic) else float(ranks.statistic),
            "best_and_worst_measured": [measured[in_order[0]][objective], measured[in_order[-1]][objective]],
        }
        bench.say(f"{objective}: picked {pick.name}, best of the finals {winner.name}")
    bench.data = {
        "tier": hardware.tier().id,
        "common": COMMON,
        "requests": [[r.prompt_tokens, r.output_tokens] for r in requests],
        "offsets_s": np.round(task.offsets_s, 3).tolist(),
        "slo": asdict(task.slo),
        "prices": made.prices,
        "results": results,
        "configurations": [
            {**asdict(c), "name": c.name, "predicted": said[c], "measured": measured[c]} for c in measured
        ],
        "finals": [{c.name: values for c, values in row.items()} for row in rounds],
    }
