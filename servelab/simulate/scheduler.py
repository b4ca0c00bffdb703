"""vLLM's scheduler, small enough to read: who runs in the next step, for how many tokens, and who has to give way.

There is no prefill phase and no decode phase. Every sequence has tokens (prompt and what it wrote) of which some are
computed, and a step lets it catch up: a decoding sequence lacks one, a new prompt all of its own, a long prompt is
caught up in pieces (chunked prefill). One step:

1. Running sequences in the order they were admitted, each what it lacks, until the token budget is spent. A sequence
   that needs a block when none is free takes it from another: the last admitted gives way, or under `priority` the
   one with the highest number (the later arrival on a tie). It loses its blocks, waits at the head of the queue, and
   computes everything again (preemption by recompute), except what the prefix cache still holds.
2. If nobody gave way, waiting sequences in order, while there are budget, seats (`max_num_seqs`) and blocks. A prompt
   is admitted only if the whole of it fits now, although it takes the blocks of its first piece only. Its cached
   prefix is skipped, but the last token is computed in any case: the engine needs its output.

A block can be hit from the step in which it is filled is scheduled, as in vLLM: before it is computed.

Modelled: vLLM 0.32, `vllm/v1/core/sched/scheduler.py`, synchronous scheduling, one kind of full attention. Not
modelled: speculative tokens, encoder inputs, adapters, KV connectors, pipeline stages. Held against vLLM's own class
step by step in `tests/simulate/test_parity.py` and `tests/bench/bench_parity.py`.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.simulate.blocks import Block, Pool


@dataclass(frozen=True)
class EngineConfig:
    """An engine's settings, by vLLM's names. `num_blocks` is `num_gpu_blocks`: the reserved one is among them.

    `max_model_len` None is the longest that the pool can hold.
    """

    num_blocks: int = 182
    block_size: int = 128
    max_num_seqs: int = 128
    max_num_batched_tokens: int = 2048
    max_model_len: int | None = None
    enable_prefix_caching: bool = True
    enable_chunked_prefill: bool = True
    long_prefill_token_threshold: int = 0
    long_prefill_token_threshold_adaptive: bool = False
    policy: Literal["fcfs", "priority"] = "fcfs"
    scheduler_reserve_full_isl: bool = True
    watermark: float = 0.0

    def __post_init__(self) -> None:
        room = (self.num_blocks - 1) * self.block_size
        if self.max_model_len is None:
            object.__setattr__(self, "max_model_len", room)
        if self.max_model_len > room or self.max_model_len < 1:
            text = _("{n} blocks of {b} tokens cannot hold one sequence of {m} tokens: one block is reserved.")
            raise ServelabError(text.format(n=self.num_blocks, b=self.block_size, m=self.max_model_len))
        if self.max_num_batched_tokens < self.max_num_seqs or self.max_num_seqs < 1:
            raise ServelabError(_("max_num_batched_tokens must be at least max_num_seqs, and that at least 1."))
        if not self.enable_chunked_prefill and self.max_num_batched_tokens < self.max_model_len:
            raise ServelabError(_("Without chunked prefill, max_num_batched_tokens must reach max_model_len."))
        if self.policy not in ("fcfs", "priority"):
            raise ServelabError(_("The policy is fcfs or priority, not {policy}.").format(policy=self.policy))


@dataclass(eq=False, slots=True)
class Sequence:
    """One request inside the engine. `keys` name its leading full blocks that others can share, prompt first.

    `tokens` are prompt and written ones, `computed` those with keys and values in the cache, `full` its blocks that
    are hashed, `named` those of them that can be hit.
    """

    id: int
    prompt: int
    output: int
    arrival_s: float = 0.0
    priority: int = 0
    keys: tuple = ()
    session: object = None
    """Whose request it is, for routers that keep a user at one place."""
    tokens: int = 0
    computed: int = 0
    blocks: int = 0
    full: int = 0
    named: list[Block] = field(default_factory=list)
    spans: list[list[int]] = field(default_factory=list)
    preemptions: int = 0
    hit_tokens: int = -1
    """Prompt tokens that were in the cache at the first admission; -1 before it."""
    order: int = 0
    """Which arrival it is, counted by the scheduler: the last word on a tie."""
    seat: int = 0
    """Which admission it is, counted by the scheduler: the order of `running`."""
    base: int = -1
    """Of a sequence that goes in lockstep (see `servelab.simulate.engine`): its tokens less the steps so far."""

    @property
    def written(self) -> int:
        """Tokens of the answer so far."""
        return self.tokens - self.prompt

    @property
    def done(self) -> bool:
        """Whether the whole answer is written."""
        return self.tokens >= self.prompt + self.output


@dataclass(slots=True)
class Plan:
    """One step: tokens for each sequence that runs in it, in order, and who gave way for them."""

    tokens: dict[Sequence, int]
    preempted: list[Sequence]


class Fcfs(deque):
    """Waiting in order of arrival; who gave way stands first."""

    add = deque.append
    put_back = deque.appendleft
    pop_first = deque.popleft

    def first(self) -> Sequence:
        """Who is next."""
        return self[0]


class ByPriority:
    """Waiting by priority (a lower number first), then arrival."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, float, int, Sequence]] = []

    def add(self, sequence: Sequence) -> None:
        """Let it stand where its priority puts it."""
        heapq.heappush(self._heap, (sequence.priority, sequence.arrival_s, sequence.order, sequence))

    put_back = add

    def first(self) -> Sequence:
        """Who is next."""
        return self._heap[0][-1]

    def pop_first(self) -> Sequence:
        """Take who is next."""
        return heapq.heappop(self._heap)[-1]

    def __len__(self) -> int:
        return len(self._heap)

    def __iter__(self) -> Iterator[Sequence]:
        return (entry[-1] for entry in sorted(self._heap, key=lambda e: e[:-1]))


