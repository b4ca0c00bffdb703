"""A completions service, one of several: what they must agree on is in Redis, and without it each serves on."""

import asyncio
import hashlib
import hmac
import json
import math
import os
import random
import time
import uuid
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated, Literal

import httpx
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from redis.asyncio import Redis
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException

ENGINE = os.environ["ENGINE_URL"]
KEYS = [key.encode() for key in os.environ["API_KEYS"].split(",")]
MAX_RUNNING, MAX_WAITING = int(os.environ["MAX_RUNNING"]), int(os.environ["MAX_WAITING"])
TIMEOUT_S = float(os.environ["TIMEOUT_S"])
RETRY_BUDGET = int(os.environ["RETRY_BUDGET"])
QUOTA, WINDOW_S = int(os.environ["QUOTA"]), float(os.environ["WINDOW_S"])
KEEP_S = float(os.environ["KEEP_S"])
PATIENCE_S = 0.3
MAX_BODY = 2**20
TRIES = 3
PATH = "/v1/completions"

engine = httpx.AsyncClient(base_url=ENGINE, timeout=httpx.Timeout(None, connect=5), trust_env=False)


# What is asked, and what comes back


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    include_usage: bool = False
    continuous_usage_stats: bool = False


class Ask(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    prompt: (
        Annotated[str, Field(min_length=1, max_length=8000)]
        | Annotated[list[Annotated[int, Field(ge=0, le=2**31 - 1)]], Field(min_length=1, max_length=4096)]
    )
    max_tokens: int = Field(64, ge=1, le=512)
    temperature: float = Field(0, ge=0, le=2, allow_inf_nan=False)
    stream: bool = False
    stream_options: StreamOptions | None = None
    ignore_eos: bool = False
    model: str | None = None


class Choice(BaseModel):
    index: int
    text: str
    finish_reason: str | None


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(BaseModel):
    id: str
    object: Literal["text_completion"]
    choices: list[Choice]
    usage: Usage


class Fault(BaseModel):
    message: str
    type: str
    code: int
    request_id: str


class Failure(BaseModel):
    error: Fault


class Refused(Exception):
    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None):
        self.status, self.message, self.headers = status, message, headers or {}


TYPES = {400: "bad_request", 401: "unauthorized", 404: "not_found", 405: "method_not_allowed", 413: "too_large",
         422: "invalid_request", 429: "overloaded", 502: "engine_failed", 504: "timeout"}  # fmt: skip


