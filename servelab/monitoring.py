"""Watching a service: rules in scaled time, a dashboard's queries asked for real, what a bottleneck looks like.

A service before vLLM carries `eyes` (assets/services/eyes.py): counters and one line of log a request. Prometheus
reads them, the engine's own metrics, and what `servelab.engines.exporter` tells of NGINX, Redis and the machine. A
Triton has counters of its own, with a dashboard and rules of their own. Nothing here knows which fault was planted; it
only reads what Prometheus knows.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from servelab import course
from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.paths import ASSETS
from servelab.theory.kv_cache import model_token_bytes
from servelab.theory.reliability import Alert

if TYPE_CHECKING:
    import pandas as pd

    from servelab.engines.prometheus import Point, Prometheus

EYES = ASSETS / "services" / "eyes.py"
RULES = ASSETS / "prometheus" / "burn-rate.yml"
DASHBOARD = ASSETS / "dashboards" / "serving.json"
TRITON_RULES = ASSETS / "prometheus" / "triton.yml"
TRITON_DASHBOARD = ASSETS / "dashboards" / "triton.json"
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SCALE = 300.0
"""How much faster time runs in the lab: an hour's window is 12 s."""
OBJECTIVE = 0.99
PAGES = {"page": "on call", "ticket": "tomorrow"}
"""Who hears of what: {severity: receiver}."""


def observed(text: str) -> str:
    """A service's text with eyes: its `app` is wrapped in one that counts, and answers /metrics."""
    return text.rstrip() + "\n" + EYES.read_text()


def rules(scale: float = 1.0, bound_s: float = 1.0, objective: float = OBJECTIVE) -> str:
    """The burn-rate alerts of assets/prometheus, in time that runs `scale` times faster.

    Args:
        scale: every window and every `for:` is divided by it; five minutes must still hold four scrapes.
        bound_s: the longest a first byte may take; one of the histogram's own buckets, for others are not counted.
        objective: share of good requests that is promised, 0 to 1.

    Raises:
        ServelabError: the histogram has no such bucket.
    """
    if bound_s not in buckets():
        text = _("The histogram has no bucket that ends at {bound:g} s: choose one of {all}.")
        raise ServelabError(text.format(bound=bound_s, all=", ".join(f"{b:g}" for b in buckets())))
    text = RULES.read_text().replace('le="1.0"', f'le="{float(bound_s)}"')
    text = text.replace("vector(0.01)", f"vector({1 - objective:.10g})")
    return scaled(text, scale)


def buckets() -> list[float]:
    """Upper ends of the buckets of the service's histogram, in seconds."""
    found = re.search(r"buckets=\((.*?)\)", EYES.read_text())
    return [float(one) for one in found[1].split(",")]


def scaled(text: str, scale: float) -> str:
    """Rules with every window, offset and `for:` divided by `scale`, in milliseconds; at 1 they stay as they are."""
    if scale == 1:
        return text

    def shorter(found: re.Match[str]) -> str:
        seconds = float(found["n"]) * UNITS[found["unit"]] / scale
        return f"{found['before']}{max(1, round(1000 * seconds))}ms"

    return re.sub(r"(?P<before>\[|for: |offset )(?P<n>\d+)(?P<unit>ms|[smhd])\b", shorter, text)


def alert(scale: float = SCALE) -> Alert:
    """The fast alert of those rules as the theory has it, for predictions: its windows in scaled seconds."""
    return Alert(14.4, 3600 / scale, 300 / scale)


# --------------------------------------------------------------------------------------------------- dashboards


@dataclass(frozen=True)
class Panel:
    """A panel of a Grafana dashboard: its title, its row, its unit, and its queries with their legends."""

    title: str
    row: str
    unit: str
    queries: tuple[tuple[str, str], ...]

    @property
    def metrics(self) -> set[str]:
        """The first words of the metrics that it asks for, such as `vllm`, `redis` or `nv` (Triton)."""
        text = re.sub(r'"[^"]*"', "", " ".join(expr for expr, _legend in self.queries))
        return {
            word
            for word in ("service", "slo", "vllm", "nv", "nginx", "redis", "machine")
            if re.search(rf"\b{word}[:_]", text)
        }


