"""Which replica gets the next request: seven rules, from one that looks at nothing to one that looks at the prompt.

A router sees the replicas that are ready, each with what is outstanding on it (sent there and not answered), and the
request. What it does not see is how long an answer will be: `tokens` counts what was asked for, as a router in front
of an engine knows it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from collections.abc import Sequence as Many
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.simulate.scheduler import Sequence
from servelab.theory.routing import Ring, cap, hash_key


class Target(Protocol):
    """A replica as routers see it."""

    name: str

    @property
    def outstanding(self) -> int:
        """Requests that were sent here and are not answered."""
        ...

    @property
    def tokens(self) -> int:
        """Prompt and answer tokens of those requests."""
        ...


class Router(Protocol):
    """Chooses one of the ready targets; `rng` is the cluster's, so that a seed gives the same choices."""

    def __call__(self, request: Sequence, targets: Many[Target], rng: np.random.Generator) -> Target:
        """The target for `request`; there is at least one."""
        ...


@dataclass
class RoundRobin:
    """One after the other, blind to everything. Even in numbers of requests, and in nothing else."""

    turn: int = 0

    def __call__(self, request: Sequence, targets: Many[Target], rng: np.random.Generator) -> Target:
        """The next in turn."""
        self.turn += 1
        return targets[(self.turn - 1) % len(targets)]


@dataclass
class WeightedRoundRobin:
    """In turns, each as often as its weight says, spread evenly: nginx's way (`theory.routing.smooth_round_robin`).

    `weights` are by name; 1 for a target that is not there. Blind to everything but what somebody wrote down.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    _current: dict[str, float] = field(default_factory=dict, repr=False)

    def __call__(self, request: Sequence, targets: Many[Target], rng: np.random.Generator) -> Target:
        """The one that has gained most since it was chosen last."""
        total = 0.0
        for target in targets:
            weight = self.weights.get(target.name, 1)
            self._current[target.name] = self._current.get(target.name, 0) + weight
            total += weight
        chosen = max(targets, key=lambda t: self._current[t.name])
        self._current[chosen.name] -= total
        return chosen


@dataclass
class LeastConnections:
    """The fewest requests outstanding; among equals the next in turn, so that an idle cluster is used evenly."""

    turn: int = 0

    def __call__(self, request: Sequence, targets: Many[Target], rng: np.random.Generator) -> Target:
        """The least loaded by requests."""
        self.turn += 1
        n = len(targets)
        return min((targets[(self.turn + i) % n] for i in range(n)), key=lambda t: t.outstanding)


@dataclass
class LeastTokens:
    """The fewest tokens outstanding: knows that requests differ."""

    turn: int = 0

    def __call__(self, request: Sequence, targets: Many[Target], rng: np.random.Generator) -> Target:
        """The least loaded by tokens."""
        self.turn += 1
        n = len(targets)
        return min((targets[(self.turn + i) % n] for i in range(n)), key=lambda t: t.tokens)


@dataclass
class PowerOfTwo:
    """The better of `d` drawn at random: nearly as good as asking all, at the price of asking two.

    Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (2001). With d = 1: random.
    """

    d: int = 2
    by: Literal["outstanding", "tokens"] = "outstanding"

    def __call__(self, request: Sequence, targets: Many[Target], rng: np.random.Generator) -> Target:
        """The least loaded of the drawn."""
        n = len(targets)
        first = int(rng.integers(n))
        if self.d < 2 or n < 2:
            return targets[first]
        if self.d == 2:
            drawn = [first, (first + 1 + int(rng.integers(n - 1))) % n]
        else:
            drawn = rng.choice(n, min(self.d, n), replace=False).tolist()
        return min((targets[i] for i in drawn), key=lambda t: getattr(t, self.by))


@dataclass
class PrefixAffinity:
    """Where the longest prefix of the prompt was sent before, unless that replica is too busy.

    The router keeps its own list of the blocks it sent to each replica (`memory` of them, the latest): it guesses
    what the engines' caches hold. If the busiest has more than `apart` requests above the least busy and more than
    `times` as many, or if less than `share` of the prompt's blocks is known anywhere, the least busy gets it.
    SGLang's router decides so (Zheng et al., "SGLang", NeurIPS 2024, and its cache-aware load balancer).
    """

    share: float = 0.3
    apart: int = 16
    times: float = 1.5
    memory: int = 100_000
    _sent: dict[str, OrderedDict[Hashable, None]] = field(default_factory=dict, repr=False)

    def __call__(self, request: Sequence, targets: Many[Target], rng: np.random.Generator) -> Target:
        """The one that knows most of the prompt, or the least loaded."""
        load = [t.outstanding for t in targets]
        chosen = targets[int(np.argmin(load))]
        if request.keys and not (max(load) - min(load) > self.apart and max(load) > self.times * min(load)):
            known = [self._known(t.name, request.keys) for t in targets]
            if max(known) >= self.share * len(request.keys) and max(known) > 0:
                most = max(known)
                chosen = min((t for t, k in zip(targets, known, strict=True) if k == most), key=lambda t: t.outstanding)
        sent = self._sent.setdefault(chosen.name, OrderedDict())
        for key in request.keys:
            sent[key] = None
            sent.move_to_end(key)
        while len(sent) > self.memory:
            sent.popitem(last=False)
        return chosen

    def _known(self, name: str, keys: tuple) -> int:
        sent = self._sent.get(name)
        if not sent:
            return 0
        for n, key in enumerate(keys):
            if key not in sent:
                return n
        return len(keys)


@dataclass
class ConsistentHash:
    """The request's key belongs to one place of a ring; a full replica passes it on to the next one clockwise.

    The key is the session, else the first block of the prompt, else the request itself. Full is who holds
    ceil((1 + epsilon) n / k) of n outstanding requests on k replicas, the new one counted (Mirrokni, Thorup &
    Zadimoghaddam, "Consistent Hashing with Bounded Loads", SODA 2018); `epsilon` infinite is the plain ring
    (Karger et al., STOC 1997).
    """

    epsilon: float = 0.25
    vnodes: int = 100
    _ring: Ring | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.epsilon < 0:
            raise ServelabError(_("A bounded load needs an epsilon of at least 0."))

    def __call__(self, request: Sequence, targets: Many[Target], rng: np.random.Generator) -> Target:
        """The owner of the request's key, or the next that has room."""
        names = tuple(t.name for t in targets)
        if self._ring is None or self._ring.nodes != names:
            self._ring = Ring(names, self.vnodes)
        key = request.session
        if key is None:
            key = request.keys[0] if request.keys else request.id
        ring = self._ring
        if np.isinf(self.epsilon):
            return targets[int(ring.owners([key])[0])]
        most = int(cap(sum(t.outstanding for t in targets) + 1, len(targets), self.epsilon))
        at = int(np.searchsorted(ring.points, np.uint64(hash_key(key)), side="left"))
        # somebody is below the cap: k caps hold more than all the requests
        while targets[owner := ring.holders[at % ring.points.size]].outstanding >= most:
            at += 1
        return targets[owner]


def by_name() -> dict[str, type]:
    """The routers by the names the course uses."""
    return {
        "round robin": RoundRobin,
        "weighted": WeightedRoundRobin,
        "least connections": LeastConnections,
        "least tokens": LeastTokens,
        "power of two": PowerOfTwo,
        "prefix affinity": PrefixAffinity,
        "consistent hash": ConsistentHash,
    }
