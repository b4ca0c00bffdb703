"""The door of a deployment: NGINX for users, with TLS and limits, whose replicas come and go while it serves.

Where NGINX is not installed the course's own router stands in: it takes replicas out and in the same way, and has
neither TLS nor limits.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import urllib.request
from collections.abc import Collection, Mapping
from typing import Any, Literal

import psutil

from servelab.engines import balancer, process
from servelab.engines.certificate import local_certificate
from servelab.engines.router import CONFIGURATION, FAIL_TIMEOUT_S, METHODS, NEED_BYTES, Policy, Router, explain, nginx
from servelab.engines.server import KINDS
from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.paths import ASSETS
from servelab.progress import Progress

TEMPLATE = ASSETS / "nginx" / "production.conf"
RELOAD_S = 10.0
SETTLE_S = 0.3
"""After the old worker has closed its door: what it had let in before is on its way by then."""
RATE, BURST = 200, 400


class Front(Router):
    """A running door.

    Attributes:
        tls_url: where it speaks TLS, empty for the course's own router; `authority`: the file that a client trusts.
        down: names of the replicas that get no new requests.
    """

    def __init__(self, state: process.State, token: str | None = None, reused: bool = True) -> None:
        super().__init__(state, token, reused)
        tls = state["more_ports"].get("tls")
        self.tls_url = f"https://127.0.0.1:{tls}" if tls else ""
        self.authority = process.own_folder(self.name) / "authority.pem"
        self.down: frozenset[str] = frozenset(self.config["down"])
        self._generation: int = self.config["generation"]

    def take(self, down: Collection[str]) -> None:
        """Give no new requests to the replicas named in `down`; all others get some again.

        It returns when the door that knew the old list has closed. What that one let in goes on to its end.

        Raises:
            ServelabError: the door is gone, or refuses its new configuration.
        """
        self._require()
        if unknown := set(down) - set(self.replicas):
            raise ServelabError(_("There is no replica {name}.").format(name=sorted(unknown)[0]))
        before, self._generation = self._workers(), self._generation + 1
        options = {k: self.config[k] for k in ("policy", "rate", "burst", "buffering")}
        text = _text(self.using, self.replicas, down, self._generation, **options)
        folder = process.own_folder(self.name)
        text = text.replace("{folder}", str(folder)).replace("{port}", str(self.port))
        text = text.replace("{tls}", self.tls_url.rpartition(":")[2])
        (folder / CONFIGURATION).write_text(text)
        os.kill(self.pid, signal.SIGHUP)
        deadline = time.monotonic() + RELOAD_S
        while self._tells() != self._generation or any(map(_serves, before)):
            if time.monotonic() > deadline:
                cause = explain(self.logs(20)) or _("it does not answer")
                raise ServelabError(_("The door kept its old configuration: {cause}").format(cause=cause))
            time.sleep(0.02)
        self.down = frozenset(down)
        if self.using == "nginx":
            time.sleep(SETTLE_S)

    def stop(self, force: bool = False) -> None:
        """Stop it, and remove its files: the private key is nobody's any more.

        Raises:
            ServelabError: another program uses it, and `force` is not set.
        """
        super().stop(force)
        if not process.is_running(process.state(self.name)):
            process.forget(self.name)

    def open(self, replica: str) -> int:
        """How many requests it has open at a replica now: its connections, for each request has its own."""
        port, found = int(self.replicas[replica].rpartition(":")[2]), 0
        for one in [self.pid, *(p.pid for p in self._children())]:
            with contextlib.suppress(psutil.Error):
                lines = psutil.Process(one).net_connections("tcp")
                found += sum(bool(c.raddr) and c.raddr.port == port and c.status == "ESTABLISHED" for c in lines)
        return found

    def _children(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.Error):
            return psutil.Process(self.pid).children()
        return []

    def _workers(self) -> list[psutil.Process]:
        return [p for p in self._children() if _serves(p)] if self.using == "nginx" else []

    def _tells(self) -> int:
        with contextlib.suppress(OSError, ValueError):
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"{self.url}/router/health", timeout=2) as answer:
                return int(answer.read())
        return -1


def _serves(worker: psutil.Process) -> bool:
    """Whether an NGINX worker still lets requests in: one that ends says so in its title."""
    with contextlib.suppress(psutil.Error):
        return worker.status() != psutil.STATUS_ZOMBIE and "shutting down" not in " ".join(worker.cmdline())
    return False


def front(
    replicas: Mapping[str, str],
    *,
    policy: Policy = "least_conn",
    using: Literal["nginx", "python"] | None = None,
    rate: int = RATE,
    burst: int = BURST,
    buffering: bool = False,
    name: str | None = None,
    port: int | None = None,
    progress: bool = True,
    **facts: Any,
) -> Front:
    """A running door before `replicas`.

    Args:
        replicas: {name: host:port}.
        rate, burst: requests a second that one key may send, and how many more at once (NGINX only).
        buffering: let NGINX collect answers before it passes them on; for showing what that does.
        facts: more for its state, such as the model's name.

    Raises:
        ServelabError: NGINX is asked for and not installed, or refuses its configuration.
    """
    program = nginx()
    using = using or ("nginx" if program else "python")
    if using == "nginx" and not program:
        raise ServelabError(_("NGINX is not installed: `apt install nginx-light`, or leave `using` out."))
    options = {"policy": policy, "rate": rate, "burst": burst, "buffering": buffering}
    text = _text(using, replicas, (), 0, **options)
    files, more = {CONFIGURATION: text}, {}
    if using == "nginx":
        made = local_certificate()
        files |= {"authority.pem": made.authority, "certificate.pem": made.certificate, "key.pem": made.key}
        more = {"tls": None}
        command = [program, "-p", "{folder}", "-e", "stderr", "-c", "{folder}/" + CONFIGURATION]
    else:
        command = [sys.executable, "-P", balancer.__file__, "{folder}/" + CONFIGURATION, "{port}"]
    spec = process.Spec(
        engine="front",
        title="NGINX" if using == "nginx" else _("The router"),
        config={"using": using, **options, "replicas": dict(replicas), "down": [], "generation": 0},
        command=command,
        facts={"replicas": dict(replicas), **facts},
        files=files,
        need_bytes=NEED_BYTES,
        name=name,
        port=port,
        more_ports=more,
        ready_path="/router/health",
        explain=explain,
    )
    with Progress(progress) as line:
        state, token, reused = process.start(spec, line, timeout_s=60)
        started = Front(state, token, reused)
        told = {"title": spec.title, "policy": policy, "n": len(replicas), "url": started.url}
        line.done(_("{title} is ready at {url}: {policy} over {n} replicas").format(**told))
    return started


def _text(
    using: str,
    replicas: Mapping[str, str],
    down: Collection[str],
    generation: int,
    policy: Policy,
    rate: int,
    burst: int,
    buffering: bool,
) -> str:
    """The door's configuration; "{port}", "{tls}" and "{folder}" are left to the supervisor."""
    if using == "python":
        told = {"policy": policy, "replicas": dict(replicas), "weights": [1] * len(replicas), "salt": ""}
        return json.dumps({**told, "down": sorted(down), "generation": generation, "keep": False}, indent=1)
    limits = f"max_fails=1 fail_timeout={FAIL_TIMEOUT_S}s"
    lines = [METHODS[policy]] if policy in METHODS else []
    lines += [f"server {a} {'down' if n in down else limits};  # {n}" for n, a in replicas.items()]
    inside = "".join(f"        {line}\n" for line in lines)
    filled = {
        "count": str(len(replicas)),
        "policy": policy,
        "generation": str(generation),
        "user": "user root root;\n" if os.geteuid() == 0 else "",
        "rate": str(rate),
        "burst": str(burst),
        "buffering": "on" if buffering else "off",
        "upstreams": f"    upstream replicas {{\n{inside}    }}",
    }
    text = TEMPLATE.read_text()
    for key, value in filled.items():
        text = text.replace("{{" + key + "}}", value)
    return text


KINDS["front"] = Front
