"""What an engine did, step by step, as plain values, whoever tells it: one player shows all of them.

`servelab.tiny.history.moments` reads them off the tiny engine's snapshots and `servelab.simulate.history.moments` off
the simulator. Of a real server a client sees tokens only: `steps` finds the engine's steps in them, `observed` says
what went on in each, and `phases` who waited, was read and wrote when.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from servelab.load.metrics import Record

Steps = Sequence[tuple[float, dict[int, int]]]
"""When each step ended, as the client saw it, and who received which of its tokens (from 0) with it."""

QUEUE, PREFILL, DECODE, BACK = "queue", "prefill", "decode", "back"
"""Phases of a request: waits, its prompt is read, it writes, it was put back (preempted) and waits again."""

MISSED = 3
"""Steps of others that a request may miss while it writes: a late read is no preemption."""

NEAR, LATE = 1 / 3, 3
"""In times from token to token: how near to a step's first token its others come, and how late they may be read."""

RESERVED = 1
"""Blocks of the pool that nobody can hold: number 0."""


@dataclass(frozen=True)
class Turn:
    """What one request did in a step: `tokens` of it were run from position `start` on, and `written` came out.

    `drafts` were run besides, of which `accepted` were kept; `found` tokens were not run, since the cache knew them.
    """

    request: int
    start: int
    tokens: int
    written: int
    found: int = 0
    drafts: int = 0
    accepted: int = 0


@dataclass(frozen=True)
class Moment:
    """One step: who took part, who came and went, and who held what while it ran.

    Attributes:
        step: counts from 0.
        start_s, end_s: seconds on the history's own clock.
        num_blocks, block_size: of the pool, the reserved block included; tokens of a block.
        turns: in the order of the batch.
        admitted, preempted, finished: ids that left the queue, were put back, ended with this step.
        running, waiting: ids in the order of the queues, those that end with this step included.
        tables: numbers of the blocks that each running request holds, in the order of its tokens.
        cached: tokens of each of them whose keys and values stand in the cache at the end of the step.
        known: numbers of blocks that can be found by their prefix, held or free.
        numbered: whether the engine told the numbers; if not, it told how many, and `Places` put them somewhere.
    """

    step: int
    start_s: float
    end_s: float
    num_blocks: int
    block_size: int
    turns: tuple[Turn, ...]
    admitted: tuple[int, ...]
    preempted: tuple[int, ...]
    finished: tuple[int, ...]
    running: tuple[int, ...]
    waiting: tuple[int, ...]
    tables: dict[int, tuple[int, ...]]
    cached: dict[int, int]
    known: tuple[int, ...] = ()
    numbered: bool = True

    @property
    def seconds(self) -> float:
        """How long the step took."""
        return self.end_s - self.start_s

    @property
    def tokens(self) -> int:
        """Tokens that went through the model, drafts included."""
        return sum(turn.tokens + turn.drafts for turn in self.turns)

    @property
    def holders(self) -> dict[int, tuple[int, ...]]:
        """The requests that hold each held block, by its number."""
        found: dict[int, tuple[int, ...]] = {}
        for request, table in self.tables.items():
            for number in table:
                found[number] = (*found.get(number, ()), request)
        return found

    @property
    def used(self) -> int:
        """Blocks that requests hold; a shared one counts once."""
        return len({number for table in self.tables.values() for number in table})

    def fills(self, request: int) -> list[int]:
        """Tokens that stand in each block of a running request, shape (blocks,)."""
        n, size = self.cached[request], self.block_size
        return [min(max(n - i * size, 0), size) for i in range(len(self.tables[request]))]