def panels(path: str | Path = DASHBOARD, every_s: float = 0.25, window_s: float | None = None) -> list[Panel]:
    """A dashboard's panels, with Grafana's `$__rate_interval` filled in.

    Args:
        every_s: the scrape interval: Grafana's own choice is four of them, so that one lost scrape leaves two.
        window_s: another choice.
    """
    ms = f"{round(1000 * (window_s or 4 * every_s))}ms"
    found, row = [], ""
    for one in json.loads(Path(path).read_text())["panels"]:
        if one["type"] == "row":
            row = one["title"]
            continue
        queries = tuple((t["expr"].replace("$__rate_interval", ms), t.get("legendFormat", "")) for t in one["targets"])
        found.append(Panel(one["title"], row, one["fieldConfig"]["defaults"].get("unit", ""), queries))
    return found


def legend(template: str, point: Point) -> str:
    """A series' name in a panel: `{{label}}` filled in."""
    return re.sub(r"{{\s*(\w+)\s*}}", lambda m: point.labels.get(m[1], ""), template)


def ask(prometheus: Prometheus, panel: Panel) -> dict[str, float]:
    """{legend: value} of a panel now; what Prometheus has nothing of is left out, what is no number is NaN."""
    return {
        legend(template, point): point.value for expr, template in panel.queries for point in prometheus.query(expr)
    }


def history(prometheus: Prometheus, panel: Panel, start_unix_s: float, end_unix_s: float | None = None) -> pd.DataFrame:
    """A panel's curves: `t_s` after `start_unix_s`, one column a legend."""
    import pandas as pd

    from servelab.engines.prometheus import Point

    parts = []
    for expr, template in panel.queries:
        frame = prometheus.range(expr, start_unix_s, end_unix_s).set_index("t_s")
        told = [Point(dict(re.findall(r"(\w+)=([^,]*)", column)), 0.0) for column in frame.columns]
        frame.columns = [legend(template, point) for point in told]
        parts.append(frame)
    return pd.concat(parts, axis=1).sort_index().reset_index()


def require(prometheus: Prometheus, shown: Sequence[Panel], since_unix_s: float, seconds: float = 5.0) -> None:
    """Every panel has shown a number since then: a wrong query looks just like a quiet evening.

    Args:
        since_unix_s: when the traffic began, in which they are asked.
        seconds: how long to wait for the last scrape.

    Raises:
        ServelabError: some have shown none; their titles.
    """
    end, blank = time.monotonic() + seconds, list(shown)
    while True:
        blank = [p for p in blank if not _speaks(history(prometheus, p, since_unix_s))]
        if not blank:
            return
        if time.monotonic() > end:
            break
        time.sleep(0.2)
    text = _("These panels show nothing: {titles}. Ask their queries one by one while there is traffic.")
    raise ServelabError(text.format(titles=", ".join(panel.title for panel in blank)))


def _speaks(frame: pd.DataFrame) -> bool:
    return any(math.isfinite(v) for column in frame.columns if column != "t_s" for v in frame[column])


# ------------------------------------------------------------------------------------------ one request's story


