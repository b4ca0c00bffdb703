"""Scrapes that nobody made: series of a service whose behaviour is known, and what PromQL says of them.

Exercises are judged on these, by Prometheus' own evaluation (`servelab.engines.prometheus.evaluate`): one sample a
second, several replicas, some of which restart. Readings for a diagnosis are drawn around a fault that is known, too.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from servelab.engines.prometheus import Point, evaluate
from servelab.errors import ServelabError
from servelab.monitoring import buckets

LONGEST = 2_000
"""Characters of a query; what is longer is not asked."""
REMEMBERED = 64
"""Answers that are kept."""
TOKENS = 10
"""Tokens of an answer."""
STEP = "vllm:inter_token_latency_seconds"
Series = dict[str, list[float]]


def replicas(
    kinds: Sequence[tuple[float, float, float]],
    seconds: int,
    restart_s: int | None = None,
    rng: random.Random | None = None,
) -> Series:
    """Counters of several replicas of a service and its engine, one sample a second from 0 s on.

    Args:
        kinds: of each replica: requests that end, a second; share of them that is bad (half 429, half 504); seconds to
            its first byte (every other answer takes twice as long), and the same from token to token.
        seconds: how long.
        restart_s: when the second replica's counters begin anew.
        rng: where given, each second has more or fewer requests than its mean.
    """
    found: Series = {}
    for n, (rate, bad, first_s) in enumerate(kinds):
        now: dict[str, float] = {}
        for t in range(seconds + 1):
            if t == restart_s and n == 1:
                now = dict.fromkeys(now, 0.0)
            ended = rate * (rng.uniform(0.3, 1.7) if rng else 1.0)
            share = min(1.0, bad * (rng.uniform(0.5, 1.5) if rng else 1.0))
            good = ended * (1 - share)
            grown = {'service_requests_total{status="200"': good}
            grown |= {f'service_requests_total{{status="{s}"': ended * share / 2 for s in ("429", "504")}
            for end in (*buckets(), math.inf):
                inside = (good / 2 if first_s <= end else 0) + (good / 2 if 2 * first_s <= end else 0)
                le = "+Inf" if end == math.inf else f"{end}"
                grown[f'service_first_byte_seconds_bucket{{le="{le}"'] = inside
            grown |= {f"{STEP}_count{{": good * TOKENS, f"{STEP}_sum{{": good * TOKENS * first_s}
            for key, more in grown.items():
                now[key] = now.get(key, 0.0) + more
                whole = f'{key}{"" if key.endswith("{") else ","}instance="{n}"}}'
                found.setdefault(whole, []).append(now[key])
    return found


def outcomes(*each: Sequence[tuple[float, float]]) -> Series:
    """`service_requests_total` of replicas from (all, bad) requests of every second; the bad ones end with 502."""
    found: Series = {}
    for n, seconds in enumerate(each):
        good = bad = 0.0
        for total, wrong in seconds:
            good, bad = good + total - wrong, bad + wrong
            found.setdefault(f'service_requests_total{{status="200",instance="{n}"}}', []).append(good)
            found.setdefault(f'service_requests_total{{status="502",instance="{n}"}}', []).append(bad)
    return found


@dataclass(frozen=True)
class Served:
    """What a model does on one Triton: requests that end a second, share of them that fail, seconds in the queue, rows
    of an execution (one a request); how many wait, and from which second on it hangs or all of its requests fail."""

    rate: float
    bad: float = 0.0
    queue_s: float = 0.0
    batch: float = 1.0
    waiting: float = 0.0
    hangs_s: int | None = None
    fails_s: int | None = None


def tritons(
    servers: Sequence[Mapping[str, Served]],
    seconds: int,
    restart_s: int | None = None,
    rng: random.Random | None = None,
) -> Series:
    """What several Tritons count, one sample a second from 0 s on.

    Args:
        servers: of each server, {model: what it does there}.
        restart_s: when the second server's counters begin anew.
        rng: where given, each second has more or fewer requests than its mean.
    """
    found: Series = {}
    for n, models in enumerate(servers):
        for model, one in models.items():
            now: dict[str, float] = {}
            for t in range(seconds + 1):
                if t == restart_s and n == 1:
                    now = dict.fromkeys(now, 0.0)
                hangs = one.hangs_s is not None and t > one.hangs_s
                bad = 1.0 if one.fails_s is not None and t > one.fails_s else one.bad
                ended = 0.0 if hangs else one.rate * (rng.uniform(0.3, 1.7) if rng else 1.0)
                good = ended * (1 - bad)
                grown = {
                    "request_success{": good,
                    'request_failure{reason="REJECTED",': ended * bad / 2,
                    'request_failure{reason="BACKEND",': ended * bad / 2,
                    "queue_duration_us{": 1e6 * good * one.queue_s,
                    "count{": good,
                    "exec_count{": good / one.batch,
                }
                for key, more in grown.items():
                    now[key] = now.get(key, 0.0) + more
                waits = one.waiting + (one.rate * (t - one.hangs_s) if hangs else 0.0)
                for key, value in {**now, "pending_request_count{": waits}.items():
                    name = f'nv_inference_{key}model="{model}",version="1",instance="{n}"}}'
                    found.setdefault(name, []).append(value)
    return found


def answered(queries: Mapping[str, Any], series: Series, at_s: float) -> dict[str, dict[str, float]]:
    """{name: {labels' values, divided by commas: value}} of queries at a time; a refused one has no value.

    One series without labels has the name "".
    """
    well = {name: query for name, query in queries.items() if isinstance(query, str) and 0 < len(query) <= LONGEST}
    try:
        found = _asked(list(well.values()), series, [at_s])
    except ServelabError:  # one of them is refused: the others count all the same
        return {name: _values(query, series, [at_s])[0] for name, query in queries.items()}
    told = {name: _told(points) for name, (points,) in zip(well, found, strict=True)}
    return {name: told.get(name, {}) for name in queries}


def firing(query: Any, series: Series, at_s: Sequence[float]) -> list[bool]:
    """Whether an alert's expression has a value at each time; a refused one never has."""
    return [bool(found) for found in _values(query, series, at_s)]


def _values(query: Any, series: Series, at_s: Sequence[float]) -> list[dict[str, float]]:
    if not isinstance(query, str) or not 0 < len(query) <= LONGEST:
        return [{} for _t in at_s]
    try:
        (times,) = _asked([query], series, at_s)
    except ServelabError:
        return [{} for _t in at_s]
    return [_told(points) for points in times]


_ANSWERS: dict[tuple[Any, ...], list[list[list[Point]]]] = {}


def _asked(queries: list[str], series: Series, at_s: Sequence[float]) -> list[list[list[Point]]]:
    """As `evaluate`, and remembered: a judge asks the same of the same series for answer after answer."""
    key = (tuple(queries), tuple(at_s), tuple((name, tuple(values)) for name, values in series.items()))
    if key not in _ANSWERS:
        if len(_ANSWERS) >= REMEMBERED:
            _ANSWERS.pop(next(iter(_ANSWERS)))
        _ANSWERS[key] = evaluate(series, queries, at_s)
    return _ANSWERS[key]


def _told(points: Sequence[Point]) -> dict[str, float]:
    return {",".join(p.labels[k] for k in sorted(p.labels)): p.value for p in points}


def refused(query: Any, series: Series | None = None) -> str:
    """Why Prometheus refuses a query, for a learner to read; empty where it does not."""
    if not isinstance(query, str):
        return repr(query)
    try:
        evaluate(series or {"up": [1.0]}, [query], [0])
    except ServelabError as error:
        return str(error)
    return ""


def close(a: Mapping[str, float], b: Mapping[str, float]) -> bool:
    """Whether two answers have the same series with the same values, to a millionth; what is no number is alike."""

    def same(x: float, y: float) -> bool:
        return math.isclose(x, y, rel_tol=1e-6, abs_tol=1e-9) or (math.isnan(x) and math.isnan(y))

    return bool(b) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in b)


FAULTS = ("gate", "memory", "seats", "prefix", "neighbour", "none")


def drawn(rng: random.Random) -> tuple[str, dict[str, float], dict[str, float]]:
    """(fault, readings now, usual readings), as `monitoring.signals` gives them.

    What lies behind a fault may be disturbed too. Nothing stands within a few percent of a limit.
    """
    usual = {
        "gate_waiting": rng.uniform(0, 0.8),
        "engine_waiting": rng.uniform(0, 0.3),
        "engine_running": rng.uniform(2, 8),
        "kv_used": rng.uniform(0.1, 0.8),
        "step_s": rng.uniform(0.02, 0.2),
        "prefix_found": rng.uniform(0.3, 0.9),
        "others_cpu": rng.uniform(0, 0.2),
    }
    now = {key: value * rng.uniform(0.85, 1.15) for key, value in usual.items()}
    fault = rng.choice(FAULTS)
    place = FAULTS.index(fault)
    behind = [name for name in FAULTS[place + 1 : -1] if rng.random() < 0.5]
    if fault == "none":  # one of a neighbour's two signs alone is none
        now["others_cpu" if rng.random() < 0.5 else "step_s"] *= 0.9
        if rng.random() < 0.5:
            now["others_cpu"] = rng.uniform(0.35, 0.6)
        elif rng.random() < 0.5:
            now["step_s"] = usual["step_s"] * rng.uniform(1.6, 2.5)
    for name in (fault, *behind):
        if name in ("seats", "memory"):
            now["engine_waiting"] = rng.uniform(1.05, 12)
        if name == "memory" and fault in ("gate", "memory"):
            now["kv_used"] = rng.uniform(0.92, 1)
        if name == "prefix":
            now["prefix_found"] = usual["prefix_found"] * rng.choice([0.0, 0.3, rng.uniform(0.1, 0.45)])
        if name == "neighbour":
            now["others_cpu"] = rng.uniform(0.32, 0.9)
            now["step_s"] = usual["step_s"] * rng.uniform(1.55, 4)
    if fault == "seats":
        now["kv_used"] = min(now["kv_used"], 0.85)
    inside = now["engine_running"] + now["engine_waiting"]
    now["gate_waiting"] = inside * (rng.uniform(1.1, 4) if fault == "gate" else rng.uniform(0.1, 0.9))
    if fault == "none" and rng.random() < 0.3:
        now["step_s"] = now["prefix_found"] = math.nan  # nothing was counted
    return fault, now, usual
