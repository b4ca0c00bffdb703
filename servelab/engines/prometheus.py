"""Prometheus and Alertmanager as supervised processes: they scrape, evaluate rules, and answer queries.

Both are Debian's programs, started as any engine of the course: a configuration made for this one start, a port on
127.0.0.1, samples in a folder of their own that goes with them. `promtool` comes with Prometheus: `check` reads rules
as Prometheus would, and `evaluate` runs PromQL over series that nobody scraped, without a server.

The interface is Prometheus' HTTP API v1 (its documentation, "HTTP API") and Alertmanager's API v2.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servelab.engines import process
from servelab.engines.server import KINDS, Server
from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

EVERY_S = 0.25
"""Seconds between two scrapes, and between two looks at the rules. Production takes 15 to 60."""
NEED_BYTES = 256 * 2**20
CONFIGURATION, RULES = "prometheus.yml", "rules-{n}.yml"
PROMTOOL_SECONDS = 60


def program(name: str) -> str | None:
    """Where a program of Prometheus' family is: `prometheus`, `promtool`, `alertmanager`; None if it is not here."""
    names = [f"prometheus-{name}", name] if name == "alertmanager" else [name]
    return next((found for one in names if (found := shutil.which(one, path=_path()))), None)


def _path() -> str:
    import os

    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/bin", "/usr/sbin", "/usr/local/bin"])


def installed() -> bool:
    """Whether Prometheus, its promtool and Alertmanager are on this machine."""
    return all(map(program, ("prometheus", "promtool", "alertmanager")))


def _require(name: str) -> str:
    if found := program(name):
        return found
    text = _("{name} is not installed: `apt install prometheus prometheus-alertmanager`, then run the cell again.")
    raise ServelabError(text.format(name=name))


@dataclass(frozen=True)
class Point:
    """One series of an answer: its labels, without its own name, and its value."""

    labels: dict[str, str]
    value: float


@dataclass(frozen=True)
class Alarm:
    """An alert of Prometheus: `state` is `pending` (its `for:` is not over yet) or `firing`."""

    name: str
    state: str
    labels: dict[str, str] = field(default_factory=dict)
    since_unix_s: float = math.nan