class Places:
    """Places in a pool, for engines that count blocks and do not say where they are: the lowest free one is next.

    Which requests hold how many blocks, and which are shared, is the engine's; the places are made up. Where more is
    held than the pool has (an inferred step may be off by one), numbers go on beyond its end.
    """

    def __init__(self, num_blocks: int) -> None:
        self._free = list(range(RESERVED, num_blocks))
        self._beyond = num_blocks
        self._held: dict[Hashable, list[int]] = {}

    def hold(self, owner: Hashable, count: int = 1) -> tuple[int, ...]:
        """The `count` places of an owner: those it has, and more or fewer at their end."""
        held = self._held.setdefault(owner, [])
        while len(held) < count:
            if not self._free:
                self._free.append(self._beyond)
                self._beyond += 1
            held.append(heapq.heappop(self._free))
        while len(held) > count:
            heapq.heappush(self._free, held.pop())
        return tuple(held)

    def name(self, owner: Hashable, blocks: Sequence[Hashable]) -> None:
        """Some of an owner's blocks, from its first on, are owners of their own now, which others may hold too."""
        held = self._held.get(owner, [])
        for block in blocks:
            if block not in self._held and held:
                self._held[block] = [held.pop(0)]

    def keep(self, owners: Iterable[Hashable]) -> None:
        """Everybody else's places are free again."""
        wanted = set(owners)
        for owner in [owner for owner in self._held if owner not in wanted]:
            self.hold(owner, 0)
            del self._held[owner]


def steps(records: Sequence[Record]) -> Steps:
    """The steps that brought the tokens of a load: nobody gets two in one, and whoever writes gets one in each.

    So an answer counts the steps by itself, even where a busy client reads the tokens of several at once (then those
    steps seem to end together: to time single ones there is `servelab.calibrate.observe`). Times decide with whom a
    first token came, and that a request was away when its next token comes long after the step it would belong to.
    """
    usual = [tpot for r in records if (tpot := r.tpot_s) > 0 for _token in r.token_times_s]
    gap = float(np.median(usual)) if usual else 0.0
    near, late = NEAR * gap, LATE * gap
    ends: list[float] = []
    wrote: list[dict[int, int]] = []
    last: dict[int, int] = {}
    for t, i, k, sent in sorted((t, r.id, k, r.sent_s) for r in records for k, t in enumerate(r.token_times_s)):
        step = last.get(i, -1) + 1
        if not k or (step < len(ends) and t - ends[step] > late):
            beside = range(max(step, bisect_left(ends, t - near)), len(ends))
            step = next((n for n in beside if sent <= ends[n]), len(ends))
        if step == len(ends):
            ends.append(t)
            wrote.append({})
        wrote[step][i] = k
        last[i] = step
    return list(zip(ends, wrote, strict=True))


def begins(records: Sequence[Record], found: Steps) -> list[float]:
    """When each step began: where the one before ended, or an idle engine's first request was sent."""
    sent = {r.id: r.sent_s for r in records}
    return [
        max(before, min(sent[i] for i in wrote))
        for before, (_end, wrote) in zip([-math.inf, *(end for end, _wrote in found)], found, strict=False)
    ]


