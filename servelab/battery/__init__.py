"""A battery of clients against a running service: well-behaved ones, slow ones, floods, and those who leave.

    contract(service)    what a caller is promised: types, keys, errors, health, the schema
    streaming(service)   an answer on its way: pieces, cancellation, slow readers, breaks
    pressure(service)    limits: places, queue, retries, time

Each starts the service before a scripted engine that does as the battery tells it, and returns a `Report` of named
verdicts. A service is a file, its text, or a proxy of one in a sandbox.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import Any

from servelab.battery.contract import CONTRACT
from servelab.battery.host import Carried, hosted
from servelab.battery.pressure import PRESSURE, SILENCE
from servelab.battery.scripted import Script, ScriptedEngine
from servelab.battery.streaming import STREAMING
from servelab.battery.verdicts import Report, Scene, Suite, Verdict
from servelab.engines.service import Settings
from servelab.load.client import blocking
from servelab.progress import Progress

__all__ = [
    "Carried", "Report", "Script", "ScriptedEngine", "Settings", "Verdict", "contract", "pressure", "run", "streaming",
]  # fmt: skip


def run(service: Any, *suites: Suite, seed: int = 0, only: Collection[str] = (), progress: bool = True) -> Report:
    """The verdicts of several suites, each before a service that was started for it.

    Args:
        service: a file, its text, a `Carried`, or a proxy of one in a sandbox.
        seed: of prompts, keys and generated requests.
        only: names of verdicts; a suite that has none of them is left out.

    Raises:
        ServelabError: the service does not start.
    """
    with Progress(progress) as line:

        async def judge() -> list[Verdict]:
            rng, found = random.Random(f"battery:{seed}"), []
            for suite in suites:
                if only and not {name for name, _says, _check in suite.checks} & set(only):
                    continue
                engine = await ScriptedEngine().start()
                keys = tuple(f"key-{rng.randrange(10**9)}" for _n in range(2))
                settings = Settings(engine.url, keys=keys, **suite.settings)
                try:
                    async with hosted(service, settings) as url:
                        found += await suite.run(Scene(url, engine, settings, rng), line.say, only)
                finally:
                    await engine.stop()
            return found

        return Report(tuple(blocking(judge)))


def contract(service: Any, seed: int = 0, progress: bool = True) -> Report:
    """Types, keys, errors, health and the schema; see `run`."""
    return run(service, CONTRACT, seed=seed, progress=progress)


def streaming(service: Any, seed: int = 0, progress: bool = True) -> Report:
    """Streams, cancellation, slow readers and breaks; see `run`."""
    return run(service, STREAMING, seed=seed, progress=progress)


def pressure(service: Any, seed: int = 0, progress: bool = True) -> Report:
    """Places, queue, retries and time; see `run`."""
    return run(service, PRESSURE, SILENCE, seed=seed, progress=progress)
