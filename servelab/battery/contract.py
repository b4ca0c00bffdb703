"""The first suite: what a caller is promised. Typed requests, keys, structured errors, health, the schema."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

from servelab.battery.exchange import Exchange
from servelab.battery.scripted import Script, until
from servelab.battery.verdicts import PATH, Scene, Suite
from servelab.i18n import _

CONTRACT = Suite("contract", {"running": 4, "waiting": 8})
LARGEST_BODY = 2**20
SCHEMA_SECONDS = 120
DOCUMENTED = ("200", "401", "413", "422", "429", "502", "504")
"""The statuses that the schema must tell of."""


@CONTRACT.verdict(
    "answers", lambda: _("A right request reaches the engine as it was meant, and its answer comes back.")
)
async def answers(scene: Scene) -> str:
    """The text, the usage and the defaults, for a prompt of text and one of token ids."""
    ids = [scene.rng.randrange(1000, 30_000) for _n in range(5)]
    for prompt in (scene.words(), ids):
        await scene.engine.reset(Script(pieces=(scene.words(), " 好", "!")))
        one = await scene.ask({"prompt": prompt})
        if one.status != 200:
            return _("a request of a prompt alone gets {status}").format(status=one.status)
        sent = scene.engine.asked[0].body if scene.engine.asked else {}
        if sent.get("prompt") != prompt:
            return _("the engine was asked another prompt")
        if (sent.get("max_tokens"), sent.get("temperature")) != (64, 0):
            return _("the defaults are not max_tokens 64 and temperature 0")
        said = one.json()
        text = said["choices"][0]["text"] if isinstance(said, dict) and said.get("choices") else None
        if text != "".join(scene.engine.script.pieces):
            return _("the text is not the engine's")
        if not said.get("usage", {}).get("completion_tokens"):
            return _("the usage is missing")
    body = scene.body(temperature=0.5)
    await scene.ask(body)
    sent = scene.engine.asked[-1].body
    same = all(sent.get(key) == value for key, value in body.items())
    return "" if same else _("max_tokens or temperature reach the engine changed")


@CONTRACT.verdict(
    "key", lambda: _("Without a key, or with a wrong one, nothing is said or done: 401, whatever the body.")
)
async def key(scene: Scene) -> str:
    """None, another, a part of one; a broken body does not come first; every key of the list opens."""
    right = scene.settings.keys
    for wrong in (None, "", "x", right[0][:-1], right[0] + "x", right[0].upper() + "Z", ",".join(right), "\xe9"):
        one = await scene.ask(key=wrong)
        if one.status != 401:
            return _("the key {key!r} gets {status} instead of 401").format(key=wrong, status=one.status)
    one = await scene.ask(key=None, headers={"Authorization": f"Basic {right[0]}"})
    if one.status != 401:
        return _("a key of another scheme gets {status} instead of 401").format(status=one.status)
    one = await scene.ask(b"{", key=None)
    if one.status != 401:
        return _("a broken body without a key gets {status}: the key comes first").format(status=one.status)
    if scene.engine.asked:
        return _("the engine was asked for a caller without a key")
    for good in right:
        one = await scene.ask(key=good)
        if one.status != 200:
            return _("one of the keys gets {status}").format(status=one.status)
    return ""


def malformed(scene: Scene) -> list[Any]:
    """Bodies that no service may take: bytes as they are, anything else as JSON."""
    right = scene.body()
    wrong = [
        {"prompt": ""}, {"prompt": []}, {"prompt": [1, "two"]}, {"prompt": [-1]}, {"prompt": [1] * 4097},
        {"prompt": "x" * 8001}, {"max_tokens": 0}, {"max_tokens": 513}, {"max_tokens": 1.5}, {"max_tokens": "5"},
        {"max_tokens": True}, {"temperature": -0.1}, {"temperature": 2.1}, {"stream": "yes"}, {"stream": 1},
        {"max_token": 5},
    ]  # fmt: skip
    return [
        b"{", b"", b"[]", b"null", b'{"prompt": "\xff"}', b'{"prompt": "\\ud800"}', b"[" * 50_000,
        b'{"prompt": "x", "max_tokens": ' + b"9" * 5000 + b"}", b'{"prompt": "x", "temperature": NaN}',
        b'{"prompt": "x", "temperature": Infinity}', {"max_tokens": 3}, *({**one, **{k: v for k, v in right.items()
        if k not in one}} for one in wrong),
    ]  # fmt: skip


@CONTRACT.verdict("typed", lambda: _("What is not a right request gets 400 or 422 and never reaches the engine."))
async def typed(scene: Scene) -> str:
    """Every malformed body, and the bounds themselves, which are allowed."""
    for body in malformed(scene):
        one = await scene.ask(body)
        what = (body.decode("latin-1") if isinstance(body, bytes) else json.dumps(body))[:60]
        if one.status not in (400, 422):
            return _("the body {what} gets {status}").format(what=what, status=one.status)
        if scene.engine.asked:
            return _("the body {what} reached the engine").format(what=what)
    for body in ({"prompt": "x" * 8000, "max_tokens": 512, "temperature": 2}, {"prompt": [0] * 4096, "max_tokens": 1}):
        one = await scene.ask(body)
        if one.status != 200:
            return _("a request at its bounds gets {status}").format(status=one.status)
    return ""


@CONTRACT.verdict(
    "large", lambda: _("A body of more than 1 MiB is refused with 413, whether it tells its length or not.")
)
async def large(scene: Scene) -> str:
    """One byte too many, with Content-Length and in chunks."""
    raw = json.dumps(scene.body()).encode()
    for chunked in (False, True):
        one = await scene.send(raw + b" " * (LARGEST_BODY + 1 - len(raw)), chunked=chunked, first=1000)
        await one.head()
        if one.status != 413:
            how = _("in chunks") if chunked else _("with its length")
            return _("1 MiB and a byte, sent {how}, gets {status}").format(how=how, status=one.status)
    if scene.engine.asked:
        return _("the engine was asked")
    one = await scene.ask(raw + b" " * 1000, chunked=True)
    return "" if one.status == 200 else _("a small body in chunks gets {status}").format(status=one.status)


@CONTRACT.verdict(
    "errors", lambda: _("Every error has one form, and every answer a request id of its own, or the caller's.")
)
async def errors(scene: Scene) -> str:
    """401, 404, 405, 422 and what the engine refuses; ids in the header and in the error."""
    url, right = scene.url, scene.key
    ids = []
    scene.engine.queue.append(Script(status=400))
    for method, path, body, using, wanted in (
        ("POST", PATH, scene.body(), right, 400), ("POST", PATH, scene.body(), None, 401),
        ("GET", "/nothing", None, right, 404), ("GET", PATH, None, right, 405),
        ("POST", PATH, {"prompt": ""}, right, 422), ("POST", PATH, b"{", right, None),
    ):  # fmt: skip
        one = await (await Exchange.send(url, method, path, body, using)).whole()
        if wanted and one.status != wanted:
            return _("{method} {path} gets {status} instead of {wanted}").format(
                method=method, path=path, status=one.status, wanted=wanted
            )
        if not one.error:
            return _(
                '{status} does not come as {{"error": {{"message", "type", "code"}}}} with the status as code'
            ).format(status=one.status)
        ids.append(one.headers.get("x-request-id"))
        if one.error.get("request_id") != ids[-1]:
            return _("an error does not tell the request id of its header X-Request-Id")
    ids.append((await scene.ask()).headers.get("x-request-id"))
    if None in ids or len(set(ids)) != len(ids):
        return _("not every answer has an X-Request-Id of its own")
    mine = f"order-{scene.rng.randrange(10**6)}"
    one = await scene.ask(headers={"X-Request-Id": mine})
    if one.headers.get("x-request-id") != mine:
        return _("the caller's own X-Request-Id does not come back")
    told = {name.lower(): value for name, value in scene.engine.asked[-1].headers.items()}
    return "" if told.get("x-request-id") == mine else _("the engine does not hear the X-Request-Id")


@CONTRACT.verdict(
    "health", lambda: _("/health: the process lives. /ready: its engine can serve. Neither asks for a key.")
)
async def health(scene: Scene) -> str:
    """Both with the engine up, down and up again."""
    for well in (True, False, True):
        scene.engine.healthy = well
        for path, wanted in (("/health", 200), ("/ready", 200 if well else 503)):
            one = await scene.get(path)
            if one.status != wanted:
                engine = _("healthy") if well else _("not healthy")
                return _("with an engine that is {engine}, {path} gets {status} instead of {wanted}").format(
                    engine=engine, path=path, status=one.status, wanted=wanted
                )
    return _("/ready made the engine generate") if scene.engine.asked else ""


@CONTRACT.verdict(
    "openapi", lambda: _("The schema tells the bounds, the key, the stream, and every error that can come.")
)
async def openapi(scene: Scene) -> str:
    """What generated clients and tests read."""
    document = (await scene.get("/openapi.json")).json()
    try:
        operation = document["paths"][PATH]["post"]
        body = resolved(document, operation["requestBody"]["content"]["application/json"]["schema"])
        tokens, heat = (resolved(document, body["properties"][name]) for name in ("max_tokens", "temperature"))
        if (tokens.get("minimum"), tokens.get("maximum")) != (1, 512) or (heat.get("maximum")) != 2:
            return _("the bounds of max_tokens or temperature are not in the schema")
        if body.get("additionalProperties") is not False:
            return _("the schema allows fields that do not exist")
        missing = [status for status in DOCUMENTED if status not in operation["responses"]]
        if missing:
            return _("the status {status} is not in the schema").format(status=missing[0])
        if "text/event-stream" not in operation["responses"]["200"].get("content", {}):
            return _("the schema does not tell that 200 may be text/event-stream")
        if not (operation.get("security") or document.get("security")):
            return _("the schema does not tell that a key is needed")
    except (KeyError, TypeError, AttributeError) as error:
        return _("the schema has no {what}").format(what=error)
    return ""


def resolved(document: Any, schema: Any) -> Any:
    """A schema with its reference followed."""
    while "$ref" in schema:
        place, schema = schema["$ref"].removeprefix("#/").split("/"), document
        for step in place:
            schema = schema[step]
    return schema


@CONTRACT.verdict(
    "schema", lambda: _("Requests made by schemathesis from the schema: no answer that it does not tell of.")
)
async def schema(scene: Scene) -> str:
    """Generated requests, right and wrong, against the running service; in a process of its own."""
    words = [sys.executable, "-m", "servelab.battery.fuzz", scene.url, scene.key, str(scene.rng.randrange(2**31))]
    try:
        done = await asyncio.to_thread(
            subprocess.run, words, capture_output=True, text=True, timeout=SCHEMA_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return _("the generated requests took more than {n} s").format(n=SCHEMA_SECONDS)
    await until(lambda: not scene.engine.open)
    try:
        told = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        return _("the schema cannot be read: {error}").format(error=done.stderr.strip().splitlines()[-1:] or "")
    return "" if told["why"] == "" else str(told["why"])[:400]
