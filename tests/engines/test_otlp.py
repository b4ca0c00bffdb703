"""The receiver of traces reads both of OTLP's encodings, and tells the same spans."""

import json
import urllib.request

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from servelab.engines.otlp import Collector, Span

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = Span("net", TRACE, 100.0, 100.5, {"triton.model_name": "net"}, {"QUEUE_START": 100.25})


def _send(collector: Collector, raw: bytes, kind: str) -> None:
    request = urllib.request.Request(collector.url, raw, {"Content-Type": kind})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        assert answer.status == 200


def test_protobuf_and_json_tell_the_same_span():
    message = ExportTraceServiceRequest()
    one = (
        message.resource_spans.add()
        .scope_spans.add()
        .spans.add(
            name="net",
            trace_id=bytes.fromhex(TRACE),
            start_time_unix_nano=100 * 10**9,
            end_time_unix_nano=100_500_000_000,
        )
    )
    entry = one.attributes.add(key="triton.model_name")
    entry.value.string_value = "net"
    one.events.add(name="QUEUE_START", time_unix_nano=100_250_000_000)
    plain = {
        "name": "net", "traceId": TRACE, "startTimeUnixNano": "100000000000", "endTimeUnixNano": 100500000000,
        "attributes": [{"key": "triton.model_name", "value": {"stringValue": "net"}}],
        "events": [{"name": "QUEUE_START", "timeUnixNano": "100250000000"}],
    }  # fmt: skip
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [plain]}]}]}
    with Collector() as collector:
        _send(collector, message.SerializeToString(), "application/x-protobuf")
        _send(collector, json.dumps(body).encode(), "application/json")
        assert collector.spans == [SPAN, SPAN]
