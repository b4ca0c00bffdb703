"""A server of the OpenAI protocol that streams a script: what an engine might send, at times that a check knows."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Piece:
    """One event of a stream: seconds to wait before it, its text (None: the role only), and, last, the token counts."""

    pause_s: float
    text: str | None = None
    usage: dict[str, int] | None = None


@dataclass
class Scripted:
    """A scripted server in a thread; leaving its `with` block ends it.

    Attributes:
        asked: the body of the last request.
        sent_s: when each piece was sent, in seconds after the request arrived.
    """

    pieces: Sequence[Piece]
    asked: dict[str, Any] = field(default_factory=dict)
    sent_s: list[float] = field(default_factory=list)

    def __enter__(self) -> Scripted:
        script = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                script._answer(self)

            def log_message(self, *ignored: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def client(self) -> Any:
        """An OpenAI client for it."""
        import httpx
        import openai

        url = f"http://127.0.0.1:{self._server.server_port}/v1"
        return openai.OpenAI(base_url=url, api_key="none", max_retries=0, http_client=httpx.Client(trust_env=False))

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        began = time.perf_counter()
        self.asked = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        self.sent_s = []
        request.send_response(200)
        request.send_header("Content-Type", "text/event-stream")
        request.end_headers()
        for piece in self.pieces:
            time.sleep(piece.pause_s)
            delta = {"role": "assistant"} if piece.text is None else {"content": piece.text}
            choices = [] if piece.usage else [{"index": 0, "delta": delta, "finish_reason": None}]
            event = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": choices}
            request.wfile.write(f"data: {json.dumps(event | {'usage': piece.usage})}\n\n".encode())
            request.wfile.flush()
            self.sent_s.append(time.perf_counter() - began)
        request.wfile.write(b"data: [DONE]\n\n")