class Prometheus(Server):
    """A running Prometheus. It has no `metrics()` of an engine: ask it with `query`, `value` and `range`."""

    def query(self, expr: str, at: float | None = None) -> list[Point]:
        """What a PromQL expression is now, or was at the Unix time `at`: one point a series; none where nothing is.

        Raises:
            ServelabError: the expression is refused, with Prometheus' own reason, or the server is gone.
        """
        found = self._ask("query", expr, **({"time": at} if at else {}))
        return [Point(_bare(one["metric"]), float(one["value"][1])) for one in found]

    def value(self, expr: str, at: float | None = None) -> float:
        """The one number of an expression; NaN where it has none.

        Raises:
            ServelabError: it is refused, or there are several.
        """
        found = self.query(expr, at)
        if len(found) > 1:
            raise ServelabError(_("The query has {n} series, not one: {expr}").format(n=len(found), expr=expr))
        return found[0].value if found else math.nan

    def range(self, expr: str, start: float, end: float | None = None, step_s: float | None = None) -> pd.DataFrame:
        """An expression over time: `t_s`, seconds after the Unix time `start`, and one column a series.

        A column is named by its series' labels, or `value` where there are none.

        Raises:
            ServelabError: it is refused, or the server is gone.
        """
        import pandas as pd

        end = end or time.time()
        step = step_s or max(self.config["every_s"], (end - start) / 500)
        found = self._ask("query_range", expr, start=start, end=end, step=step)
        columns = {named(one["metric"]): {float(t) - start: float(v) for t, v in one["values"]} for one in found}
        frame = pd.DataFrame(columns).sort_index()
        frame.index.name = "t_s"
        return frame.reset_index()

    def alarms(self) -> list[Alarm]:
        """The alerts that are pending or firing now.

        Raises:
            ServelabError: the server is gone.
        """
        data = self._get("/api/v1/alerts").json()["data"]["alerts"]
        return [Alarm(one["labels"]["alertname"], one["state"], one["labels"], _unix(one["activeAt"])) for one in data]

    def firing(self) -> set[str]:
        """Names of the alerts that fire now."""
        return {alarm.name for alarm in self.alarms() if alarm.state == "firing"}

    def targets(self) -> dict[str, str]:
        """{job: `up`, or why its last scrape failed}.

        Raises:
            ServelabError: the server is gone.
        """
        active = self._get("/api/v1/targets").json()["data"]["activeTargets"]
        return {one["labels"]["job"]: one["lastError"] or one["health"] for one in active}

    def settle(self, seconds: float = 20.0) -> None:
        """Wait until every target was scraped at least twice, the least that `rate` needs; the first after some 5 s.

        Raises:
            ServelabError: one does not answer; its name and the reason.
        """
        end = time.monotonic() + seconds
        while True:
            twice = {p.labels["job"] for p in self.query("count_over_time(up[1h]) >= 2")}
            targets = self.targets()
            bad = {job: why for job, why in targets.items() if why != "up"}
            if set(self.config["jobs"]) <= twice & set(targets) and not bad:
                return
            if time.monotonic() > end:
                late = next((job for job in self.config["jobs"] if job not in twice), "")
                job, why = next(iter(bad.items()), (late, _("too late")))
                raise ServelabError(_("Prometheus cannot scrape {job}: {why}").format(job=job, why=why))
            time.sleep(self.config["every_s"] / 2)

    def stop(self, force: bool = False) -> None:
        """Stop it and forget its samples."""
        super().stop(force)
        if not process.is_running(process.state(self.name)):
            shutil.rmtree(process.own_folder(self.name), ignore_errors=True)

    def _ask(self, what: str, expr: str, **more: Any) -> list[dict[str, Any]]:
        self._require()
        answer = self._http.get(f"{self.url}/api/v1/{what}", params={"query": expr, **more}).json()
        if answer["status"] != "success":
            raise ServelabError(_("Prometheus refuses the query {expr}: {why}").format(expr=expr, why=answer["error"]))
        data = answer["data"]
        if data["resultType"] == "scalar":
            return [{"metric": {}, "value": data["result"]}]
        return data["result"]


class Alertmanager(Prometheus):
    """A running Alertmanager: alerts, grouped and sent to whom they concern."""

    def active(self) -> list[tuple[str, str]]:
        """(alert, receiver) of every alert that is active now, in order.

        Raises:
            ServelabError: the server is gone.
        """
        data = self._get("/api/v2/alerts").json()
        return sorted((one["labels"]["alertname"], r["name"]) for one in data for r in one["receivers"])


def _unix(text: str) -> float:
    from datetime import datetime

    stamp = re.sub(r"(\.\d{6})\d*", r"\1", text).replace("Z", "+00:00")  # nanoseconds are more than Python reads
    return datetime.fromisoformat(stamp).timestamp()


def _bare(labels: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in labels.items() if key != "__name__"}


def named(labels: Mapping[str, str]) -> str:
    """A series' labels in one short line, without its own name; `value` where it has none."""
    return ", ".join(f"{k}={v}" for k, v in sorted(labels.items()) if k not in ("__name__", "instance")) or "value"


