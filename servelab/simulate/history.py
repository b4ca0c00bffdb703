"""A simulated engine's steps in the words that every engine's history shares (`servelab.load.history`)."""

from __future__ import annotations

from collections.abc import Sequence as Many
from typing import Any

from servelab.load.history import Moment, Places, Turn
from servelab.load.workload import Request
from servelab.simulate.engine import Engine, StepTime, simulate
from servelab.simulate.scheduler import EngineConfig, Plan, Sequence
from servelab.theory.batching import StepModel


def moments(
    requests: Many[Request], config: EngineConfig, step_time: StepTime | StepModel, **load: Any
) -> list[Moment]:
    """Every step of `simulate` (which takes the same arguments), for the block-table player.

    The simulator counts blocks: who holds how many and which are shared is its own, their places are made up. Known
    are the blocks that another request of this workload can ask for, or one that was put back.
    """
    watch = _Watch(config)
    simulate(requests, config, step_time, on_step=watch, **load)
    return watch.moments


class _Watch:
    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self.moments: list[Moment] = []
        self._places = Places(config.num_blocks)
        self._before: set[Sequence] = set()

    def __call__(self, engine: Engine, plan: Plan, started: float) -> None:
        scheduler, size = engine.scheduler, self.config.block_size
        running = list(scheduler.running)
        admitted = [s for s in running if s not in self._before]
        turns, finished = [], []
        for sequence, n in plan.tokens.items():
            catches_up = sequence.computed + n == sequence.tokens
            found = sequence.computed if sequence in admitted else 0
            turns.append(Turn(sequence.id, sequence.computed, n, int(catches_up), found))
            if catches_up and sequence.written + 1 >= sequence.output:
                finished.append(sequence)
        for s in running:
            self._places.name(s, s.named)
        named = {block: None for s in running for block in s.named} | dict.fromkeys(scheduler.pool.kept)
        self._places.keep([*named, *running])
        known = tuple(sorted(self._places.hold(block)[0] for block in named))
        tables = {s.id: self._table(s) for s in running}
        self.moments.append(
            Moment(
                step=len(self.moments),
                start_s=started,
                end_s=engine.now,
                num_blocks=self.config.num_blocks,
                block_size=size,
                turns=tuple(turns),
                admitted=_ids(admitted),
                preempted=_ids(plan.preempted),
                finished=_ids(finished),
                running=_ids(running),
                waiting=_ids(scheduler.waiting),
                tables=tables,
                cached={s.id: s.computed + plan.tokens.get(s, 0) for s in running},
                known=known,
                numbered=False,
            )
        )
        self._before = set(running) - set(finished)

    def _table(self, sequence: Sequence) -> tuple[int, ...]:
        shared = [self._places.hold(block)[0] for block in sequence.named]
        return (*shared, *self._places.hold(sequence, sequence.blocks - len(shared)))


def _ids(sequences: Many[Sequence]) -> tuple[int, ...]:
    return tuple(s.id for s in sequences)
