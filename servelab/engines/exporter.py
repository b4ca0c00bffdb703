"""What NGINX, Redis and the machine say of themselves, in Prometheus' form: a small exporter in this process.

- NGINX: its log, one JSON line a request (see `servelab.engines.router`), gives counts by status and replica; where the
  configuration has `stub_status`, connections too.
- Redis: its INFO.
- The machine: seconds of processor time that the engine took, and that everything else took, of all cores.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import urllib.request
from collections import Counter
from collections.abc import Iterator
from typing import Any

import psutil

from servelab.engines import ports

INFO = {
    "connected_clients": ("gauge", "Clients that are connected"),
    "used_memory": ("gauge", "Bytes of memory"),
    "total_commands_processed": ("counter", "Commands that were answered"),
    "keyspace_hits": ("counter", "Look-ups that found their key"),
    "keyspace_misses": ("counter", "Look-ups that did not"),
}
ASK_SECONDS = 1.0


class Exporter:
    """Serves /metrics while a block runs, or until `stop`; `url` is what Prometheus is told.

    Args:
        front: a `Router`, or nothing.
        store: Redis as `host:port`, or nothing.
        engine: the server whose processor time is told apart from the rest's, or nothing.
    """

    def __init__(self, front: Any = None, store: str | None = None, engine: Any = None) -> None:
        from prometheus_client import CollectorRegistry, start_http_server

        self._front, self._store, self._engine = front, store, engine
        self._read, self._requests, self._others = 0, Counter(), 0.0
        registry = CollectorRegistry()
        registry.register(self)
        self.port = ports.free_port()
        self._server, self._thread = start_http_server(self.port, ports.HOST, registry)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{ports.HOST}:{self.port}"

    def stop(self) -> None:
        """Close the port; harmless a second time."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Exporter:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def collect(self) -> Iterator[Any]:
        """Every metric as it is now; prometheus_client calls this at each scrape."""
        yield from self._machine()
        if self._front is not None:
            yield from self._nginx()
        if self._store:
            yield from self._redis()

    def describe(self) -> list[Any]:
        """Nothing beforehand: what there is, is read when it is asked for."""
        return []

    def _machine(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        now = psutil.cpu_times()
        busy = sum(getattr(now, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq", "steal"))
        own = _seconds(self._engine.pid) if self._engine is not None else 0.0
        spent = CounterMetricFamily("machine_cpu_seconds", "Processor time of all cores", labels=["who"])
        spent.add_metric(["engine"], own)
        self._others = max(self._others, busy - own)  # two clocks: what counts must not fall, or it seems to begin anew
        spent.add_metric(["others"], self._others)
        yield spent
        yield GaugeMetricFamily("machine_cores", "Cores of this machine", value=os.cpu_count() or 1)

    def _nginx(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        with contextlib.suppress(OSError), open(self._front.log_path, "rb") as log:
            log.seek(self._read)
            *lines, rest = log.read().split(b"\n")  # what is not whole yet is read next time
            self._read = log.tell() - len(rest)
            for line in lines:
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    told = json.loads(line)
                    self._requests[str(told["status"])] += 1
        ended = CounterMetricFamily("nginx_http_requests", "Requests that ended, by status", labels=["status"])
        for status, n in sorted(self._requests.items()):
            ended.add_metric([status], n)
        yield ended
        for name, value in stub_status(f"{self._front.url}/nginx/status").items():
            yield GaugeMetricFamily(f"nginx_connections_{name}", "Connections of clients now", value=value)

    def _redis(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        told = info(self._store)
        yield GaugeMetricFamily("redis_up", "Whether Redis answers", value=float(bool(told)))
        for name, (kind, help_text) in INFO.items():
            if name in told:
                family = GaugeMetricFamily if kind == "gauge" else CounterMetricFamily
                yield family(f"redis_{name}", help_text, value=float(told[name]))


def stub_status(url: str) -> dict[str, float]:
    """NGINX's own page of connections: `active`, `reading`, `writing`, `waiting`; empty where there is none."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with contextlib.suppress(OSError, ValueError), opener.open(url, timeout=ASK_SECONDS) as answer:
        found = re.findall(r"(Active connections|Reading|Writing|Waiting): (\d+)", answer.read().decode())
        return {name.split()[0].lower(): float(n) for name, n in found}
    return {}


def _seconds(pid: int | None) -> float:
    """Processor time of a process and its children so far; 0 where it is gone."""
    total = 0.0
    with contextlib.suppress(psutil.Error, TypeError):
        first = psutil.Process(pid)
        for one in (first, *first.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                used = one.cpu_times()
                total += used.user + used.system
    return total


def info(address: str) -> dict[str, str]:
    """Redis' INFO as {name: value}; empty where nobody answers (RESP: a bulk string)."""
    host, _colon, port = address.removeprefix("redis://").split("/")[0].rpartition(":")
    with contextlib.suppress(OSError, ValueError), socket.create_connection((host, int(port)), ASK_SECONDS) as redis:
        redis.sendall(b"INFO\r\n")
        with redis.makefile("rb") as answer:
            text = answer.read(int(answer.readline().removeprefix(b"$"))).decode()
        return dict(re.findall(r"^(\w+):(.*?)\r?$", text, re.M))
    return {}
