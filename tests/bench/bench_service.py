"""What a service and NGINX cost over bare vLLM, what a rolling restart loses, and how soon a killed engine is back.

Overhead: one engine, asked straight, through the service, and through NGINX and the service, in turns, so that a
machine's drift touches all alike. Restart: two replicas, each with an engine of its own, restarted one after the other
under load, services and engines. Recovery: one engine is killed under load and started again. Rounds: the whole
deployment before a running engine is started and stopped again and again, and what is left is counted.
"""

from __future__ import annotations

import contextlib
import math
import statistics
import threading
import time
from collections.abc import Iterator

import psutil

from servelab import hardware, monitoring
from servelab.bench import Bench
from servelab.engines import process, vllm
from servelab.engines.deployment import Deployment, deployment
from servelab.engines.keeper import MARKER
from servelab.engines.prometheus import installed, prometheus
from servelab.load import constant, drive, synthetic
from servelab.load.metrics import Record
from servelab.paths import ROOT, home

SERVICE = ROOT / "labs" / "vllm" / "2.4_reference.py"
KEY = "bench"
CONCURRENCY = (1, 8)
TURNS, REQUESTS = 9, 16
PROMPT_TOKENS, OUTPUT_TOKENS = 64, 24
SHORT_TOKENS = 4
AIM = 0.05
LEAST_REQUESTS = 500
ROUNDS = 100
ALERTS, CALM_S = 5, 15.0
"""Faults to be told, and how long the engine is well before each."""
ROOM = {"running": 64, "waiting": 512, "timeout_s": 600.0, "quota": 10**9, "rate": 100_000, "burst": 100_000}


def overhead(bench: Bench) -> None:
    """TTFT and tokens/s straight, through the service, and through NGINX too; medians of the ratios of each turn."""
    samples: dict[str, dict[int, list[tuple[float, float]]]] = {}
    with vllm(name="bench-bare") as server, contextlib.ExitStack() as stack:
        stack.callback(server.stop, force=True)
        d = stack.enter_context(deployment(SERVICE, engines=[server.url], keys=(KEY,), name="bench-one", **ROOM))
        ways = {"bare": server.url, "service": d.replicas["a"].url, "nginx": d.url}
        samples = {way: {n: [] for n in CONCURRENCY} for way in ways}
        seed = 0
        for turn in range(2 if bench.quick else TURNS + 1):
            for n in CONCURRENCY:
                for way in _turned(list(ways), turn):
                    seed += 1
                    asked = synthetic(
                        n=REQUESTS if n > 1 else REQUESTS // 4,
                        prompt_tokens=PROMPT_TOKENS,
                        output_tokens=OUTPUT_TOKENS,
                        seed=seed,
                    )
                    result = drive(ways[way], asked, concurrency=n, api_key=KEY, model=server.model, progress=False)
                    failed = [r.error for r in result.records if not r.ok]
                    if failed:
                        raise RuntimeError(f"{way}: {failed[0]}")
                    ttft = statistics.median(r.ttft_sent_s for r in result.records)
                    rate = result.summary().throughput_tok_s
                    bench.say(f"turn {turn}, {n} at once, {way}: TTFT {1000 * ttft:.0f} ms, {rate:.1f} tok/s")
                    if turn:  # the first one warms up
                        samples[way][n].append((ttft, rate))
    bench.data["overhead_samples_ttft_s_tok_s"] = samples
    for way in ("service", "nginx"):
        for n in CONCURRENCY:
            pairs = list(zip(samples[way][n], samples["bare"][n], strict=True))
            later = statistics.median(a[0] / b[0] for a, b in pairs) - 1
            slower = 1 - statistics.median(a[1] / b[1] for a, b in pairs)
            aim, limit = ("under 5 %", 100 * AIM) if n == max(CONCURRENCY) else ("", float("inf"))
            bench.figure(f"{way}-ttft-{n}", 100 * later, "%", aim, 100 * later < limit)
            bench.figure(f"{way}-tokens-{n}", 100 * slower, "%", aim, 100 * slower < limit)


def _turned(ways: list[str], turn: int) -> list[str]:
    """Another one begins at each turn."""
    return ways[turn % len(ways) :] + ways[: turn % len(ways)]


@contextlib.contextmanager
def loaded(d: Deployment, least: int, users: int = 4) -> Iterator[list[Record]]:
    """A load of short answers while the block runs, and until `least` requests are answered."""
    records: list[Record] = []
    over = threading.Event()

    def ask() -> None:
        turn = 0
        while not over.is_set() or len(records) < least:
            turn += 1
            asked = synthetic(n=20, prompt_tokens=8, output_tokens=SHORT_TOKENS, seed=10_000 + turn)
            records.extend(drive(d.url, asked, concurrency=users, api_key=KEY, model=d.model, progress=False).records)

    line = threading.Thread(target=ask, daemon=True)
    line.start()
    try:
        yield records
    finally:
        over.set()
        line.join()


