"""A tiny engine for tests of the supervisor: /health, /metrics, a child of its own, and faults on demand.

`python fake_engine.py PORT [--slow S] [--fail TEXT] [--stubborn] [--die-after S]`
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

METRICS = """# TYPE fake:requests counter
fake:requests_total{kind="a"} 2.0
fake:requests_total{kind="b"} 3.0
# TYPE fake:load gauge
fake:load 0.5
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="32",num_gpu_blocks="10"} 1.0
"""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(METRICS.encode() if self.path == "/metrics" else b"ok")

    def log_message(self, *args):
        pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--slow", type=float, default=0)
    parser.add_argument("--fail")
    parser.add_argument("--stubborn", action="store_true")
    parser.add_argument("--die-after", type=float, default=0)
    given = parser.parse_args()
    if given.stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if given.fail:
        print(given.fail, file=sys.stderr)
        sys.exit(1)
    # A grandchild in a session of its own that ignores SIGTERM: the worst case of an engine's worker.
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    time.sleep(given.slow)
    server = ThreadingHTTPServer(("127.0.0.1", given.port), Handler)
    if given.die_after:
        import threading

        threading.Timer(given.die_after, lambda: os._exit(0)).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
