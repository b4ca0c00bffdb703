"""The fourth suite: two replicas and one Redis. Quotas, copies of answers and sessions hold at both together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import replace

from servelab.battery.exchange import Broken, Exchange
from servelab.battery.scripted import PATIENCE_S, Script
from servelab.battery.verdicts import Scene, Suite
from servelab.i18n import _

QUOTA, WINDOW_S, KEEP_S = 12, 3600.0, 600.0
FLOOD = 36
SHARED = Suite(
    "shared",
    {"running": 16, "waiting": 64, "quota": QUOTA, "window_s": WINDOW_S, "keep_s": KEEP_S},
    replicas=2,
    fresh_keys=True,
)


def _at(scene: Scene, n: int) -> Scene:
    """The same scene, asking another replica."""
    return replace(scene, url=scene.urls[n % len(scene.urls)])


def _hit(one: Exchange) -> bool:
    return one.headers.get("x-cache", "").lower() == "hit"


@SHARED.verdict("quota", lambda: _("A key has QUOTA requests a window at all replicas together, also all at once."))
async def quota(scene: Scene) -> str:
    """A flood at both replicas at once: as many as the quota are served, and another key does not notice."""
    bodies = [scene.body(temperature=1.0) for _n in range(FLOOD)]
    sent = await asyncio.gather(*(_at(scene, n).ask(body) for n, body in enumerate(bodies)))
    served = sum(one.status == 200 for one in sent)
    if served != QUOTA:
        text = _("{served} of {n} requests at once were served, the quota is {quota}")
        return text.format(served=served, n=FLOOD, quota=QUOTA)
    if len(scene.engine.asked) != QUOTA:
        return _("the engine worked for a request that was over its quota")
    other = await scene.ask(scene.body(temperature=1.0), key=scene.settings.keys[-1])
    return "" if other.status == 200 else _("another key gets {status}").format(status=other.status)


@SHARED.verdict(
    "over-quota", lambda: _("What is over the quota is refused with 429 and a Retry-After within the window.")
)
async def over_quota(scene: Scene) -> str:
    """One more than the quota, one after the other, in turns."""
    for n in range(QUOTA):
        one = await _at(scene, n).ask(scene.body(temperature=1.0))
        if one.status != 200:
            return _("request {n} of {quota} gets {status}").format(n=n + 1, quota=QUOTA, status=one.status)
    over = await _at(scene, QUOTA).ask(scene.body(temperature=1.0))
    if over.status != 429 or not over.error:
        return _("it gets {status}, or no structured error").format(status=over.status)
    told = over.headers.get("retry-after", "")
    within = told.isdigit() and 1 <= int(told) <= WINDOW_S
    return "" if within else _("its Retry-After is {told!r}").format(told=told)


@SHARED.verdict("copies", lambda: _("An answer that would be the same again is copied, whichever replica made it."))
async def copies(scene: Scene) -> str:
    """Asked at one, asked again at the other: the engine works once, and a hit is told."""
    await scene.engine.reset(Script(pieces=(scene.words(), " 好", "!")))
    body = scene.body()
    first, again = await _at(scene, 0).ask(body), await _at(scene, 1).ask(body)
    if first.status != 200 or again.status != 200:
        return _("a right request gets {status}").format(status=max(first.status, again.status))
    if len(scene.engine.asked) != 1:
        return _("the engine was asked {n} times for the same").format(n=len(scene.engine.asked))
    if not _hit(again) or _hit(first):
        return _("X-Cache does not say hit, or says it too early")
    return "" if again.json() == first.json() else _("the copy is another answer")


@SHARED.verdict("no-copies", lambda: _("Chance, another length, a stream and a failure are no copies."))
async def no_copies(scene: Scene) -> str:
    """Each is asked twice, and the engine works twice; a failure is not kept."""
    base = scene.body()
    pairs = {
        _("temperature 1"): ({**base, "temperature": 1.0}, {**base, "temperature": 1.0}),
        _("another max_tokens"): (base, {**base, "max_tokens": base["max_tokens"] + 1}),
        _("another prompt"): (scene.body(), scene.body()),
    }
    for what, (first, second) in pairs.items():
        await scene.engine.reset()
        got = [await _at(scene, n).ask(body) for n, body in enumerate((first, second))]
        if len(scene.engine.asked) != 2 or _hit(got[1]):
            return _("{what} is answered with a copy").format(what=what)
    streamed = await scene.ask({**base, "stream": True})
    if not streamed.headers.get("content-type", "").startswith("text/event-stream") or not streamed.done:
        return _("a streamed request gets no stream")
    await scene.engine.reset()
    scene.engine.queue.append(Script(status=400))
    body = scene.body()
    await scene.ask(body)
    return "" if (await scene.ask(body)).status == 200 else _("a failure is kept")


@SHARED.verdict("sessions", lambda: _("With X-Session the next turn goes on where the last ended, at any replica."))
async def sessions(scene: Scene) -> str:
    """Three turns in turns: the engine sees all that was said."""
    whose, said = {"X-Session": f"s-{scene.rng.randrange(10**9)}"}, ""
    for n in range(3):
        answer = (scene.words(2), " 茶")
        await scene.engine.reset(Script(pieces=answer))
        prompt = scene.words()
        one = await _at(scene, n).ask({"prompt": prompt, "max_tokens": 8}, headers=whose)
        if one.status != 200:
            return _("turn {n} gets {status}").format(n=n + 1, status=one.status)
        said += prompt
        if not scene.engine.asked or scene.engine.asked[-1].prompt != said:
            return _("at turn {n} the engine does not see all that was said before").format(n=n + 1)
        said += "".join(answer)
    return ""


@SHARED.verdict("strangers", lambda: _("A session belongs to its key: another caller with the same name sees nothing."))
async def strangers(scene: Scene) -> str:
    """The same session name under another key, and no name at all."""
    whose = {"X-Session": f"s-{scene.rng.randrange(10**9)}"}
    await scene.ask(headers=whose)
    for key, headers in ((scene.settings.keys[-1], whose), (scene.key, {})):
        body = scene.body(temperature=0.5)
        await scene.engine.reset()
        await scene.ask(body, key=key, headers=headers)
        if not scene.engine.asked or scene.engine.asked[-1].prompt != body["prompt"]:
            return _("someone else's turn is in the prompt")
    return ""


@SHARED.verdict("expiry", lambda: _("Everything that is written to Redis ends by itself, within its time."))
async def expiry(scene: Scene) -> str:
    """A request, a copy, a turn; then a look at every key."""
    await scene.ask()
    await scene.ask(headers={"X-Session": "s"})
    store, longest = scene.store.connect(), max(WINDOW_S, KEEP_S) + 1
    keys = await asyncio.to_thread(store.keys, "*")
    if not keys:
        return _("nothing is written to Redis")
    for name in keys:
        left = await asyncio.to_thread(store.ttl, name)
        if left == -1 or left > longest:
            return _("{name} stays for ever, or too long").format(name=str(name).split(":")[0][:40])
    text = "\n".join(map(str, keys))
    return _("a key of a caller stands in Redis") if any(k in text for k in scene.settings.keys) else ""


@SHARED.verdict("silent-redis", lambda: _("A Redis that says nothing costs no answer."))
async def silent_redis(scene: Scene) -> str:
    """It is stopped for a while, as a machine that swaps: requests and sessions are answered all the same."""
    os.kill(scene.store.pid, signal.SIGSTOP)
    try:
        return await _serves_on(scene)
    finally:
        os.kill(scene.store.pid, signal.SIGCONT)


@SHARED.verdict("no-redis", lambda: _("A Redis that is gone costs no answer."))
async def no_redis(scene: Scene) -> str:
    """It ends; the last verdict, for it does not come back."""
    await asyncio.to_thread(scene.store.stop, True)
    return await _serves_on(scene)


async def _serves_on(scene: Scene) -> str:
    for n, headers in enumerate(({}, {"X-Session": "s"})):
        with contextlib.suppress(Broken, TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                one = await _at(scene, n).ask(headers=headers)
            if one.status == 200:
                continue
            return _("a request gets {status}").format(status=one.status)
        return _("a request is not answered within {seconds:g} s").format(seconds=PATIENCE_S)
    return ""
