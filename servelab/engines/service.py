"""A learner's service as a supervised process: her file, served by uvicorn, told by its environment what to do.

The file binds `app`, an ASGI application. Everything that differs from one place to the next comes from the
environment (see `Settings`), so that the same file stands before one engine here and another one there.
"""

from __future__ import annotations

import hashlib
import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servelab.engines import process
from servelab.engines.server import Server
from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.progress import Progress

FILE = "service.py"
READY_PATH = "/openapi.json"
"""What a service answers before it has any route of its own; it asks for no key."""
READY_SECONDS = 60.0
NEED_BYTES = 160 * 2**20


@dataclass(frozen=True)
class Settings:
    """What a service is told.

    Attributes:
        engine: address of the OpenAI-compatible engine behind it, without /v1 (`ENGINE_URL`).
        keys: the keys that open it (`API_KEYS`, divided by commas).
        running: how many requests the engine may work on at once (`MAX_RUNNING`).
        waiting: how many may wait for a place (`MAX_WAITING`).
        timeout_s: the longest an answer may take, from its arrival to its last byte (`TIMEOUT_S`).
        retry_budget: how many tries, beyond the first of each request, all failing requests together may cost
            (`RETRY_BUDGET`).
        redis: address of the Redis that all replicas share (`REDIS_URL`); empty for none.
        quota: how many requests a key may make in each window, at all replicas together (`QUOTA`).
        window_s: how long such a window is (`WINDOW_S`).
        keep_s: how long an answer in the cache, and a session after its last turn, is kept (`KEEP_S`).
    """

    engine: str
    keys: tuple[str, ...] = ("taipei-101",)
    running: int = 8
    waiting: int = 16
    timeout_s: float = 60.0
    retry_budget: int = 5
    redis: str = ""
    quota: int = 1000
    window_s: float = 60.0
    keep_s: float = 600.0

    @property
    def environment(self) -> dict[str, str]:
        """As the service finds it."""
        return {
            "ENGINE_URL": self.engine,
            "API_KEYS": ",".join(self.keys),
            "MAX_RUNNING": str(self.running),
            "MAX_WAITING": str(self.waiting),
            "TIMEOUT_S": f"{self.timeout_s:g}",
            "RETRY_BUDGET": str(self.retry_budget),
            "REDIS_URL": self.redis,
            "QUOTA": str(self.quota),
            "WINDOW_S": f"{self.window_s:g}",
            "KEEP_S": f"{self.keep_s:g}",
        }


def command(folder: str, port: str, drain_s: float = 1) -> list[str]:
    """How a service is started: one process, one event loop; told to end, it gives open answers `drain_s` seconds."""
    words = [sys.executable, "-m", "uvicorn", f"{FILE.removesuffix('.py')}:app", "--app-dir", folder]
    words += ["--host", "127.0.0.1", "--port", port, "--no-access-log"]
    return [*words, "--timeout-graceful-shutdown", f"{math.ceil(drain_s)}"]


def text_of(source: str | Path) -> str:
    """A service's text: of a file, or the text itself.

    Raises:
        ServelabError: there is no such file.
    """
    if isinstance(source, str) and "\n" in source:
        return source
    try:
        return Path(source).read_text()
    except OSError:
        raise ServelabError(_("There is no file {file}: run the cell that makes it.").format(file=source)) from None


def service(
    source: str | Path,
    engine: Any,
    *,
    name: str | None = None,
    port: int | None = None,
    progress: bool = True,
    drain_s: float = 1,
    **settings: Any,
) -> Server:
    """A running service; the one that runs already, where text and settings are the same.

    Args:
        source: the file, or its text.
        engine: the server behind it, a handle or an address.
        drain_s: how long open answers may go on when it is stopped.
        settings: of `Settings`, without its engine: keys, running, waiting, timeout_s, redis, ...

    Raises:
        ServelabError: there is no such file, or the service does not start (the line and the error are told).
    """
    text = text_of(source)
    address = (engine if isinstance(engine, str) else engine.url).rstrip("/").removesuffix("/v1")
    told = Settings(address, **settings)
    spec = process.Spec(
        engine="service",
        title=_("The service"),
        config={
            "text": hashlib.sha256(text.encode()).hexdigest()[:16],
            "api_key": told.keys[0] if told.keys else None,
            **({} if drain_s == 1 else {"drain_s": drain_s}),
            **told.environment,
        },
        command=command("{folder}", "{port}", drain_s),
        env={**told.environment, "PYTHONUNBUFFERED": "1"},
        facts={"model": getattr(engine, "model", None)},
        files={FILE: _plain(text)},
        need_bytes=NEED_BYTES,
        grace_s=drain_s + 2,
        name=name,
        port=port,
        ready_path=READY_PATH,
        explain=explain,
    )
    with Progress(progress) as line:
        state, token, reused = process.start(spec, line, timeout_s=READY_SECONDS)
        started = Server(state, token, reused)
        line.done(_("{title} is ready at {url}").format(title=spec.title, url=started.url))
    return started


def _plain(text: str) -> str:
    """The text as the supervisor may write it: it fills in "{port}" and "{folder}", which a service never means."""
    return text.replace("{port}", "{ port}").replace("{folder}", "{ folder}")


def explain(log: str) -> str | None:
    """Why a service did not start, as part of a sentence: the line and the error; None where the log tells none."""
    lines = log.splitlines()
    error = next((line for line in reversed(lines) if re.match(r"(\w+\.)*\w*(Error|Exception|Exit)\b", line)), None)
    if error is None:
        return None
    places = [m[1] for line in lines if (m := re.search(rf'File "[^"]*{re.escape(FILE)}", line (\d+)', line))]
    if not places:
        return error
    return _("line {line} of {file}: {error}").format(line=places[-1], file=FILE, error=error)
