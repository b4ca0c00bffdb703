"""One engine over time: arrivals, steps that take as long as a `StepTime` says, and who writes a token when.

An engine decides only between steps, so its life is a list of steps. Most of them repeat the one before: the same
sequences write one more token each. Nothing new can happen until one of them ends, somebody arrives who can be
admitted, or the blocks run out; so the engine takes all the steps up to there at once (a jump). In lockstep nothing
is kept for each sequence: its tokens are its `base` plus the number of steps, it ends at a known step, and it needs
a block at every step of one remainder modulo the block size. A prompt that comes in beside a lockstep does not end
it. Where memory or budget is too short for all, the scheduler goes through them one by one, as it always can:
`jump=False` does only that, with the same result to the last bit.
"""

from __future__ import annotations

import gc
import heapq
import math
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from collections.abc import Sequence as Many
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.load.arrivals import Arrivals, replay
from servelab.load.metrics import Record
from servelab.load.report import Result
from servelab.load.workload import Request
from servelab.simulate.prefix import chain, request_tokens, shared
from servelab.simulate.scheduler import EngineConfig, Plan, Scheduler, Sequence
from servelab.theory.batching import StepModel
from servelab.theory.latency import Linear, Step


class StepTime(Protocol):
    """How long steps take, in seconds; for arrays in the step, an array.

    `servelab.theory.latency.step_time` makes one from a model and a machine, `servelab.calibrate` from measurements.
    """

    def __call__(self, step: Step) -> Any:
        """Seconds of `step`."""
        ...


MOST_STEPS = 1 << 16
"""Steps of one jump at most: bounds its memory."""
FEW_STEPS = 3
"""Up to so many, numbers are faster than arrays."""
_COUNT = np.arange(MOST_STEPS)

EVENTS = ("t_s", "end_s", "steps", "decode", "prefill", "running", "waiting", "used", "preempted")
"""Columns of `Engine.history`: one row a step, or a jump of `steps` equal ones.

`decode` and `prefill` are tokens of the row, `used` the blocks held in its last step, `preempted` who gave way.
"""


