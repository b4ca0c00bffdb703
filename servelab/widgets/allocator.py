"""A learner's block allocator at work: its pool and its block tables, step by step."""

from __future__ import annotations

import html
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from string import ascii_uppercase
from typing import Protocol

import plotly.graph_objects as go

from servelab.figures import allocation as figures
from servelab.i18n import _, sentences
from servelab.widgets.base import Explorer, slider, steps

SIZES = (8, 16, 32)


class BlockAllocator(Protocol):
    """What the learner writes (exercise 2.4-allocator)."""

    def append(self, sequence: int, tokens: int = 1) -> bool:
        """Room for more tokens of a sequence; False, and nothing changed, if there is none."""

    def slot(self, sequence: int, position: int) -> int:
        """Where a token stands: block x block size + offset."""

    def share(self, old: int, new: int) -> int:
        """Begin `new` with the full blocks of `old`; the tokens in them."""

    def free(self, sequence: int) -> None:
        """Give everything of a sequence back."""


@dataclass
class State:
    """One step as it is drawn: block table and tokens of each running sequence, and what has happened in it."""

    tables: dict[int, list[int]]
    tokens: dict[int, int]
    told: list[str] = field(default_factory=list)


def play(
    allocator: BlockAllocator, lengths: Sequence[tuple[int, int]], block_size: int, shares: Mapping[int, int]
) -> list[State]:
    """Serve requests first come, first served, and look at the block tables after each step through `slot` alone.

    Args:
        lengths: (prompt, answer) of each request, in tokens.
        shares: {request: an earlier one whose prompt its own begins with}.

    Raises:
        Exception: whatever the allocator raises; its `states` are the steps before.
    """
    waiting, running, tokens, written = deque(range(len(lengths))), [], {}, {}
    states: list[State] = []
    try:
        while (waiting or running) and len(states) < 500:
            told, gave_way = [], False
            for i in list(running):
                while i in running and not allocator.append(i, 1):
                    victim = running.pop()
                    allocator.free(victim)
                    waiting.appendleft(victim)
                    gave_way = True
                    told.append(_("{name} gives way.").format(name=name_of(victim)))
                if i in running:
                    tokens[i] += 1
                    written[i] += 1
            while waiting and not gave_way:
                first, parent = waiting[0], shares.get(waiting[0])
                have = lengths[first][0] + max(0, written.get(first, 0) - 1)
                begun = allocator.share(parent, first) if parent in running else 0
                begun = min(begun, have)
                if not allocator.append(first, have - begun):
                    if begun:
                        allocator.free(first)
                    break
                running.append(waiting.popleft())
                tokens[first], written[first] = have, max(1, written.get(first, 0))
                told.append(_("{name} comes in.").format(name=name_of(first)))
                if begun:
                    said = _("{name} shares {n} tokens of {other}.")
                    told.append(said.format(name=name_of(first), n=begun, other=name_of(parent)))
            if not running:
                break
            tables = {i: [allocator.slot(i, p) // block_size for p in range(0, tokens[i], block_size)] for i in running}
            states.append(State(tables, {i: tokens[i] for i in running}, told))
            for i in [i for i in running if written[i] >= lengths[i][1]]:
                allocator.free(i)
                running.remove(i)
                told.append(_("{name} ends.").format(name=name_of(i)))
    except Exception as error:
        error.states = states
        raise
    return states


def name_of(sequence: int) -> str:
    """A, B, C ..."""
    return ascii_uppercase[sequence % 26]


def allocator(
    make: Callable[[int, int], BlockAllocator],
    lengths: Sequence[tuple[int, int]],
    memory: int = 384,
    shares: Mapping[int, int] | None = None,
) -> Explorer:
    """Explorer: the pool and the block tables that an allocator of the learner's gives to a few requests.

    An allocator that raises is drawn as far as it came, with its error told under the figures.

    Args:
        make: (number of blocks, block size) to a fresh allocator; called anew for every block size.
        lengths: (prompt, answer) of each request, in tokens.
        memory: of the pool in tokens, the reserved block included.
        shares: {request: an earlier one whose prompt its own begins with}.
    """

    @lru_cache(maxsize=len(SIZES))
    def history(block: int) -> tuple[list[State], str]:
        try:
            return play(make(memory // block, block), lengths, block, shares or {}), ""
        except Exception as error:
            said = f"{type(error).__name__}: {error}".removesuffix(": ")
            return getattr(error, "states", []), _("Your allocator stops here: {error}").format(error=said)

    def at(step: int, block: int) -> tuple[State, str]:
        states, wrong = history(block)
        if not states:
            return State({}, {}), wrong
        last = step >= len(states) - 1
        return states[min(step, len(states) - 1)], wrong if last else ""

    def draw(step: int, block: int) -> list[go.Figure]:
        state, _wrong = at(step, block)
        users: list[list[str]] = [[] for _block in range(memory // block)]
        filled = [0] * len(users)
        for i, table in state.tables.items():
            for n, number in enumerate(table):
                if 0 <= number < len(users):
                    users[number].append(name_of(i))
                    filled[number] = max(filled[number], min(block, state.tokens[i] - n * block))
        colors = {name_of(i): i for i in range(len(lengths))}
        named = {name_of(i): table for i, table in state.tables.items()}
        tokens = {name_of(i): n for i, n in state.tokens.items()}
        return [figures.pool(users, filled, block, colors), figures.tables(named, tokens, block, colors)]

    def say(step: int, block: int) -> str:
        state, wrong = at(step, block)
        held = len({number for table in state.tables.values() for number in table})
        tokens = sum(state.tokens.values())
        told = _("Step {step}: {tokens} tokens in {held} of {usable} blocks.").format(
            step=step, tokens=tokens, held=held, usable=memory // block - 1
        )
        return sentences(told, *state.told, *([f"<b>{html.escape(wrong)}</b>"] if wrong else []))

    longest = max(len(history(block)[0]) for block in SIZES)
    controls = {
        "step": slider(_("Step"), 0, max(1, longest - 1), min(max(1, longest - 1), longest // 2)),
        "block": steps(_("Block (tokens)"), SIZES, 16),
    }
    return Explorer(controls, draw, say=say, columns=2)