def prometheus(
    targets: Mapping[str, Any],
    *,
    rules: Sequence[str] = (),
    alertmanager: Any = None,
    every_s: float = EVERY_S,
    name: str | None = None,
    port: int | None = None,
    progress: bool = True,
) -> Prometheus:
    """A running Prometheus that scrapes `targets`; the one that runs with this configuration already, if there is one.

    Args:
        targets: {job: a server, or an address such as `http://127.0.0.1:8000`}; a path after the address replaces
            `/metrics`.
        rules: texts of rule files (YAML).
        alertmanager: a running one, to which alerts go.
        every_s: seconds between two scrapes, and between two evaluations of the rules.

    Raises:
        ServelabError: it is not installed, or refuses the rules; in one sentence.
    """
    binary = _require("prometheus")
    for text in rules:
        check(text)
    ms = f"{round(1000 * every_s)}ms"
    configuration: dict[str, Any] = {
        "global": {"scrape_interval": ms, "scrape_timeout": ms, "evaluation_interval": ms},
        "scrape_configs": [_job(job, one) for job, one in targets.items()],
        "rule_files": [RULES.format(n=n) for n in range(len(rules))],
    }
    if alertmanager is not None:
        to = [{"targets": [_place(alertmanager)[0]]}]
        configuration["alerting"] = {"alertmanagers": [{"static_configs": to}]}
    files = {CONFIGURATION: json.dumps(configuration, indent=1)}  # JSON is YAML
    files |= {RULES.format(n=n): text for n, text in enumerate(rules)}
    return _start(
        Prometheus,
        "prometheus",
        "Prometheus",
        {"every_s": every_s, "files": files, "jobs": list(targets)},
        [
            binary,
            "--config.file={folder}/" + CONFIGURATION,
            "--storage.tsdb.path={folder}/data",
            "--storage.tsdb.retention.time=1d",
            "--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ],
        files,
        name,
        port,
        progress,
    )


def alertmanager(
    routes: Mapping[str, str],
    *,
    every_s: float = EVERY_S,
    name: str | None = None,
    port: int | None = None,
    progress: bool = True,
) -> Alertmanager:
    """A running Alertmanager that tells alerts apart by their label `severity`.

    Args:
        routes: {severity: receiver}; what has another severity goes to the receiver `nobody`.
        every_s: how long it collects alerts before it tells of a group.

    Raises:
        ServelabError: it is not installed, or does not start.
    """
    binary = _require("alertmanager")
    wait = f"{max(1, round(1000 * every_s))}ms"
    configuration = {
        "route": {
            "receiver": "nobody",
            "group_by": ["alertname"],
            "group_wait": wait,
            "group_interval": "1s",
            "routes": [{"matchers": [f'severity="{s}"'], "receiver": r} for s, r in routes.items()],
        },
        "receivers": [{"name": one} for one in dict.fromkeys(["nobody", *routes.values()])],
    }
    files = {"alertmanager.yml": json.dumps(configuration, indent=1)}
    return _start(
        Alertmanager,
        "alertmanager",
        "Alertmanager",
        {"every_s": every_s, "files": files},
        [
            binary,
            "--config.file={folder}/alertmanager.yml",
            "--storage.path={folder}/data",
            "--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ],
        files,
        name,
        port,
        progress,
    )


def _start(
    kind: type[Prometheus],
    engine: str,
    title: str,
    config: dict[str, Any],
    command: list[str],
    files: dict[str, str],
    name: str | None,
    port: int | None,
    progress: bool,
) -> Any:
    _sweep(engine)
    spec = process.Spec(
        engine=engine,
        title=title,
        config=config,
        command=command,
        files=files,
        need_bytes=NEED_BYTES,
        name=name,
        port=port,
        ready_path="/-/ready",
        explain=explain,
    )
    with Progress(progress) as line:
        state, token, reused = process.start(spec, line, timeout_s=60)
        started = kind(state, token, reused)
        line.done(_("{title} is ready at {url}").format(title=title, url=started.url))
    return started


def _sweep(engine: str) -> None:
    """Clear the samples of servers that ended without anybody stopping them."""
    running = {one["name"] for one in process.states()}
    for folder in process.folder().glob(f"{engine}-*.files"):
        if folder.name.removesuffix(".files") not in running:
            shutil.rmtree(folder / "data", ignore_errors=True)


def _place(server: Any) -> tuple[str, str]:
    """(host:port, path) of a target."""
    url = server if isinstance(server, str) else server.url
    address, _slash, path = url.split("://")[-1].partition("/")
    return address, f"/{path}" if path else "/metrics"


def _job(job: str, server: Any) -> dict[str, Any]:
    address, path = _place(server)
    return {"job_name": job, "metrics_path": path, "static_configs": [{"targets": [address]}]}


def explain(log: str) -> str | None:
    """Why a start failed, as part of a sentence; None where the log tells none."""
    found = re.findall(r'\berr="((?:[^"\\]|\\.)*)"', log)
    return found[-1].replace('\\"', '"')[:300] if found else None


# ---------------------------------------------------------------------------------------------------- promtool


def check(rules: str) -> None:
    """Read rules as Prometheus would.

    Raises:
        ServelabError: it refuses them, with its reason; or it is not installed.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rules.yml"
        path.write_text(rules)
        done = _promtool("check", "rules", str(path))
        if done.returncode:
            said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            why = next((line for line in reversed(said) if "FAILED" not in line), "-").removeprefix(f"{path}: ")
            raise ServelabError(_("Prometheus refuses the rules: {why}").format(why=why[:300]))


def _promtool(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [_require("promtool"), *words], capture_output=True, text=True, timeout=PROMTOOL_SECONDS, check=False
    )


_FAILED = re.compile(
    r'expr: (?P<expr>"(?:[^"\\]|\\.)*"), time: (?P<time>[^,\n]+),(?P<rest>.*?)(?=\n\s*expr: "|\Z)', re.S
)
_GOT = re.compile(r"\bgot:\s*(?P<got>.*)", re.S)
_SAMPLE = re.compile(r'(?P<labels>(?:[a-zA-Z_:][\w:]*)?\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})\s+(?P<value>[-+\w.]+)')
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')


def evaluate(
    series: Mapping[str, Sequence[float | None]],
    exprs: Sequence[str],
    at_s: Sequence[float],
    every_s: float = 1.0,
    rules: Sequence[str] = (),
) -> list[list[list[Point]]]:
    """PromQL over given samples, by Prometheus itself: promtool's unit tests of rules, which need no server.

    Args:
        series: {series such as `up{job="a"}`: its samples, the first at 0 s, then every `every_s`; None: none}.
        exprs: expressions.
        at_s: times in seconds at which each is evaluated.
        every_s: seconds between two samples, and between two evaluations of `rules`; whole milliseconds.
        rules: texts of rule files, whose recorded series can be asked for.

    Returns:
        For each expression, for each time, its points.

    Raises:
        ServelabError: an expression or a rule is refused, with Prometheus' reason; or promtool is not installed.
    """
    every = f"{round(1000 * every_s)}ms"

    def written(values: Sequence[float | None]) -> str:
        return " ".join("_" if v is None else repr(float(v)) for v in values)

    tests = {
        "evaluation_interval": every,
        "rule_files": [RULES.format(n=n) for n in range(len(rules))],
        "tests": [
            {
                "interval": every,
                "input_series": [{"series": key, "values": written(values)} for key, values in series.items()],
                # Nothing is expected anywhere: where something came, promtool tells what it was.
                "promql_expr_test": [
                    {"expr": expr, "eval_time": f"{round(1000 * t)}ms", "exp_samples": []}
                    for expr in dict.fromkeys(exprs)
                    for t in dict.fromkeys(at_s)
                ],
            }
        ],
    }
    with tempfile.TemporaryDirectory() as folder:
        for n, text in enumerate(rules):
            (Path(folder) / RULES.format(n=n)).write_text(text)
        path = Path(folder) / "tests.json"
        path.write_text(json.dumps(tests))
        done = _promtool("test", "rules", str(path))
    said = done.stdout + done.stderr
    got: dict[tuple[str, float], list[Point]] = {}
    for found in _FAILED.finditer(said):
        expr, rest = json.loads(found["expr"]), found["rest"]
        if (told := _GOT.search(rest)) is None:
            why = " ".join(rest.removeprefix(" err:").split())
            raise ServelabError(_("Prometheus refuses the query {expr}: {why}").format(expr=expr, why=why[:300]))
        got[expr, _seconds(found["time"])] = _points(told["got"])
    if done.returncode and not got:
        raise ServelabError(_("Prometheus refuses the rules: {why}").format(why=" ".join(said.split())[:300]))
    return [[got.get((expr, round(t, 3)), []) for t in at_s] for expr in exprs]


_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}


def _seconds(text: str) -> float:
    """Prometheus' and Go's durations, such as `1m30s` and `1.5s`."""
    return round(sum(float(n) * _UNITS[unit] for n, unit in re.findall(r"([\d.]+)(ms|[smhdwy])", text)), 3)


def _points(text: str) -> list[Point]:
    text = text.strip()
    if text.startswith('"') and text.endswith('"'):
        text = json.loads(text)
    elif '\\"' in text:
        text = text.replace('\\"', '"')
    return [Point(_bare(dict(_LABEL.findall(one["labels"]))), float(one["value"])) for one in _SAMPLE.finditer(text)]


KINDS["prometheus"] = Prometheus
KINDS["alertmanager"] = Alertmanager
