"""The second suite: an answer on its way. Pieces as they are made, nothing for those who left, nothing hoarded."""

from __future__ import annotations

from servelab.battery.exchange import Broken
from servelab.battery.scripted import PATIENCE_S, Script, until
from servelab.battery.verdicts import Scene, Suite
from servelab.i18n import _

STREAMING = Suite("streaming", {"running": 4, "waiting": 8})
FLOOD = 96 * 2**20
STILL_S = 2.0


def _gone(scene: Scene) -> bool:
    return bool(scene.engine.asked) and scene.engine.asked[0].state == "gone"


@STREAMING.verdict(
    "pieces", lambda: _("A piece goes out when the engine has made it, not when the answer is complete.")
)
async def pieces(scene: Scene) -> str:
    """The engine waits before a piece: those before it must be here."""
    texts = tuple(f" {scene.words(1)}" for _n in range(5))
    for held in (1, 3):
        await scene.engine.reset(Script(pieces=texts, hold=held))
        one = await scene.send(scene.body(stream=True))
        came = await one.read_until(held, PATIENCE_S)
        scene.engine.release()
        if one.status and one.status != 200:
            return _("a streamed request gets {status}").format(status=one.status)
        if not came:
            return _("the engine had made {n} pieces, and {got} had come").format(n=held, got=len(one.texts))
        await one.whole()
    kind = one.headers.get("content-type", "")
    return "" if kind.startswith("text/event-stream") else _("the content type is {kind}").format(kind=kind)


@STREAMING.verdict(
    "text", lambda: _("The pieces together are the engine's text, its end is told, and the usage where asked.")
)
async def text(scene: Scene) -> str:
    """Characters of several bytes, an empty piece, line ends; `[DONE]` last."""
    texts = (scene.words(), "", "é", " 茶\n\n", "data: x", "🚲")
    await scene.engine.reset(Script(pieces=texts))
    one = await (await scene.send(scene.body(stream=True, stream_options={"include_usage": True}))).whole()
    events = list(one.events())
    if "".join(one.texts) != "".join(texts):
        return _("the text came otherwise than the engine made it")
    if events[-1:] != ["[DONE]"]:
        return _("the stream does not end with [DONE]")
    told = any(isinstance(event, dict) and event.get("usage") for event in events)
    return "" if told else _("the usage was asked for and did not come")


@STREAMING.verdict(
    "refusal", lambda: _("What the engine refuses before its first piece is refused by status, not in a stream.")
)
async def refusal(scene: Scene) -> str:
    """400 and 404 of the engine for a streamed request."""
    for status in (400, 404):
        await scene.engine.reset(Script(status=status))
        one = await scene.ask(scene.body(stream=True))
        if one.status != status:
            return _("the engine says {said}, the service {status}").format(said=status, status=one.status)
        if not one.error:
            return _("the refusal is no structured error")
    return ""


@STREAMING.verdict("leave-stream", lambda: _("Who leaves in the middle of a stream ends the engine's work on it."))
async def leave_stream(scene: Scene) -> str:
    """The client hangs up while the engine is at work."""
    await scene.engine.reset(Script(hold=2))
    one = await scene.send(scene.body(stream=True))
    if not await one.read_until(2, PATIENCE_S):
        return _("the first pieces did not come")
    one.leave()
    if not await until(lambda: _gone(scene)):
        return _("the client has left, and the engine goes on")
    return await scene.works()


@STREAMING.verdict(
    "leave-whole", lambda: _("Who leaves while waiting for a whole answer ends the engine's work on it.")
)
async def leave_whole(scene: Scene) -> str:
    """The client hangs up before a word was said."""
    await scene.engine.reset(Script(hold=0))
    one = await scene.send(scene.body())
    if not await until(lambda: scene.engine.asked):
        return _("the engine was not asked")
    one.leave()
    if not await until(lambda: _gone(scene)):
        return _("the client has left, and the engine goes on")
    return await scene.works()


@STREAMING.verdict("cut", lambda: _("An answer that the engine breaks off does not end as if it were complete."))
async def cut(scene: Scene) -> str:
    """The engine dies in the middle of a stream."""
    await scene.engine.reset(Script(pieces=("one", " two", " three", " four"), cut=2))
    one = await scene.send(scene.body(stream=True))
    try:
        while await one.more():
            pass
    except Broken:
        if not one.broken:
            return _("the engine has died, and the client waits on")
    if one.done or (one.ended and not one.failed):
        return _("the stream ends as if the answer were complete: neither an error event nor a broken connection")
    return await scene.works()


@STREAMING.verdict("slow", lambda: _("Who does not read makes the engine wait: nothing is hoarded, others are served."))
async def slow(scene: Scene) -> str:
    """A stream of 96 MiB to a client who reads nothing."""
    await scene.engine.reset(Script(volume=FLOOD))
    one = await scene.send(scene.body(stream=True), small=True)
    if not await until(lambda: scene.engine.asked):
        return _("the engine was not asked")
    asked, before, still = scene.engine.asked[0], -1, 0.0
    while asked.state == "answering" and still < STILL_S:
        moved, before = asked.bytes != before, asked.bytes
        still = 0.0 if moved else still + 0.1
        await until(lambda: asked.state != "answering", 0.1)
    if asked.state == "done":
        return _("the engine could send 96 MiB to a client who reads nothing")
    scene.engine.script = Script()
    other = await scene.ask()
    if other.status != 200:
        return _("meanwhile another client gets {status}").format(status=other.status)
    one.leave()
    return "" if await until(lambda: asked.state == "gone") else _("the client has left, and the engine goes on")
