"""The load client against `vllm bench serve`: same prompts, lengths and arrival times, interleaved.

Prompts are vLLM's own (its `timed_trace` data set, expanded with a fixed hash seed), kept in a file that our client
sends too. Three parts: a real engine; a mock server with exact timing, where a faster stream weighs on the client; and
a mock server that stands still once for 1.4 s, where the right percentile can be computed.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from servelab.bench import Bench
from servelab.load import Result, constant, drive, synthetic, trace
from servelab.paths import ROOT

BIN = Path(sys.executable).parent
CHUNK = 16
MOCK = {"first": 0.05, "gap": 0.02}
STALL = {"rate": 50.0, "requests": 1000, "at": 300, "seconds": 1.4, "service": 0.002}

EXPAND = """
import json, sys
from transformers import AutoTokenizer
from vllm.benchmarks.datasets.datasets import TimedTrace
path, tokenizer, chunk = sys.argv[1:]
names = {f"timed_trace_label_{k}": k for k in ("timestamp", "input_length", "output_length", "hash_ids")}
data = TimedTrace(dataset_path=path, random_seed=0, timed_trace_chunk_hash_size=chunk, **names)
for s in data.sample(AutoTokenizer.from_pretrained(tokenizer), len(data.data)):
    print(json.dumps({"prompt": s.prompt, "output_tokens": s.expected_output_len, "arrival_s": s.timestamp}))
"""


@dataclass
class Run:
    """One client's account of one load; per-request arrays in seconds, latencies from the real send."""

    ttft: np.ndarray
    tpot: np.ndarray
    tokens: int
    throughput: float
    cpu_run: float
    cpu_total: float
    lateness: np.ndarray
    mismatches: int = 0


