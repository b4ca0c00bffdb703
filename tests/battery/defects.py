# ruff: noqa: E501
"""Planted defects: {suite: {what is wrong: (changes to the reference, the verdict that must name it)}}.

Each is one that a service has that works when one tries it; also the lab's mutants are made of them.
"""

from __future__ import annotations

from pathlib import Path

from servelab.paths import ROOT

REFERENCE = ROOT / "labs" / "vllm" / "2.3_reference.py"
SHARED = ROOT / "labs" / "vllm" / "2.4_reference.py"
OWN = ('shared = Shared(os.environ.get("REDIS_URL", ""))', 'shared = Shared(os.environ.get("REDIS_URL", ""))\nOWN = {}')
Change = tuple[str, str]

CANCEL = """            await asyncio.wait({work, ear}, timeout=TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            work.cancel()
"""

DEFECTS: dict[str, dict[str, tuple[list[Change], str]]] = {
    "contract": {
        "hands the prompt on without its defaults": (
            [("ask.model_dump(exclude_none=True)", "ask.model_dump(exclude_unset=True)")], "answers"),
        "takes any part of a key for the key": (
            [("hmac.compare_digest(key, right)", "right.startswith(key)")], "key"),
        "looks at the key after the body": (
            [("            if scheme.lower() != b\"bearer\"", "            if False and scheme.lower() != b\"bearer\"")], "key"),
        "takes a number that is written as text": (
            [('class Ask(BaseModel):\n    model_config = ConfigDict(extra="forbid", strict=True)',
              'class Ask(BaseModel):\n    model_config = ConfigDict(extra="forbid")')], "typed"),
        "overlooks a field that does not exist": (
            [('class Ask(BaseModel):\n    model_config = ConfigDict(extra="forbid", strict=True)',
              'class Ask(BaseModel):\n    model_config = ConfigDict(strict=True)')], "typed"),
        "repeats the wrong input in its error": (
            [("{first['msg']}\"", "{first['msg']}: {first.get('input')}\"")], "typed"),
        "believes in the length that is told": ([("                if size > MAX_BODY:", "                if False:")], "large"),
        "reports errors in FastAPI's own form": ([("@app.exception_handler(RequestValidationError)\n", "")], "errors"),
        "has one id for all requests": ([("else uuid.uuid4().hex", 'else "request"')], "errors"),
        "is alive only while its engine is": (
            [('    """The process lives."""\n', '    """The process lives."""\n    (await engine.get("/health", timeout=2)).raise_for_status()\n')],
            "health"),
        "is ready without a look at its engine": ([(".status_code == 200:\n            return {\"status\": \"ok\"}", ".status_code:\n            return {\"status\": \"ok\"}")], "health"),
        "documents success only": ([("responses={**FAULTS, **STREAM}", "responses=STREAM")], "openapi"),
        "answers with what its schema does not tell": ([("    usage: Usage\n", "    usage: Usage\n    model_name: str\n")], "schema"),
    },
    "streaming": {
        "collects the stream and sends it at its end": (
            [("    async for chunk in answer.aiter_raw():\n        yield chunk", "    yield await answer.aread()")], "pieces"),
        "cuts characters of several bytes": (
            [("        yield chunk", '        yield chunk.decode("ascii", "replace").encode()')], "text"),
        "begins its stream before the engine has agreed": (
            [("    answer = await stack.enter_async_context(answered(body, request.state.request_id))\n    if ask.stream:\n        return StreamingResponse(passing(answer), media_type=\"text/event-stream\")\n",
              "    if ask.stream:\n        async def late():\n            async with answered(body, request.state.request_id) as answer:\n                async for chunk in passing(answer):\n                    yield chunk\n        return StreamingResponse(late(), media_type=\"text/event-stream\")\n    answer = await stack.enter_async_context(answered(body, request.state.request_id))\n")],
            "refusal"),
        "works on for whoever has left the stream": (
            [("    answer = await stack.enter_async_context(answered(body, request.state.request_id))\n    if ask.stream:\n        return StreamingResponse(passing(answer), media_type=\"text/event-stream\")\n",
              "    if ask.stream:\n        pieces = asyncio.Queue()\n\n        async def fill():\n            async with answered(body, request.state.request_id) as answer:\n                async for chunk in passing(answer):\n                    await pieces.put(chunk)\n            await pieces.put(None)\n\n        app.state.filling = asyncio.ensure_future(fill())\n\n        async def out():\n            while (chunk := await pieces.get()) is not None:\n                yield chunk\n\n        return StreamingResponse(out(), media_type=\"text/event-stream\")\n    answer = await stack.enter_async_context(answered(body, request.state.request_id))\n")],
            "leave-stream"),
        "works on for whoever waits no more": (
            [(CANCEL, "            await asyncio.wait({work}, timeout=TIMEOUT_S)\n            if work.done():\n                return work.result()\n            work.cancel()\n")],
            "leave-whole"),
        "ends a broken answer as if it were whole": (
            [("    async for chunk in answer.aiter_raw():\n        yield chunk",
              "    try:\n        async for chunk in answer.aiter_raw():\n            yield chunk\n    except httpx.HTTPError:\n        pass")], "cut"),
        "hoards what nobody reads": (
            [("    async for chunk in answer.aiter_raw():\n        yield chunk",
              "    pieces = asyncio.Queue()\n\n    async def fill():\n        try:\n            async for chunk in answer.aiter_raw():\n                await pieces.put(chunk)\n        finally:\n            await pieces.put(None)\n\n    filling = asyncio.ensure_future(fill())\n    while (chunk := await pieces.get()) is not None:\n        yield chunk\n    await filling")],
            "slow"),
    },
    "pressure": {
        "lets all of them through": ([("    await stack.enter_async_context(places.one())\n", "")], "bound"),
        "lets one too many through": ([("asyncio.Semaphore(MAX_RUNNING)", "asyncio.Semaphore(MAX_RUNNING + 1)")], "bound"),
        "lets any number wait": ([("self.waiting >= MAX_WAITING", "self.waiting >= 10_000")], "flood"),
        "refuses without Retry-After": ([(', {"Retry-After": str(max(1, soon))})', ")")], "flood"),
        "refuses with 503": ([("raise Refused(429,", "raise Refused(503,")], "flood"),
        "counts those who left the queue": (
            [("        try:\n            await self.free.acquire()\n        finally:\n            self.waiting -= 1\n",
              "        await self.free.acquire()\n        self.waiting -= 1\n")], "leavers"),
        "loses the place of whatever fails": (
            [("        try:\n            yield\n        finally:\n            self.free.release()\n", "        yield\n        if True:\n            self.free.release()\n")],
            "places"),
        "gives up at the first failure": ([("TRIES = 3", "TRIES = 1")], "retry"),
        "tries again what cannot be mended": (
            [("            if 400 <= status < 500:\n                raise Refused(status, said)\n", ""),
             ("status not in (502, 503)", "status == 200")], "no-retry"),
        "has no budget": ([("        budget -= 1\n", "")], "budget"),
        "waits for its engine for ever": ([("timeout=TIMEOUT_S, return_when", "timeout=None, return_when")], "silent"),
        "gives each piece its own time": (
            [("timeout=TIMEOUT_S, return_when", "timeout=None, return_when"),
             ("httpx.Timeout(None, connect=5)", "httpx.Timeout(TIMEOUT_S)"),
             ("        except httpx.HTTPError:\n            status = 502", "        except httpx.ReadTimeout:\n            raise Refused(504, 'too slow') from None\n        except httpx.HTTPError:\n            status = 502")],
            "unread"),
        "ends a stalled stream as if it were whole": (
            [("    async for chunk in answer.aiter_raw():\n        yield chunk",
              "    pieces = answer.aiter_raw()\n    try:\n        while True:\n            yield await asyncio.wait_for(anext(pieces), TIMEOUT_S / 2)\n    except (TimeoutError, StopAsyncIteration):\n        pass")],
            "stalled"),
    },
    "shared": {
        "counts for itself only": (
            [('count = await self.ask("INCR", place)', "count = OWN[place] = OWN.get(place, 0) + 1"), OWN], "quota"),
        "reads the count and then writes it": (
            [('count = await self.ask("INCR", place)',
              'count = int(await self.ask("GET", place) or 0) + 1\n        await self.ask("SET", place, count)')], "quota"),
        "refuses without a word on when": ([(', {"Retry-After": str(max(1, left))})', ")")], "over-quota"),
        "keeps copies in its own memory": (
            [("(copy := await shared.recall(place))", "(copy := OWN.get(place))"), ("await shared.keep(place, raw)", "OWN[place] = raw"), OWN],
            "copies"),
        "keeps copies of chance": ([("ask.temperature == 0 and not ask.stream", "not ask.stream")], "no-copies"),
        "names a copy by its prompt alone": (
            [("digest(json.dumps(body, sort_keys=True))", "digest(str(body['prompt']))")], "no-copies"),
        "keeps sessions in its own memory": (
            [("(await shared.recall(turn) or", "(OWN.get(turn) or"), ("await shared.keep(turn, ", "OWN.__setitem__(turn, "), OWN], "sessions"),
        "remembers what was asked, not what was said": (
            [(' + json.loads(raw)["choices"][0]["text"])', ")")], "sessions"),
        "names a session without its key": ([("digest(caller, session)", "digest(session)")], "strangers"),
        "never lets go": ([(', "PX", int(1000 * KEEP_S))', ")")], "expiry"),
        "waits for Redis for ever": (
            [("decode_responses=True, **patience", "decode_responses=True"), ("async with asyncio.timeout(2 * PATIENCE_S):", "if True:")],
            "silent-redis"),
        "fails with its Redis": (
            [("except (RedisError, OSError, TimeoutError):\n            return None", "except ZeroDivisionError:\n            return None")],
            "no-redis"),
    },
}  # fmt: skip


def reference(suite: str) -> Path:
    """The service that holds every verdict of a suite."""
    return SHARED if suite == "shared" else REFERENCE


def planted(changes: list[Change], suite: str = "") -> str:
    """The reference with a defect; what is changed must be there, or nothing would be planted."""
    text = reference(suite).read_text()
    for old, new in changes:
        assert old in text, f"not in the reference: {old}"
        text = text.replace(old, new)
    compile(text, "planted", "exec")
    return text