def restart(bench: Bench) -> None:
    """Requests lost in rolling restarts of two replicas, and how soon a killed engine serves again."""
    with deployment(SERVICE, keys=(KEY,), name="bench-two", **ROOM) as d:
        bench.data["engine_ready_s"] = {name: one.engine.ready_seconds for name, one in d.replicas.items()}
        with loaded(d, LEAST_REQUESTS) as records:
            began = time.time()
            d.restart()
            services_s = time.time() - began
            d.restart(engines=True)
        whole_s = time.time() - began
        lost = [(r.status, r.error) for r in records if not r.ok]
        bench.data |= {"restart_lost": lost, "restart_requests": len(records)}
        enough = len(records) >= LEAST_REQUESTS
        bench.say(f"{len(records)} requests over the restarts, {len(lost)} lost, {whole_s:.0f} s")
        bench.figure("restart-lost", len(lost), "requests", "0 of at least 500", not lost and enough)
        bench.figure("restart-requests", len(records), "requests", "at least 500", enough)
        bench.figure("restart-services", services_s, "s", "", True)
        with loaded(d, 20) as records:
            time.sleep(2)
            killed = time.time()
            code = d.kill("a")
            d.mend()
            back_s = time.time() - killed
        lost = [(r.status, r.error) for r in records if not r.ok]
        bench.data |= {"killed_exit_code": code, "killed_lost": lost, "killed_requests": len(records)}
        bench.say(f"an engine was killed: back after {back_s:.0f} s, {len(lost)} of {len(records)} requests lost")
        bench.figure("recovery", back_s, "s", "", True)
        most = ROOM["running"]
        bench.figure("killed-lost", len(lost), "requests", "at most the open ones", len(lost) <= min(most, 4))


def left() -> tuple[int, int, set[str]]:
    """Processes and listening ports of servers of this home, and its files."""
    here, processes = str(home()), set()
    for one in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if one.environ().get(MARKER, "").startswith(here) and one.status() != psutil.STATUS_ZOMBIE:
                processes.add(one.pid)
    listening = {c.laddr.port for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.pid in processes}
    files = {str(path) for path in (home() / "servers").rglob("*")}
    return len(processes), len(listening), files


def rounds(bench: Bench) -> None:
    """Start and stop everything but the engine; what is more after a round than before the first was left behind."""
    n = 3 if bench.quick else ROUNDS
    with vllm(name="bench-bare") as server, contextlib.ExitStack() as stack:
        stack.callback(server.stop, force=True)
        urls, before, worst, took = [server.url] * 2, left(), 0, []
        for turn in range(n):
            began = time.time()
            with deployment(SERVICE, engines=urls, keys=(KEY,), name="bench-round", progress=False, **ROOM) as d:
                asked = synthetic(n=2, prompt_tokens=4, output_tokens=2, seed=turn)
                result = drive(d.url, asked, concurrency=2, api_key=KEY, model=server.model, progress=False)
                if not all(r.ok for r in result.records):
                    raise RuntimeError(f"round {turn}: a request failed")
            took.append(time.time() - began)
            after = left()
            worst = max(worst, after[0] - before[0], after[1] - before[1], len(after[2] - before[2]))
            if turn % 10 == 0:
                bench.say(f"round {turn}: {took[-1]:.1f} s, {worst} left behind so far")
    bench.data["round_s"] = statistics.median(took)
    bench.figure("left-behind", worst, "processes, ports or files", f"0 in {ROUNDS} rounds", not worst and n >= ROUNDS)


def alerts(bench: Bench) -> None:
    """Seconds from an engine that stands still to the alert, and from its going on to silence; an hour lasts 12 s.

    A request that the service gives up after half a second is a bad one, and an answer that comes is a good one.
    """
    room = ROOM | {"timeout_s": 0.5}
    with vllm(name="bench-bare") as server, contextlib.ExitStack() as stack:
        stack.callback(server.stop, force=True)
        urls, over = [server.url], threading.Event()
        text = monitoring.observed(SERVICE.read_text())
        d = stack.enter_context(deployment(text, engines=urls, keys=(KEY,), name="bench-watched", **room))
        rules = [monitoring.rules(monitoring.SCALE, bound_s=2)]
        prom = stack.enter_context(prometheus({"service": d.replicas["a"].service}, rules=rules, progress=False))
        prom.settle()

        def ask() -> None:
            turn = 0
            while not over.is_set():
                turn += 1
                asked = synthetic(n=20, prompt_tokens=8, output_tokens=2, seed=20_000 + turn)
                where = {"api_key": KEY, "model": server.model, "progress": False}
                drive(d.url, asked, arrivals=constant(4), **where)

        line = threading.Thread(target=ask, daemon=True)
        line.start()
        false, fired, silent = 0, [], []
        try:
            for turn in range(ALERTS):
                time.sleep(CALM_S)
                false += "BurnFast" in prom.firing()
                with monitoring.frozen(server):
                    fired.append(monitoring.until(prom, "BurnFast"))
                silent.append(monitoring.until(prom, "BurnFast", fires=False))
                bench.say(f"fault {turn}: fired after {fired[-1]:.1f} s, silent after {silent[-1]:.1f} s")
        finally:
            over.set()
            line.join()
    bench.data |= {"alert_fired_s": fired, "alert_silent_s": silent, "alert_scale": monitoring.SCALE}
    all_fired = not any(map(math.isnan, fired))
    bench.figure("alert-false", false, "alarms without a fault", "0", not false)
    bench.figure("alert-delay", statistics.median(fired), "s", f"each of {ALERTS} faults", all_fired)
    real_min = statistics.median(fired) * monitoring.SCALE / 60
    bench.figure("alert-delay-unscaled", real_min, "min", "within an hour's window", all_fired and real_min < 60)
    bench.figure("alert-silence", statistics.median(silent), "s", "", not any(map(math.isnan, silent)))


def run(bench: Bench) -> None:
    """Overhead, restart and recovery, alert, rounds."""
    bench.data["tier"] = hardware.tier().id
    overhead(bench)
    if bench.quick:
        bench.say("a quick run starts no second engine: it neither restarts nor kills one")
    else:
        restart(bench)
        if installed():
            alerts(bench)
        else:
            bench.say("Prometheus is not installed: the alert's delay is not measured")
    rounds(bench)
    assert not [one for one in process.states() if one["name"].startswith("bench-")]
