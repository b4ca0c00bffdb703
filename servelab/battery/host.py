"""Where a service that is judged runs: supervised on this machine, or in the sandbox that already holds its text."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from servelab.battery.door import Door, keep_open
from servelab.engines import ports, process
from servelab.engines.keyvalue import Redis, redis
from servelab.engines.service import FILE, READY_PATH, READY_SECONDS, Settings, command, explain, service
from servelab.errors import ServelabError
from servelab.i18n import _

NAMES = ("first", "second", "third")
"""Of the replicas of one service."""


class Carried:
    """A service as a notebook carries it: the text of its file. `start` and `stop` are for a sandbox, where nobody
    else may run it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._processes: dict[str, subprocess.Popen] = {}

    def __repr__(self) -> str:
        return _("<a service of {n} lines>").format(n=len(self.text.splitlines()))

    def start(self, environment: dict[str, str], door: str) -> str:
        """Run it here and lead the door's clients to it; why it does not start, or nothing. A door, a process."""
        self.stop(door)
        folder = Path(tempfile.mkdtemp())
        (folder / FILE).write_text(self.text)
        port, log = ports.free_port(), folder / "log"
        with log.open("wb") as file:
            running = self._processes[door] = subprocess.Popen(
                command(str(folder), str(port)), env={**os.environ, **environment}, stdout=file, stderr=file
            )
        end = time.monotonic() + READY_SECONDS
        while running.poll() is None and time.monotonic() < end:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}{READY_PATH}", timeout=5).close()
                keep_open(door, port)
                return ""
            time.sleep(0.1)
        told = log.read_text(errors="replace")
        self.stop(door)
        return (explain(told) or told[-300:] or _("it does not answer {path}").format(path=READY_PATH))[:500]

    def stop(self, door: str = "") -> None:
        """End the one behind this door, or all."""
        for one in [door] if door else list(self._processes):
            if (running := self._processes.pop(one, None)) is not None:
                running.kill()
                running.wait()


@contextlib.asynccontextmanager
async def memory() -> AsyncIterator[Redis]:
    """A Redis of the battery's own while the block runs.

    Raises:
        ServelabError: Redis is not installed.
    """
    name = f"battery-redis-{uuid.uuid4().hex[:8]}"
    store = await asyncio.to_thread(redis, name=name, progress=False)
    try:
        yield store
    finally:
        await asyncio.to_thread(store.stop, True)
        await asyncio.to_thread(process.forget, name)


@contextlib.asynccontextmanager
async def hosted(what: Any, settings: Settings, name: str = NAMES[0]) -> AsyncIterator[str]:
    """The address at which a service answers while the block runs.

    Args:
        what: a file, its text, a `Carried`, or a proxy of one in a sandbox.
        name: which of several it is.

    Raises:
        ServelabError: it does not start.
    """
    if isinstance(what, Carried | str | Path):
        source = what.text if isinstance(what, Carried) else what
        if isinstance(source, str) and "\n" not in source and not Path(source).is_file():
            source += "\n"
        options = {key: value for key, value in vars(settings).items() if key != "engine"}
        if settings.redis:  # one of several: a server of its own
            options["name"] = f"service-{name}-{uuid.uuid4().hex[:8]}"
        server = await asyncio.to_thread(service, source, settings.engine, progress=False, **options)
        try:
            yield server.url
        finally:
            await asyncio.to_thread(server.stop)
            if settings.redis:
                await asyncio.to_thread(process.forget, server.name)
        return
    async with Door() as door:
        # `http://` before the engine's and the door's ports is how the grader knows that the sandbox may reach them.
        why = await asyncio.to_thread(what.start, settings.environment, door.inside)
        if why != "":
            raise ServelabError(
                _("{title} did not start: {cause}").format(title=_("The service"), cause=str(why)[:500])
            )
        try:
            yield door.url
        finally:
            await asyncio.to_thread(what.stop, door.inside)
