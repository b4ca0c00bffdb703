"""OpenTelemetry traces, collected in this process: an OTLP/HTTP receiver on 127.0.0.1 that keeps spans in a list.

A production system sends them to a collector and on to a store. What a span is, is the same: a name, a trace, a
beginning, an end, and attributes (OpenTelemetry specification, "OTLP/HTTP": binary protobuf or JSON, as Triton sends).
"""

from __future__ import annotations

import gzip
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from servelab.engines import ports


@dataclass(frozen=True)
class Span:
    """One span: its name, its trace (hexadecimal), Unix times of beginning and end, its attributes, and its events.

    `events` has the Unix time of each thing that happened in it, by name.
    """

    name: str
    trace_id: str
    start_unix_s: float
    end_unix_s: float
    attributes: dict[str, Any] = field(default_factory=dict)
    events: dict[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return self.end_unix_s - self.start_unix_s


class Collector:
    """A receiver of traces while a block runs, or until `stop`. `url` is what a program is told as its endpoint."""

    def __init__(self) -> None:
        self.port = ports.free_port()
        self._spans: list[Span] = []
        kept, lock = self._spans, threading.Lock()

        class Receiver(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.headers.get("Content-Encoding") == "gzip":
                    raw = gzip.decompress(raw)
                kind = self.headers.get("Content-Type", "")
                with lock:
                    kept.extend(spans_of_json(raw) if "json" in kind else spans_of(raw))
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nobody reads that."""

        self._server = ThreadingHTTPServer((ports.HOST, self.port), Receiver)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True, name="servelab-traces").start()

    @property
    def url(self) -> str:
        """The endpoint of its traces."""
        return f"http://{ports.HOST}:{self.port}/v1/traces"

    @property
    def spans(self) -> list[Span]:
        """What came so far."""
        return list(self._spans)

    def find(self, request_id: str, seconds: float = 0.0) -> list[Span]:
        """The spans of a request: those whose attribute `gen_ai.request.id` holds its id.

        Args:
            seconds: how long to wait for the first one; programs send spans in batches, a little later.
        """
        end = time.monotonic() + seconds
        while True:
            found = [s for s in self.spans if request_id in str(s.attributes.get("gen_ai.request.id", ""))]
            if found or time.monotonic() >= end:
                return found
            time.sleep(0.05)

    def stop(self) -> None:
        """Close the port; harmless a second time."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Collector:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def spans_of(raw: bytes) -> list[Span]:
    """The spans of one export request (protobuf)."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest.FromString(raw)
    return [
        Span(
            one.name,
            one.trace_id.hex(),
            one.start_time_unix_nano / 1e9,
            one.end_time_unix_nano / 1e9,
            {entry.key: _plain(entry.value) for entry in one.attributes},
            {event.name: event.time_unix_nano / 1e9 for event in one.events},
        )
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for one in scope.spans
    ]


def spans_of_json(raw: bytes) -> list[Span]:
    """The spans of one export request in OTLP's JSON, where ids are hexadecimal and long numbers are texts."""
    return [
        Span(
            one["name"],
            one["traceId"],
            int(one["startTimeUnixNano"]) / 1e9,
            int(one["endTimeUnixNano"]) / 1e9,
            {entry["key"]: next(iter(entry["value"].values()), "") for entry in one.get("attributes", ())},
            {event["name"]: int(event["timeUnixNano"]) / 1e9 for event in one.get("events", ())},
        )
        for resource in json.loads(raw).get("resourceSpans", ())
        for scope in resource.get("scopeSpans", ())
        for one in scope.get("spans", ())
    ]


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind and not kind.endswith(("array_value", "kvlist_value")) else str(value)
