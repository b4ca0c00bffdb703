"""What a step was, kept as plain values: an explorer can go back and forth in it, a test can compare it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from servelab.load.history import Moment, Turn


@dataclass(frozen=True)
class Part:
    """What one request did in a step.

    Attributes:
        request: its id.
        start: the position of its first token in this step.
        tokens: the known tokens that were run (a chunk of the prompt, or the last token written).
        drafts: the guessed tokens that were run after them.
        accepted: how many of the drafts were kept.
        written: the tokens it got: the accepted drafts and one of the model's own; none in the midst of a prompt.
        slots: where in the cache the keys and values of `tokens` and `drafts` were written.
        found: tokens that were not run because the prefix cache held them (told in the step that admitted it).
    """

    request: int
    start: int
    tokens: tuple[int, ...]
    drafts: tuple[int, ...]
    accepted: int
    written: tuple[int, ...]
    slots: tuple[int, ...]
    found: int


@dataclass(frozen=True)
class Snapshot:
    """One step: the state in which the model's pass found the engine, and what came out of it.

    Attributes:
        step: counts from 0.
        seconds: how long the step took.
        parts: who took part, in the order of the batch.
        admitted, preempted, finished: ids that left the queue, were put back, ended with this step.
        running, waiting: ids in the order of the queues, those that end with this step included.
        tables: the block table of every running request, by id.
        users: how many requests hold each block, by block number.
        known: block numbers that can be found by their prefix.
        free: free blocks, the next to be handed out first.
    """

    step: int
    seconds: float
    parts: tuple[Part, ...]
    admitted: tuple[int, ...]
    preempted: tuple[int, ...]
    finished: tuple[int, ...]
    running: tuple[int, ...]
    waiting: tuple[int, ...]
    tables: dict[int, tuple[int, ...]]
    users: tuple[int, ...]
    known: tuple[int, ...]
    free: tuple[int, ...]

    @property
    def tokens(self) -> int:
        """Tokens in the batch, drafts included."""
        return sum(len(part.slots) for part in self.parts)

    @property
    def usage(self) -> float:
        """Share of the blocks that requests hold, as vLLM's `kv_cache_usage_perc` counts it."""
        return 1 - len(self.free) / (len(self.users) - 1)


def drafts(history: Iterable[Snapshot]) -> tuple[list[int], list[int]]:
    """Tokens accepted and proposed of every draft of some steps, in order: `theory.speculation.conditional` counts
    acceptance by position from them."""
    made = [part for snapshot in history for part in snapshot.parts if part.drafts]
    return [part.accepted for part in made], [len(part.drafts) for part in made]


def moments(history: Iterable[Snapshot], block_size: int) -> list[Moment]:
    """Snapshots in the words that every engine's history shares, for the block-table player.

    The clock counts the engine's own seconds: what passed between steps is left out.
    """
    found, now = [], 0.0
    cached: dict[int, int] = {}
    for one in history:
        for part in one.parts:
            cached[part.request] = part.start + len(part.tokens) + part.accepted
        now += one.seconds
        turns = [
            Turn(p.request, p.start, len(p.tokens), len(p.written), p.found, len(p.drafts), p.accepted)
            for p in one.parts
        ]
        found.append(
            Moment(
                step=one.step,
                start_s=now - one.seconds,
                end_s=now,
                num_blocks=len(one.users),
                block_size=block_size,
                turns=tuple(turns),
                admitted=one.admitted,
                preempted=one.preempted,
                finished=one.finished,
                running=one.running,
                waiting=one.waiting,
                tables=one.tables,
                # who had no turn since the history begins has at least its full blocks
                cached={i: cached.get(i, len(one.tables[i]) * block_size) for i in one.running},
                known=one.known,
            )
        )
    return found
