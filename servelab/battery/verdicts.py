"""What a battery finds: named verdicts, each held or with the reason why not."""

from __future__ import annotations

import html
import random
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any

from servelab.battery.exchange import Broken, Exchange, ask
from servelab.battery.scripted import ScriptedEngine
from servelab.engines.keyvalue import Redis
from servelab.engines.service import Settings
from servelab.i18n import _

PATH = "/v1/completions"


@dataclass(frozen=True)
class Verdict:
    """One verdict: `name`, what a right service does, and why this one does not (empty: it does)."""

    name: str
    says: str
    why: str

    @property
    def held(self) -> bool:
        """Whether the service does it."""
        return not self.why


@dataclass(frozen=True)
class Report:
    """The verdicts of one run, in their order."""

    verdicts: tuple[Verdict, ...]

    @property
    def failed(self) -> tuple[Verdict, ...]:
        """Those that are not held."""
        return tuple(v for v in self.verdicts if not v.held)

    @property
    def reasons(self) -> dict[str, str]:
        """{name: why not}, with an empty reason where it is held: plain data."""
        return {v.name: v.why for v in self.verdicts}

    @property
    def told(self) -> str:
        """The first that is not held, as a sentence; empty where all are."""
        return next((f"{v.name}: {v.why}" for v in self.failed), "")

    def __str__(self) -> str:
        lines = [f"{'✓' if v.held else '✗'} {v.name:12} {v.says if v.held else v.why}" for v in self.verdicts]
        return "\n".join([*lines, self._sum()])

    __repr__ = __str__

    def _sum(self) -> str:
        n = len(self.verdicts)
        return _("{held} of {n} verdicts hold").format(held=n - len(self.failed), n=n)

    def _repr_html_(self) -> str:
        """A table: what holds, what not, and why."""
        rows = [
            f"<tr><td>{'✓' if v.held else '✗'}</td><td style='text-align:left'><code>{v.name}</code></td>"
            f"<td style='text-align:left'>{html.escape(v.says)}"
            + (f"<br><b>{html.escape(v.why)}</b>" if v.why else "")
            + "</td></tr>"
            for v in self.verdicts
        ]
        return f"<table>{''.join(rows)}</table><p>{html.escape(self._sum())}</p>"


@dataclass
class Scene:
    """What a verdict works with: the service's address, the engine behind it, what the service was told, and chance.

    Attributes:
        seen: every exchange whose answer was read, for verdicts on answers in general.
        urls: of every replica, where a suite has several; `store`, the Redis that they share.
    """

    url: str
    engine: ScriptedEngine
    settings: Settings
    rng: random.Random
    seen: list[Exchange] = field(default_factory=list)
    urls: tuple[str, ...] = ()
    store: Redis | None = None

    @property
    def key(self) -> str:
        """A key that opens the service."""
        return self.settings.keys[0]

    def words(self, n: int = 4) -> str:
        """A prompt that nobody asked before, not in one alphabet only."""
        return " ".join(self.rng.choice(["tea", "茶", "naïve", "雨", "port", "🚲"]) for _n in range(n)) + str(
            self.rng.randrange(10**6)
        )

    def body(self, **more: Any) -> dict[str, Any]:
        """A right request."""
        return {"prompt": self.words(), "max_tokens": self.rng.randrange(2, 30), **more}

    async def send(self, body: Any = None, **how: Any) -> Exchange:
        """Send a request to the one path that costs something; its answer is read by whoever wants it."""
        body = self.body() if body is None else body
        one = await Exchange.send(self.url, "POST", PATH, body, **{"key": self.key, **how})
        self.seen.append(one)
        return one

    async def ask(self, body: Any = None, **how: Any) -> Exchange:
        """Send one and read all of its answer."""
        return await (await self.send(body, **how)).whole()

    async def get(self, path: str, **how: Any) -> Exchange:
        """GET, without a key."""
        return await ask(self.url, "GET", path, **how)

    async def works(self) -> str:
        """Whether an ordinary request is answered; why not, else nothing."""
        await self.engine.reset()
        one = await self.ask()
        return "" if one.status == 200 else _("afterwards an ordinary request gets {status}").format(status=one.status)


Check = Callable[[Scene], Awaitable[str]]


@dataclass
class Suite:
    """A list of checks, each under its name, with the settings that they need.

    Attributes:
        replicas: how many services are started; more than one share a Redis.
        fresh_keys: each check finds keys that no other one has used.
    """

    title: str
    settings: dict[str, Any]
    checks: list[tuple[str, Callable[[], str], Check]] = field(default_factory=list)
    replicas: int = 1
    fresh_keys: bool = False

    def verdict(self, name: str, says: Callable[[], str]) -> Callable[[Check], Check]:
        """Add a check: it returns why the service does not do what `says` tells, or nothing."""

        def add(check: Check) -> Check:
            self.checks.append((name, says, check))
            return check

        return add

    async def run(
        self, scene: Scene, tell: Callable[[str], None] = lambda name: None, only: Collection[str] = ()
    ) -> list[Verdict]:
        """Every verdict (or `only` some), one after the other; what breaks a connection loses the one at work."""
        found, keys = [], scene.settings.keys
        for name, says, check in self.checks:
            if only and name not in only:
                continue
            if self.fresh_keys:  # two of the list, which the service knows from its start
                scene.settings = replace(scene.settings, keys=keys[:2])
                keys = keys[2:]
            tell(name)
            await scene.engine.reset()
            first = len(scene.seen)
            try:
                why = await check(scene)
            except Broken as error:
                why = _("the connection gave no whole answer ({error})").format(error=error)
            except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
                why = _("the answer has another form than it should ({error})").format(error=repr(error)[:100])
            finally:
                for one in scene.seen[first:]:
                    one.leave()
            found.append(Verdict(name, says(), why))
        return found
