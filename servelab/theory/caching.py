"""Which page to give up: LRU, FIFO, the optimum that knows the future, and the working set.

A trace is a sequence of pages in the order they are asked for. A cache holds `capacity` of them; what is asked for and
not there is a miss, is fetched, and takes the place of another (demand paging). Who that is, is the policy.

The optimum gives up the page that is needed again last (Belady, "A study of replacement algorithms for a
virtual-storage computer", IBM Systems Journal 5, 1966). It is a bound, not a policy: it asks the future. And it is the
optimum for pages of ONE size and ONE cost. Blocks of a KV cache have neither: a block is worth the prefill it spares,
and only while every block before it is there too. Then the fewest misses may be the dearer choice (`least_cost`).

Every function takes a sequence of hashable pages.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from collections.abc import Hashable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from servelab.errors import ServelabError
from servelab.i18n import _

Page = Hashable
Policy = Literal["lru", "fifo", "optimal"]


def _room(capacity: int) -> int:
    if capacity < 1:
        raise ServelabError(_("A cache holds at least one page."))
    return capacity


def hits(trace: Sequence[Page], capacity: int, policy: Policy = "lru") -> NDArray[np.bool_]:
    """Whether each reference finds its page, shape (references,); the cache is empty at first.

    Raises:
        ServelabError: no room, or a policy that is none of the three.
    """
    _room(capacity)
    if policy == "optimal":
        return _optimal(trace, capacity)
    if policy not in ("lru", "fifo"):
        raise ServelabError(_("The policy is lru, fifo or optimal, not {policy}.").format(policy=policy))
    held: OrderedDict[Page, None] = OrderedDict()
    found = np.zeros(len(trace), bool)
    for i, page in enumerate(trace):
        if page in held:
            found[i] = True
            if policy == "lru":
                held.move_to_end(page)
            continue
        if len(held) == capacity:
            held.popitem(last=False)
        held[page] = None
    return found


def next_uses(trace: Sequence[Page]) -> NDArray[np.int64]:
    """At which reference each page is asked for again, shape (references,); the trace's length where it never is."""
    following, last = np.empty(len(trace), np.int64), {}
    for i in range(len(trace) - 1, -1, -1):
        following[i] = last.get(trace[i], len(trace))
        last[trace[i]] = i
    return following


def _optimal(trace: Sequence[Page], capacity: int) -> NDArray[np.bool_]:
    """Belady's: a heap of the pages held by their next use; entries that a later use has overtaken are skipped."""
    found, held, heap = np.zeros(len(trace), bool), {}, []
    for i, (page, again) in enumerate(zip(trace, next_uses(trace).tolist(), strict=True)):
        found[i] = page in held
        if not found[i] and len(held) == capacity:
            while True:
                use, _i, victim = heapq.heappop(heap)
                if held.get(victim) == -use:
                    del held[victim]
                    break
        held[page] = again
        heapq.heappush(heap, (-again, i, page))
    return found


def reuse_distances(trace: Sequence[Page]) -> NDArray[np.float64]:
    """How many pages LRU must hold for each reference to hit, shape (references,); infinite for a first one.

    The depth of the page in the stack of most recent ones. LRU of capacity k hits exactly where this is at most k, so
    one walk gives every capacity's hits (Mattson, Gecsei, Slutz & Traiger, "Evaluation techniques for storage
    hierarchies", IBM Systems Journal 9, 1970).
    """
    stack: list[Page] = []
    depth = np.full(len(trace), np.inf)
    for i, page in enumerate(trace):
        if page in stack:
            at = stack.index(page)
            depth[i] = at + 1
            del stack[at]
        stack.insert(0, page)
    return depth


def working_set(trace: Sequence[Page], window: int) -> NDArray[np.int64]:
    """How many different pages the last `window` references asked for, shape (references,).

    Denning, "The working set model for program behavior" (CACM 11, 1968): memory for less than this, and pages are
    thrown out just before they are needed.

    Raises:
        ServelabError: a window of less than one reference.
    """
    if window < 1:
        raise ServelabError(_("A window holds at least one reference."))
    recent: deque[Page] = deque()
    count: dict[Page, int] = {}
    sizes = np.empty(len(trace), np.int64)
    for i, page in enumerate(trace):
        recent.append(page)
        count[page] = count.get(page, 0) + 1
        if len(recent) > window:
            old = recent.popleft()
            count[old] -= 1
            if not count[old]:
                del count[old]
        sizes[i] = len(count)
    return sizes


def competitive_ratio(capacity: ArrayLike, optimal_capacity: ArrayLike) -> NDArray[np.float64]:
    """What LRU's misses with k pages never exceed, in misses of the optimum with h <= k pages: k / (k - h + 1).

    Plus h, for a cache that begins empty. With equal memory that is k times, the worst that a trace made against LRU
    can do; with twice the memory it is less than 2. No policy without the future does better (Sleator & Tarjan,
    "Amortized efficiency of list update and paging rules", CACM 28, 1985).
    """
    k, h = np.asarray(capacity, float), np.asarray(optimal_capacity, float)
    return k / (k - h + 1)


def cost(trace: Sequence[Page], found: ArrayLike, costs: Mapping[Page, float]) -> float:
    """What the misses cost, each page its own: the seconds of prefill that a lost block takes to compute again."""
    return float(sum(costs[page] for page, hit in zip(trace, np.asarray(found).tolist(), strict=True) if not hit))


def least_cost(trace: Sequence[Page], capacity: int, costs: Mapping[Page, float]) -> float:
    """The least that any choice of victims costs, knowing the future: by trying all of them, for short traces.

    Room for two pages, x at 10 and y, z at 1, asked for as x y z y z y x: Belady's rule gives up x, which is needed
    last, has 4 misses and pays 22. Whoever keeps x has 6 misses and pays 15.
    """
    _room(capacity)
    best: dict[frozenset[Page], float] = {frozenset(): 0.0}
    for page in trace:
        after: dict[frozenset[Page], float] = {}
        for held, paid in best.items():
            if page in held:
                choices = [(held, paid)]
            else:
                kept = [held] if len(held) < capacity else [held - {victim} for victim in held]
                choices = [(rest | {page}, paid + costs[page]) for rest in kept]
            for state, total in choices:
                after[state] = min(total, after.get(state, np.inf))
        best = after
    return min(best.values())
