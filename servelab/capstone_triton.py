"""The Triton track's capstone: two models on one machine, an SLO for each, judged while they serve.

`chat` is asked by people, one row at a time, and must answer soon. `bulk` reads documents that come by eights, and once
in a while far too many of them. Both work on the one accelerator, which is played (assets/triton/accelerator): an
execution of b rows holds it for t0 + t1 b, whatever the machine's processor does. What the machine adds, a request that
needs no accelerator tells, before the load and during it: bounds are multiples of both together, and are later by what
the load's own time added. A slow or busy machine passes as a fast one does.

A configuration is `{"chat": lines, "bulk": lines}`: what is added to each model's config.pbtxt.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from servelab.engines.repositories import shipped, write
from servelab.engines.triton import TritonServer, triton
from servelab.errors import ServelabError
from servelab.i18n import _, listed
from servelab.load import drive, texts
from servelab.load.metrics import Record
from servelab.load.triton import Infer

MODELS = {"chat": (0.008, 0.002), "bulk": (0.030, 0.003)}
"""(t0, t1) of each, in seconds: an execution of b rows takes t0 + t1 b of the accelerator."""
KNOBS = ("max_batch_size", "instance_group", "dynamic_batching")
"""What the lines of a configuration may say."""
POOR = {
    "chat": "max_batch_size: 8\n"
    "instance_group [ { kind: KIND_CPU count: 1 } ]\n"
    "dynamic_batching { max_queue_delay_microseconds: 100000 }\n",
    "bulk": "max_batch_size: 64\ninstance_group [ { kind: KIND_CPU count: 3 } ]\ndynamic_batching { }\n",
}
"""Where the capstone begins: somebody wanted full batches, somebody copies, and nobody wanted to refuse."""
ECHO = "max_batch_size: 1\ninstance_group [ { kind: KIND_CPU count: 1 } ]\n"
ROOM = 3
"""Instances that the accelerator's memory holds, of both models together."""
CHECKS = ("room", "alone", "chat", "bulk", "flood")
ALONE, SOON, DAY, LATEST = 3.0, 15.0, 60.0, 300.0
"""Bounds in units: chat alone (median), chat by day and in the flood (95 % of each), bulk by day (95 %), and who is let
in during a flood: a batcher with a queue policy may sleep then, half a second at a time, while all who come are
refused."""
CHAT_RATE, DAY_RATE, FLOOD_RATE, GROUP = 25.0, 85.0, 300.0, 8
DAY_S, FLOOD_S, AFTER_S = 3.0, 1.5, 2.0
"""Requests a second and seconds: bulk comes by day, floods, and comes by day again."""
PATIENCE_S = 12.0
ECHO_RATE, ECHOES = 10.0, 2.0
"""Requests a second to the model that needs no accelerator; how often an answer of the others meets what it meets."""


def head(model: str, accelerator: Path) -> tuple[str, str]:
    """(config, code) of a model as the course has it, before the configuration's lines."""
    fixed, each = MODELS.get(model, (0.0, 0.0))
    folder = shipped("accelerator", fixed_s=fixed, each_s=each, accelerator=accelerator)
    try:
        return tuple((folder / "job" / name).read_text() for name in ("config.pbtxt", "1/model.py"))
    finally:
        shutil.rmtree(folder)


def checked(model: str, lines: Any) -> str:
    """The lines as Triton's own grammar has them.

    Raises:
        ServelabError: they are no lines of a config.pbtxt, or say what is not the configuration's to say.
    """
    from google.protobuf import text_format
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    try:
        said = text_format.Parse(str(lines), ModelConfig())
    except text_format.ParseError as error:
        text = _("The lines for {model} are no config.pbtxt: {why}")
        raise ServelabError(text.format(model=model, why=str(error)[:200])) from None
    if other := sorted({field.name for field, _value in said.ListFields()} - set(KNOBS)):
        text = _("The lines for {model} may say {knobs}, not {name}.")
        raise ServelabError(text.format(model=model, knobs=listed(KNOBS), name=other[0]))
    for group in said.instance_group:
        if other := {field.name for field, _value in group.ListFields()} - {"count", "kind", "name"}:
            text = _("An instance group here has count and kind, not {name}.")
            raise ServelabError(text.format(name=sorted(other)[0]))
    return text_format.MessageToString(said)


