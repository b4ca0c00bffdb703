"""A battery of clients against a running service: well-behaved ones, slow ones, floods, and those who leave.

    contract(service)    what a caller is promised: types, keys, errors, health, the schema
    streaming(service)   an answer on its way: pieces, cancellation, slow readers, breaks
    pressure(service)    limits: places, queue, retries, time
    shared(service)      two replicas and one Redis: quotas, copies, sessions
    rollout(step)        a rollout under load, led by a step

Each starts the service before a scripted engine that does as the battery tells it, and returns a `Report` of named
verdicts. A service is a file, its text, or a proxy of one in a sandbox.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from servelab.battery.contract import CONTRACT
from servelab.battery.host import NAMES, Carried, hosted, memory
from servelab.battery.pressure import PRESSURE, SILENCE
from servelab.battery.rollout import rollout
from servelab.battery.scripted import Script, ScriptedEngine
from servelab.battery.shared import SHARED
from servelab.battery.streaming import STREAMING
from servelab.battery.verdicts import Report, Scene, Suite, Verdict
from servelab.engines.service import Settings
from servelab.load.client import blocking
from servelab.progress import Progress

__all__ = [
    "Carried", "Report", "Script", "ScriptedEngine", "Settings", "Verdict", "contract", "pressure", "rollout", "run",
    "shared",
    "streaming",
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
                n = 2 * len(suite.checks) if suite.fresh_keys else 2
                keys = tuple(f"key-{rng.randrange(10**9)}" for _n in range(n))
                settings = Settings(engine.url, keys=keys, **suite.settings)
                async with AsyncExitStack() as stack:
                    stack.push_async_callback(engine.stop)
                    store = await stack.enter_async_context(memory()) if suite.replicas > 1 else None
                    if store:
                        settings = replace(settings, redis=f"{store.url}/0")
                    hosts = [hosted(service, settings, name) for name in NAMES[: suite.replicas]]
                    urls = tuple([await stack.enter_async_context(host) for host in hosts])
                    scene = Scene(urls[0], engine, settings, rng, urls=urls, store=store)
                    found += await suite.run(scene, line.say, only)
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


def shared(service: Any, seed: int = 0, progress: bool = True) -> Report:
    """Two replicas and one Redis: quotas, copies of answers, sessions; see `run`.

    Raises:
        ServelabError: Redis is not installed, too.
    """
    return run(service, SHARED, seed=seed, progress=progress)
