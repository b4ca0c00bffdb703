"""Step times of real vLLM on configurations that the calibration never saw, against it and against the bare roofline.

All loads, those of the fit and those held out, run interleaved in the same rounds: this measures the model, not how
the machine's speed drifted in between. Repeatability (one half of the rounds against the other) is the floor that no
model can be below. Which side of the ridge a step is on in truth: arithmetic, if what grows with its tokens takes
longer than what reading weights and cache takes, both from the calibrated prices; the roofline has to say the same.
"""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np

from servelab import calibrate, course, hardware
from servelab.bench import Bench
from servelab.calibrate import Calibration, Fit, Probe, Sample
from servelab.engines import vllm
from servelab.engines.peaks import BYTES, peaks
from servelab.theory import latency, roofline
from servelab.theory.latency import Machine


def unseen(max_num_seqs: int, longest: int) -> list[Probe]:
    """Loads between and beyond those of the calibration: other batches, contexts and prompts, and mixtures of them."""
    seats = min(max_num_seqs, 64)
    near = min(800, longest)
    return [
        Probe(max(1, seats // 16), 64, 20),
        Probe(max(1, seats // 4), 128, 16),
        Probe(max(1, seats * 3 // 4), 64, 14),
        Probe(max(1, seats // 4), near, 12),
        Probe(max(1, seats * 3 // 8), 300, 12),
        Probe(prompt=64, newcomers=3),
        Probe(prompt=256, newcomers=2),
        Probe(prompt=min(1000, longest), newcomers=1),
        Probe(max(1, seats // 8), 64, 20, 128, 3),
        Probe(max(1, seats * 3 // 8), 200, 14, min(512, longest), 1),
    ]


def floor_s(samples: list[Sample], model: course.Model, machine: Machine, size: int) -> np.ndarray:
    """Seconds that the roofline with these constants gives each sample."""
    return np.array([float(latency.step_s(model, s.step, machine, size)) for s in samples])


def repeatability(first: list[Sample], second: list[Sample]) -> float:
    """Median relative difference between two measurements of the same kinds of steps."""

    def kinds(samples: list[Sample]) -> dict[tuple, float]:
        return {(s.probe, s.features[1], *s.features[3:]): s.seconds for s in samples}

    one, other = kinds(first), kinds(second)
    return float(np.median([abs(one[kind] / other[kind] - 1) for kind in one.keys() & other.keys()]))


def run(bench: Bench) -> None:
    """Calibrate and predict in the same minutes."""
    tier, turns = hardware.tier(), 1 if bench.quick else 2
    model, size = course.load().model(tier.model), BYTES[tier.dtype]
    with vllm() as server:
        budget = calibrate.token_budget(server)
        known = calibrate.probes(tier.max_num_seqs, tier.max_model_len, budget)
        new = unseen(tier.max_num_seqs, min(tier.max_model_len, budget) - 64)
        if bench.quick:
            known, new = known[::2] + known[-1:], new[::3]
        names = {load.name for load in known}
        new = [load for load in new if load.name not in names]
        bench.say(f"{len(known)} loads to fit and {len(new)} held out, in {turns} halves")
        halves = []
        top = peaks()
        for half in range(turns):
            halves.append(calibrate.run(server, known + new, rounds=turns, seed=50_000 * half, progress=False))
    samples = calibrate.gather((s for half in halves for s in half), calibrate.QUARTILE)
    inside = [s for s in samples if s.probe in names]
    outside = [s for s in samples if s.probe not in names]
    made = calibrate.fit(inside)
    error = Fit.of(made.predict(outside), [s.seconds for s in outside])
    bench.figure("calibrated, median error", 100 * error.median, "%", "5 % or less", error.median <= 0.05)
    bench.figure("calibrated, p95 error", 100 * error.p95, "%", "15 % or less", error.p95 <= 0.15)

    steps = [s for s in samples if not s.features[-1]]  # a request's way into an idle engine is in no roofline
    measured = np.array([s.seconds for s in steps])
    bare = Machine(top.gemm_flops_per_s, top.bandwidth_bytes_per_s)
    rough = Fit.of(floor_s(steps, model, bare, size), measured)
    bench.figure("uncalibrated roofline, median error", 100 * rough.median, "%", "25 % or less", rough.median <= 0.25)

    says = np.array(
        [roofline.limit(latency.work(model, s.step, size), bare.peak_flops, bare.bandwidth) for s in samples]
    )
    truth = np.array(["compute" if arithmetic_s(made, s) >= reading_s(made, s) else "memory" for s in samples])
    side = float((says == truth).mean())
    bench.figure("uncalibrated roofline, right side of the ridge", 100 * side, "%", "95 % or more", side >= 0.95)
    fitted = calibrate.fit_machine(inside, model, bare.peak_flops, bare.bandwidth, size)
    outer = [s for s in outside if not s.features[-1]]
    four = Fit.of(floor_s(outer, model, fitted, size), [s.seconds for s in outer])
    bench.data = {
        "tier": tier.id,
        "prices": made.prices,
        "machine": asdict(fitted),
        "errors": {
            "calibrated": asdict(error),
            "roofline": asdict(rough),
            "roofline, no overlap": asdict(Fit.of(floor_s(steps, model, replace(bare, overlap=0.0), size), measured)),
            "roofline, four constants": asdict(four),
        },
        "left_out_of_the_fit": asdict(made.held_out),
        "samples": [
            {**asdict(s), "held_out": s.probe not in names, "predicted_s": float(made.predict([s])[0])} for s in samples
        ],
    }
    if len(halves) > 1:
        bench.data["repeatability"] = repeatability(*halves)


def arithmetic_s(made: Calibration, sample: Sample) -> float:
    """Seconds of a step that its tokens cost, cached ones left out."""
    return float(made(sample.step)) - reading_s(made, sample)


def reading_s(made: Calibration, sample: Sample) -> float:
    """Seconds of a step that it costs whatever its tokens (the weights), and for reading the cache."""
    return made.fixed_s + made.context_s * float(np.asarray(sample.step.context))
