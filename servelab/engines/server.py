"""A handle on one running engine."""

from __future__ import annotations

import contextlib
import json
import threading
import weakref
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servelab.engines import process
from servelab.engines.metrics import Metrics, Watch
from servelab.errors import ServelabError
from servelab.i18n import _

if TYPE_CHECKING:
    import httpx
    import openai


@dataclass(frozen=True)
class KVCache:
    """The engine's KV cache: tokens a block, blocks, tokens in all."""

    block_size: int
    num_blocks: int
    tokens: int


class Server:
    """A ready server. Leaving its `with` block releases it: it stays warm while its owner lives.

    Attributes:
        name, url, port, pid: where it is; `pid` is the engine's first process.
        model: the name requests ask for; `model_path` the folder it was loaded from.
        config: what was asked for; `command`, `env`: what was started for it.
        reused: True where it ran already; `ready_seconds`: how long its start took.
    """

    def __init__(self, state: process.State, token: str | None = None, reused: bool = True) -> None:
        self._state, self._token = state, token
        self.name: str = state["name"]
        self.url: str = state["url"]
        self.port: int = state["port"]
        self.pid: int | None = (state["engine"] or {}).get("pid")
        self.model: str | None = state.get("model")
        self.model_path: str | None = state.get("model_path")
        self.config: dict[str, Any] = state["config"]
        self.command: list[str] = state["command"]
        self.env: dict[str, str] = state["env"]
        self.log_path = Path(state["log"])
        self.reused = reused
        self.ready_seconds: float | None = state.get("ready_seconds")
        self._let_go = weakref.finalize(self, _release_later, self.name, token) if token else None
        if self._let_go:
            self._let_go.atexit = False  # a process that ended holds nothing

    def __repr__(self) -> str:
        return f"<Server {self.name} at {self.url}, {'healthy' if self.health() else 'not running'}>"

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Give the server back; it stays warm, and makes room when another one needs it."""
        if self._let_go and self._let_go.detach():
            process.release(self.name, self._token)

    def stop(self, force: bool = False) -> None:
        """Stop the server and wait until nothing of it is left.

        Raises:
            ServelabError: another program uses it, and `force` is not set.
        """
        if self._is_mine():
            process.stop(self.name, force)
        self.release()

    def health(self) -> bool:
        """True while the server answers that it can serve."""
        if not self._is_mine():
            return False
        with contextlib.suppress(Exception):
            return self._http.get(self._state["ready_url"], timeout=5).status_code == 200
        return False

    def metrics(self) -> Metrics:
        """Its metrics, read now.

        Raises:
            ServelabError: it is gone.
        """
        return Metrics(self._get("/metrics").text)

    @property
    def kv_cache(self) -> KVCache:
        """The size of its KV cache, as the engine itself reports it."""
        for sample in self.metrics().samples("vllm:cache_config_info"):
            block, blocks = int(sample.labels["block_size"]), int(sample.labels["num_gpu_blocks"])
            return KVCache(block, blocks, block * blocks)
        raise ServelabError(_("{name} reports no KV cache.").format(name=self.name))

    def client(self) -> openai.OpenAI:
        """An OpenAI client for this server.

        Raises:
            ServelabError: it is gone.
        """
        import httpx
        import openai

        self._require()
        key = self.config.get("api_key") or "none"
        return openai.OpenAI(
            base_url=f"{self.url}/v1", api_key=key, max_retries=0, http_client=httpx.Client(trust_env=False)
        )

    def generate(self, prompt: str, max_tokens: int = 64, temperature: float = 0.0, **options: Any) -> str:
        """The text that continues `prompt`, at most `max_tokens` tokens.

        Raises:
            ServelabError: the server is gone, or refuses the request (its own sentence is shown).
        """
        body = {"model": self.model, "prompt": prompt, "max_tokens": max_tokens, "temperature": temperature}
        key = self.config.get("api_key")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        answer = self._get("/v1/completions", json={**body, **options}, headers=headers)
        return answer.json()["choices"][0]["text"]

    def memory_bytes(self) -> int:
        """Memory of all its processes now, in bytes; shared pages count once."""
        self._require()
        return process.memory_bytes(process.state(self.name))

    def logs(self, lines: int = 40) -> str:
        """The last lines of its log."""
        return tail(self.log_path, lines)

    def watch(self, *names: str, every: float = 0.1) -> Watch:
        """Sample these metrics every `every` seconds while a block runs: `with server.watch("...") as watch:`."""
        return Watch(self.metrics, names, every)

    @cached_property
    def _http(self) -> httpx.Client:
        import httpx

        return httpx.Client(trust_env=False, timeout=httpx.Timeout(600, connect=5))

    def _is_mine(self) -> bool:
        now = process.state(self.name)
        if not process.is_running(now) or now["started"] != self._state["started"]:
            return False
        return not process.is_leaving(now)

    def _require(self) -> None:
        if self._is_mine():
            return
        now = process.state(self.name)
        if now and now["started"] == self._state["started"] and now["phase"] != "stopped":
            text = _(
                "The server {name} is gone, its engine ended by itself or was killed: "
                "run the cell that starts it again."
            )
        else:
            text = _("The server {name} was stopped: run the cell that starts it again.")
        raise ServelabError(text.format(name=self.name))

    def _get(self, path: str, **request: Any) -> httpx.Response:
        import httpx

        self._require()
        try:
            answer = self._http.request("POST" if "json" in request else "GET", self.url + path, **request)
        except httpx.HTTPError as error:
            self._require()
            text = _("The server {name} does not answer ({cause}): look at `server.logs()`.")
            raise ServelabError(text.format(name=self.name, cause=type(error).__name__)) from None
        if answer.is_error:
            text = _("The server {name} refused the request ({status}): {reason}")
            raise ServelabError(text.format(name=self.name, status=answer.status_code, reason=_reason(answer)))
        return answer


def _release_later(name: str, token: str) -> None:
    """Release a forgotten handle, from a thread: garbage is collected anywhere, also where this very thread holds
    the lock that releasing needs."""
    threading.Thread(target=process.release, args=(name, token), daemon=True).start()


def _reason(answer: httpx.Response) -> str:
    try:
        said = answer.json()
        if isinstance(said.get("error"), str):
            return said["error"].removeprefix("[request id: <id_unknown>] ")
        return said.get("error", {}).get("message") or said.get("message") or answer.text
    except (json.JSONDecodeError, AttributeError):
        return answer.text[:300]


def tail(path: Path, lines: int) -> str:
    """The last lines of a text file; empty where there is none."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


KINDS: dict[str, type[Server]] = {}
"""Handles of engines that have one of their own: {kind of engine: class}."""


def running() -> list[Server]:
    """Every server of the course that runs on this machine and is ready, oldest first; each by its own handle."""
    return [KINDS.get(one["engine_kind"], Server)(one) for one in process.states() if one["phase"] == "ready"]
