"""The third suite: more than there is room for, an engine that fails or falls silent, clients who leave."""

from __future__ import annotations

import asyncio
import contextlib

from servelab.battery.exchange import Broken, Exchange
from servelab.battery.scripted import PATIENCE_S, Script, until
from servelab.battery.verdicts import Scene, Suite
from servelab.i18n import _

RUNNING, WAITING, BUDGET = 2, 3, 4
GRACE_S = 0.3
"""How long one looks whether more are refused than have to be."""
PRESSURE = Suite("pressure", {"running": RUNNING, "waiting": WAITING, "retry_budget": BUDGET})
SILENCE = Suite("silence", {"running": RUNNING, "waiting": WAITING, "retry_budget": BUDGET, "timeout_s": 1.0})
"""With a short time limit, so that nobody waits long to see it kept."""


async def split(sent: list[Exchange], spare: int) -> tuple[list[Exchange], list[Exchange]]:
    """(still waiting, answered) once at least `spare` are answered, or all patience is gone."""
    heads = [asyncio.ensure_future(one.head(2 * PATIENCE_S)) for one in sent]
    await until(lambda: sum(head.done() for head in heads) >= spare)
    await asyncio.sleep(GRACE_S)
    answered = [head.done() for head in heads]
    for head in heads:
        head.cancel()
    await asyncio.gather(*heads, return_exceptions=True)
    pairs = list(zip(sent, answered, strict=True))
    return [one for one, done in pairs if not done], [one for one, done in pairs if done]


async def crowd(scene: Scene, n: int) -> tuple[list[Exchange], list[Exchange]]:
    """(still waiting, refused) of `n` requests sent while the engine answers nobody."""
    await scene.engine.reset(Script(hold=0))
    return await split([await scene.send() for _n in range(n)], n - RUNNING - WAITING)


@PRESSURE.verdict(
    "bound", lambda: _("The engine works on at most MAX_RUNNING requests; as many as may wait are served later.")
)
async def bound(scene: Scene) -> str:
    """As many as there is room for: all are answered, and never too many at once."""
    held, refused = await crowd(scene, RUNNING + WAITING)
    if refused:
        return _("a request for which there is room gets {status}").format(status=refused[0].status)
    if not await until(lambda: len(scene.engine.open) == RUNNING):
        return _("the engine works on {n} requests at once instead of {most}").format(
            n=len(scene.engine.open), most=RUNNING
        )
    scene.engine.script = Script()
    scene.engine.release()
    for one in held:
        await one.whole()
    late = [one.status for one in held if one.status != 200]
    if late:
        return _("a request that waited gets {status}").format(status=late[0])
    if scene.engine.most > RUNNING:
        return _("the engine works on {n} requests at once instead of {most}").format(n=scene.engine.most, most=RUNNING)
    return ""


@PRESSURE.verdict(
    "flood", lambda: _("What exceeds the queue is refused at once with 429 and Retry-After; the others are not lost.")
)
async def flood(scene: Scene) -> str:
    """Seven too many."""
    held, refused = await crowd(scene, RUNNING + WAITING + 7)
    if len(refused) != 7 or len(held) != RUNNING + WAITING:
        return _("of {n} requests, {got} were refused instead of 7").format(n=RUNNING + WAITING + 7, got=len(refused))
    for one in refused:
        await one.whole()
        if one.status != 429:
            return _("a request too many gets {status}").format(status=one.status)
        after = one.headers.get("retry-after", "")
        if not after.isdigit() or int(after) < 1:
            return _("Retry-After is {after!r}, not whole seconds from 1 on").format(after=after)
        if not one.error:
            return _("the refusal is no structured error")
    scene.engine.script = Script()
    scene.engine.release()
    for one in held:
        if (await one.whole()).status != 200:
            return _("a request that waited gets {status}").format(status=one.status)
    if len(scene.engine.asked) != RUNNING + WAITING:
        return _("the engine was asked {n} times").format(n=len(scene.engine.asked))
    return await scene.works()


@PRESSURE.verdict("leavers", lambda: _("Who leaves the queue makes room in it, and never reaches the engine."))
async def leavers(scene: Scene) -> str:
    """The queue is full; those who wait hang up, while the engine is still at work; others take their places."""
    await scene.engine.reset(Script(hold=0))
    served = [await scene.send() for _n in range(RUNNING)]
    if not await until(lambda: len(scene.engine.open) == RUNNING):
        return _("the queue does not fill")
    _held, refused = await split(left := [await scene.send() for _n in range(WAITING)], 0)
    if refused:
        return _("the queue does not fill")
    for one in left:
        one.leave()
    for _again in range(10):  # the news of their leaving may take a moment
        sent = [await scene.send() for _n in range(WAITING + 1)]
        others, refused = await split(sent, 1)
        if len(refused) == 1:
            break
        for one in sent:
            one.leave()
    else:
        return _("those who left still hold their places: the next gets {status}").format(status=sent[0].status)
    scene.engine.script = Script()
    scene.engine.release()
    for one in served + others:
        if (await one.whole()).status != 200:
            return _("a request that waited gets {status}").format(status=one.status)
    if len(scene.engine.asked) != RUNNING + WAITING:
        return _("the engine was asked for a client who had left the queue")
    return ""