@contextlib.contextmanager
def served(configuration: Mapping[str, str]) -> Iterator[TritonServer]:
    """A Triton with both models, and `echo`, which needs no accelerator, while the block runs.

    Raises:
        ServelabError: a configuration that is none, or Triton's reason not to load it.
    """
    if not isinstance(configuration, Mapping) or set(configuration) != set(MODELS):
        raise ServelabError(_("A configuration has lines for chat and for bulk."))
    lines = {model: checked(model, told) for model, told in configuration.items()}
    folder = Path(tempfile.mkdtemp(prefix="duo-"))
    files = {}
    for model in (*MODELS, "echo"):
        config, code = head(model, folder.with_suffix(".lock") if model in MODELS else folder.with_suffix(".none"))
        files[f"{model}/config.pbtxt"] = config + lines.get(model, ECHO)
        files[f"{model}/1/model.py"] = code
    write(files, folder)
    try:
        server = triton(folder, strict_model_config=True, progress=False)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for end in (".lock", ".none"):
            folder.with_suffix(end).unlink(missing_ok=True)


def ask(server: TritonServer, model: str, arrivals_s: Sequence[float] | None = None, n: int = 0) -> list[Record]:
    """Requests of one row at these times, or `n` one after the other."""
    row = {"X": np.ones((1, 1), np.float32)}
    how: dict[str, Any] = {"concurrency": 1} if arrivals_s is None else {"arrivals": np.asarray(arrivals_s, float)}
    asked = texts(["?"] * (n if arrivals_s is None else len(arrivals_s)), 1)
    endpoint = Infer(model, lambda request: row)
    return drive(server, asked, endpoint=endpoint, timeout_s=PATIENCE_S, progress=False, **how).records


def took(records: Sequence[Record]) -> list[float]:
    """Seconds of each request that was answered, from when it was meant to be sent."""
    return [one.finished_s - one.intended_s for one in records if one.ok]


def unit(server: TritonServer) -> float:
    """Seconds of the shortest answer of `chat` that this machine can give: the accelerator's part and the rest."""
    around = float(np.median(took(ask(server, "echo", n=24))[4:]))
    return sum(MODELS["chat"]) + around


def arrivals(seed: int) -> dict[str, np.ndarray]:
    """When requests come, in seconds: to chat by chance, to bulk in eights; a usual day, a flood, a usual day.

    And to `echo` evenly: it tells what the machine adds meanwhile.
    """
    rng, end = np.random.default_rng(seed), DAY_S + FLOOD_S + AFTER_S
    chat = np.cumsum(rng.exponential(1 / CHAT_RATE, int(2 * CHAT_RATE * end)))
    parts, start = [], 0.0
    for rate, seconds in ((DAY_RATE, DAY_S), (FLOOD_RATE, FLOOD_S), (DAY_RATE, AFTER_S)):
        groups = start + (np.arange(round(rate * seconds / GROUP)) + rng.uniform(0, 0.5)) * GROUP / rate
        parts.append(np.repeat(groups, GROUP))
        start += seconds
    return {"chat": chat[chat < end], "bulk": np.concatenate(parts), "echo": np.arange(0, end, 1 / ECHO_RATE)}


def loads(server: TritonServer, seed: int) -> dict[str, list[Record]]:
    """All loads at once."""
    times = arrivals(seed)
    with ThreadPoolExecutor(len(times)) as pool:
        lines = {model: pool.submit(ask, server, model, at) for model, at in times.items()}
        return {model: line.result() for model, line in lines.items()}


