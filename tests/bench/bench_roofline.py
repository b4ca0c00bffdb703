"""The roofline against what runs: products of every intensity, and the decode steps of the tiny engine.

A product of `rows` activations with one matrix reads the matrix whatever the rows, so its intensity grows with them:
from memory's side of the ridge to arithmetic's. Peaks and products are measured in the same minutes, on the device and
in the number format of the tier. A step of the tiny engine is many kernels and a loop in Python: the roofline is its
floor, and what is above it is the overhead that the models call t0.
"""

from __future__ import annotations

import statistics

import torch

from servelab import hardware, model
from servelab.bench import Bench
from servelab.engines.peaks import BYTES, best_s, peaks
from servelab.load.workload import synthetic
from servelab.theory.latency import Machine, decode_step_s
from servelab.theory.roofline import Work, attainable
from servelab.tiny import Engine, Llama

MODEL = "smollm2-135m"
WIDTH, HEIGHT = 8192, 16_384  # a matrix larger than any cache of the device
PROMPT, STEPS = 128, 24


def products(device: str, dtype: str, peak: float, bandwidth: float, most: int) -> list[dict]:
    """A row for each number of activations: intensity, FLOP/s reached, FLOP/s the roofline allows."""
    kind, size = getattr(torch, dtype), BYTES[dtype]
    weight, found = torch.randn(HEIGHT, WIDTH, device=device, dtype=kind), []
    for rows in (2**i for i in range(most.bit_length())):
        x = torch.randn(rows, WIDTH, device=device, dtype=kind)
        work = Work(2 * rows * WIDTH * HEIGHT, size * (WIDTH * HEIGHT + rows * (WIDTH + HEIGHT)))
        reached = work.flops / best_s(lambda x=x: x @ weight.T, device, repeats=5)
        allowed = float(attainable(peak, bandwidth, work.intensity))
        found.append({"rows": rows, "intensity": work.intensity, "flop_s": reached, "roofline_flop_s": allowed})
    return found


def steps(device: str, dtype: str, machine: Machine, batches: list[int]) -> list[dict]:
    """A row for each batch: the median decode step of the tiny engine, and its floor."""
    own = Llama.load(model.prepare(MODEL, progress=False), device, getattr(torch, dtype))
    found = []
    for batch in batches:
        blocks = batch * (2 * PROMPT // 16) + 2
        engine = Engine(own, num_blocks=blocks, max_num_seqs=batch, max_num_batched_tokens=batch * PROMPT)
        for request in synthetic(n=batch, prompt_tokens=PROMPT, output_tokens=STEPS + 2, seed=batch):
            engine.add(request.prompt, request.output_tokens, ignore_eos=True)
        seen = []
        while snapshot := engine.step():
            if len(snapshot.parts) == batch and snapshot.tokens == batch:
                seen.append(snapshot.seconds)
        floor = float(decode_step_s(model.describe(MODEL), batch, PROMPT + STEPS / 2, machine, BYTES[dtype]))
        found.append({"batch": batch, "step_s": statistics.median(seen), "roofline_s": floor, "steps": len(seen)})
    return found


def run(bench: Bench) -> None:
    """Peaks, products, steps."""
    tier = hardware.tier()
    cuda = tier.kind == "cuda"
    device, dtype = ("cuda", tier.dtype) if cuda else ("cpu", "float32")
    top = peaks()
    machine = Machine(top.gemm_flops_per_s, top.bandwidth_bytes_per_s)
    bench.say(f"{machine.peak_flops / 1e12:.3g} TFLOP/s, {machine.bandwidth / 1e9:.0f} GB/s, {dtype}")
    with torch.inference_mode():
        curve = products(
            device, dtype, machine.peak_flops, machine.bandwidth, (16 if bench.quick else 8192 if cuda else 256)
        )
    batches = [1, 8] if bench.quick else [1, 2, 4, 8, 16, 32, *([64] if cuda else [])]
    decode = steps(device, dtype, machine, batches)
    shares = [one["flop_s"] / one["roofline_flop_s"] for one in curve]
    over = [one["step_s"] / one["roofline_s"] for one in decode]
    for one, share in zip(curve, shares, strict=True):
        bench.say(f"{one['rows']:>5} rows, {one['intensity']:.4g} FLOP/byte: {share:.0%} of the roofline")
    for one, times in zip(decode, over, strict=True):
        bench.say(f"batch {one['batch']:>2}: {1e3 * one['step_s']:.2f} ms a step, {times:.1f} times its floor")
    bench.figure("fastest product", max(shares), "of the roofline", "1.1 or less: a ceiling", max(shares) <= 1.1)
    bench.figure("slowest product", min(shares), "of the roofline", "0.5 or more", min(shares) >= 0.5)
    bench.figure("tiny's nearest step", min(over), "times its floor", "1 or more: a floor", min(over) >= 1)
    bench.data = {
        "tier": tier.id,
        "device": device,
        "dtype": dtype,
        "peak_flop_s": machine.peak_flops,
        "bandwidth_bytes_s": machine.bandwidth,
        "ridge_flop_per_byte": machine.ridge,
        "products": curve,
        "decode": decode,
    }
