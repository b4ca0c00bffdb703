"""A rollout for real: two services behind the door, before scripted engines, led on by a step while a load goes on."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from servelab.battery.scripted import Script, ScriptedEngine
from servelab.engines.deployment import deployment
from servelab.load import drive, synthetic
from servelab.load.metrics import Record
from servelab.paths import ROOT

SERVICE = ROOT / "labs" / "vllm" / "2.3_reference.py"
PIECES, PAUSE_S = 6, 0.04
USERS, AT_ONCE = 4, 24
PATIENCE_S = 40.0
KEY = "rollout"


@contextlib.contextmanager
def engines(n: int) -> Iterator[list[ScriptedEngine]]:
    """Scripted engines on a loop of their own, whose answers take a while."""
    loop = asyncio.new_event_loop()
    line = threading.Thread(target=loop.run_forever, daemon=True)
    line.start()

    def call(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    script = Script(pieces=tuple(f" {n}" for n in range(PIECES)), pause_s=PAUSE_S)
    started = [call(ScriptedEngine(script=script).start()) for _n in range(n)]
    try:
        yield started
    finally:
        for one in started:
            call(one.stop())
        loop.call_soon_threadsafe(loop.stop)
        line.join(30)
        loop.close()


def rollout(step: Callable[[dict[str, Any], int], Any], seed: int = 0) -> dict[str, Any]:
    """Let a step lead a new version of a service onto two replicas, under load.

    Args:
        step: `step(look, wanted) -> (action, replica)`; see `Deployment.reconcile`.
        seed: of the load's prompts.

    Returns:
        `said` (done, halt or late), `asked` and `lost` requests of the load, `new` and `serving` replicas at the end.

    Raises:
        ServelabError: the deployment does not start.
    """
    records: list[Record] = []
    over = threading.Event()
    with engines(2) as behind:
        name = f"rollout-{uuid.uuid4().hex[:8]}"
        urls = [one.url for one in behind]
        with deployment(SERVICE, engines=urls, redis=False, keys=(KEY,), name=name, progress=False) as d:

            def load() -> None:
                turn = 0
                while not over.is_set() or turn < 2:
                    asked = synthetic(n=AT_ONCE, prompt_tokens=4, output_tokens=PIECES, seed=1000 * seed + turn)
                    how = {"concurrency": USERS, "api_key": KEY, "model": "scripted", "progress": False}
                    records.extend(drive(d.url, asked, **how).records)
                    turn += 1

            line = threading.Thread(target=load, daemon=True)
            line.start()
            try:
                wanted = d.want()
                said = d.reconcile(step, timeout_s=PATIENCE_S)
            finally:
                over.set()
                line.join()
            seen = d.look().values()
    return {
        "said": said,
        "asked": len(records),
        "lost": sum(not one.ok for one in records),
        "new": sum(one["version"] == wanted for one in seen),
        "serving": sum(one["ready"] and one["admitted"] for one in seen),
    }
