"""The control without a server: requests come at their times, and are answered in this very process.

`one_by_one` serves whatever writes one answer after another, `in_steps` an engine that is stepped.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.load.metrics import Record
from servelab.load.report import Result
from servelab.load.workload import Request
from servelab.progress import Progress

Write = Callable[[list[int], int], Iterator[int]]


class Stepwise(Protocol):
    """An engine that is stepped, such as `servelab.tiny.Engine`."""

    def add(self, prompt: list[int], max_tokens: int, *, ignore_eos: bool) -> Any:
        """Queue a request; what comes back has an `id` and, at the end, a `reason`."""

    def step(self) -> Any:
        """One step: `parts`, each with `request` (an id) and `written` (tokens), and `finished` ids; None if idle."""


def one_by_one(write: Write, requests: Sequence[Request], progress: bool = True) -> Result:
    """Serve `requests` first come, first served, one at a time, and measure them as `drive` does.

    A request is at the door from its `arrival_s` (0 where it has none); its wait for the ones before it is part
    of its TTFT, as it is with a server.

    Args:
        write: from a prompt's token ids and a number to so many token ids, each yielded when it is there.
        requests: prompts as token ids (`synthetic`, `trace`), in the order of their arrival.
        progress: show a line while it runs.

    Raises:
        ServelabError: a prompt that is not token ids, or nothing to serve.
    """
    _require_ids(requests)
    records, started_unix, start = [], time.time(), time.perf_counter()

    def now() -> float:
        return time.perf_counter() - start

    with Progress(progress) as line:
        for request in requests:
            arrival = request.arrival_s or 0.0
            while (wait := arrival - now()) > 0:
                time.sleep(wait)
            text = _("One by one: {done} of {all} answered, {seconds:.0f} s")
            line.say(text.format(done=len(records), all=len(requests), seconds=now()))
            times = [now() for _token in write(request.prompt, request.output_tokens)]
            records.append(
                Record(
                    id=request.id,
                    intended_s=arrival,
                    sent_s=arrival,
                    first_token_s=times[0],
                    token_times_s=times,
                    finished_s=now(),
                    prompt_tokens=request.prompt_tokens,
                    output_tokens=len(times),
                    asked_tokens=request.output_tokens,
                    finish_reason="length",
                )
            )
        line.done(_("One by one: {all} answered in {seconds:.0f} s").format(all=len(records), seconds=now()))
    return Result(records, _about(_("one by one"), started_unix))


def in_steps(
    engine: Stepwise, requests: Sequence[Request], progress: bool = True, concurrency: int | None = None
) -> Result:
    """Serve `requests` by stepping `engine`, and measure them as `drive` does.

    A request is at the door from its `arrival_s` (0 where it has none) and is added before the next step. All tokens
    of a step come at its end.

    Args:
        engine: whatever has `add` and `step`.
        requests: prompts as token ids (`synthetic`, `trace`).
        progress: show a line while it runs.
        concurrency: a closed loop of so many users instead: each asks the next request as soon as an answer is
            there, and no arrival time counts.

    Raises:
        ServelabError: a prompt that is not token ids, nothing to serve, fewer than one user, or a request that the
            engine refuses.
    """
    _require_ids(requests)
    if concurrency is not None and concurrency < 1:
        raise ServelabError(_("concurrency must be at least 1."))
    coming = deque(requests if concurrency else sorted(requests, key=lambda r: r.arrival_s or 0.0))
    records: list[Record] = []
    open_: dict[int, tuple[Any, Record]] = {}
    started_unix, start = time.time(), time.perf_counter()

    def now() -> float:
        return time.perf_counter() - start

    def at_the_door() -> bool:
        return len(open_) < concurrency if concurrency else (coming[0].arrival_s or 0.0) <= now()

    with Progress(progress) as line:
        while coming or open_:
            while coming and at_the_door():
                request = coming.popleft()
                handle = engine.add(request.prompt, request.output_tokens, ignore_eos=request.ignore_eos)
                arrival = now() if concurrency else request.arrival_s or 0.0
                record = Record(
                    id=request.id,
                    intended_s=arrival,
                    sent_s=arrival,
                    prompt_tokens=request.prompt_tokens,
                    asked_tokens=request.output_tokens,
                )
                records.append(record)
                open_[handle.id] = handle, record
            snapshot = engine.step()
            if snapshot is None:
                time.sleep(max(0.0, (coming[0].arrival_s or 0.0) - now()))
                continue
            at = now()
            for part in snapshot.parts:
                open_[part.request][1].token_times_s.extend([at] * len(part.written))
            for id_ in snapshot.finished:
                handle, record = open_.pop(id_)
                record.first_token_s, record.finished_s = record.token_times_s[0], at
                record.output_tokens, record.finish_reason = len(record.token_times_s), handle.reason
            text = _("In steps: {done} of {all} answered, {seconds:.0f} s")
            line.say(text.format(done=len(records) - len(open_), all=len(requests), seconds=at))
        line.done(_("In steps: {all} answered in {seconds:.0f} s").format(all=len(records), seconds=now()))
    how = _("closed loop, {n} at once").format(n=concurrency) if concurrency else _("in steps")
    return Result(records, _about(how, started_unix))


def _require_ids(requests: Sequence[Request]) -> None:
    if not requests:
        raise ServelabError(_("A load needs at least one request."))
    if any(r.prompt_tokens is None for r in requests):
        raise ServelabError(_("Prompts must be token ids here: use `synthetic` or `trace`."))


def _about(load: str, started_unix: float) -> dict[str, Any]:
    return {"address": "", "model": "", "load": load, "started_unix_s": started_unix, "client_cpu_s": 0.0}