def children_cpu() -> float:
    """CPU seconds of finished child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def output(command: list[str], marks: tuple[str, str] | None = None) -> tuple[float, float]:
    """Run a command; its CPU seconds between two lines of its output, and in all."""
    before, seen, lines = children_cpu(), {}, []
    env = os.environ | {"PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env) as process:
        try:
            watched = psutil.Process(process.pid)
            for line in process.stdout:
                lines.append(line)
                for mark in marks or ():
                    if mark in line and mark not in seen:
                        times = watched.cpu_times()
                        seen[mark] = times.user + times.system
        except BaseException:  # stopped: nothing goes on behind
            process.kill()
            raise
    if process.returncode:
        raise RuntimeError("".join(lines[-20:]))
    between = seen[marks[1]] - seen[marks[0]] if marks else float("nan")
    return between, children_cpu() - before


def ours(url: str, model: str, folder: Path) -> Run:
    """One load by our client, in a process of its own."""
    saved = folder / "ours.jsonl"
    command = [f"{BIN}/servelab", "load", url, "--requests-file", f"{folder}/requests.jsonl", "--save", str(saved)]
    _none, cpu = output([*command, "--model", model, "--usage", "end"])
    result = Result.load(saved)
    frame, summary = result.frame(), result.summary()
    assert summary.failed == 0, result.records
    return Run(
        frame["ttft_sent_s"].to_numpy(),
        frame["tpot_s"].dropna().to_numpy(),
        int(frame["output_tokens"].sum()),
        summary.throughput_tok_s,
        result.about["client_cpu_s"],
        cpu,
        frame["client_queue_s"].to_numpy(),
        summary.token_mismatches + summary.token_unknown,
    )


def theirs(url: str, model: str, folder: Path, tokenizer: Path) -> Run:
    """The same load by `vllm bench serve`."""
    saved = folder / "theirs.json"
    command = [f"{BIN}/vllm", "bench", "serve", "--backend", "openai", "--base-url", url, "--model", model]
    command += [
        "--tokenizer",
        str(tokenizer),
        "--dataset-name",
        "timed_trace",
        "--dataset-path",
        f"{folder}/trace.jsonl",
    ]
    command += ["--timed-trace-chunk-hash-size", str(CHUNK), "--temperature", "0", "--ready-check-timeout-sec", "0"]
    command += ["--disable-tqdm", "--save-result", "--save-detailed", "--result-filename", str(saved)]
    cpu_run, cpu = output(command, ("Starting main benchmark run", "Serving Benchmark Result"))
    got = json.loads(saved.read_text())
    assert got["failed"] == 0, got["errors"]
    counts = np.array(got["output_lens"])
    sums = np.array([sum(gaps) for gaps in got["itls"]])
    return Run(
        np.array(got["ttfts"]),
        (sums / np.maximum(1, counts - 1))[counts > 1],
        int(counts.sum()),
        got["output_throughput"],
        cpu_run,
        cpu,
        np.zeros(1),
    )


def prepare(folder: Path, entries: list[dict], tokenizer: Path) -> None:
    """Write the trace for `vllm bench serve`, and the requests it makes of it for our client."""
    fresh = iter(range(10**9))
    for entry in entries:
        entry["hash_ids"] = [next(fresh) for _block in range(-(-entry["input_length"] // CHUNK))]
    (folder / "trace.jsonl").write_text("".join(json.dumps(e) + "\n" for e in entries))
    command = [sys.executable, "-c", EXPAND, f"{folder}/trace.jsonl", str(tokenizer), str(CHUNK)]
    env = os.environ | {"PYTHONHASHSEED": "0", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"prompt"')]
    assert [len(json.loads(line)["prompt"]) for line in lines] == [e["input_length"] for e in entries]
    (folder / "requests.jsonl").write_text("\n".join(lines) + "\n")


def pairs(
    bench: Bench, part: str, url: str, model: str, folder: Path, tokenizer: Path, n: int
) -> list[tuple[Run, Run]]:
    """`n` interleaved pairs, the order turned round each time."""
    done = []
    for i in range(n):
        both = {}
        for who in ("ours", "theirs") if i % 2 == 0 else ("theirs", "ours"):
            both[who] = ours(url, model, folder) if who == "ours" else theirs(url, model, folder, tokenizer)
        a, b = both["ours"], both["theirs"]
        ratios = f"throughput {a.throughput / b.throughput:.4f}, TPOT {a.tpot.mean() / b.tpot.mean():.4f}"
        bench.say(f"{part}, pair {i + 1} of {n}: ours / theirs: {ratios}, TTFT {a.ttft.mean() / b.ttft.mean():.4f}")
        done.append((a, b))
    return done


def compare(bench: Bench, part: str, done: list[tuple[Run, Run]]) -> None:
    """Paired differences, and of them the median: a pair that the machine disturbed does not decide."""

    def median(measure) -> float:
        return float(np.median([measure(a) / measure(b) for a, b in done]))

    for name, measure in (("throughput", lambda r: r.throughput), ("tpot", lambda r: r.tpot.mean())):
        off = 100 * (median(measure) - 1)
        bench.figure(f"{part}-{name}", off, "% off", "within 1 %", abs(off) <= 1)
    off = 100 * (median(lambda r: r.ttft.mean()) - 1)
    apart = 1000 * float(np.median([a.ttft.mean() - b.ttft.mean() for a, b in done]))
    bench.figure(f"{part}-ttft", off, "% off", "within 2 % or 5 ms", abs(off) <= 2 or abs(apart) <= 5)
    bench.figure(f"{part}-ttft-ms", apart, "ms apart", "within 2 % or 5 ms", abs(off) <= 2 or abs(apart) <= 5)
    for name, measure in (("ttft", lambda r: r.ttft), ("tpot", lambda r: r.tpot)):
        off = 100 * (median(lambda r, measure=measure: np.percentile(measure(r), 99)) - 1)
        bench.figure(f"{part}-{name}-p99", off, "% off", "within 5 %", abs(off) <= 5)
    wrong = sum(a.mismatches + (a.tokens != b.tokens) for a, b in done)
    bench.figure(f"{part}-token-mismatches", wrong, "requests", "none", wrong == 0)
    for name, measure in (("cpu", lambda r: r.cpu_total), ("cpu-run", lambda r: r.cpu_run)):
        share = median(measure)
        bench.figure(f"{part}-{name}", share, "of theirs", "at most 0.5", share <= 0.5)
    # how far the other client's own runs lie apart: what no client could agree with better than by luck
    own = np.array([b.tpot.mean() for _a, b in done])
    bench.data[f"{part}-tpot-of-their-own-runs"] = {"largest_over_smallest": round(float(own.max() / own.min()), 4)}
    bench.data[part] = [
        {
            who: {
                "throughput_tok_s": round(r.throughput, 3),
                "ttft_mean_s": round(float(r.ttft.mean()), 5),
                "tpot_mean_s": round(float(r.tpot.mean()), 6),
                "output_tokens": r.tokens,
                "cpu_run_s": round(r.cpu_run, 3),
                "cpu_total_s": round(r.cpu_total, 3),
            }
            for who, r in zip(("ours", "theirs"), pair, strict=True)
        }
        for pair in done
    ]


def mock(stack: ExitStack, **options: float) -> str:
    """A mock server in a process of its own; ended with `stack`."""
    words = [word for key, value in options.items() for word in (f"--{key.replace('_', '-')}", str(value))]
    command = [sys.executable, str(ROOT / "tests" / "load" / "mock_server.py"), *words]
    process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    stack.callback(process.kill)
    return process.stdout.readline().strip()


def stall(bench: Bench, requests: int) -> None:
    """One connection and one planted stall: the percentile by Lindley's recursion, W = max(0, W + S - T)."""
    at = STALL["at"] * requests // STALL["requests"]
    with ExitStack() as stack:
        url = mock(stack, first=STALL["service"], stall_at=at, stall=STALL["seconds"])
        arrivals = constant(STALL["rate"])
        result = drive(url, synthetic(requests, 8, 1), arrivals=arrivals, concurrency=1, progress=False)
    sent = arrivals.offsets(requests)
    service = np.full(requests, STALL["service"])
    service[at] += STALL["seconds"]
    free, latency = 0.0, np.zeros(requests)
    for i in range(requests):
        free = max(free, sent[i]) + service[i]
        latency[i] = free - sent[i]
    right = float(np.percentile(latency, 99))
    summary = result.summary()
    off = 100 * (summary.e2e.p99 / right - 1)
    bench.figure("stall-p99", off, f"% off {right:.3f} s", "within 5 %", abs(off) <= 5)
    bench.data["stall"] = {
        **STALL,
        "requests": requests,
        "at": at,
        "analytic_p99_s": round(right, 4),
        "intended_p99_s": round(summary.e2e.p99, 4),
        "sent_p99_s": round(summary.e2e_sent.p99, 4),
    }
    bench.say(f"p99 from the real send: {summary.e2e_sent.p99:.4f} s, from the intended time: {summary.e2e.p99:.4f} s")


