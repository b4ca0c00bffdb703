"""Sharing requests out: long-run shares, rings of hashes, bounded loads, and the power of two choices.

Two questions that are often mixed. WHERE does a key belong, so that it finds its cached prefix or its session again
(the ring)? And WHO has room now (queues)? Shares answer neither: P_i = w_i / sum w is right in the long run and blind
to what a request costs and to who is busy.

Sources: Karger et al., "Consistent Hashing and Random Trees" (STOC 1997); Mirrokni, Thorup & Zadimoghaddam,
"Consistent Hashing with Bounded Loads" (SODA 2018); Mitzenmacher, "The Power of Two Choices in Randomized Load
Balancing" (IEEE TPDS 12, 2001); nginx, smooth weighted round robin. Rates are per second, times in seconds.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.theory.queueing import Queue, mm1


def shares(weights: ArrayLike) -> NDArray[np.float64]:
    """Long-run share of each server: w_i / sum w.

    Raises:
        ServelabError: a negative weight, or none above 0.
    """
    weights = np.asarray(weights, float)
    if (weights < 0).any() or weights.sum() <= 0:
        raise ServelabError(_("Weights must not be negative, and one of them is above 0."))
    return weights / weights.sum()


def smooth_round_robin(weights: Sequence[int], n: int) -> NDArray[np.int64]:
    """The first `n` turns of nginx's weighted round robin: server numbers, shape (n,).

    Each turn every server gains its weight, the one with the most is chosen (the first on a tie) and pays the sum.
    Over any run of sum(w) turns each gets exactly its weight, and turns are spread: 5, 1, 1 gives 0 0 1 0 2 0 0.
    Nothing is random about it: shares are not chances.
    """
    shares(weights)
    weights = np.asarray(weights)
    current, turns, total = np.zeros_like(weights), np.empty(n, np.int64), weights.sum()
    for turn in range(n):
        current = current + weights
        turns[turn] = chosen = int(np.argmax(current))
        current[chosen] -= total
    return turns


def split(arrivals: float, service_rates: ArrayLike, share: ArrayLike) -> float:
    """Mean response in seconds when arrivals are dealt out at random by `share`, each server an M/M/1 queue.

    A random share of a Poisson process is Poisson. Infinite if any server gets more than it can do.
    """
    share = shares(share)
    return float(sum(s * mm1(arrivals * s, mu).response_s for s, mu in zip(share, service_rates, strict=True) if s > 0))


def best_shares(arrivals: float, service_rates: ArrayLike) -> NDArray[np.float64]:
    """The random shares with the lowest mean response: NOT in proportion to the servers' speeds.

    Each server keeps a spare rate mu_i - lambda_i in proportion to sqrt(mu_i), so a fast one takes more than its
    share; one too slow to help gets nothing (Bell & Stidham, Management Science 29, 1983).

    Raises:
        ServelabError: arrivals reach what all servers can do together.
    """
    mu = np.asarray(service_rates, float)
    if not 0 < arrivals < mu.sum():
        raise ServelabError(_("Shares need arrivals above 0 and below what all servers do together."))
    order = np.argsort(-mu, kind="stable")
    result = np.zeros_like(mu)
    for count in range(len(mu), 0, -1):
        used = order[:count]
        spare = (mu[used].sum() - arrivals) / np.sqrt(mu[used]).sum()
        rates = mu[used] - spare * np.sqrt(mu[used])
        if spare > 0 and (rates >= 0).all():
            result[used] = rates / arrivals
            break
    return result


# ------------------------------------------------------------------------------------------------------- the ring


BITS = 64


def hash_key(key: Hashable, salt: str = "") -> int:
    """A 64-bit hash that is the same in every process (Python's own is not): BLAKE2b of the key's text."""
    return int.from_bytes(hashlib.blake2b(f"{salt}{key}".encode(), digest_size=BITS // 8).digest(), "big")


def seed_form(key: Hashable) -> int:
    """The short form H(key) mod 2^32 "-> virtual node": a point on the ring, which is not yet anybody's.

    2^32 is the size of the hash space. With 4 nodes of 100 virtual ones there are 400 owners and 4 billion such
    numbers: the owner is the SUCCESSOR of the point among all virtual nodes (`Ring.owner`).
    """
    return hash_key(key) % 2**32


def modulo_owner(keys: Iterable[Hashable], nodes: int) -> NDArray[np.int64]:
    """H(key) mod nodes: as even as a ring, but one node more moves n / (n + 1) of all keys."""
    return np.array([hash_key(key) % nodes for key in keys], np.int64)


class Ring:
    """A consistent-hashing ring: every node stands at `vnodes` points; a key belongs to the next point clockwise.

    A node that comes takes about K/N of K keys, from all others; a node that leaves gives its own back. Nothing else
    moves (Karger et al. 1997).
    """

    def __init__(self, nodes: Iterable[Hashable], vnodes: int = 100) -> None:
        self.nodes, self.vnodes = tuple(nodes), vnodes
        if not self.nodes or vnodes < 1 or len(set(self.nodes)) < len(self.nodes):
            raise ServelabError(_("A ring needs nodes of different names, and at least one point for each."))
        placed = sorted(
            (hash_key((node, i), "vnode"), place) for place, node in enumerate(self.nodes) for i in range(vnodes)
        )
        self.points = np.array([at for at, _place in placed], np.uint64)
        self.holders = np.array([place for _at, place in placed], np.int64)

    def owners(self, keys: Iterable[Hashable]) -> NDArray[np.int64]:
        """Place (index into `nodes`) of each key's owner, shape (keys,)."""
        return self.holders[self._start(keys)]

    def owner(self, key: Hashable) -> Hashable:
        """The node that one key belongs to."""
        return self.nodes[self.owners([key])[0]]

    def arc_shares(self) -> NDArray[np.float64]:
        """Share of the hash space that each node owns, shape (nodes,)."""
        arcs = np.diff(self.points.astype(float), prepend=float(self.points[-1]) - 2.0**BITS)
        return np.bincount(self.holders, arcs, len(self.nodes)) / 2.0**BITS

    def bounded(self, keys: Sequence[Hashable], epsilon: float, costs: ArrayLike | None = None) -> NDArray[np.int64]:
        """Owners, in order of arrival, when nobody may hold more than `cap` keys: a full node passes on clockwise.

        Args:
            epsilon: how much above the mean a node may hold; small is even, large keeps keys at home.
            costs: load of each key, shape (keys,); without it each is 1. A node that is below its cap takes one key
                more whatever its cost, so no key is refused.

        Mirrokni et al. 2018; HAProxy has it as `hash-balance-factor`.
        """
        cost = np.ones(len(keys)) if costs is None else np.asarray(costs, float)
        most = cap(cost.sum(), len(self.nodes), epsilon)
        load = np.zeros(len(self.nodes))
        owners = np.empty(len(keys), np.int64)
        for i, at in enumerate(self._start(keys)):
            while load[self.holders[at]] >= most:
                at = (at + 1) % self.points.size
            owners[i] = self.holders[at]
            load[owners[i]] += cost[i]
        return owners

    def _start(self, keys: Iterable[Hashable]) -> NDArray[np.int64]:
        hashes = np.array([hash_key(key) for key in keys], np.uint64)
        return np.searchsorted(self.points, hashes, side="left") % self.points.size


def cap(keys: ArrayLike, nodes: ArrayLike, epsilon: ArrayLike) -> NDArray[np.int64]:
    """Most keys of a node with bounded loads: ceil((1 + eps) n / k). Mirrokni et al. 2018.

    Raises:
        ServelabError: an epsilon below 0, with which the nodes together have no room for all keys.
    """
    if (np.asarray(epsilon) < 0).any():
        raise ServelabError(_("A bounded load needs an epsilon of at least 0."))
    return np.ceil((1 + np.asarray(epsilon, float)) * keys / nodes - 1e-9).astype(np.int64)[()]


def moved(before: Ring, after: Ring, keys: Sequence[Hashable]) -> float:
    """Share of keys whose owner (by name) is another one on the second ring."""
    old, new = before.owners(keys), after.owners(keys)
    return float(np.mean([before.nodes[a] != after.nodes[b] for a, b in zip(old, new, strict=True)]))


def arc_cv(nodes: ArrayLike, vnodes: ArrayLike) -> NDArray[np.float64]:
    """Unevenness of a ring: the coefficient of variation of a node's share of the hash space.

    Random points cut the ring into Dirichlet spacings, a node's share is Beta(v, (n - 1) v), so the deviation is
    sqrt((n - 1) / (n v + 1)) of the mean 1/n: about 1 / sqrt(v). 100 points a node: 10 %.
    """
    n, v = np.asarray(nodes, float), np.asarray(vnodes, float)
    return np.sqrt((n - 1) / (n * v + 1))


# ---------------------------------------------------------------------------------------------- choices


def choices(arrivals: ArrayLike, service_rate: ArrayLike, d: int) -> Queue:
    """Each request looks at `d` servers drawn at random and joins the shortest queue; means of one of many servers.

    `arrivals` are those of one server (the total over their number). W = 1/mu x sum over i of rho^((d^i - d)/(d - 1)),
    the limit of infinitely many servers (Mitzenmacher 2001); d = 1 is M/M/1. A few dozen servers are
    within a few percent. Queue lengths must be fresh: with old ones everybody runs to the same server.

    Raises:
        ServelabError: fewer than one choice.
    """
    lam, mu = np.asarray(arrivals, float), np.asarray(service_rate, float)
    one = mm1(lam, mu)
    if d < 1:
        raise ServelabError(_("A request looks at one server at least."))
    if d == 1:
        return one
    rho = one.utilization
    inside = np.where(rho < 1, rho, 0.0)
    total = sum(inside ** ((d**i - d) / (d - 1)) for i in range(1, int(64 / math.log2(d)) + 1))
    wait = np.where(rho < 1, (total - 1) / mu, np.inf)
    response = wait + 1 / mu
    return Queue.of(wait, response, lam * wait, lam * response, rho)


def choices_tail(rho: ArrayLike, d: int, length: ArrayLike) -> NDArray[np.float64]:
    """Share of servers with at least `length` requests under d choices: rho^((d^i - 1)/(d - 1)); d = 1: rho^i.

    At rho = 0.9 and 10 requests: 35 % of servers with one choice, and less than 10^-46 with two.
    """
    i = np.asarray(length, float)
    return np.asarray(rho, float) ** (i if d == 1 else (float(d) ** i - 1) / (d - 1))


def balls(n: int, bins: int, d: int = 1, seed: int = 0) -> NDArray[np.int64]:
    """Loads when `n` balls go one by one into the least full of `d` random bins, shape (bins,).

    The fullest of n bins holds about ln n / ln ln n balls of n with one choice, ln ln n / ln d + O(1) with d (Azar,
    Broder, Karlin & Upfal, SIAM J. Computing 29, 1999).
    """
    drawn = np.random.default_rng(seed).integers(bins, size=(n, d))
    if d == 1:
        return np.bincount(drawn[:, 0], minlength=bins)
    load = [0] * bins
    for row in drawn.tolist():
        load[min(row, key=load.__getitem__)] += 1
    return np.array(load, np.int64)