def observed(records: Sequence[Record], num_blocks: int, block_size: int) -> list[Moment]:
    """The steps of a real engine as far as its client could see them: one for each that brought a token.

    Blocks follow from lengths: prompt and written tokens less the newest one, rounded up. A request that misses more
    than `MISSED` steps of the others counts as put back. Not seen: pieces of a prompt before its last, shared
    prefixes, steps without a token.
    """
    found, by_id, places, moments = steps(records), {r.id: r for r in records}, Places(num_blocks), []
    last = {i: step for step, (_end, wrote) in enumerate(found) for i in wrote}
    first = {i: step for step, (_end, wrote) in reversed(list(enumerate(found))) for i in wrote}
    away = {(i, step) for i, missed in _missed(found).items() for step in missed}
    cached: dict[int, int] = {}
    running: list[int] = []
    for step, ((end, wrote), start) in enumerate(zip(found, begins(records, found), strict=True)):
        preempted = [i for i in running if (i, step) in away]
        running = [i for i in running if i not in preempted]
        admitted = sorted((i for i in wrote if i not in running), key=lambda i: (by_id[i].intended_s, i))
        running += admitted
        turns = []
        for i in running:
            if i in wrote:
                upto = by_id[i].prompt_tokens + wrote[i]
                turns.append(Turn(i, 0 if i in admitted else upto - 1, upto if i in admitted else 1, 1))
                cached[i] = upto
        places.keep(running)
        put_back = [i for i in last if (i, step) in away]
        queued = [r.id for r in records if r.sent_s < start < r.finished_s and first.get(r.id, math.inf) > step]
        finished = [i for i in running if last[i] == step]
        moments.append(
            Moment(
                step=step,
                start_s=start,
                end_s=end,
                num_blocks=num_blocks,
                block_size=block_size,
                turns=tuple(turns),
                admitted=tuple(admitted),
                preempted=tuple(preempted),
                finished=tuple(finished),
                running=tuple(running),
                waiting=(*put_back, *queued),
                tables={i: places.hold(i, -(-cached[i] // block_size)) for i in running},
                cached={i: cached[i] for i in running},
                numbered=False,
            )
        )
        running = [i for i in running if i not in finished]
    return moments


def _missed(found: Steps) -> dict[int, list[int]]:
    """The steps that each request spent put back."""
    at: dict[int, list[int]] = {}
    for step, (_end, wrote) in enumerate(found):
        for i in wrote:
            at.setdefault(i, []).append(step)
    return {
        i: [step for a, b in zip(mine, mine[1:], strict=False) if b - a > MISSED + 1 for step in range(a + 1, b)]
        for i, mine in at.items()
    }


def on_steps(readings: pd.DataFrame, records: Sequence[Record]) -> pd.DataFrame:
    """Readings (`t_s` on the clock of the records) with a column `step`: how many steps were over, counted from 0.

    Between two ends it grows evenly. Readings before the first end and after the last are left out.
    """
    ends = np.array([end for end, _wrote in steps(records)])
    inside = readings[(readings.t_s >= ends[0]) & (readings.t_s <= ends[-1])]
    return inside.assign(step=np.interp(inside.t_s, ends, np.arange(ends.size)))


def phases(records: Sequence[Record], budget: int | None = None) -> pd.DataFrame:
    """Every request's phases over time: columns `id`, `phase`, `start_s`, `end_s`, by intended time.

    The client sees when a prompt had been read, not when reading began. With a `budget` of tokens a step the latest
    begin is taken: a prompt fills, backwards from the step of its first token, what decoding sequences and later
    prompts leave of each step. Without one, every prompt was read in one step. What came before, since the intended
    time, is the queue. A request without a token waits to its end.
    """
    found, by_id = steps(records), {r.id: r for r in records}
    start = begins(records, found)
    first = {i: step for step, (_end, wrote) in enumerate(found) for i, k in wrote.items() if k == 0}
    room = [math.inf if budget is None else budget - sum(k > 0 for k in wrote.values()) for _end, wrote in found]
    began: dict[int, float] = {}
    for i in sorted(first, key=lambda i: (-first[i], -by_id[i].intended_s)):
        one, step, left = by_id[i], first[i], float(by_id[i].prompt_tokens)
        while True:
            took = max(0.0, min(left, room[step]))
            room[step] -= took
            left -= took
            if left <= 0 or step == 0 or start[step] <= one.sent_s:
                break
            step -= 1
        began[i] = max(start[step], one.sent_s)
    missed, rows = _missed(found), []
    for one in sorted(records, key=lambda r: (r.intended_s, r.id)):
        if one.id not in began:
            rows.append((one.id, QUEUE, one.intended_s, one.finished_s))
            continue
        rows.append((one.id, QUEUE, one.intended_s, began[one.id]))
        rows.append((one.id, PREFILL, began[one.id], one.first_token_s))
        since = one.first_token_s
        for from_, to in _runs(missed[one.id]):
            rows += [(one.id, DECODE, since, start[from_]), (one.id, BACK, start[from_], found[to][0])]
            since = found[to][0]
        rows.append((one.id, DECODE, since, one.last_token_s))
    rows = [row for row in rows if row[3] > row[2]]
    return pd.DataFrame(rows, columns=["id", "phase", "start_s", "end_s"])


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each run of numbers that follow each other."""
    runs: list[tuple[int, int]] = []
    for n in numbers:
        runs = [*runs[:-1], (runs[-1][0], n)] if runs and runs[-1][1] == n - 1 else [*runs, (n, n)]
    return runs


def queue(phases: pd.DataFrame) -> pd.DataFrame:
    """How many wait and how many run, from `phases`: columns `t_s`, `waiting`, `running`, one row a change."""
    waits = phases.phase.isin([QUEUE, BACK]).to_numpy().astype(int)
    times, at = np.unique(np.concatenate([phases.start_s, phases.end_s]), return_inverse=True)
    counted = {"t_s": times}
    for name, mine in (("waiting", waits), ("running", 1 - waits)):
        changes = np.bincount(at, np.concatenate([mine, -mine]), times.size)
        counted[name] = changes.cumsum().round().astype(int)
    return pd.DataFrame(counted)