class Scheduler:
    """Queues, pool and the two halves of a step: `schedule` decides, `complete` takes in what the step produced."""

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self.pool = Pool(config.num_blocks, config.enable_prefix_caching)
        self.running: list[Sequence] = []
        self.waiting: Fcfs | ByPriority = ByPriority() if config.policy == "priority" else Fcfs()
        self.preemptions = 0
        self.stuck = False
        """Whether the waiting cannot be admitted before a running one ends (no seat, or no blocks)."""
        self._watermark = int(config.watermark * config.num_blocks)
        self._arrivals = self._admissions = 0

    def add(self, sequence: Sequence) -> None:
        """A request arrives. Its answer is cut where the model's length ends, as vLLM cuts it.

        Raises:
            ServelabError: no room for the prompt and one token more.
        """
        room = self.config.max_model_len - sequence.prompt
        if room < 1 or sequence.prompt < 1 or sequence.output < 1:
            text = _("A request of {prompt} + {output} tokens does not fit a model length of {most}.")
            raise ServelabError(
                text.format(prompt=sequence.prompt, output=sequence.output, most=self.config.max_model_len)
            )
        sequence.output = min(sequence.output, room)
        sequence.tokens = sequence.prompt
        sequence.order = self._arrivals
        self._arrivals += 1
        self.waiting.add(sequence)
        if self.config.policy == "priority":
            self.stuck = False

    def schedule(self) -> Plan:
        """Decide the next step and hand out its blocks."""
        plan = Plan({}, [])
        threshold = self.threshold()
        budget = self._continue(plan, threshold)
        self.stuck = False
        if not plan.preempted:
            self.admit(plan, threshold, budget)
        return plan

    def complete(self, plan: Plan) -> tuple[list[Sequence], list[Sequence]]:
        """The step is over: whoever has caught up writes one token. Returns who wrote, and who of them is done."""
        wrote = []
        for sequence, n in plan.tokens.items():
            sequence.computed += n
            if sequence.computed == sequence.tokens:
                sequence.tokens += 1
                wrote.append(sequence)
        ended = [sequence for sequence in wrote if sequence.done]
        self.end(ended)
        return wrote, ended

    def end(self, ended: list[Sequence]) -> None:
        """Sequences leave, in the order they run in, and give their blocks back."""
        for sequence in ended:
            self._release(sequence)
            self.stuck = False
        if len(ended) == 1:
            self.running.remove(ended[0])
        elif ended:
            gone = set(ended)
            self.running = [s for s in self.running if s not in gone]

    def threshold(self) -> int:
        """The most tokens of one long prompt in this step; 0 is no limit. It does not bind who is alone."""
        config, present = self.config, len(self.running) + len(self.waiting)
        most = config.long_prefill_token_threshold if present > 1 else 0
        if most and config.long_prefill_token_threshold_adaptive:
            most = max(most, config.max_num_batched_tokens // present)
        return most

    def _continue(self, plan: Plan, threshold: int) -> int:
        """Running sequences go on; returns the budget that is left."""
        running, budget, i = self.running, self.config.max_num_batched_tokens, 0
        while i < len(running) and budget > 0:
            sequence = running[i]
            n = sequence.tokens - sequence.computed
            if 0 < threshold < n:
                n = threshold
            n = min(n, budget)
            while not (fits := self.grow(sequence, n)):
                victim = self._victim()
                at = running.index(victim)
                del running[at]
                i -= at < i
                budget += plan.tokens.pop(victim, 0)
                self.preempt(victim, plan)
                if victim is sequence:
                    break
            if not fits:
                break
            plan.tokens[sequence] = n
            budget -= n
            i += 1
        return budget

    def admit(self, plan: Plan, threshold: int, budget: int) -> None:
        """Waiting sequences come in, while there are budget, seats and blocks."""
        config, running, waiting = self.config, self.running, self.waiting
        while budget > 0 and waiting:
            if len(running) >= config.max_num_seqs:
                self.stuck = True
                return
            sequence = waiting.first()
            hits = self.pool.hits(sequence.keys, (sequence.tokens - 1) // config.block_size)
            cached = len(hits) * config.block_size
            n = sequence.tokens - cached
            if 0 < threshold < n:
                n = threshold
            if n > budget and not config.enable_chunked_prefill:
                return
            n = min(n, budget)
            if not self._enter(sequence, hits, cached, n):
                self.stuck = True
                return
            waiting.pop_first()
            running.append(sequence)
            sequence.seat = self._admissions
            self._admissions += 1
            if sequence.hit_tokens < 0:
                sequence.hit_tokens = cached
            sequence.computed = cached
            plan.tokens[sequence] = n
            budget -= n

    def grow(self, sequence: Sequence, n: int) -> bool:
        """Blocks for `n` more tokens of a running sequence; False if there are too few."""
        upto = sequence.computed + n
        needed = -(-upto // self.config.block_size) - sequence.blocks
        if needed > 0:
            if needed > self.pool.free:
                return False
            self.pool.take(needed)
            sequence.blocks += needed
        self._hash(sequence, upto)
        return True

    def _enter(self, sequence: Sequence, hits: list[Block], cached: int, n: int) -> bool:
        """The first blocks of an admitted sequence; False if the whole prompt, or they, do not fit."""
        size, pool = self.config.block_size, self.pool
        needed = -(-(cached + n) // size) - len(hits)
        whole = -(-sequence.tokens // size) - len(hits)
        claim = pool.idle(hits) + (self._watermark if self.running else 0)
        if (whole if self.config.scheduler_reserve_full_isl else needed) + claim > pool.free:
            return False
        pool.hold(hits)
        pool.take(needed)
        sequence.named = hits
        sequence.full = len(hits)
        sequence.blocks = len(hits) + needed
        self._hash(sequence, cached + n)
        return True

    def _hash(self, sequence: Sequence, upto: int) -> None:
        """Blocks filled by the first `upto` tokens can be hit from now on."""
        full = upto // self.config.block_size
        if full > sequence.full and self.pool.prefix_caching:
            for key in sequence.keys[sequence.full : full]:
                sequence.named.append(self.pool.publish(key))
            sequence.full = full

    def _victim(self) -> Sequence:
        if self.config.policy == "priority":
            return max(self.running, key=lambda s: (s.priority, s.arrival_s))
        return self.running[-1]

    def preempt(self, sequence: Sequence, plan: Plan) -> None:
        """A sequence that was taken out of `running` gives its blocks back and waits again."""
        size = self.config.block_size
        if sequence.full > len(sequence.keys):
            # What only this sequence can ask for now gets a name: it will ask, when it comes back.
            own = [("own", sequence.order, i) for i in range(len(sequence.keys), sequence.tokens // size)]
            for key in own[: sequence.full - len(sequence.named)]:
                sequence.named.append(self.pool.publish(key))
            sequence.keys += tuple(own)
        self._release(sequence)
        sequence.computed = 0
        sequence.preemptions += 1
        self.preemptions += 1
        plan.preempted.append(sequence)
        self.waiting.put_back(sequence)

    def _release(self, sequence: Sequence) -> None:
        self.pool.release(sequence.named, sequence.full - len(sequence.named), sequence.blocks - sequence.full)
        sequence.named = []
        sequence.blocks = sequence.full = 0
