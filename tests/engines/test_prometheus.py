"""Prometheus and Alertmanager as the course starts them; PromQL over given samples; what the exporter and the receiver
of traces tell. All of it without an engine."""

from __future__ import annotations

import json
import math
import socketserver
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server

from servelab import monitoring
from servelab.engines import ports, process, running
from servelab.engines.exporter import Exporter, info
from servelab.engines.metrics import Metrics
from servelab.engines.otlp import Collector
from servelab.engines.prometheus import Point, alertmanager, check, evaluate, explain, installed, named, prometheus
from servelab.errors import ServelabError
from tests.conftest import marked

needs_prometheus = pytest.mark.skipif(not installed(), reason="Prometheus is not installed")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SERVELAB_HOME", str(tmp_path))
    yield tmp_path
    for one in process.states():
        process.stop(one["name"], force=True)
    assert not marked(tmp_path), "a server outlived the test"


class Service:
    """A service that counts as the course's eyes do, and answers nobody: the test says what became of a request."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.ended = Counter("service_requests", "-", ["status"], registry=registry)
        self.first = Histogram("service_first_byte_seconds", "-", buckets=monitoring.buckets(), registry=registry)
        self.bad, self._over = False, threading.Event()
        self.port = ports.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._server, _thread = start_http_server(self.port, "127.0.0.1", registry)
        threading.Thread(target=self._traffic, daemon=True).start()

    def _traffic(self) -> None:
        while not self._over.wait(0.05):
            self.ended.labels("504" if self.bad else "200").inc()
            if not self.bad:
                self.first.observe(0.2)

    def stop(self) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def service():
    one = Service()
    yield one
    one.stop()


def until(true, seconds=20.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


@needs_prometheus
def test_alerts_fire_under_a_fault_reach_their_receiver_and_are_silent_otherwise(home, service):
    keeper = alertmanager(monitoring.PAGES, every_s=0.2, progress=False)
    scale = 300.0  # an hour is 12 s, five minutes hold four scrapes or more
    text = monitoring.rules(scale)
    one = prometheus({"service": service}, rules=[text], alertmanager=keeper, every_s=0.2, progress=False)
    one.settle()
    assert one.targets() == {"service": "up"}
    until(lambda: one.value("slo:bad:share_1h") == 0)
    time.sleep(2)
    assert one.alarms() == [] and keeper.active() == []
    service.bad, began = True, time.time()
    until(lambda: "BurnFast" in one.firing())
    assert one.value("slo:bad:share_5m") > 0.144
    until(lambda: ("BurnFast", "on call") in keeper.active())
    shown = {panel.title: panel for panel in monitoring.panels(every_s=0.2)}
    monitoring.require(one, [shown["Requests ended, by status"], shown["Bad requests"], shown["Scraped"]], began)
    with pytest.raises(ServelabError, match="show nothing: Tokens"):
        monitoring.require(one, [shown["Scraped"], shown["Tokens"]], began, seconds=0)
    assert monitoring.ask(one, shown["Scraped"]) == {"service": 1.0}
    assert {"200", "504"} <= set(monitoring.history(one, shown["Requests ended, by status"], began - 1).columns)
    frame = one.range("slo:bad:share_1h", began - 1)
    assert list(frame.columns) == ["t_s", "value"] and frame.value.is_monotonic_increasing
    service.bad = False
    until(lambda: "BurnFast" not in one.firing())
    assert {s.name for s in running()} == {one.name, keeper.name}
    again = prometheus({"service": service}, rules=[text], alertmanager=keeper, every_s=0.2, progress=False)
    assert again.reused and again.name == one.name
    again.release()
    assert process.own_folder(one.name).exists()
    one.stop()
    keeper.stop()
    assert not process.own_folder(one.name).exists() and not running()
    with pytest.raises(ServelabError, match="stopped"):
        one.query("up")


@needs_prometheus
def test_who_does_not_answer_is_told_by_name_and_by_an_alert(home):
    text = monitoring.rules(300.0)
    dead = f"http://127.0.0.1:{ports.free_port()}"
    one = prometheus({"gone": dead}, rules=[text], every_s=0.2, progress=False)
    with pytest.raises(ServelabError, match="cannot scrape gone: .*refused"):
        one.settle(8)
    until(lambda: one.firing() == {"TargetDown"})
    with pytest.raises(ServelabError, match=r"refuses the query sum\(: .*parse error"):
        one.query("sum(")
    assert math.isnan(one.value("nobody_counts_this")) and one.value("scalar(vector(3))") == 3


@needs_prometheus
def test_refused_rules_are_told_before_anything_starts(home):
    with pytest.raises(ServelabError, match="refuses the rules: .*parse error"):
        prometheus({}, rules=["groups: [{name: a, rules: [{alert: b, expr: 'sum(('}]}]"], progress=False)
    assert not process.states()


@needs_prometheus
def test_promql_over_given_samples():
    ten = list(range(0, 101, 10))
    series = {'a_total{job="x, y"}': ten, 'a_total{job="z"}': [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4], "hole": [1, None, 3]}
    got = evaluate(series, ["rate(a_total[5s])", "sum(a_total)", "hole", "a_total > 1000"], [0, 10])
    assert got[0] == [
        [],
        [Point({"job": "x, y"}, 10.0), Point({"job": "z"}, pytest.approx(0.8))],
    ]  # a restart is no fall
    assert [[p.value for p in at] for at in got[1]] == [[0], [104]]
    assert got[2][0] == [Point({}, 1.0)] and got[3] == [[], []]
    assert evaluate({"a": [1]}, ["a / 0", "-a", "1"], [0])[0][0][0].value == math.inf
    with pytest.raises(ServelabError, match="refuses the query rate.* expected type range vector"):
        evaluate(series, ["sum(a_total)", "rate(a_total)"], [1])


@needs_prometheus
def test_recorded_series_can_be_asked_for():
    made = "groups: [{name: g, rules: [{record: twice, expr: 2 * a}]}]"
    assert evaluate({"a": [1, 2, 3]}, ["twice"], [2], rules=[made]) == [[[Point({}, 6.0)]]]
    with pytest.raises(ServelabError, match="refuses the rules"):
        evaluate({"a": [1]}, ["a"], [0], rules=["groups: 3"])
    check(made)


def test_reasons_and_names():
    log = 'ts=1 level=error msg="Error loading config" err="parsing: \\"x\\" is wrong"\nts=2 level=info msg=bye'
    assert explain(log) == 'parsing: "x" is wrong' and explain("level=info") is None
    assert named({"__name__": "up", "job": "a", "instance": "h:1"}) == "job=a" and named({}) == "value"


def test_what_is_not_installed_is_told(monkeypatch):
    monkeypatch.setattr("servelab.engines.prometheus.program", lambda name: None)
    with pytest.raises(ServelabError, match="prometheus is not installed: `apt install prometheus"):
        prometheus({})


class _Redis(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        assert self.rfile.readline() == b"INFO\r\n"
        text = b"# Clients\r\nconnected_clients:3\r\nkeyspace_hits:8\r\nused_memory:1024\r\n"
        self.wfile.write(b"$%d\r\n%s\r\n" % (len(text), text))


def test_the_exporter_tells_of_redis_nginx_and_the_machine(tmp_path):
    class Status(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"Active connections: 7 \nserver accepts\n 9 9 9\nReading: 0 Writing: 2 Waiting: 5 \n")

    class Front:
        log_path, url = tmp_path / "front.log", "http://127.0.0.1:{}"

    Front.log_path.write_text('{"status": 200}\nno line of the log\n{"status": 502}\n{"status": 2')
    with socketserver.TCPServer(("127.0.0.1", 0), _Redis) as redis, HTTPServer(("127.0.0.1", 0), Status) as nginx:
        for server in (redis, nginx):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        Front.url = f"http://127.0.0.1:{nginx.server_address[1]}"
        address = f"127.0.0.1:{redis.server_address[1]}"
        with Exporter(Front, address) as exporter:
            first = read(exporter)
            with Front.log_path.open("a") as log:
                log.write("00}\n")
            then = read(exporter)
        assert info(address)["keyspace_hits"] == "8"
        redis.shutdown()
        nginx.shutdown()
    assert [first.value(f"nginx_connections_{name}") for name in ("active", "writing", "waiting")] == [7, 2, 5]
    assert (
        first.value("nginx_http_requests", status="200") == 1 and then.value("nginx_http_requests", status="200") == 2
    )
    assert first.value("nginx_http_requests", status="502") == 1
    assert first.value("redis_connected_clients") == 3 and first.value("redis_keyspace_hits") == 8
    spent = [m.value("machine_cpu_seconds", who="others") for m in (first, then)]
    assert 0 < spent[0] <= spent[1] and first.value("machine_cores") >= 1
    assert info(f"127.0.0.1:{ports.free_port()}") == {}


def read(exporter: Exporter) -> Metrics:
    with urllib.request.urlopen(f"{exporter.url}/metrics", timeout=5) as answer:
        return Metrics(answer.read().decode())


def test_traces_are_collected_and_found_by_request():
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.name, span.trace_id = "llm_request", bytes(range(16))
    span.start_time_unix_nano, span.end_time_unix_nano = 1_000_000_000, 3_500_000_000
    span.attributes.add(key="gen_ai.request.id").value.string_value = "cmpl-abc-0"
    span.attributes.add(key="gen_ai.latency.e2e").value.double_value = 2.5
    with Collector() as traces:
        urllib.request.urlopen(urllib.request.Request(traces.url, request.SerializeToString()), timeout=5).close()
        (found,) = traces.find("abc", 1.0)
        assert traces.find("xyz") == [] and traces.spans == [found]
    assert found.seconds == 2.5 and found.trace_id == "000102030405060708090a0b0c0d0e0f"
    assert json.loads(json.dumps(found.attributes)) == {"gen_ai.request.id": "cmpl-abc-0", "gen_ai.latency.e2e": 2.5}
