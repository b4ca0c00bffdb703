"""The sandbox's side: executes the learner's cells and, asked by the grader, calls what they define.

Runs as a script inside the sandbox, beside the learner's code and with its rights. It holds no secret and decides
nothing: whatever it answers is an answer of the learner's, compared in the grader's own process.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import threading
import time
from typing import Any

import calls
import wire

RELAYED: dict[int, Any] = {}


class Lesson:
    """What the opening cell leaves: enough for an answer to ask where it runs; the rest does nothing here."""

    def __init__(self, id: str) -> None:
        self.id, self.effort = id, "ci"

    @property
    def tier(self) -> Any:
        """The grading machine's tier."""
        from servelab import hardware

        return hardware.tier()

    def pick(self, *, ci: Any, full: Any) -> Any:
        """A measurement's size: the short one."""
        return ci

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *args, **kwargs: None


class Inside:
    """The loop that serves the grader's requests until it closes the stream."""

    def __init__(self, requests: Any, replies: Any) -> None:
        self.requests, self.replies = requests, replies
        self.objects: dict[int, Any] = {}
        self.ids = itertools.count(1)
        self.names: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}

    def serve(self) -> None:
        """Answer requests one after another."""
        while (request := wire.read(self.requests)) is not None:
            try:
                reply = {"value": self.encoded(getattr(self, f"do_{request['do']}")(request))}
                wire.write(self.replies, reply)
            except BaseException as error:  # a SystemExit of the learner's is an error like any other
                self.refuse(error)

    def refuse(self, error: BaseException) -> None:
        """Tell the grader what was raised."""
        try:
            told = str(error)[:300]
        except BaseException:
            told = ""
        wire.write(self.replies, {"error": type(error).__name__[:80], "told": told, "bases": _bases(error)})

    def encoded(self, value: Any) -> Any:
        """A value for the grader: data, or a number under which the object is kept here."""

        def other(value: Any) -> dict[str, Any]:
            if type(value).__name__ == "Graded":
                return {"t": "server", "v": str(value.name)}
            number = next(self.ids)
            self.objects[number] = value
            return {"t": "object", "v": number, "kind": type(value).__name__[:80]}

        return wire.encode(value, other)

    def decoded(self, value: Any) -> Any:
        """A value from the grader."""

        def other(value: dict[str, Any]) -> Any:
            if value["t"] == "object":
                return self.objects[value["v"]]
            if value["t"] == "client":
                import httpx
                import openai

                return openai.OpenAI(http_client=httpx.Client(trust_env=False), max_retries=0, **value["v"])
            raise wire.WireError(f"a value of kind {value['t']}")

        return wire.decode(value, other)

    def do_open(self, request: dict[str, Any]) -> None:
        """Make the names of the opening cell stand; with an engine, let it be asked of the grader."""
        import servelab

        self.names |= {"servelab": servelab, "lesson": Lesson(request["lesson"])}
        if request["engine"]:
            import servelab.engines

            servelab.engines.vllm = self.vllm

    def do_execute(self, request: dict[str, Any]) -> None:
        """Execute one cell; only one that is no plain Python (magics, await) needs IPython."""
        code = request["code"]
        try:
            compiled = compile(code, request["cell"], "exec")
        except SyntaxError:
            self.execute_as_ipython(code)
        else:
            exec(compiled, self.names)

    def execute_as_ipython(self, code: str) -> None:
        from IPython.core.interactiveshell import InteractiveShell
        from traitlets.config import Config

        config = Config({"HistoryManager": {"enabled": False}})
        InteractiveShell.instance(user_ns=self.names, config=config).run_cell(code).raise_error()

    def do_get(self, request: dict[str, Any]) -> dict[str, Any]:
        """The names the cells bound, of those asked for."""
        return {name: self.names[name] for name in request["names"] if name in self.names}

    def do_call(self, request: dict[str, Any]) -> Any:
        """Call an object, or a method of it."""
        called = self.objects[request["id"]]
        if request["method"]:
            called = getattr(called, request["method"])
        return called(*self.decoded(request["args"]), **self.decoded(request["kwargs"]))

    def do_attribute(self, request: dict[str, Any]) -> Any:
        """An object's attribute."""
        return getattr(self.objects[request["id"]], request["name"])

    def do_items(self, request: dict[str, Any]) -> list[Any]:
        """What iterating over an object gives."""
        items = list(itertools.islice(iter(self.objects[request["id"]]), wire.ITEMS + 1))
        if len(items) > wire.ITEMS:
            raise ValueError(f"more than {wire.ITEMS} items")
        return items

    def vllm(self, **options: Any) -> Any:
        """In place of `servelab.engines.vllm`: the grader starts the server, or refuses."""
        options.pop("progress", None)
        wire.write(self.replies, {"ask": "vllm", "options": self.encoded(options)})
        reply = wire.read(self.requests) or {}
        if "state" not in reply:
            from servelab.errors import ServelabError

            raise ServelabError(reply.get("error", "The server did not start."))
        return _Server(self.decoded(reply["state"]))

    def do_reach(self, request: dict[str, Any]) -> None:
        """Wait until a port of 127.0.0.1 leads to its server."""
        reach(request["port"])


def _Server(state: dict[str, Any]) -> Any:
    """A handle on a server outside: everything a handle does over HTTP, nothing that needs its processes."""
    from servelab.engines.server import Server

    class Graded(Server):
        def _is_mine(self) -> bool:
            return True

        def stop(self, force: bool = False) -> None:
            """The grader stops it."""

    reach(state["port"])
    return Graded(state)


def reach(port: int) -> None:
    """Wait until the relay serves a port; where there is no relay, the network is shared."""
    while os.environ.get("SERVELAB_GRADER_SOCKETS") and port not in RELAYED:
        time.sleep(0.02)


def relay(folder: str) -> None:
    """Let 127.0.0.1:<port> lead to the socket `<port>` of the folder, for every port that appears there."""
    import asyncio

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        with contextlib.suppress(OSError, RuntimeError):
            writer.close()

    async def main() -> None:
        while True:
            for name in os.listdir(folder):
                if name.isdigit() and int(name) not in RELAYED:

                    async def join(reader, writer, path=f"{folder}/{name}"):
                        try:
                            far = await asyncio.open_unix_connection(path)
                        except OSError:
                            writer.close()
                            return
                        await asyncio.gather(pump(reader, far[1]), pump(far[0], writer))

                    RELAYED[int(name)] = await asyncio.start_server(join, "127.0.0.1", int(name))
            await asyncio.sleep(0.05)

    asyncio.run(main())


def _bases(error: BaseException) -> list[str]:
    return [base.__name__[:80] for base in type(error).__mro__ if base.__module__ in ("builtins", "servelab.errors")]


def main() -> None:
    """Take the two streams away from the learner's code, then serve."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    calls.bar()
    if sockets := os.environ.get("SERVELAB_GRADER_SOCKETS"):
        threading.Thread(target=relay, args=(sockets,), daemon=True).start()
    sys.path.pop(0)  # this folder: the learner's `import wire` is hers
    wire.write(replies, {"value": "ready"})
    Inside(requests, replies).serve()


if __name__ == "__main__":
    main()
