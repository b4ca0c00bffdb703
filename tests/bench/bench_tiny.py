"""Tokens a second and peak memory of transformers' generate, the tiny engine and vLLM, at batch 1, 8, 32 (and 64).

The three take turns on the same prompts. Equal lengths are the case transformers likes best: nothing to pad, nobody
to wait for. `mixed` is 32 requests of lengths as they come: its batch runs until the longest answer ends. Only
tokens that were asked for count. transformers and tiny compute in a process of their own; vLLM is asked over HTTP,
and left out where it is not installed. All compute where the tier does and in its number format, with the packaged
model. On a GPU batch 64 is asked too, every shape is warmed up, and memory is the card's.
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext

from servelab import hardware, model
from servelab.bench import Bench
from servelab.engines import vllm
from servelab.load import drive
from servelab.load.workload import Request, synthetic

MODEL = "smollm2-135m"
CUDA = hardware.tier().kind == "cuda"
DEVICE, DTYPE = ("cuda", hardware.tier().dtype) if CUDA else ("cpu", "float32")
BATCHES = (1, 8, 32, 64) if CUDA else (1, 8, 32)
BLOCK = 16 if CUDA else 32  # 32 is what attention on a CPU asks for
KV_BYTES = 2**30  # what vLLM gets on the CPU tier


class Worker:
    """An engine in a process of its own: so its peak memory is its own."""

    def __init__(self, name: str) -> None:
        self.child = subprocess.Popen(
            [sys.executable, __file__, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, requests: list[Request]) -> dict:
        """Serve them at once: seconds, answers, and the process's peak resident memory in bytes so far."""
        text = json.dumps([[r.prompt, r.output_tokens] for r in requests])
        print(text, file=self.child.stdin, flush=True)
        return json.loads(self.child.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self.child.stdin.close()
        self.child.wait()


def run(bench: Bench) -> None:
    """Interleave the three; the gain of a round is tiny against transformers within it, its figure the median."""
    prompt, output, rounds = (32, 12, 1) if bench.quick else (32, 48, 3)
    shapes = {str(n): (n, prompt, output) for n in BATCHES} | {"mixed": (32, (prompt, 0.7), (output, 0.7))}
    if bench.quick:
        del shapes["mixed"]
    names = ["transformers", "tiny", *(["vllm"] if importlib.util.find_spec("vllm") else [])]
    rates: dict[str, dict[str, list[float]]] = {s: {name: [] for name in names} for s in shapes}
    peaks, equal, answers = {}, 0, 0
    workers = {name: Worker(name) for name in ("transformers", "tiny")}
    try:
        flags = {"model": MODEL, "block_size": BLOCK, "max_num_seqs": max(BATCHES), "dtype": DTYPE}
        with vllm(name="bench-tiny", **flags) if "vllm" in names else nullcontext() as server:
            for turn in range(-1, rounds):  # turn -1 warms up and does not count
                for shape, (n, p, o) in shapes.items():
                    if turn < 0 and shape != "8" and not CUDA:  # a GPU's kernels are made for each shape
                        continue
                    load = synthetic(n=n, prompt_tokens=p, output_tokens=o, seed=1000 * (turn + 1) + n)
                    tokens = sum(r.output_tokens for r in load)
                    said = {name: worker.ask(load) for name, worker in workers.items()}
                    if server:
                        rate = drive(server, load, concurrency=n, progress=False).summary().throughput_tok_s
                    if turn < 0:
                        continue
                    for name, one in said.items():
                        rates[shape][name].append(tokens / one["seconds"])
                        peaks[name] = one["peak_bytes"]
                    if server:
                        rates[shape]["vllm"].append(rate)
                    if server and not CUDA:  # on a card it takes the share it is told to
                        peaks["vllm"] = max(peaks.get("vllm", 0), server.memory_bytes())
                    pairs = zip(said["transformers"]["answers"], said["tiny"]["answers"], strict=True)
                    equal += sum(a == b for a, b in pairs)
                    answers += n
                bench.say(f"round {turn + 1} of {rounds}")
            if server:
                server.stop()
    finally:
        for worker in workers.values():
            worker.close()
    gains = {
        s: statistics.median(a / b for a, b in zip(r["tiny"], r["transformers"], strict=True)) for s, r in rates.items()
    }
    for shape, gain in gains.items():
        if shape != "1":
            name = "mixed lengths" if shape == "mixed" else f"batch {shape}"
            bench.figure(f"against transformers, {name}", gain, "x", "over 1", gain > 1)
    bench.figure("answers equal to transformers'", 100 * equal / answers, "%", "all", equal == answers)
    bench.data = {
        "tier": hardware.tier().id,
        "device": DEVICE,
        "dtype": DTYPE,
        "prompt_tokens": prompt,
        "output_tokens": output,
        "rounds": rounds,
        "tok_s": {s: {name: statistics.median(v) for name, v in r.items()} for s, r in rates.items()},
        "all_tok_s": rates,
        "gain_over_transformers": gains,
        "peak_memory_bytes": peaks,
        "answers": {"compared": answers, "equal": equal},
    }
    for shape, row in bench.data["tok_s"].items():
        bench.say(f"{shape:>5}: " + ", ".join(f"{name} {rate:.0f} tok/s" for name, rate in row.items()))
    bench.say("peak memory: " + ", ".join(f"{name} {size / 2**20:.0f} MiB" for name, size in peaks.items()))


def _transformers() -> Callable[[list[tuple[list[int], int]]], list[list[int]]]:
    import torch
    from transformers import AutoModelForCausalLM

    own = AutoModelForCausalLM.from_pretrained(model.prepare(MODEL, progress=False), dtype=getattr(torch, DTYPE))
    own = own.to(DEVICE)
    own.generation_config.eos_token_id = None  # write on; a minimum length would forbid the token instead

    def serve(load: list[tuple[list[int], int]]) -> list[list[int]]:
        longest, most = max(len(p) for p, _ in load), max(n for _, n in load)
        ids = torch.tensor([[2] * (longest - len(p)) + p for p, _ in load], device=DEVICE)
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p, _ in load], device=DEVICE)
        out = own.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=most, pad_token_id=2)
        return [row[longest : longest + n] for row, (_, n) in zip(out.tolist(), load, strict=True)]

    return serve


def _tiny() -> Callable[[list[tuple[list[int], int]]], list[list[int]]]:
    import torch

    from servelab.theory.kv_cache import model_token_bytes
    from servelab.tiny import Engine, Llama

    blocks = KV_BYTES // (BLOCK * model_token_bytes(model.describe(MODEL)))
    own = Llama.load(model.prepare(MODEL, progress=False), DEVICE, getattr(torch, DTYPE))
    engine = Engine(own, num_blocks=blocks, block_size=BLOCK, max_num_seqs=max(BATCHES), max_num_batched_tokens=2048)

    def serve(load: list[tuple[list[int], int]]) -> list[list[int]]:
        requests = [engine.add(p, n, ignore_eos=True) for p, n in load]
        while engine.step():
            pass
        return [request.output for request in requests]

    return serve


def _peak_bytes() -> int:
    if CUDA:
        import torch

        return torch.cuda.max_memory_reserved()
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def _work(name: str) -> None:
    serve = {"transformers": _transformers, "tiny": _tiny}[name]()
    for line in sys.stdin:
        load = json.loads(line)
        started = time.perf_counter()
        answers = serve(load)
        seconds = time.perf_counter() - started
        print(json.dumps({"seconds": seconds, "answers": answers, "peak_bytes": _peak_bytes()}), flush=True)


if __name__ == "__main__":
    _work(sys.argv[1])
