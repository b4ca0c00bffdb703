"""The vLLM track's capstone: a service before an engine, brought within its SLO, and judged while it runs.

A configuration is `{"engine": flags of vLLM, "service": settings of the gate}`. The engine stands in the room of lab
2.2 (`servelab.tuning`), the service is that of lab 2.3 with the eyes of lab 2.5. Everything is counted, nothing is
timed: a slow machine passes as a fast one does. The engine's part of the judgement is `tuning.examine`.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from servelab import monitoring, tuning
from servelab.engines.server import Server
from servelab.engines.service import service
from servelab.engines.vllm import vllm
from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.load.client import drive
from servelab.load.workload import Request, synthetic
from servelab.paths import ROOT

SERVICE = ROOT / "labs" / "vllm" / "2.3_reference.py"
GATE = ("running", "waiting", "timeout_s", "retry_budget")
POOR: dict[str, dict[str, Any]] = {
    "engine": {"max_num_seqs": 2, "max_num_batched_tokens": 2048, "block_size": 128, "enable_prefix_caching": False},
    "service": {"running": 2, "waiting": 400, "timeout_s": 2},
}
"""Where the capstone begins: somebody saved memory, and somebody else wanted to refuse nobody."""
FRONT, BACK = ("crowd", "flood"), ("room", "prefix", "gap", "slo")
"""What users see, and what `tuning.examine` looks at in the engine."""
CROWD, TOGETHER, FLOOD = 12, 8, 72
"""Requests in one moment that must all be answered, how many of them together; and so many that some are refused."""
KEY = "me"


@contextlib.contextmanager
def deployed(configuration: Mapping[str, Mapping[str, Any]], tier: Any) -> Iterator[tuple[Server, Server]]:
    """(engine, service) with this configuration while the block runs; the engine stays warm afterwards.

    Raises:
        ServelabError: a setting that is nobody's, or a part that does not start.
    """
    parts = {"engine": tuning.KNOBS, "service": GATE}
    if unknown := sorted(set(configuration) - set(parts)):
        raise ServelabError(_("A configuration has the parts engine and service, not {name}.").format(name=unknown[0]))
    for part, knobs in parts.items():
        if unknown := sorted(set(configuration.get(part, {})) - set(knobs)):
            text = _("The {part} takes {knobs}, not {name}.")
            raise ServelabError(text.format(part=part, knobs=", ".join(knobs), name=unknown[0]))
    with vllm(**configuration.get("engine", {}), **tuning.room(tier), progress=False) as engine:
        text = monitoring.observed(SERVICE.read_text())
        door = service(text, engine, keys=(KEY,), progress=False, **configuration.get("service", {}))
        try:
            yield engine, door
        finally:
            door.stop()


def examine(
    configuration: Mapping[str, Mapping[str, Any]], tier: Any, seed: int = 0, only: Collection[str] = ()
) -> dict[str, str]:
    """Start a configuration and judge it: {what is asked: why it does not hold, or empty}.

    Args:
        only: of `FRONT` and `BACK`, look at these alone.

    Raises:
        ServelabError: it does not start.
    """
    with deployed(configuration, tier) as (engine, door):
        looks = {"crowd": lambda: _crowd(engine, door, seed), "flood": lambda: _flood(engine, door, seed + 1)}
        found = {name: look() for name, look in looks.items() if not only or name in only}
        if back := [name for name in BACK if not only or name in only]:
            found |= tuning.examine(engine, seed + 2, back)
        return found


def _ask(door: Server, engine: Server, asked: list[Request]) -> list[Any]:
    return drive(
        door.url, asked, concurrency=len(asked), api_key=KEY, model=engine.model, progress=False, timeout_s=120
    ).records


def _crowd(engine: Server, door: Server, seed: int) -> str:
    before = engine.metrics().value("vllm:num_preemptions")
    with engine.watch("vllm:num_requests_running", every=0.05) as seen:
        loaded = _ask(door, engine, synthetic(CROWD, 200, 24, seed=seed))
    if lost := [r for r in loaded if not r.ok]:
        text = _("of {crowd} users who came together, {n} got no whole answer ({why})")
        return text.format(crowd=CROWD, n=len(lost), why=lost[0].error or lost[0].status)
    together = int(seen.frame()["vllm:num_requests_running"].max())
    if together < TOGETHER:
        text = _("of {crowd} users who came together, at most {together} were served at a time")
        return text.format(crowd=CROWD, together=together)
    if gave_way := int(engine.metrics().value("vllm:num_preemptions") - before):
        return _("{n} answers had to give way and begin anew: memory ran out").format(n=gave_way)
    return ""


def _flood(engine: Server, door: Server, seed: int) -> str:
    before = ended(door)
    _ask(door, engine, synthetic(FLOOD, 8, 2, seed=seed))
    became = ended(door) - before
    if other := {status: n for status, n in became.items() if status not in ("200", "429")}:
        text = _("of {n} who came at once, {k} were neither answered nor refused with 429 ({why})")
        return text.format(n=FLOOD, k=sum(other.values()), why=", ".join(other))
    if not became["429"]:
        return _("of {n} who came at once nobody was refused: the queue has no bound").format(n=FLOOD)
    return ""


def ended(door: Server) -> Counter[str]:
    """{what became of it: requests} so far, as the service's eyes count."""
    return Counter({s.labels["status"]: int(s.value) for s in door.metrics().samples("service_requests")})
