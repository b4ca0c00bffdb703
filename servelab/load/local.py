"""The control without a server: requests come at their times, and are answered one by one in this very process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.load.metrics import Record
from servelab.load.report import Result
from servelab.load.workload import Request
from servelab.progress import Progress

Write = Callable[[list[int], int], Iterator[int]]


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
    if not requests:
        raise ServelabError(_("A load needs at least one request."))
    if any(r.prompt_tokens is None for r in requests):
        raise ServelabError(_("Prompts must be token ids here: use `synthetic` or `trace`."))
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
    about = {"address": "", "model": "", "load": _("one by one"), "started_unix_s": started_unix, "client_cpu_s": 0.0}
    return Result(records, about)
