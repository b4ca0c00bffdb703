"""What Triton costs over plain vLLM, what its batching gains, what a rolling update loses, and what rounds leave.

Overhead: one vLLM alone and one inside Triton, with the same flags, asked in turns, so that a machine's drift touches
both alike. Batching: a torch network under sixteen users who each ask again at once; what its batcher gains is foretold
from one row's cost, a batch's cost and the client's own work, and measured. Update: two Tritons behind a door,
replaced one after the other under load. Rounds: a model is loaded and unloaded again and again.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import psutil

from servelab import hardware
from servelab.bench import Bench
from servelab.engines import TritonServer, process, triton, vllm
from servelab.engines.front import Front, front
from servelab.engines.inside import model_json
from servelab.engines.repositories import shipped, write
from servelab.load import drive, texts
from servelab.load.ablation import ablate
from servelab.load.metrics import Record
from servelab.load.triton import Generate, Infer, Stream
from servelab.paths import ASSETS
from servelab.simulate.dynamic_batching import crowd

CONCURRENCY = (1, 8)
PAIRS, REQUESTS = 9, 16
PROMPT_WORDS, OUTPUT_TOKENS = 48, 24
FLAGS = {"max_model_len": 1024, "max_num_seqs": 8}
AIM = 5.0
USERS, MAX_BATCH = 16, 32
ROWS = (1, 2, 4, 8, 16, 32)
LEAST_REQUESTS, UPDATES, RATE = 500, 2, 30.0
ROUNDS, FIRST = 50, 5
"""Rounds of loading, and how many of them pass before memory is looked at for the first time."""
GROWTH = 2.0
"""Percent that the server may have grown by, from then on."""
STARTS = 5

CONFIG = """backend: "python"
max_batch_size: %d
input [ { name: "X" data_type: TYPE_FP32 dims: [ 8 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 1 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""
TORCH = """import numpy as np
import torch
import triton_python_backend_utils as pb


class TritonPythonModel:
    def initialize(self, args):
        torch.manual_seed(0)
        torch.set_num_threads(1)
        layers = [part for _ in range(8) for part in (torch.nn.Linear(1024, 1024), torch.nn.ReLU())]
        self.net = torch.nn.Sequential(torch.nn.Linear(8, 1024), *layers, torch.nn.Linear(1024, 1)).eval()

    def execute(self, requests):
        inputs = [pb.get_input_tensor_by_name(request, "X").as_numpy() for request in requests]
        with torch.inference_mode():
            scores = self.net(torch.from_numpy(np.concatenate(inputs))).numpy()
        parts = np.split(scores, np.cumsum([len(x) for x in inputs])[:-1])
        return [pb.InferenceResponse([pb.Tensor("Y", part)]) for part in parts]
"""
LIGHT = TORCH.replace("range(8)", "range(1)")
ONE = {"X": np.ones((1, 8), np.float32)}


def net(lines: str = "", code: str = TORCH) -> dict[str, str]:
    """A repository's files with the model `net`."""
    return {"net/config.pbtxt": CONFIG % MAX_BATCH + lines, "net/1/model.py": code}


def overhead(bench: Bench) -> None:
    """TTFT and tokens/s inside Triton over plain vLLM, by both of Triton's protocols."""
    words = (ASSETS / "texts" / "harbour.txt").read_text().split()
    folder = shipped("vllm", engine=json.dumps(model_json(**FLAGS)), python=sys.executable)
    with contextlib.ExitStack() as stack:
        plain = vllm(name="bench-plain", progress=False, **FLAGS)
        stack.callback(plain.stop, force=True)
        inside = triton(folder, name="bench-inside", need_bytes=3 * 2**30, progress=False)
        stack.callback(inside.stop, force=True)
        bench.data["start_s"] = {"plain": plain.ready_seconds, "inside": inside.ready_seconds}
        bench.data["memory_bytes"] = {"plain": plain.memory_bytes(), "inside": inside.memory_bytes()}
        endpoint = Generate("vllm_model", counts=True)
        doors = {"http": endpoint, "grpc": Stream("vllm_model", counts=True, address=inside.grpc_url)}

        def asking(n: int, **how: object) -> Callable[[int], dict[str, float]]:
            where = inside if how else plain
            many = REQUESTS if n > 1 else REQUESTS // 4

            def run(seed: int) -> dict[str, float]:
                rng = np.random.default_rng(seed)
                prompts = [" ".join(rng.choice(words, PROMPT_WORDS)) for _request in range(many)]
                asked = [replace(one, ignore_eos=True) for one in texts(prompts, OUTPUT_TOKENS)]
                result = drive(where, asked, concurrency=n, progress=False, **how)
                if wrong := [r.error or r.token_check for r in result.records if not r.ok or r.token_check != "ok"]:
                    raise RuntimeError(f"{where.name}: {wrong[0]}")
                ttft = statistics.median(r.ttft_sent_s for r in result.records)
                return {"ttft": ttft, "tokens": 1 / result.summary().throughput_tok_s}

            return run

        for n in CONCURRENCY:
            for door, one in doors.items():
                pairs = 2 if bench.quick else PAIRS
                found = ablate(asking(n), asking(n, endpoint=one), pairs, warm=True, progress=False)
                for name, ratio in found.items():  # plain over inside; below 1, Triton costs something
                    bench.data[f"{door}-{name}-{n}"] = [ratio.ratio, ratio.low, ratio.high]
                    bench.say(f"{door}, {n} at once, {name}: {ratio}")
                slower, later = 100 * (1 - found["tokens"].ratio), 100 * (1 / found["ttft"].ratio - 1)
                aim, limit = ("under 5 %", AIM) if n == max(CONCURRENCY) else ("", float("inf"))
                bench.figure(f"{door}-tokens-{n}", slower, "%", aim, slower < limit)
                bench.figure(f"{door}-ttft-{n}", later, "%", "", True)


def ask(server: TritonServer | Front, n: int, rows: int = 1, **how: object) -> list[Record]:
    """`n` requests of some rows to `net`."""
    inputs = {"X": np.repeat(ONE["X"], rows, axis=0)}
    endpoint = Infer("net", lambda request: inputs)
    url = server.url
    return drive(url, texts(["?"] * n, 1), endpoint=endpoint, progress=False, **how).records


def batching(bench: Bench) -> None:
    """The gain of `dynamic_batching { }` on a torch network under sixteen users, foretold and measured in turns."""
    models = write(net())
    server = triton(models, control="explicit", load=["net"], strict_model_config=True, progress=False)
    try:

        def load(lines: str = "") -> None:
            write(net(lines), models)
            server.load("net")
            ask(server, 8, concurrency=1)

        load()
        times: dict[int, list[float]] = {b: [] for b in ROWS}
        for _round in range(2 if bench.quick else 6):
            for b in ROWS:  # two users: the instance is never idle, as in the crowd, and batches nothing
                before = server.statistics("net")
                ask(server, 24, rows=b, concurrency=2)
                after = server.statistics("net")
                worked, runs = (
                    after["inference_stats"]["compute_infer"]["ns"] - before["inference_stats"]["compute_infer"]["ns"],
                    after["execution_count"] - before["execution_count"],
                )
                times[b].append(worked / runs)
        cost_s = [statistics.median(times[b]) / 1e9 for b in ROWS]
        single = cost_s[0]  # torch takes another way with one row, a vector times a matrix: it is on no line
        each, fixed = np.polyfit(ROWS[1:], cost_s[1:], 1)
        worked = time.process_time()
        records = ask(server, 200, concurrency=1)
        client = (time.process_time() - worked) / len(records)
        around = max(0.0, statistics.median(r.finished_s - r.sent_s for r in records) - single - client)
        way = {"around_s": around, "client_s": client}
        plain = crowd(USERS, single, 0.0, **way).throughput
        full = crowd(USERS, fixed, each, max_batch=MAX_BATCH, **way).throughput
        bench.data["batching"] = {"cost_s": dict(zip(ROWS, cost_s, strict=True)), **way}
        bench.say(f"one row {1e3 * single:.2f} ms, b rows {1e3 * fixed:.2f} + {1e3 * each:.2f} b ms")
        bench.say(f"client {1e3 * client:.2f} ms a request, {1e3 * around:.2f} ms around")
        bench.say(f"foretold: {plain:.0f} and {full:.0f} requests/s")
        samples: dict[str, list[float]] = {"": [], "dynamic_batching { }": []}
        for _turn in range(2 if bench.quick else 6):
            for lines, rates in samples.items():
                load(lines)
                records = ask(server, 320, concurrency=USERS)
                if not all(r.ok for r in records):
                    raise RuntimeError("a request failed")
                rates.append(len(records) / max(r.finished_s for r in records))
        bench.say(f"measured: {samples}")
        alone_s, together = samples.values()
        gain = statistics.median(b / a for a, b in zip(alone_s, together, strict=True))
        off = 100 * abs(full / plain / gain - 1)
        bench.data["batching"]["samples_rps"] = samples
        bench.figure("batching-gain", gain, "times", "more than 1", gain > 1)
        bench.figure("batching-predicted", full / plain, "times", "", True)
        bench.figure("batching-error", off, "%", "within 25 %", off <= 25)
    finally:
        server.stop(force=True)


def update(bench: Bench) -> None:
    """Requests lost while two Tritons behind a door are replaced, one after the other, again and again."""
    folder = write(net("dynamic_batching { }", LIGHT))
    servers = {name: triton(folder, name=f"bench-{name}", progress=False) for name in "ab"}
    door = front({name: one.url.split("://")[1] for name, one in servers.items()}, rate=10**5, burst=10**5,
                 name="bench-door", progress=False)  # fmt: skip
    records: list[Record] = []
    over = threading.Event()

    def load() -> None:
        while not over.is_set() or len(records) < LEAST_REQUESTS:
            records.extend(ask(door, 60, arrivals=np.arange(60) / RATE))

    line = threading.Thread(target=load, daemon=True)
    line.start()
    try:
        for _update in range(UPDATES):
            for name, one in list(servers.items()):
                time.sleep(1)
                door.take({name})
                deadline = time.monotonic() + 60
                while door.open(name) and time.monotonic() < deadline:
                    time.sleep(0.05)
                one.stop(force=True)
                new = triton(folder, name=f"bench-{name}", port=one.port, progress=False)
                servers[name] = new
                if not new.ready():
                    raise RuntimeError("a new replica is not ready")
                door.take(())
    finally:
        over.set()
        line.join()
        door.stop(force=True)
        for one in servers.values():
            one.stop(force=True)
    lost = [(r.status, r.error) for r in records if not r.ok]
    bench.data["update_lost"] = lost
    bench.say(f"{len(records)} requests over {2 * UPDATES} replacements, {len(lost)} lost")
    bench.figure("update-requests", len(records), "requests", "at least 500", len(records) >= LEAST_REQUESTS)
    bench.figure("update-lost", len(lost), "requests", "0", not lost)


def rounds(bench: Bench) -> None:
    """Start and load times; memory and processes of a server after many rounds of load and unload."""
    models = write(net())
    starts: list[float] = []
    for _start in range(2 if bench.quick else STARTS):
        server = triton(models, control="explicit", load=["net"], strict_model_config=True, progress=False)
        starts.append(server.ready_seconds)
        server.stop(force=True)
    server = triton(models, control="explicit", strict_model_config=True, progress=False)
    try:
        n, loads, kept = FIRST + 3 if bench.quick else ROUNDS, [], []
        for _turn in range(n):
            began = time.perf_counter()
            server.load("net")
            loads.append(time.perf_counter() - began)
            server.infer("net", ONE)
            server.unload("net")
            deadline = time.monotonic() + 30
            while family(server) > 1 and time.monotonic() < deadline:
                time.sleep(0.05)
            kept.append((psutil.Process(server.pid).memory_info().rss, family(server)))
        growth = 100 * (kept[-1][0] / kept[FIRST - 1][0] - 1)
        bench.data["rounds"] = {"rss_bytes": [rss for rss, _n in kept], "load_s": loads, "start_s": starts}
        bench.figure("start", statistics.median(starts), "s", "", True)
        bench.figure("load", statistics.median(loads), "s", "", True)
        bench.figure("growth", growth, "%", f"under {GROWTH:g} % in {ROUNDS} rounds", growth < GROWTH and n >= ROUNDS)
        left = max(n for _rss, n in kept) - 1
        bench.figure("processes-left", left, "processes", f"0 in {ROUNDS} rounds", not left and n >= ROUNDS)
    finally:
        server.stop(force=True)


def family(server: TritonServer) -> int:
    """Processes of the server, itself counted."""
    return 1 + len(psutil.Process(server.pid).children(recursive=True))


def run(bench: Bench) -> None:
    """Rounds, batching, update, overhead."""
    bench.data["tier"] = hardware.tier().id
    for part in (rounds, batching, update, overhead):
        part(bench)
    assert not [one for one in process.states() if one["name"].startswith("bench-")]
