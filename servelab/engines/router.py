"""One address for several replicas: a router, NGINX where it is installed, else the course's own in asyncio.

Both know the same ways to choose a replica, keep the same rules when one fails, and write the same log. Neither looks
into a prompt: they see requests, sessions (the header `X-Session`) and connections.

- `round_robin`: one after the other.
- `least_conn`: the one with the fewest requests open (over its weight).
- `weighted`: in turns, each replica as often as its weight says, spread evenly.
- `consistent_hash`: a session belongs to one place of a ring; when a replica is lost, only its sessions move.
- `split`: a session belongs to one VERSION, by hash and weight, whatever happens; for experiments, not for load.

A replica that refuses a connection, or breaks one, is left alone for 10 seconds (a passive health check). A request
that no replica has received yet goes to the next one; a POST that was sent is never sent again, for the replica may
have begun to answer it.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from servelab.engines import balancer, process
from servelab.engines.server import Server
from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.paths import ASSETS
from servelab.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

Policy = Literal["round_robin", "least_conn", "weighted", "consistent_hash", "split"]
POLICIES: tuple[Policy, ...] = ("round_robin", "least_conn", "weighted", "consistent_hash", "split")
TEMPLATE = ASSETS / "nginx" / "router.conf"
CONFIGURATION = "router.conf"
FAIL_TIMEOUT_S = 10
NEED_BYTES = 64 * 2**20

METHODS = {
    "least_conn": "least_conn;",
    "consistent_hash": "hash $session consistent;",
}
COLUMNS = ("time", "session", "path", "status", "replica", "tries", "first_byte_s", "seconds")


class Router(Server):
    """A running router. Leaving its `with` block releases it, as it does every server.

    Attributes:
        replicas: {name: address} of what it routes to.
        policy: how it chooses.
        using: `nginx` or `python`.
    """

    def __init__(self, state: process.State, token: str | None = None, reused: bool = True) -> None:
        super().__init__(state, token, reused)
        self.replicas: dict[str, str] = state["replicas"]
        self.policy: Policy = self.config["policy"]
        self.using: str = self.config["using"]

    @property
    def configuration(self) -> str:
        """The text of the file it was started with."""
        return (process.own_folder(self.name) / CONFIGURATION).read_text()

    def requests(self, since: float = 0.0) -> pd.DataFrame:
        """Its log, one row a request that is over, oldest first.

        Columns: `time` (Unix seconds of its end), `session`, `path`, `status`, `replica` (the last one asked; empty
        for none), `tries` (replicas asked), `first_byte_s` and `seconds` (until the answer began and ended).

        Args:
            since: leave out what ended before this time, such as a load's `about["started_unix_s"]`.

        Raises:
            ServelabError: the router is gone.
        """
        import pandas as pd

        self._get("/router/health")  # what it has answered before this is in the log now
        names = {address: name for name, address in self.replicas.items()}
        lines = (json.loads(line) for line in self.log_path.read_text().splitlines() if line.startswith("{"))
        rows = [_row(line, names) for line in lines if line["time"] >= since]
        return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(line: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """One line of the log; NGINX writes one value for each replica it tried, divided by commas."""
    tried = [part for part in re.split(r"[,\s]+", line["replica"]) if part in names]
    began = re.split(r"[,\s:]+", line["first_byte_s"])[-1]
    told = {"replica": names[tried[-1]] if tried else "", "tries": len(tried)}
    return line | told | {"first_byte_s": float(began) if began not in ("", "-") else float("nan")}


def nginx() -> str | None:
    """The nginx program of this machine, or None. It often stands where an ordinary user's PATH does not look."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/sbin")