def run(bench: Bench) -> None:
    """Mock with a stall, mock with exact timing, real engine."""
    from servelab import model as models

    tokenizer = models.prepare()
    bench.data["machine_load_at_start"] = os.getloadavg()[0]  # these figures need a quiet machine
    stall(bench, 400 if bench.quick else STALL["requests"])
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        seconds = 5 if bench.quick else 10
        times = 1000 * np.random.default_rng(5).uniform(0, seconds, 20 * seconds)
        entries = [{"timestamp": round(t) / 1000, "input_length": 128, "output_length": 40} for t in np.sort(times)]
        prepare(folder, entries, tokenizer)
        url = mock(stack, **MOCK)
        done = pairs(bench, "mock", url, "mock", folder, tokenizer, 1 if bench.quick else 5)
        compare(bench, "mock", done)
        late = 1000 * float(np.percentile(np.concatenate([a.lateness for a, _b in done]), 99))
        bench.figure("lateness-p99", late, "ms at 20 req/s", "under 5 ms", late < 5)
    if bench.quick:
        return
    from servelab.engines import vllm

    with tempfile.TemporaryDirectory() as name, vllm(name="bench-client", enable_prefix_caching=False) as server:
        folder = Path(name)
        chosen = trace(n=24, time_scale=1.5)  # a server that keeps up: queues would magnify every difference
        entries = [
            {"timestamp": r.arrival_s, "input_length": r.prompt_tokens, "output_length": r.output_tokens}
            for r in chosen
        ]
        prepare(folder, entries, tokenizer)
        drive(server, chosen[:6], concurrency=2, progress=False)  # warm up
        compare(bench, "engine", pairs(bench, "engine", server.url, server.model, folder, tokenizer, 5))
        server.stop()
