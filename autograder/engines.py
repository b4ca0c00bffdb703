"""Engines for submissions: real servers that the grader starts, shares and stops; a sandbox reaches them by socket.

A learner's code asks for a server with options, never for a command: the options are an allow-list of plain values,
because many flags of an engine read files, import code or call addresses.
"""

from __future__ import annotations

import contextlib
import re
import socket
import socketserver
import threading
from pathlib import Path
from typing import Any

from servelab.errors import ServelabError
from servelab.i18n import _

OPTIONS = {
    "like": str, "max_num_seqs": int, "max_model_len": int, "max_num_batched_tokens": int, "block_size": int,
    "num_gpu_blocks_override": int, "api_key": str, "dtype": str, "enable_prefix_caching": bool,
    "enable_chunked_prefill": bool, "scheduling_policy": str, "gpu_memory_utilization": float, "seed": int,
}  # fmt: skip
LARGEST = {
    "max_num_seqs": 256, "max_model_len": 8192, "max_num_batched_tokens": 65_536, "block_size": 256,
    "num_gpu_blocks_override": 8192, "gpu_memory_utilization": 1, "seed": 2**31 - 1,
}  # fmt: skip
"""Of the numbers; none is below 0. What fits into the machine, the launch itself checks."""
TOKENS = 65_536
"""The most that all blocks together may hold: their memory is taken at once."""
WORD = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._-]{0,63}")
OWN_SERVERS = 2
"""Servers of learners' choosing that are up at once; the one used longest ago makes room."""
_KNOWN = ("name", "url", "port", "model", "config", "command", "started", "ready_url", "ready_seconds", "ready_path")


def check(options: dict[str, Any]) -> dict[str, Any]:
    """The options if a submission may ask for them.

    Raises:
        ServelabError: one may not be asked for, or is of another type.
    """
    for key, value in options.items():
        wanted = OPTIONS.get(key)
        if wanted is None:
            raise ServelabError(_("A graded server takes no option {name}.").format(name=repr(key)[:80]))
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise ServelabError(_("The option {name} wants a {kind}.").format(name=key, kind=wanted.__name__))
        if wanted is str and not WORD.fullmatch(value):
            raise ServelabError(_("The option {name} wants one plain word.").format(name=key))
        if key in LARGEST and not 0 <= value <= LARGEST[key]:
            raise ServelabError(
                _("The option {name} wants a number from 0 to {most}.").format(name=key, most=LARGEST[key])
            )
    if options.get("num_gpu_blocks_override", 0) * options.get("block_size", 1) > TOKENS:
        raise ServelabError(_("The blocks may hold {n} tokens at most.").format(n=TOKENS))
    return options


class Engines:
    """The servers of one grading run. Leaving its `with` block stops those that learners chose."""

    def __init__(self) -> None:
        self._own: dict[str, Any] = {}

    def __enter__(self) -> Engines:
        return self

    def __exit__(self, *exc: object) -> None:
        while self._own:
            self._stop(next(iter(self._own)))

    def __call__(self, options: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        """Start a server as a submission asks for it: (what its sandbox may know of it, the server)."""
        from servelab.engines import vllm

        server = vllm(progress=False, **check(options))
        self._own.pop(server.name, None)
        self._own[server.name] = server
        while len(self._own) > OWN_SERVERS:
            self._stop(next(iter(self._own)))
        state = {key: server._state.get(key) for key in _KNOWN}
        return state | {"env": {}, "engine": None, "log": "/dev/null"}, server

    def _stop(self, name: str) -> None:
        with contextlib.suppress(ServelabError):  # another program uses it, or it is gone
            self._own.pop(name).stop()


class Relays:
    """Sockets in a sandbox's folder that lead to ports of this machine. Leaving its `with` block closes them."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._servers = folder, {}

    def __enter__(self) -> Relays:
        return self

    def __exit__(self, *exc: object) -> None:
        for server in self._servers.values():
            server.shutdown()
            server.server_close()

    def open(self, port: int) -> bool:
        """Let the sandbox reach a port; False where nobody listens, which is then so inside too."""
        if port in self._servers:
            return True
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            return False
        path = self._folder / str(port)
        server = _Relay(str(path), _Handler)
        path.chmod(0o666)
        server.port = port
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self._servers[port] = server
        return True


class _Relay(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    port = 0


class _Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.server.port), timeout=10) as far:
            far.settimeout(None)
            back = threading.Thread(target=_pump, args=(far, self.request), daemon=True)
            back.start()
            _pump(self.request, far)
            back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Copy till the source ends, then tell the target."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
