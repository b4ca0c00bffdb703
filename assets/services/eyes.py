

# Eyes: what happens here, counted for Prometheus, and one line of log for each request

import json
import sys
import time

from prometheus_client import Counter, Gauge, Histogram, make_asgi_app

ENDED = Counter("service_requests", "Requests that ended, by what became of them", ["status"])
FIRST = Histogram(
    "service_first_byte_seconds",
    "From a request's arrival to the first byte of its answer, where the answer is a whole 200",
    buckets=(0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32),
)
OPEN = Gauge("service_open", "Requests that are here now")
for status in ("200", "429", "502", "504", "cut", "left"):
    ENDED.labels(status)  # a counter that appears with its first event hides that event from every rate
served, counts = app, make_asgi_app()


async def app(scope, receive, send):
    if scope["type"] != "http" or scope["path"] != "/v1/completions":
        return await (counts if scope.get("path") == "/metrics" else served)(scope, receive, send)
    line = {"time": time.time(), "request_id": "", "status": "left", "first_byte_s": None}
    began = time.monotonic()

    async def tell(message):
        if message["type"] == "http.response.start":
            line["status"] = str(message["status"])
            line["request_id"] = dict(message["headers"]).get(b"x-request-id", b"").decode("latin-1")
        elif line["first_byte_s"] is None and message.get("body"):
            line["first_byte_s"] = time.monotonic() - began
        line["whole"] = message["type"] == "http.response.body" and not message.get("more_body")
        await send(message)

    OPEN.inc()
    try:
        return await served(scope, receive, tell)
    finally:
        OPEN.dec()
        if line["status"] == "200" and not line.pop("whole", False):
            line["status"] = "cut"
        elif line["status"] == "200":
            FIRST.observe(line["first_byte_s"])
        ENDED.labels(line["status"]).inc()
        line["seconds"] = time.monotonic() - began
        print(json.dumps(line), file=sys.stdout, flush=True)
