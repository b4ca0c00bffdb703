"""Redis as a supervised server: the memory that replicas share."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from servelab.engines import process
from servelab.engines.keeper import pong
from servelab.engines.server import KINDS, Server
from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.progress import Progress

if TYPE_CHECKING:
    import redis as client

CONFIGURATION = "redis.conf"
NEED_BYTES = 64 * 2**20
TEXT = """bind 127.0.0.1
port {port}
daemonize no
dir "{folder}"
save ""                       # nothing here is worth a disk: quotas, sessions and copies of answers
appendonly no
maxmemory 32mb
maxmemory-policy volatile-lru # when it is full, what expires anyway goes first
"""


class Redis(Server):
    """A running Redis; `url` is `redis://127.0.0.1:port`."""

    def health(self) -> bool:
        """True while it answers."""
        return self._is_mine() and pong(self.url)

    def connect(self) -> client.Redis:
        """A client of it, which speaks text.

        Raises:
            ServelabError: it is gone.
        """
        import redis as client

        self._require()
        return client.Redis.from_url(self.url, decode_responses=True)


def program() -> str | None:
    """The redis-server of this machine, or None."""
    return shutil.which("redis-server") or shutil.which("redis-server", path="/usr/bin:/usr/local/bin:/usr/sbin")


def redis(*, name: str | None = None, port: int | None = None, progress: bool = True) -> Redis:
    """A running Redis that keeps nothing on disk; the one that runs already under this name, if there is one.

    Raises:
        ServelabError: it is not installed, or does not start.
    """
    found = program()
    if not found:
        raise ServelabError(_("Redis is not installed: `apt install redis-server`."))
    spec = process.Spec(
        engine="redis",
        title="Redis",
        config={"text": TEXT},
        command=[found, "{folder}/" + CONFIGURATION],
        files={CONFIGURATION: re.sub(r" +#.*", "", TEXT)},
        need_bytes=NEED_BYTES,
        name=name,
        port=port,
        ready_path="",
        scheme="redis",
        explain=explain,
    )
    with Progress(progress) as line:
        state, token, reused = process.start(spec, line, timeout_s=60)
        started = Redis(state, token, reused)
        line.done(_("{title} is ready at {url}").format(title=spec.title, url=started.url))
    return started


def explain(log: str) -> str | None:
    """Why Redis did not start, as part of a sentence; None where the log tells none."""
    found = re.search(r"(?:# (?:Fatal|Warning: Could not|Failed)|\*\*\* FATAL)[^\n]*", log)
    return found[0].lstrip("#* ").rstrip(".") if found else None


KINDS["redis"] = Redis