def examine(configuration: Mapping[str, str], seed: int = 0, only: Collection[str] = CHECKS) -> dict[str, str]:
    """Start a configuration and judge it: {what is asked: why it does not hold, or empty}.

    Raises:
        ServelabError: it does not start.
    """
    with served(configuration) as server:
        found: dict[str, str] = {}
        if "room" in only:
            counts = [g["count"] for m in MODELS for g in server.config_of(m)["instance_group"]]
            text = _("{n} instances do not fit into the accelerator's memory, which holds {room}")
            found["room"] = text.format(n=sum(counts), room=ROOM) if sum(counts) > ROOM else ""
        one = unit(server)
        for model in MODELS:
            ask(server, model, n=2)
        if "alone" in only:
            median = float(np.median(took(ask(server, "chat", n=16)) or [np.inf]))
            text = _("chat, which nobody disturbs, answers in {ms:.0f} ms; {bound:.0f} are enough")
            late = median > ALONE * one
            found["alone"] = text.format(ms=1e3 * median, bound=1e3 * ALONE * one) if late else ""
        if rest := {name: look for name, look in LOOKS.items() if name in only}:
            records = loads(server, seed)
            around = float(np.quantile(took(records["echo"]) or [0.0], 0.95)) - (one - sum(MODELS["chat"]))
            found |= {name: look(records, one, ECHOES * max(0.0, around)) for name, look in rest.items()}
        return found


def _chat(records: Mapping[str, list[Record]], one: float, late_s: float) -> str:
    asked = records["chat"]
    if lost := [r for r in asked if not r.ok]:
        return _("{n} of {all} users of chat got no answer ({why})").format(
            n=len(lost), all=len(asked), why=lost[0].error or lost[0].status
        )
    day = [r for r in asked if r.intended_s < DAY_S]
    flood = [r for r in asked if DAY_S <= r.intended_s < DAY_S + FLOOD_S]
    told = [(_("chat, on a usual day,"), day), (_("chat, in the flood,"), flood)]
    return next(filter(None, (_slow(took(part), SOON * one + late_s, who) for who, part in told)), "")


def _day(records: Mapping[str, list[Record]], one: float, late_s: float) -> str:
    asked = [r for r in records["bulk"] if r.intended_s < DAY_S]
    if lost := [r for r in asked if not r.ok]:
        return _("on a usual day {n} of {all} documents were not read ({why})").format(
            n=len(lost), all=len(asked), why=lost[0].error or lost[0].status
        )
    return _slow(took(asked), DAY * one + late_s, _("bulk, on a usual day,"))


def _flood(records: Mapping[str, list[Record]], one: float, late_s: float) -> str:
    asked = [r for r in records["bulk"] if r.intended_s >= DAY_S]
    refused = [r for r in asked if r.status == "refused"]
    if other := [r for r in asked if not r.ok and r.status != "refused"]:
        text = _("in the flood {n} documents were neither read nor refused ({why})")
        return text.format(n=len(other), why=other[0].error or other[0].status)
    if not refused:
        return _("in the flood nobody was refused: the line has no end")
    if len(refused) == len(asked):
        return _("in the flood everybody was refused")
    if (longest := max(took(asked))) > (bound := LATEST * one + late_s):
        text = _("in the flood one who was let in waited {s:.1f} s; {bound:.1f} s are the most")
        return text.format(s=longest, bound=bound)
    return ""


def _slow(seconds: Sequence[float], bound_s: float, who: str) -> str:
    p95 = float(np.quantile(seconds, 0.95))
    text = _("{who} needs {ms:.0f} ms (95th percentile); {bound:.0f} are promised")
    return text.format(who=who, ms=1e3 * p95, bound=1e3 * bound_s) if p95 > bound_s else ""


LOOKS = {"chat": _chat, "bulk": _day, "flood": _flood}
