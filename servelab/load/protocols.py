"""How a request becomes bytes and how a stream of bytes becomes tokens: one class for each kind of endpoint.

During a load the client only keeps (time, bytes) of every read; everything here that parses runs afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from servelab.i18n import _
from servelab.load.metrics import NAN, Record
from servelab.load.workload import Request

Usage = Literal["each", "end"]
"""Ask for token counts with every chunk (vLLM's `continuous_usage_stats`: exact tokens a read), or once at the end."""


@dataclass
class Capture:
    """The raw story of one exchange. Times are seconds after the load's start."""

    request: Request
    intended_s: float
    sent_s: float = NAN
    finished_s: float = NAN
    http: int = 0
    reads: list[tuple[float, bytes]] = field(default_factory=list)
    failure: Literal["", "cut", "timeout", "unreachable"] = ""
    error: str = ""


class Endpoint(Protocol):
    """What the client needs of an endpoint."""

    def path(self, request: Request) -> str:
        """Where to POST, below the server's address."""

    def encode(self, request: Request, model: str) -> bytes:
        """The body."""

    def decode(self, capture: Capture) -> Record:
        """The record, from what was read."""


def events(reads: Iterable[tuple[float, bytes]]) -> Iterator[tuple[float, str]]:
    """(time, data) of every server-sent event; its time is that of the read that completed it.

    Reads may cut an event, or a character, anywhere. Comments (pings) are left out. Source: WHATWG HTML, sec. 9.2.
    """
    buffer, now = b"", NAN
    for now, raw in reads:  # noqa: B007 (the last time is used below)
        buffer = (buffer + raw).replace(b"\r\n", b"\n")
        while (end := buffer.find(b"\n\n")) >= 0:
            block, buffer = buffer[:end], buffer[end + 2 :]
            if data := _data(block):
                yield now, data
    if data := _data(buffer):
        yield now, data


def _data(block: bytes) -> str:
    lines = (line for line in block.decode(errors="replace").split("\n") if line.startswith("data:"))
    return "\n".join(line[5:].removeprefix(" ") for line in lines)


def _message(capture: Capture) -> str:
    """The server's own words for an error."""
    body = b"".join(raw for _time, raw in capture.reads).decode(errors="replace")
    try:
        answer = json.loads(body)
        error = answer.get("error", answer)
        return str(error.get("message", error) if isinstance(error, dict) else error)
    except (ValueError, AttributeError):
        return body[:300]


@dataclass(frozen=True)
class OpenAI:
    """/v1/completions and, for chat messages, /v1/chat/completions, streamed, as vLLM and others serve them.

    `extra` goes into every body (sampling parameters and the like).
    """

    usage: Usage = "each"
    temperature: float = 0.0
    extra: dict[str, Any] = field(default_factory=dict)

    def path(self, request: Request) -> str:
        """Where to POST."""
        return "/v1/chat/completions" if request.chat else "/v1/completions"

    def encode(self, request: Request, model: str) -> bytes:
        """The JSON body: streamed, with usage, with the exact output length forced where the request asks for it."""
        options: dict[str, Any] = {"include_usage": True}
        if self.usage == "each":
            options["continuous_usage_stats"] = True
        body = {
            "model": model,
            "messages" if request.chat else "prompt": request.prompt,
            "max_tokens": request.output_tokens,
            "temperature": self.temperature,
            "stream": True,
            "stream_options": options,
            **({"ignore_eos": True} if request.ignore_eos else {}),
            **self.extra,
            **{key: value for key, value in request.extra.items() if key != "session"},
        }
        return json.dumps(body, separators=(",", ":")).encode()

    def decode(self, capture: Capture) -> Record:
        """Tokens, their times and the answer's text, checked against the server's usage."""
        request, record = capture.request, begun(capture)
        if not record.ok:
            return record
        stream = _Stream(usage_each=self.usage == "each")
        for now, data in events(capture.reads):
            stream.add(now, data)
        stream.write(record)
        record.token_check = stream.check(request)
        if capture.failure:
            record.status, record.error = capture.failure, capture.error
        elif stream.error:
            record.status, record.error = "cut", stream.error
        elif not (stream.finish_reason and record.token_times_s):
            record.status, record.error = "cut", _("the stream ended before the answer was complete")
        return record


def begun(capture: Capture) -> Record:
    """What is known of an answer before a word of it is read: its times, what was asked, and whether it was refused."""
    request = capture.request
    record = Record(
        id=request.id,
        intended_s=capture.intended_s,
        sent_s=capture.sent_s,
        finished_s=capture.finished_s,
        prompt_tokens=request.prompt_tokens or 0,
        asked_tokens=request.output_tokens,
    )
    if capture.http and capture.http != 200:
        record.status, record.error = "refused", f"HTTP {capture.http}: {_message(capture)}"
    return record


@dataclass
class _Stream:
    """Collects the events of one answer."""

    usage_each: bool
    times: list[float] = field(default_factory=list)
    silent: list[bool] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    usage: dict[str, int] | None = None
    finish_reason: str = ""
    error: str = ""

    def add(self, now: float, data: str) -> None:
        """One event: its tokens, its text, its usage."""
        if data == "[DONE]":
            return
        try:
            event = json.loads(data)
        except ValueError:
            self.error = _("unreadable event: {data}").format(data=data[:100])
            return
        if "error" in event:
            self.error = str(
                event["error"].get("message", event["error"]) if isinstance(event["error"], dict) else event["error"]
            )
            return
        usage, choices = event.get("usage"), event.get("choices")
        if usage:
            self.usage = usage
        if not choices:
            return
        choice = choices[0]
        delta = choice.get("delta") or {}
        text = choice.get("text") or delta.get("content") or delta.get("reasoning") or ""
        opening = "delta" in choice and "role" in delta and not text  # chat's first event carries no token
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        if usage and self.usage_each:
            tokens = max(0, usage.get("completion_tokens", 0) - len(self.times))
        else:
            tokens = 0 if opening else 1
        self.times += [now] * tokens
        self.silent += [not text] * tokens
        self.parts.append(text)

    def write(self, record: Record) -> None:
        """Put what was collected into the record.

        Where the server told its count only at the end and it is not the number of events: events without text that
        are too many carried no token; missing tokens came inside the last events read, nobody knows which, and are
        placed at the last.
        """
        count = (self.usage or {}).get("completion_tokens", len(self.times))
        while len(self.times) > count and True in self.silent:
            last = len(self.silent) - 1 - self.silent[::-1].index(True)
            del self.times[last], self.silent[last]
        self.counted = len(self.times)
        if self.times and count > self.counted:
            self.times += [self.times[-1]] * (count - self.counted)
        record.token_times_s = self.times
        record.first_token_s = self.times[0] if self.times else NAN
        record.output_tokens = count
        record.text, record.finish_reason = "".join(self.parts), self.finish_reason
        if self.usage:
            record.prompt_tokens = self.usage.get("prompt_tokens", record.prompt_tokens)

    def check(self, request: Request) -> Literal["ok", "mismatch", "unknown"]:
        """Stream, request and usage must tell the same numbers."""
        if not self.usage or "completion_tokens" not in self.usage:
            return "unknown"
        count = self.usage["completion_tokens"]
        right = (
            (self.counted == count if self.usage_each else self.counted <= count)
            and request.prompt_tokens in (None, self.usage.get("prompt_tokens", request.prompt_tokens))
            and (count == request.output_tokens if request.ignore_eos else count <= request.output_tokens)
        )
        return "ok" if right else "mismatch"