def log(server: Any) -> list[dict[str, Any]]:
    """The lines that the service's eyes wrote, oldest first."""
    found = []
    for line in server.log_path.read_text(errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            told = json.loads(line)
            if isinstance(told, dict) and "request_id" in told:
                found.append(told)
    return found


PHASES = ("gate", "queue", "prefill", "decode", "rest")


def story(line: Mapping[str, Any], attributes: Mapping[str, Any]) -> dict[str, float]:
    """Where a request's seconds went: its line of log joined with the engine's span of the same request.

    Args:
        line: of the service's log.
        attributes: of the engine's span.

    Returns:
        {`gate`: before the engine had it, as far as its first byte tells; `queue`, `prefill`, `decode`: in the engine;
        `rest`: what nobody accounts for}, in seconds; together they are the line's `seconds`.
    """
    word = "gen_ai.latency."
    queue, prefill, decode = (
        float(attributes[word + name]) for name in ("time_in_queue", "time_in_model_prefill", "time_in_model_decode")
    )
    gate = max(0.0, float(line["first_byte_s"]) - float(attributes[word + "time_to_first_token"]))
    rest = max(0.0, float(line["seconds"]) - gate - queue - prefill - decode)
    return dict(zip(PHASES, (gate, queue, prefill, decode, rest), strict=True))


# -------------------------------------------------------------------------------------------- what it looks like

SIGNALS = {
    "gate_waiting": "clamp_min(sum(avg_over_time(service_open[{w}]))"
    " - sum(avg_over_time(vllm:num_requests_running[{w}])) - sum(avg_over_time(vllm:num_requests_waiting[{w}])), 0)",
    "engine_waiting": "sum(avg_over_time(vllm:num_requests_waiting[{w}]))",
    "engine_running": "sum(avg_over_time(vllm:num_requests_running[{w}]))",
    "kv_used": "max(max_over_time(vllm:kv_cache_usage_perc[{w}]))",
    "step_s": "sum(increase(vllm:inter_token_latency_seconds_sum[{w}]))"
    " / sum(increase(vllm:inter_token_latency_seconds_count[{w}]))",
    "prefix_found": "sum(increase(vllm:prefix_cache_hits_total[{w}]))"
    " / sum(increase(vllm:prefix_cache_queries_total[{w}]))",
    "others_cpu": 'sum(rate(machine_cpu_seconds_total{{who="others"}}[{w}])) / scalar(sum(machine_cores))',
}
"""What a diagnosis reads, as PromQL over a window `{w}`: saturation of the gate, the engine's seats and its memory; its
pace; how much of a prompt it knew; and who else took the processor."""


def signals(prometheus: Prometheus, seconds: float) -> dict[str, float]:
    """The readings over the last `seconds`: requests waiting at the gate, waiting and running in the engine (means);
    the fullest the KV cache was (0 to 1); seconds from token to token (mean); share of prompt tokens found in the
    prefix cache; share of all cores that others took."""
    window = f"{round(1000 * seconds)}ms"
    return {name: prometheus.value(expr.format(w=window)) for name, expr in SIGNALS.items()}


def faults() -> dict[str, str]:
    """What may be wrong, by its short name, in the learner's language."""
    return {
        "gate": _("too few places at the service's gate"),
        "memory": _("too little memory for keys and values"),
        "seats": _("too few seats in the engine"),
        "prefix": _("the prefix cache finds nothing any more"),
        "neighbour": _("a neighbour takes the processor"),
        "none": _("nothing"),
    }


def small(tier: course.Tier) -> dict[str, int]:
    """Flags of an engine that is soon full: six seats, and memory for some 1,100 tokens, 512 a sequence."""
    bytes_a_token = int(model_token_bytes(course.load().model(tier.model), tier.dtype))
    return {"max_num_seqs": 6, "max_model_len": 512, "block_size": 32, "kv_cache_memory_bytes": 1100 * bytes_a_token}


@contextlib.contextmanager
def frozen(server: Any) -> Iterator[None]:
    """The server's processes stand still while a block runs: they hold their ports, and say nothing."""
    first = psutil.Process(server.pid)
    tree = [first, *first.children(recursive=True)]
    try:
        for one in tree:
            one.suspend()
        yield
    finally:
        for one in tree:
            with contextlib.suppress(psutil.Error):
                one.resume()


def until(prometheus: Prometheus, alert: str, fires: bool = True, seconds: float = 40.0) -> float:
    """Wait until an alert fires (or does not any more): the seconds it took, NaN where it did not happen in time."""
    began = time.monotonic()
    while (alert in prometheus.firing()) != fires:
        if time.monotonic() - began > seconds:
            return math.nan
        time.sleep(0.05)
    return time.monotonic() - began


@contextlib.contextmanager
def neighbour(programs: int | None = None) -> Iterator[None]:
    """Other people's programs on the same machine while a block runs: they compute, and want nothing.

    Args:
        programs: how many; by default two a core.
    """
    programs = programs or 2 * (os.cpu_count() or 1)
    words = [sys.executable, "-c", "import ctypes; ctypes.CDLL(None).prctl(1, 9)\nwhile True: pass"]
    started = [subprocess.Popen(words) for _n in range(programs)]
    try:
        yield
    finally:
        for one in started:
            one.kill()
            one.wait()