class Engine:
    """A scheduler with a clock. `add` requests in order of arrival, `run`, then read `ended`."""

    def __init__(
        self,
        config: EngineConfig,
        step_time: StepTime | StepModel,
        *,
        jump: bool = True,
        history: bool = False,
        on_end: Callable[[Sequence, float], None] | None = None,
        on_step: Callable[[Engine, Plan, float], None] | None = None,
    ) -> None:
        self.config = config
        self.scheduler = Scheduler(config)
        self.step_time: StepTime = Linear.of(step_time) if isinstance(step_time, StepModel) else step_time
        self.jump = jump and not on_step
        self.on_end = on_end
        self.on_step = on_step
        """Called in every step, with the plan and when it began, before what it brought is taken in: no jumps then."""
        self.now = 0.0
        self.ends: list[float] = []
        """When each step was over, in seconds."""
        self.busy_s = 0.0
        self._lasted = 0.0
        self.ended: list[Sequence] = []
        self.history: list[tuple] | None = [] if history else None
        self._pending: deque[Sequence] = deque()
        self._last_arrival = -math.inf
        # the lockstep: who goes in it, by the step that ends it; who needs a block, by remainder; the sum of bases
        self._finish: list[tuple[int, int, Sequence]] = []
        self._phase = [0] * config.block_size
        self._bases = 0
        self._loose: list[Sequence] = []
        """Running sequences outside the lockstep, in the order they run."""

    @property
    def busy(self) -> bool:
        """Whether there is anything left to do."""
        return bool(self._pending or self.scheduler.running or self.scheduler.waiting)

    def add(self, sequence: Sequence) -> None:
        """A request that arrives at its `arrival_s`.

        Raises:
            ServelabError: it arrives before an earlier one, or can never fit.
        """
        if sequence.arrival_s < self._last_arrival:
            raise ServelabError(_("The arrival times go backwards: sort the trace by time first."))
        if sequence.prompt >= self.config.max_model_len:
            text = _("A request of {prompt} + {output} tokens does not fit a model length of {most}.")
            values = {"prompt": sequence.prompt, "output": sequence.output, "most": self.config.max_model_len}
            raise ServelabError(text.format(**values))
        self._last_arrival = sequence.arrival_s
        self._pending.append(sequence)

    def run(self, until_s: float = math.inf) -> None:
        """Take every step that starts before `until_s`; the last of them may end after it."""
        scheduler, pending = self.scheduler, self._pending
        while True:
            if not scheduler.running and not scheduler.waiting:
                if not pending or pending[0].arrival_s >= until_s:
                    return
                self.now = max(self.now, pending[0].arrival_s)
            if self.now >= until_s:
                return
            while pending and pending[0].arrival_s <= self.now:
                scheduler.add(pending.popleft())
            if not (self.jump and self._lockstep(until_s)):
                self._one_by_one()

    # The lockstep

    def _lockstep(self, until_s: float) -> bool:
        """Take a jump, or one step with prompts in it, without touching who goes in lockstep; False if it cannot be."""
        scheduler = self.scheduler
        if self._loose or (scheduler.waiting and not scheduler.stuck):
            return self._beside()
        if not self._finish:
            return False
        arrival = math.inf
        if self._pending:
            # Who finds others waiting for a seat or for blocks waits with them, unless priority lets it pass.
            passes = self.config.policy == "priority" and len(scheduler.running) < self.config.max_num_seqs
            arrival = self._pending[0].arrival_s if passes or not scheduler.stuck else math.inf
        return self._jump(min(until_s, arrival))

    def _jump(self, until_s: float) -> bool:
        """Equal steps up to the next end, to `until_s`, or to the last for which there are blocks."""
        at, each, start = len(self.ends), len(self._finish), self.now
        k = min(self._finish[0][0] - at, MOST_STEPS)
        if until_s < math.inf and self._lasted > 0:
            k = min(k, int(1.25 * (until_s - start) / self._lasted) + 2)
        if (k // self.config.block_size + 1) * each > self.scheduler.pool.free:
            k, _blocks = self._affordable(at, k)
            if k == 0:
                return self._give_way(at)
        context = self._bases + each * (at - 1)
        if k <= FEW_STEPS:
            ends, end = [], start
            while len(ends) < k and end < until_s:
                end += float(self.step_time(Step(each, context)))
                context += each
                ends.append(end)
        else:
            seconds = np.full(k, self.step_time(Step(each, context + each * _COUNT[:k])))
            seconds[0] += start
            ends = seconds.cumsum().tolist()
            if ends[-2] >= until_s:
                del ends[bisect_left(ends, until_s) + 1 :]
        k, blocks = self._affordable(at, len(ends))
        self.scheduler.pool.take(blocks)
        self._pass(ends, each * k, 0, ())
        if self._finish[0][0] == at + k:
            self._leave([])
        return True

    def _give_way(self, at: int) -> bool:
        """One step for which blocks are short: the last admitted give way, as many as it takes. False under priority.

        The others take their blocks in the order they run in, so whoever gives way has not had its turn.
        """
        scheduler, pool, size = self.scheduler, self.scheduler.pool, self.config.block_size
        if self.config.policy != "fcfs":
            return False
        needed, plan = self._phase[at % size], Plan({}, [])
        while needed > pool.free:
            needed -= pool.free
            pool.take(pool.free)
            victim = scheduler.running.pop()
            self._finish = [entry for entry in self._finish if entry[2] is not victim]
            needed -= (victim.base + at - 1) % size == 0
            self._part(victim)
            scheduler.preempt(victim, plan)
        heapq.heapify(self._finish)
        pool.take(needed)
        scheduler.stuck = False
        each = len(self._finish)
        step = Step(each, self._bases + each * (at - 1))
        self._pass([self.now + float(self.step_time(step))], each, 0, plan.preempted)
        self._leave([])
        return True

    def _affordable(self, at: int, k: int) -> tuple[int, int]:
        """How many of `k` lockstep steps from step `at` on have their blocks, and how many blocks those take."""
        free, phase, size = self.scheduler.pool.free, self._phase, self.config.block_size
        rounds, rest = divmod(k, size)
        each = len(self._finish)
        if (rounds + 1) * each > free:
            rounds = min(rounds, free // each)
            rest = min(k - rounds * size, size)
        blocks = rounds * each
        if blocks + each <= free:
            start, stop = at % size, at % size + rest
            return rounds * size + rest, blocks + sum(phase[start:stop]) + sum(phase[: max(0, stop - size)])
        for j in range(rest):
            needed = phase[(at + j) % size]
            if blocks + needed > free:
                return rounds * size + j, blocks
            blocks += needed
        return rounds * size + rest, blocks

    def _beside(self) -> bool:
        """One step in which prompts are computed beside the lockstep; False where budget or blocks bind."""
        scheduler, at = self.scheduler, len(self.ends)
        decode = len(self._finish)
        budget = self.config.max_num_batched_tokens - decode
        threshold = scheduler.threshold()
        size = self.config.block_size
        crossing = blocks = self._phase[at % size]
        plan = Plan({}, [])
        for sequence in self._loose:
            n = sequence.tokens - sequence.computed
            if 0 < threshold < n:
                n = threshold
            if n > budget:
                if budget <= 0 or sequence is not scheduler.running[-1]:
                    return False
                n = budget
            budget -= n
            blocks += -(-(sequence.computed + n) // size) - sequence.blocks
            plan.tokens[sequence] = n
        if budget < 0 or blocks > scheduler.pool.free:
            return False
        scheduler.pool.take(crossing)
        for sequence, n in plan.tokens.items():
            scheduler.grow(sequence, n)
        scheduler.stuck = False
        scheduler.admit(plan, threshold, budget)
        step = self._features(plan, decode, self._bases + decode * (at - 1))
        self._pass([self.now + float(self.step_time(step))], step.decode, step.prefill, ())
        ended, loose = [], []
        for sequence, n in plan.tokens.items():
            sequence.computed += n
            if sequence.computed < sequence.tokens:
                loose.append(sequence)
                continue
            sequence.tokens += 1
            self._wrote(sequence)
            if sequence.done:
                ended.append(sequence)
            elif not self._join(sequence):
                loose.append(sequence)
        self._loose = loose
        self._leave(ended)
        return True

    def _join(self, sequence: Sequence) -> bool:
        """Let a decoding sequence go in lockstep, unless the blocks it will fill can be hit by others."""
        size = self.config.block_size
        if len(sequence.keys) * size > sequence.computed:
            return False
        at = len(self.ends)
        sequence.base = sequence.tokens - at
        heapq.heappush(self._finish, (sequence.prompt + sequence.output - sequence.base, sequence.seat, sequence))
        self._phase[(1 - sequence.base) % size] += 1
        self._bases += sequence.base
        if sum(sequence.spans[-1]) != at:
            sequence.spans.append([at, 0])
        return True

    def _part(self, sequence: Sequence) -> None:
        """A sequence leaves the lockstep: bring what is known of it up to date."""
        at, size = len(self.ends), self.config.block_size
        self._phase[(1 - sequence.base) % size] -= 1
        self._bases -= sequence.base
        sequence.tokens = sequence.base + at
        sequence.computed = sequence.tokens - 1
        sequence.blocks = -(-sequence.computed // size)
        sequence.full = sequence.computed // size if self.config.enable_prefix_caching else 0
        sequence.spans[-1][1] = at - sequence.spans[-1][0]
        sequence.base = -1

    def _leave(self, ended: list[Sequence]) -> None:
        """End `ended` and those whose last step in lockstep this was, in the order they run in."""
        at, finish = len(self.ends), self._finish
        while finish and finish[0][0] == at:
            sequence = heapq.heappop(finish)[-1]
            self._part(sequence)
            ended.append(sequence)
        if ended:
            ended.sort(key=lambda s: s.seat)
            self.scheduler.end(ended)
            self._end(ended)

    # One by one

    def _one_by_one(self) -> None:
        """One step in which the scheduler looks at every sequence."""
        scheduler = self.scheduler
        self.settle()
        plan = scheduler.schedule()
        if plan.tokens:  # an empty step takes no time: whoever should have run gave way
            step, started = self._features(plan), self.now
            self._pass([started + float(self.step_time(step))], step.decode, step.prefill, plan.preempted)
            if self.on_step:
                self.on_step(self, plan, started)
        wrote, ended = scheduler.complete(plan)
        for sequence in wrote:
            self._wrote(sequence)
        self._end(ended)
        self._loose = list(scheduler.running)
        if self.jump:
            decoding = {s for s in wrote if not s.done}
            self._loose = [s for s in self._loose if s not in decoding or not self._join(s)]

    # Both

    @staticmethod
    def _features(plan: Plan, decode: int = 0, context: int = 0) -> Step:
        """A plan's step, with `decode` sequences of `context` cached tokens beside it."""
        prefill = chunk = pieces = past = 0
        for sequence, n in plan.tokens.items():
            before = sequence.computed
            if n == 1 and before >= sequence.prompt:
                decode += 1
                context += before
            else:
                prefill += n
                chunk += n * before + n * (n + 1) // 2
                pieces += 1
                past += before
        return Step(decode, context, prefill, chunk, pieces, past)

    def _wrote(self, sequence: Sequence) -> None:
        """A sequence wrote a token in the step that is just over."""
        at = len(self.ends) - 1
        if sequence.spans and sum(sequence.spans[-1]) == at:
            sequence.spans[-1][1] += 1
        else:
            sequence.spans.append([at, 1])

    def _pass(self, ends: list[float], decode: float, prefill: float, preempted: Many[Sequence]) -> None:
        """Time passes: steps that end at `ends`."""
        start, self.now = self.now, ends[-1]
        self._lasted = ends[-1] - (ends[-2] if len(ends) > 1 else start)
        self.busy_s += self.now - start
        self.ends.extend(ends)
        if self.history is not None:
            s = self.scheduler
            counts = (len(s.running), len(s.waiting), s.pool.used, len(preempted))
            self.history.append((start, self.now, len(ends), decode, prefill, *counts))

    def _end(self, ended: list[Sequence]) -> None:
        self.ended.extend(ended)
        if self.on_end:
            for sequence in ended:
                self.on_end(sequence, self.now)

    # What came out

    def settle(self) -> None:
        """Bring every running sequence up to date: in lockstep its tokens are not counted one by one."""
        for _at, _seat, sequence in self._finish:
            self._part(sequence)
        self._finish.clear()
        self._loose = list(self.scheduler.running)

    def steps(self) -> pd.DataFrame:
        """The history as a frame (`EVENTS`); empty unless the engine was made with `history`."""
        return pd.DataFrame(self.history or [], columns=list(EVENTS))

    def token_times(self, sequence: Sequence) -> list[float]:
        """When each token of an ended sequence was written, in seconds."""
        if len(sequence.spans) == 1:
            first, n = sequence.spans[0]
            return self.ends[first : first + n]
        return [end for first, n in sequence.spans for end in self.ends[first : first + n]]

    def records(self, delay_s: float = 0.0) -> list[Record]:
        """The records of the requests that ended, in the order they ended."""
        return [self._record(s, delay_s) for s in self.ended]

    def _record(self, sequence: Sequence, delay_s: float) -> Record:
        times = self.token_times(sequence)
        sent = sequence.arrival_s - delay_s
        return Record(
            id=sequence.id,
            intended_s=sent,
            sent_s=sent,
            first_token_s=times[0],
            token_times_s=times,
            finished_s=times[-1],
            prompt_tokens=sequence.prompt,
            output_tokens=len(times),
            asked_tokens=sequence.output,
            finish_reason="length",
        )


def sequences(requests: Many[Request], config: EngineConfig, offsets: Many[float] | None = None) -> list[Sequence]:
    """Requests as the engine sees them, with the names of the blocks they share. `offsets` are arrival times in s.

    Raises:
        ServelabError: a prompt that is not token ids: its length is not known.
    """
    if any(r.prompt_tokens is None for r in requests):
        raise ServelabError(_("Prompts must be token ids here: use `synthetic` or `trace`."))
    keys: list[tuple[int, ...]] = [()] * len(requests)
    if config.enable_prefix_caching:
        keys = shared([chain(request_tokens(r), config.block_size) for r in requests])
    times = [r.arrival_s or 0.0 for r in requests] if offsets is None else [float(t) for t in offsets]
    return [
        Sequence(r.id, r.prompt_tokens, r.output_tokens, t, r.extra.get("priority", 0), k, r.extra.get("session"))
        for r, t, k in zip(requests, times, keys, strict=True)
    ]


def simulate(
    requests: Many[Request],
    config: EngineConfig,
    step_time: StepTime | StepModel,
    *,
    arrivals: Arrivals | Many[float] | NDArray[np.float64] | None = None,
    concurrency: int | None = None,
    delay_s: float | None = None,
    jump: bool = True,
    on_step: Callable[[Engine, Plan, float], None] | None = None,
) -> Result:
    """What `servelab.load.drive` would measure at an engine of this `config` whose steps take `step_time`.

    Args:
        requests: what to ask; prompts as token ids (`synthetic`, `trace`). `extra["priority"]` is vLLM's priority,
            `extra["answer"]` the ids of the answer where later prompts repeat it.
        config: the engine's settings.
        step_time: seconds of a step from its features: a calibrated model, `Linear`, or a `StepModel`.
        arrivals: open loop: an arrival process, or send times in seconds. Requests of a trace bring theirs.
        concurrency: without `arrivals`, a closed loop of so many users. Default: one.
        delay_s: seconds from sending to the engine's queue (HTTP, tokenizing); by default the `request_s` of a
            calibrated step time, else 0.
        jump: take equal steps at once; without it every step is decided one by one, to the same result.
        on_step: sees every step (`Engine.on_step`).

    Returns:
        One record a request, in the order of their ids. `about` has the model's settings and what the engine counted:
        `preemptions`, `evictions`, `hit_tokens`, `steps`, `busy_s`.

    Raises:
        ServelabError: no requests, prompts of unknown length, or one that can never fit.
    """
    if not requests:
        raise ServelabError(_("A load needs at least one request."))
    if concurrency is not None and (concurrency < 1 or arrivals is not None):
        raise ServelabError(_("Give arrivals or a concurrency of at least 1, not both."))
    if delay_s is None:
        delay_s = float(getattr(step_time, "request_s", 0.0))
    if arrivals is None and concurrency is None and all(r.arrival_s is not None for r in requests):
        arrivals = replay(requests)
    elif arrivals is not None and not isinstance(arrivals, Arrivals):
        arrivals = replay(arrivals)
    if arrivals:
        name = arrivals.name
        all_of_them = sequences(requests, config, arrivals.offsets(len(requests)) + delay_s)
        engine = Engine(config, step_time, jump=jump, on_step=on_step)
        for sequence in all_of_them:
            engine.add(sequence)
    else:
        name = _("closed loop, {n} at once").format(n=concurrency or 1)
        all_of_them = sequences(requests, config, [delay_s] * len(requests))
        rest = deque(all_of_them)

        def next_one(_ended: Sequence, now: float) -> None:
            if rest:
                rest[0].arrival_s = now + delay_s
                engine.add(rest.popleft())

        engine = Engine(config, step_time, jump=jump, on_end=next_one, on_step=on_step)
        for _user in range(min(concurrency or 1, len(rest))):
            engine.add(rest.popleft())
    collecting = gc.isenabled()
    gc.disable()  # nothing here goes in circles, and looking for circles takes a third of the time
    try:
        engine.run()
        records = sorted(engine.records(delay_s), key=lambda r: r.id)
    finally:
        if collecting:
            gc.enable()
    pool = engine.scheduler.pool
    about = {
        "address": "",
        "model": _("simulated"),
        "load": name,
        "preemptions": engine.scheduler.preemptions,
        "evictions": pool.evictions,
        "hit_tokens": sum(s.hit_tokens for s in all_of_them),
        "steps": len(engine.ends),
        "busy_s": engine.busy_s,
    }
    return Result(records, about)