@PRESSURE.verdict("places", lambda: _("Whatever ends a request, its place is free again."))
async def places(scene: Scene) -> str:
    """Refusals, breaks and leavers, more often than there are places; then as many as there is room for."""
    for round_ in range(RUNNING + WAITING + 1):
        script = (Script(status=400), Script(cut=1), Script(hold=1))[round_ % 3]
        await scene.engine.reset(script)
        one = await scene.send(scene.body(stream=True))
        if script.hold:
            await one.read_until(1, PATIENCE_S)
        else:
            with contextlib.suppress(Broken):
                await one.whole()
        one.leave()
    await until(lambda: not scene.engine.open)
    held, refused = await crowd(scene, RUNNING + WAITING)
    if refused or not await until(lambda: len(scene.engine.open) == RUNNING):
        return _("after {n} requests that failed, {got} of {most} places work").format(
            n=RUNNING + WAITING + 1, got=len(scene.engine.open), most=RUNNING
        )
    scene.engine.script = Script()
    scene.engine.release()
    for one in held:
        await one.whole()
    return ""


@PRESSURE.verdict("retry", lambda: _("A failure that another try may mend is tried again before anybody hears of it."))
async def retry(scene: Scene) -> str:
    """503 once, for a whole answer and for a stream."""
    for stream in (False, True):
        await scene.engine.reset()
        scene.engine.queue.append(Script(status=503))
        one = await scene.ask(scene.body(stream=stream))
        if one.status != 200 or len(scene.engine.asked) != 2:
            return _("the engine says 503 once and is well again: the client gets {status} after {n} tries").format(
                status=one.status, n=len(scene.engine.asked)
            )
    return ""


@PRESSURE.verdict("no-retry", lambda: _("What another try cannot mend, or what has begun, is not tried again."))
async def no_retry(scene: Scene) -> str:
    """A wrong request, and a stream that breaks after its first piece."""
    for script in (Script(status=400), Script(cut=1)):
        await scene.engine.reset(script)
        one = await scene.send(scene.body(stream=True))
        with contextlib.suppress(Broken):
            await one.whole()
        if len(scene.engine.asked) != 1:
            what = _("a request it refused with 400") if script.status == 400 else _("an answer that had begun")
            return _("the engine was asked {n} times for {what}").format(n=len(scene.engine.asked), what=what)
    return ""


@PRESSURE.verdict(
    "budget", lambda: _("When the engine is down, retries end: all together cost at most RETRY_BUDGET tries more.")
)
async def budget(scene: Scene) -> str:
    """Twelve requests to an engine that says 503 to all."""
    for _n in range(60):  # successes fill the budget up, by a tenth each
        await scene.ask()
    await scene.engine.reset(Script(status=503))
    wrong = [one.status for one in [await scene.ask() for _n in range(12)] if one.status != 502 or not one.error]
    if wrong:
        return _("an engine that fails is told as {status}, not as a structured 502").format(status=wrong[0])
    tries = len(scene.engine.asked) - 12
    if tries > BUDGET:
        return _("12 requests cost {n} tries more; the budget is {most}").format(n=tries, most=BUDGET)
    return "" if tries else _("nothing was tried again")


@SILENCE.verdict(
    "silent", lambda: _("An engine that says nothing is given up after TIMEOUT_S: 504, and its work is ended.")
)
async def silent(scene: Scene) -> str:
    """No word, for a whole answer and for a stream."""
    for stream in (False, True):
        await scene.engine.reset(Script(silent=True))
        one = await scene.ask(scene.body(stream=stream))
        if one.status != 504 or not one.error:
            return _("a silent engine is told as {status}, not as a structured 504").format(status=one.status)
        if not await until(lambda: _gone(scene)):
            return _("it was given up, and the engine goes on")
    return await scene.works()


@SILENCE.verdict(
    "stalled", lambda: _("A stream that stalls is given up after TIMEOUT_S, and does not end as if it were complete.")
)
async def stalled(scene: Scene) -> str:
    """Two pieces, then nothing."""
    await scene.engine.reset(Script(hold=2))
    one = await scene.send(scene.body(stream=True))
    try:
        while await one.more(PATIENCE_S):
            pass
    except Broken:
        if not one.broken:
            return _("the stream stalls, and the client waits on")
    if one.done or (one.ended and not one.failed):
        return _("the stream ends as if the answer were complete: neither an error event nor a broken connection")
    if not await until(lambda: _gone(scene)):
        return _("it was given up, and the engine goes on")
    return await scene.works()


@SILENCE.verdict("unread", lambda: _("Who does not read holds a place for TIMEOUT_S, not for ever."))
async def unread(scene: Scene) -> str:
    """As many as there are places, none of them reading."""
    await scene.engine.reset(Script(volume=2**28))
    for _n in range(RUNNING):
        await scene.send(scene.body(stream=True), small=True)
    if not await until(lambda: len(scene.engine.asked) == RUNNING):
        return _("the engine was not asked")
    if not await until(lambda: not scene.engine.open, 2 * PATIENCE_S):
        return _("clients who read nothing hold their places for ever")
    return await scene.works()


def _gone(scene: Scene) -> bool:
    return bool(scene.engine.asked) and all(one.state == "gone" for one in scene.engine.asked)