def router(
    replicas: Sequence[Any] | Mapping[str, Any],
    policy: Policy = "round_robin",
    *,
    weights: Sequence[int] | None = None,
    using: Literal["nginx", "python"] | None = None,
    salt: str = "",
    template: str | Path = TEMPLATE,
    name: str | None = None,
    port: int | None = None,
    progress: bool = True,
) -> Router:
    """A running router in front of `replicas`; the one that runs with this configuration already, if there is one.

    Args:
        replicas: servers, or addresses such as `http://127.0.0.1:8000`; as a mapping, with names of your own.
        policy: how a request finds its replica (see the module's text).
        weights: for `weighted` and `split`, and for the others if you like: a whole number from 1 on for each replica.
        using: `nginx` or `python`; without it NGINX where it is installed.
        salt: for `split`: another salt deals the same sessions out anew.
        template: NGINX's configuration with places to fill in, as in assets/nginx.
        name, port, progress: as for `vllm`.

    Raises:
        ServelabError: in one sentence: an unknown policy, weights that do not fit, no NGINX where it was asked for, a
            configuration that NGINX refuses.
    """
    named = _named(replicas)
    weights = list(weights or [1] * len(named))
    _check(policy, named, weights)
    program = nginx()
    using = using or ("nginx" if program else "python")
    if using == "nginx" and not program:
        raise ServelabError(_("NGINX is not installed: `apt install nginx-light`, or leave `using` out."))
    asked = {"policy": policy, "replicas": named, "weights": weights, "salt": salt}
    if using == "nginx":
        text = _nginx_text(Path(template), **asked)
        command = [program, "-p", "{folder}", "-e", "stderr", "-c", "{folder}/" + CONFIGURATION]
    else:
        text = json.dumps(asked, indent=1)
        command = [sys.executable, "-P", balancer.__file__, "{folder}/" + CONFIGURATION, "{port}"]
    first = next(iter(replicas.values() if isinstance(replicas, Mapping) else replicas))
    spec = process.Spec(
        engine="router",
        title="NGINX" if using == "nginx" else _("The router"),
        config={"using": using, **asked, "text": text},
        command=command,
        facts={"model": getattr(first, "model", None), "replicas": named},
        files={CONFIGURATION: text},
        need_bytes=NEED_BYTES,
        name=name,
        port=port,
        ready_path="/router/health",
        explain=explain,
    )
    with Progress(progress) as line:
        state, token, reused = process.start(spec, line)
        started = Router(state, token, reused)
        told = {"title": spec.title, "policy": policy, "n": len(named), "url": started.url}
        line.done(_("{title} is ready at {url}: {policy} over {n} replicas").format(**told))
    return started


def _named(replicas: Sequence[Any] | Mapping[str, Any]) -> dict[str, str]:
    """{name: host:port}."""
    given = replicas.items() if isinstance(replicas, Mapping) else ((getattr(r, "name", None), r) for r in replicas)
    named = {}
    for name, one in given:
        address = (one if isinstance(one, str) else one.url).split("://")[-1].split("/")[0]
        named[name or address] = address
    return named


def _check(policy: str, named: Mapping[str, str], weights: Sequence[int]) -> None:
    if policy not in POLICIES:
        text = _("There is no policy {policy}: choose one of {policies}.")
        raise ServelabError(text.format(policy=policy, policies=", ".join(POLICIES)))
    if not named:
        raise ServelabError(_("A router needs at least one replica."))
    if bad := [name for name in named if not re.fullmatch(r"[\w.:-]+", name)]:
        raise ServelabError(
            _("A replica's name has letters, digits, . : - and _ only, not {name}.").format(name=bad[0])
        )
    if len(weights) != len(named) or any(not isinstance(w, int) or w < 1 for w in weights):
        raise ServelabError(_("Weights are whole numbers from 1 on, one for each replica."))


def _nginx_text(template: Path, policy: str, replicas: Mapping[str, str], weights: Sequence[int], salt: str) -> str:
    """The configuration; "{port}" and "{folder}" are left to the supervisor."""
    limits = f"max_fails=1 fail_timeout={FAIL_TIMEOUT_S}s"
    servers = [f"server {a} weight={w} {limits};" for a, w in zip(replicas.values(), weights, strict=True)]
    if policy == "split":
        ends = balancer.percentages(weights)
        shares = [f"{share:.2f}%  {_group(n)};" for n, share in enumerate(ends[:-1])] + [f"*  {_group(len(ends) - 1)};"]
        parts = [_block(f'split_clients "{salt}$session" $version', shares)]
        parts += [_block(f"upstream {_group(n)}", [s, "keepalive 64;"], name)
                  for n, (s, name) in enumerate(zip(servers, replicas, strict=True))]  # fmt: skip
    else:
        method = [METHODS[policy]] if policy in METHODS else []
        parts = [_block("upstream replicas", [*method, *servers, "keepalive 64;"])]
    filled = {
        "policy": policy,
        "count": str(len(replicas)),
        "upstreams": "\n".join(parts),
        "target": "$version" if policy == "split" else "replicas",
    }
    text = template.read_text()
    for key, value in filled.items():
        text = text.replace("{{" + key + "}}", value)
    return text


def _group(n: int) -> str:
    return f"version_{n}"


def _block(head: str, lines: Sequence[str], remark: str = "") -> str:
    inside = "".join(f"        {line}\n" for line in lines)
    return f"    {head} {{{f'  # {remark}' if remark else ''}\n{inside}    }}"


def explain(log: str) -> str | None:
    """NGINX's own reason for not starting, as part of a sentence; None where the log tells none."""
    if found := re.search(r"\[emerg\] (?:\d+#\d+: )?(?P<what>.+?) in (?P<file>\S+):(?P<line>\d+)", log):
        text = _("line {line} of its configuration is wrong: {what}")
        return text.format(line=found["line"], what=found["what"])
    if found := re.search(r"\[emerg\] (?:\d+#\d+: )?(?P<what>.+)", log):
        return found["what"].strip()
    return None
