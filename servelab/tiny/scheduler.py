"""What runs in the next step: continuous batching, chunked prefill, admission and preemption.

A request is a list of tokens, of which the first `computed` have their keys and values in the cache. Every step
lets requests catch up: a new one has a prompt to catch up, a running one its last token. There is no prefill phase
and no decode phase. A step takes at most `max_num_batched_tokens`; who is running comes first, then who waits, in
the order of arrival. Where no block is left, the newest running request gives its blocks back and waits again,
first in line: its tokens are kept, its cache is computed anew. This is vLLM's scheduler (V1) without its options.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import torch

from servelab.tiny.blocks import BlockPool, digest_of
from servelab.tiny.sampling import Sampling


@dataclass(eq=False)
class Request:
    """One request and where it stands.

    Attributes:
        id: counts from 0 in the order of arrival.
        tokens: the prompt and what was written so far.
        prompt_tokens, max_tokens: the prompt's length; how many tokens may be written.
        sampling, stop: how to draw; tokens that end the answer.
        computed: tokens whose keys and values are in the cache.
        table: the block table.
        digests: of its full blocks, as far as they were needed.
        found: tokens that the prefix cache held when it was last admitted.
        preemptions: how often it was put back.
        reason: why it ended: "stop", "length" or "abort"; None while it has not.
    """

    id: int
    tokens: list[int]
    prompt_tokens: int
    max_tokens: int
    sampling: Sampling
    stop: frozenset[int]
    generator: torch.Generator = field(repr=False)
    computed: int = 0
    table: list[int] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list, repr=False)
    found: int = 0
    preemptions: int = 0
    reason: str | None = None

    @property
    def output(self) -> list[int]:
        """The tokens written so far."""
        return self.tokens[self.prompt_tokens :]

    def prefix(self, blocks: int, block_size: int) -> list[bytes]:
        """The digests of its first `blocks` blocks, which must be full."""
        for i in range(len(self.digests), blocks):
            before = self.digests[-1] if self.digests else b""
            self.digests.append(digest_of(before, self.tokens[i * block_size : (i + 1) * block_size]))
        return self.digests[:blocks]

    def write(self, tokens: list[int]) -> int:
        """Append tokens until one ends the answer; returns how many were."""
        for n, token in enumerate(tokens, 1):
            self.tokens.append(token)
            if token in self.stop:
                self.reason = "stop"
            elif len(self.tokens) - self.prompt_tokens == self.max_tokens:
                self.reason = "length"
            if self.reason:
                return n
        return len(tokens)


@dataclass
class Work:
    """One request's part in a step: `count` known tokens from position `start` on, then up to `room` drafts.

    The proposer fills in `drafts`; the model's word on them is `written`: the `accepted` ones and one token of its own.
    """

    request: Request
    start: int
    count: int
    room: int = 0
    drafts: list[int] = field(default_factory=list)
    accepted: int = 0
    written: list[int] = field(default_factory=list)

    @property
    def catches_up(self) -> bool:
        """Whether its last known token is run, so that a next one can be written."""
        return self.start + self.count == len(self.request.tokens)

    @property
    def tokens(self) -> list[int]:
        """What the model runs for it."""
        return self.request.tokens[self.start : self.start + self.count] + self.drafts


@dataclass
class Plan:
    """A step: who works, who was admitted to it, who had to give its blocks back for it."""

    work: list[Work] = field(default_factory=list)
    admitted: list[Request] = field(default_factory=list)
    preempted: list[Request] = field(default_factory=list)


class Scheduler:
    """The two queues, and the rules by which requests pass from one to the other."""

    def __init__(self, pool: BlockPool, max_num_seqs: int, max_num_batched_tokens: int, drafts: int = 0) -> None:
        self.pool = pool
        self.max_num_seqs = max_num_seqs
        self.max_num_batched_tokens = max_num_batched_tokens
        self.drafts = drafts
        self.waiting: deque[Request] = deque()
        self.running: list[Request] = []

    def schedule(self) -> Plan:
        """The next step; blocks are taken for it. The plan has no work when there is none."""
        plan, budget = Plan(), self.max_num_batched_tokens
        for request in list(self.running):
            if not budget or request in plan.preempted:
                break
            work = self._next(request, budget)
            while not self._grow(work):
                plan.preempted.append(self._preempt())
                if plan.preempted[-1] is request:
                    break
            else:
                plan.work.append(work)
                budget -= work.count + work.room
        while self.waiting and budget and not plan.preempted and len(self.running) < self.max_num_seqs:
            if not self._admit(self.waiting[0]):
                break
            request = self.waiting.popleft()
            self.running.append(request)
            plan.admitted.append(request)
            plan.work.append(self._next(request, budget))
            self._grow(plan.work[-1])
            budget -= plan.work[-1].count
        return plan

    def update(self, plan: Plan) -> list[Request]:
        """Take in what a step has written; returns the requests that ended with it."""
        ended = []
        for work in plan.work:
            request = work.request
            work.written = work.written[: request.write(work.written)]
            request.computed = work.start + work.count + work.accepted
            if request.reason:
                ended.append(request)
        for request in ended:
            self.running.remove(request)
            self._release(request)
        return ended

    def abort(self, request: Request) -> None:
        """End a request now, wherever it stands."""
        if not request.reason:
            request.reason = "abort"
            (self.running if request in self.running else self.waiting).remove(request)
            self._release(request)

    def _next(self, request: Request, budget: int) -> Work:
        """What a request could do within the budget: catch up; or, one token behind, also try drafts."""
        work = Work(request, request.computed, min(len(request.tokens) - request.computed, budget))
        if work.count == 1 and work.catches_up and request.output:
            left = request.max_tokens - len(request.output)
            work.room = max(0, min(self.drafts, left - 1, budget - 1))
        return work

    def _grow(self, work: Work) -> bool:
        """Lengthen the block table for `work`. Drafts are a bet: where there is no room for them they are dropped."""
        request, end = work.request, work.start + work.count
        for room in (work.room, 0):
            more = self.pool.count(end + room) - len(request.table)
            if self.pool.fits(more):
                request.table += self.pool.take(max(more, 0))
                work.room = room
                break
        else:
            return False
        full = end // self.pool.block_size
        for number, digest in zip(request.table, request.prefix(full, self.pool.block_size), strict=False):
            self.pool.remember(number, digest)
        return True

    def _admit(self, request: Request) -> bool:
        """Start a request with the blocks its prefix finds, if all of its tokens fit: half a prompt helps nobody.

        At least one token is always run, even where all are known: the next one is drawn from its logits.
        """
        size = self.pool.block_size
        found = self.pool.find(request.prefix((len(request.tokens) - 1) // size, size))
        if not self.pool.fits(self.pool.count(len(request.tokens)) - len(found), found):
            return False
        self.pool.hold(found)
        request.table, request.found = found, len(found) * size
        request.computed = request.found
        return True

    def _preempt(self) -> Request:
        """The newest running request gives its blocks back and becomes the first of those that wait."""
        victim = self.running.pop()
        self._release(victim)
        victim.preemptions += 1
        self.waiting.appendleft(victim)
        return victim

    def _release(self, request: Request) -> None:
        self.pool.give_back(request.table)
        request.table, request.computed = [], 0
