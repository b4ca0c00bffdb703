"""Is the simulator right where mathematics knows the answer? M/M/1, M/D/1, M/G/1, M/M/c, processor sharing, Little.

Three simulators are held against `servelab.theory.queueing`: the queueing mode; the engine itself with one seat,
whose prompts are service times in disguise (a token is a tenth of a millisecond), also job by job against Lindley's
recursion; and the engine with many seats and a step that takes as long as there are sequences in it, which is
processor sharing. Intervals are for all comparisons
of a kind together: 95 % that every one of them covers the truth (Bonferroni).
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from servelab.bench import Bench
from servelab.simulate import Engine, EngineConfig, Linear, Sequence
from servelab.simulate.queueing import Estimate, queue, service, waits
from servelab.theory import queueing
from servelab.theory.little import time_average

RHOS = (0.3, 0.5, 0.7, 0.8, 0.9)
QUEUES = {
    "M/M/1": ("exponential", 1.0, 1),
    "M/D/1": ("deterministic", 0.0, 1),
    "M/G/1": ("lognormal", 1.5, 1),
    "M/M/4": ("exponential", 1.0, 4),
    "M/M/16": ("exponential", 1.0, 16),
}
TICK_S = 1e-4


def closed_form(name: str, rate: float, cv: float, servers: int) -> queueing.Queue:
    """What mathematics says, for a mean service time of 1 s."""
    if servers > 1:
        return queueing.mmc(rate, 1.0, servers)
    return {"M/M/1": queueing.mm1, "M/D/1": queueing.md1}.get(name, lambda a, m: queueing.mg1(a, m, cv))(rate, 1.0)


def covers(estimate: Estimate, truth: float, comparisons: int, runs: int) -> bool:
    """Whether the interval, widened for so many comparisons, contains the truth."""
    wider = stats.t.ppf(1 - 0.025 / comparisons, runs - 1) / stats.t.ppf(0.975, runs - 1)
    return abs(estimate.mean - truth) <= estimate.half * wider


def one_seat(rate: float, kind: str, cv: float, jobs: int, seed: int) -> tuple[float, float, float, float]:
    """An engine that computes one prompt at a time: mean response, mean number, rate, and the worst job's error in s.

    The error is against Lindley's recursion on the same times.
    """
    rng = np.random.default_rng(seed)
    took = np.maximum(1, np.rint(service(kind, 1.0, cv)(rng, (jobs,)) / TICK_S)).astype(int)
    came = np.cumsum(rng.exponential(1 / rate, jobs))
    most = int(took.max()) + 1
    config = EngineConfig(
        num_blocks=-(-most // 4_096) + 2,
        block_size=4_096,
        max_num_seqs=1,
        max_num_batched_tokens=most,
        max_model_len=most,
        enable_prefix_caching=False,
    )
    exact = came + waits(came, took * TICK_S) + took * TICK_S
    return served(Engine(config, Linear(0.0, prefill_s=TICK_S)), came, took, np.ones(jobs, int), exact)


def shared(rate: float, jobs: int, seed: int) -> tuple[float, float, float, float]:
    """The same for an engine that decodes all at once: a step takes 1 ms a sequence, an answer 1,000 tokens on average.

    An arrival waits for the step under way, which no closed form has: about half a step.
    """
    rng = np.random.default_rng(seed)
    answers = rng.geometric(1 / 1_000, jobs)
    came = np.cumsum(rng.exponential(1 / rate, jobs))
    config = EngineConfig(1 << 21, 16, 2_048, 8_192, 1 << 20, enable_prefix_caching=False)
    return served(Engine(config, Linear(0.0, decode_s=1e-3, pieces_s=1e-3)), came, np.ones(jobs, int), answers, None)


def served(
    engine: Engine, came: np.ndarray, prompts: np.ndarray, answers: np.ndarray, exact: np.ndarray | None
) -> tuple[float, float, float, float]:
    """Run an engine; the first fifth of the jobs is not counted."""
    for i, (t, p, o) in enumerate(zip(came, prompts, answers, strict=True)):
        engine.add(Sequence(i, int(p), int(o), float(t)))
    engine.run()
    left = np.empty(len(came))
    for job in engine.ended:
        first, n = job.spans[-1]
        left[job.id] = engine.ends[first + n - 1]
    skip = len(came) // 5
    number = time_average(came, left, came[skip], came[-1])
    worst = 0.0 if exact is None else float(np.abs(left - exact).max())
    return float((left - came)[skip:].mean()), number, (len(came) - skip - 1) / (came[-1] - came[skip]), worst


def run(bench: Bench) -> None:
    """Queueing mode, engine with one seat, engine with all seats, and L against lambda W in each."""
    jobs, runs = (2_000_000, 100) if bench.quick else (120_000_000, 400)
    rows, worst, little, covered = [], 0.0, 0.0, 0
    comparisons = len(QUEUES) * len(RHOS)
    for name, (kind, cv, servers) in QUEUES.items():
        for rho in RHOS:
            rate = rho * servers
            # far from saturation fewer jobs give the same precision; of many servers, few jobs wait
            n = int(jobs * (1 if rho > 0.85 or servers > 1 else 0.3))
            many = runs if servers == 1 else n // 10_000
            got = queue(rate, service(kind, 1.0, cv), servers, jobs=n, runs=many, seed=1)
            truth = closed_form(name, rate, cv, servers)
            error = got.response_s.mean / float(truth.response_s) - 1
            gap = got.in_system.mean / (got.rate * got.response_s.mean) - 1
            inside = covers(got.wait_s, float(truth.wait_s), comparisons, many)
            worst, little, covered = max(worst, abs(error)), max(little, abs(gap)), covered + inside
            wait = got.wait_s.mean / float(truth.wait_s) - 1
            rows.append(
                {
                    "queue": name,
                    "rho": rho,
                    "wait_s": got.wait_s.mean,
                    "half": got.wait_s.half,
                    "truth_s": float(truth.wait_s),
                    "wait_error": wait,
                    "response_error": error,
                    "little": gap,
                    "covered": inside,
                    "jobs": got.jobs,
                }
            )
            bench.say(f"{name} at {rho}: wait {100 * wait:+.2f} %, response {100 * error:+.2f} %, L {100 * gap:+.3f} %")
    bench.data["queues"] = rows
    waits = max(abs(row["wait_error"]) for row in rows if row["truth_s"] > 0.05)
    bench.figure("response-worst", 100 * worst, "%", "1 % or less", worst <= 0.01)
    bench.figure("wait-worst", 100 * waits, "%", "1 % or less", waits <= 0.01)
    bench.figure("truth-inside", covered, f"of {comparisons}", "all", covered == comparisons)
    bench.figure("little", 100 * little, "%", "1 % or less", little <= 0.01)

    engines, each, worst = [], 2_000 if bench.quick else 12_000, 0.0
    modes = [
        ("M/M/1", "exponential", 1.0),
        ("M/D/1", "deterministic", 0.0),
        ("M/G/1", "gamma", 0.5),
        ("M/M/1-PS", "", 1.0),
    ]
    tests = [(*mode, rho) for mode in modes for rho in (0.5, 0.7)]
    for name, kind, cv, rho in tests:
        sharing = name.endswith("PS")
        repeats = 5 if bench.quick else 40 if sharing else 20
        measured = np.array(
            [shared(rho, each, s) if sharing else one_seat(rho, kind, cv, each, s) for s in range(repeats)]
        )
        got, worst = Estimate.of(measured[:, 0]), max(worst, measured[:, 3].max())
        exact = queueing.ps(rho, 1.0) if sharing else closed_form(name, rho, cv, 1)
        truth = float(exact.response_s)
        gap = measured[:, 1].mean() / (measured[:, 2] * measured[:, 0]).mean() - 1
        row = {"queue": name, "rho": rho, "response_s": got.mean, "half": got.half, "truth_s": truth, "little": gap}
        row["error"] = got.mean / truth - 1
        row["covered"] = covers(got, truth, len(tests), repeats)
        engines.append(row)
        bench.say(f"engine as {name} at {rho}: {100 * row['error']:+.2f} %, half width {100 * got.half / truth:.2f} %")
    bench.data["engines"] = engines
    bench.figure("engine-against-lindley", worst, "s, the worst job", "1e-6 or less", worst <= 1e-6)
    # at 0.7 as many jobs leave an interval of 2 %: there it has to hold the truth
    error = next(abs(row["error"]) for row in engines if row["queue"].endswith("PS") and row["rho"] == 0.5)
    bench.figure("engine-sharing-at-half", 100 * error, "%", "1 % or less", error <= 0.01)
    inside = sum(row["covered"] for row in engines)
    bench.figure("engine-truth-inside", inside, f"of {len(engines)}", "all", inside == len(engines))
    gap = max(abs(row["little"]) for row in engines)
    bench.figure("engine-little", 100 * gap, "%", "1 % or less", gap <= 0.01 and math.isfinite(gap))