def failure(request_id: str, status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    error = {"message": message, "type": TYPES.get(status, "error"), "code": status, "request_id": request_id}
    return JSONResponse({"error": error}, status, headers)


# Before anything is read: an id, the key, the size, and an end to the work of those who left or took too long


class Gate:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if 0 < len(given) <= 100 and given.isprintable() else uuid.uuid4().hex
        scope["state"] = {**scope.get("state", {}), "request_id": request_id}
        begun = False

        async def tell(message):
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode("latin-1"))]
            await send(message)

        async def refuse(status, message, **more):
            await failure(request_id, status, message, more or None)(scope, receive, tell)

        if scope["path"] == PATH and scope["method"] == "POST":
            scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
            if scheme.lower() != b"bearer" or not any([hmac.compare_digest(key, right) for right in KEYS]):
                return await refuse(401, "a valid key is needed", **{"WWW-Authenticate": "Bearer"})
            length = headers.get(b"content-length", b"0")
            if not length.isdigit() or int(length) > MAX_BODY:
                return await refuse(413, "the body is larger than 1 MiB")
        inbox: asyncio.Queue = asyncio.Queue(1)
        large = asyncio.Event()

        async def listen():
            size = 0
            while True:
                message = await receive()
                size += len(message.get("body", b""))
                if size > MAX_BODY:
                    return large.set()
                await inbox.put(message)
                if message["type"] == "http.disconnect":
                    return None

        work, ear = asyncio.ensure_future(self.app(scope, inbox.get, tell)), asyncio.ensure_future(listen())
        try:
            await asyncio.wait({work, ear}, timeout=TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            work.cancel()
            await asyncio.wait({work})
            if begun:
                return None  # unfinished: the server breaks the connection, and the client sees that it is not whole
            if large.is_set():
                return await refuse(413, "the body is larger than 1 MiB")
            if not ear.done():
                return await refuse(504, f"no answer within {TIMEOUT_S:g} s")
        finally:
            for task in (work, ear):
                task.cancel()


# Places at the engine


class Places:
    def __init__(self):
        self.free, self.waiting, self.seconds = asyncio.Semaphore(MAX_RUNNING), 0, 1.0

    @asynccontextmanager
    async def one(self):
        if self.free.locked() and self.waiting >= MAX_WAITING:
            soon = math.ceil(self.seconds * (self.waiting + 1) / MAX_RUNNING)
            raise Refused(429, "too many requests are waiting", {"Retry-After": str(max(1, soon))})
        self.waiting += 1
        try:
            await self.free.acquire()
        finally:
            self.waiting -= 1
        began = time.monotonic()
        try:
            yield
        finally:
            self.free.release()
            self.seconds += 0.1 * (time.monotonic() - began - self.seconds)


places = Places()
budget = float(RETRY_BUDGET)


# The engine


def reason(raw: bytes, status: int) -> str:
    try:
        return str(json.loads(raw)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"the engine answers {status}"


@asynccontextmanager
async def answered(body: dict, request_id: str):
    """The engine's answer, its head read; tried again while nothing was said and the budget lasts."""
    global budget
    for attempt in range(TRIES):
        request = engine.build_request("POST", PATH, json=body, headers={"X-Request-Id": request_id})
        try:
            answer = await engine.send(request, stream=True)
        except httpx.HTTPError:
            status = 502
        else:
            status = answer.status_code
            if status == 200:
                budget = min(RETRY_BUDGET, budget + 0.1)
                try:
                    yield answer
                finally:
                    await answer.aclose()
                return
            said = reason(await answer.aread(), status)
            if 400 <= status < 500:
                raise Refused(status, said)
        if status not in (502, 503) or attempt == TRIES - 1 or budget < 1:
            break
        budget -= 1
        await asyncio.sleep(random.uniform(0, 0.05 * 2**attempt))
    raise Refused(502, "the engine cannot answer now")


async def passing(answer: httpx.Response):
    """The engine's bytes as they come. Its break breaks this answer too: the client must see that it is not whole."""
    async for chunk in answer.aiter_raw():
        yield chunk


# What all replicas share. Redis is a help, not a condition: a second without it costs a copy or a count, no answer.


class Shared:
    def __init__(self, url: str):
        patience = {"socket_timeout": PATIENCE_S, "socket_connect_timeout": PATIENCE_S}
        self.redis = Redis.from_url(url, decode_responses=True, **patience) if url else None

    async def ask(self, command: str, *words):
        """Redis' answer; None where there is no Redis, or none that answers in time."""
        if self.redis is None:
            return None
        try:
            async with asyncio.timeout(2 * PATIENCE_S):
                return await self.redis.execute_command(command, *words)
        except (RedisError, OSError, TimeoutError):
            return None

    async def spend(self, caller: str) -> None:
        """Count a request of this caller's window; refuse the one too many."""
        window = int(time.time() // WINDOW_S)
        place = f"quota:{caller}:{window}"
        count = await self.ask("INCR", place)  # one step: two replicas never read the same number
        if count == 1:
            await self.ask("PEXPIRE", place, int(1000 * WINDOW_S))
        if count is not None and count > QUOTA:
            left = math.ceil((window + 1) * WINDOW_S - time.time())
            raise Refused(429, f"the quota of {QUOTA} requests is used up", {"Retry-After": str(max(1, left))})

    async def recall(self, place: str) -> str | None:
        return await self.ask("GET", place)

    async def keep(self, place: str, text: str) -> None:
        await self.ask("SET", place, text, "PX", int(1000 * KEEP_S))


shared = Shared(os.environ.get("REDIS_URL", ""))


def digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


# The service

app = FastAPI(title="Completions", version="1.0")
app.add_middleware(Gate)
bearer = HTTPBearer(auto_error=False)


async def until_sent():
    async with AsyncExitStack() as stack:
        yield stack


def told(request: Request, status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return failure(request.state.request_id, status, message, headers)


@app.exception_handler(Refused)
async def refused(request: Request, error: Refused):
    return told(request, error.status, error.message, error.headers)


@app.exception_handler(HTTPException)
async def http_error(request: Request, error: HTTPException):
    return told(request, error.status_code, str(error.detail), error.headers)


@app.exception_handler(RequestValidationError)
async def invalid(request: Request, error: RequestValidationError):
    first = error.errors()[0]
    return told(request, 422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")


FAULTS = {status: {"model": Failure} for status in (400, 401, 404, 413, 422, 429, 502, 504)}
STREAM = {200: {"content": {"text/event-stream": {}}}}


@app.post(PATH, response_model=Completion, responses={**FAULTS, **STREAM}, dependencies=[Depends(bearer)])
async def complete(ask: Ask, request: Request, stack: Annotated[AsyncExitStack, Depends(until_sent)]):
    """Complete a prompt, whole or streamed as server-sent events. With X-Session, it goes on where the last ended."""
    caller = digest(request.headers["authorization"].partition(" ")[2])
    await shared.spend(caller)
    body = ask.model_dump(exclude_none=True)
    session, text = request.headers.get("x-session"), isinstance(ask.prompt, str)
    turn = f"session:{digest(caller, session)}" if session and text and not ask.stream else ""
    if turn:
        body["prompt"] = (await shared.recall(turn) or "") + body["prompt"]
    repeatable = ask.temperature == 0 and not ask.stream and not turn
    place = f"answer:{digest(json.dumps(body, sort_keys=True))}" if repeatable else ""
    if place and (copy := await shared.recall(place)):
        return Response(copy, media_type="application/json", headers={"X-Cache": "hit"})
    await stack.enter_async_context(places.one())
    answer = await stack.enter_async_context(answered(body, request.state.request_id))
    if ask.stream:
        return StreamingResponse(passing(answer), media_type="text/event-stream")
    try:
        raw = (await answer.aread()).decode()
    except httpx.HTTPError:
        raise Refused(502, "the engine broke off") from None
    if place:
        await shared.keep(place, raw)
    if turn:
        await shared.keep(turn, body["prompt"] + json.loads(raw)["choices"][0]["text"])
    return Response(raw, media_type="application/json", headers={"X-Cache": "miss"})


@app.get("/health")
async def health():
    """The process lives."""
    return {"status": "ok"}


@app.get("/ready", responses={503: {"model": Failure}})
async def ready(request: Request):
    """The engine behind it can serve."""
    try:
        if (await engine.get("/health", timeout=2)).status_code == 200:
            return {"status": "ok"}
    except httpx.HTTPError:
        pass
    return told(request, 503, "the engine is not ready")
