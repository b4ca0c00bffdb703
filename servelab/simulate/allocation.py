"""Three ways to hand out KV memory, and what each of them holds empty, replayed over the same requests.

`Slots` is fixed allocation: a place of the longest allowed length for everybody. `FirstFit` is dynamic: one piece of
the length a request asks for, in the first gap that is long enough. `Paged` hands out blocks, one at a time, from
anywhere. Memory is a line of `capacity` tokens; a sequence holds pieces of it, each a (start, length).

What is not a token is empty in one of three ways (Kwon et al., "Efficient Memory Management for Large Language Model
Serving with PagedAttention", SOSP 2023, section 3.1): reserved for tokens that will still come; internal
fragmentation, handed out and never used; external fragmentation, free and enough, but not where it is needed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.theory.kv_cache import RESERVED_BLOCKS

Piece = tuple[int, int]
PARTS = ("tokens", "reserved", "internal", "external", "free", "kept")
FREE, EMPTY, TOKENS = 0, 1, 2
"""What a cell of `Replay.map` shows: nobody's, held without a token in it, a token."""


class Allocator:
    """`capacity` tokens of memory, `kept` of them for the allocator itself; `pieces[sequence]` is what it holds."""

    kept = 0

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.pieces: dict[int, list[Piece]] = {}

    def admit(self, sequence: int, tokens: int, claim: int) -> bool:
        """Let a sequence in with `tokens` tokens, which asks for room for `claim`; False, unchanged, if it cannot."""
        raise NotImplementedError

    def grow(self, sequence: int, tokens: int) -> bool:
        """Room for `tokens` tokens in all; False, unchanged, if there is none."""
        return tokens <= self.held(sequence)

    def free(self, sequence: int) -> None:
        """Take everything back from a sequence."""
        del self.pieces[sequence]

    def held(self, sequence: int) -> int:
        """Tokens of memory that a sequence holds, full or empty."""
        return sum(length for _start, length in self.pieces[sequence])

    @property
    def left(self) -> int:
        """Tokens of memory that nobody holds, in however many gaps."""
        return self.capacity - self.kept - sum(map(self.held, self.pieces))


class Slots(Allocator):
    """Fixed: the memory is cut into equal slots of `slot` tokens, the longest a sequence may become."""

    def __init__(self, capacity: int, slot: int) -> None:
        super().__init__(capacity)
        self.slot = slot

    def admit(self, sequence: int, tokens: int, claim: int) -> bool:
        """Take the first free slot."""
        taken = {start for (piece,) in self.pieces.values() for start in piece[:1]}
        for start in range(0, self.capacity - self.slot + 1, self.slot):
            if start not in taken and max(tokens, claim) <= self.slot:
                self.pieces[sequence] = [(start, self.slot)]
                return True
        return False


class FirstFit(Allocator):
    """Dynamic: one piece of exactly what is asked for, in the first gap that holds it (Knuth, TAOCP vol. 1, 2.5)."""

    def gaps(self) -> list[Piece]:
        """The free gaps, by address."""
        found, at = [], 0
        for start, length in sorted(piece for pieces in self.pieces.values() for piece in pieces):
            if start > at:
                found.append((at, start - at))
            at = start + length
        if at < self.capacity:
            found.append((at, self.capacity - at))
        return found

    def admit(self, sequence: int, tokens: int, claim: int) -> bool:
        """Take the beginning of the first gap that is long enough."""
        need = max(tokens, claim)
        start = next((start for start, length in self.gaps() if length >= need), None)
        if start is None:
            return False
        self.pieces[sequence] = [(start, need)]
        return True


class Paged(Allocator):
    """Blocks of `block_size` tokens, taken when a token needs one; as in vLLM the first block is nobody's.

    The claim is not looked at: nothing is held for tokens that have not come. What was freed first is used first.
    """

    def __init__(self, num_blocks: int, block_size: int) -> None:
        super().__init__(num_blocks * block_size)
        self.block_size = block_size
        self.kept = RESERVED_BLOCKS * block_size
        self.blocks = deque(range(RESERVED_BLOCKS, num_blocks))

    def admit(self, sequence: int, tokens: int, claim: int) -> bool:
        """Blocks for the tokens that are there."""
        self.pieces[sequence] = []
        if not self.grow(sequence, tokens):
            del self.pieces[sequence]
            return False
        return True

    def grow(self, sequence: int, tokens: int) -> bool:
        """Blocks for what the last one does not hold."""
        more = -(-tokens // self.block_size) - len(self.pieces[sequence])
        if more > len(self.blocks):
            return False
        for _block in range(more):
            self.pieces[sequence].append((self.blocks.popleft() * self.block_size, self.block_size))
        return True

    def free(self, sequence: int) -> None:
        """The end of a sequence is reused before its beginning."""
        self.blocks.extend(start // self.block_size for start, _length in reversed(self.pieces.pop(sequence)))


@dataclass
class Replay:
    """What happened, step by step; a step writes one token of every running sequence.

    Attributes:
        capacity: of the memory, in tokens.
        frame: one row a step: `running`, `waiting` (requests), and the account of the memory in tokens, which adds up
            to the capacity: `tokens`, `reserved`, `internal`, `external`, `free`, `kept` (by the allocator).
        order: the requests in the order they were first admitted.
        preemptions: how often one lost its memory to another.
    """

    capacity: int
    frame: pd.DataFrame
    order: list[int]
    preemptions: int
    layout: list[list[tuple[int, int, int]]] = field(repr=False)

    @property
    def steps(self) -> int:
        """Steps until the last request was served."""
        return len(self.frame)

    @property
    def crowded(self) -> pd.DataFrame:
        """The steps in which somebody waits (all of them, if nobody ever does): empty memory is missed then only."""
        busy = self.frame[self.frame.waiting > 0]
        return busy if len(busy) else self.frame

    @property
    def concurrency(self) -> float:
        """Requests running at once, averaged over the crowded steps."""
        return float(self.crowded.running.mean())

    def shares(self) -> dict[str, float]:
        """The account as shares of the memory, averaged over the crowded steps; they add up to 1."""
        return {part: float(self.crowded[part].mean() / self.capacity) for part in PARTS}

    def map(self, rows: int = 128, columns: int = 160) -> NDArray[np.uint8]:
        """The memory over time: FREE, EMPTY or TOKENS by address and step, at most `rows` x `columns` samples."""
        rows = min(rows, self.capacity)
        steps = np.unique(np.linspace(0, self.steps - 1, columns).astype(int))
        cells = np.full((self.capacity, len(steps)), FREE, np.uint8)
        for column, step in enumerate(steps):
            for start, length, tokens in self.layout[step]:
                cells[start : start + length, column] = EMPTY
                cells[start : start + tokens, column] = TOKENS
        return cells[((np.arange(rows) + 0.5) * self.capacity / rows).astype(int)]


def replay(
    allocator: Allocator,
    lengths: Sequence[tuple[int, int]],
    claims: Sequence[int] | int | None = None,
    max_num_seqs: int | None = None,
) -> Replay:
    """Serve requests that all wait from the start, in order, as an engine with continuous batching does.

    A step first lets every running sequence have the token it wrote, then admits who waits, first come first served.
    When there is no room for a token, the last admitted gives way and begins again from what it has written, first
    in line (vLLM's preemption by recompute).

    Args:
        allocator: a fresh one.
        lengths: (prompt, answer) of each request, in tokens.
        claims: answer tokens each request asks room for, where nobody knows its length before: one number for all or
            one each (at least the answer's length); None is the answer's own length, known by a miracle.
        max_num_seqs: at most so many at once.

    Raises:
        ServelabError: a request that does not fit even alone, or that asks for less than it writes.
    """
    answers = [output for _prompt, output in lengths]
    asked = answers if claims is None else [claims] * len(answers) if isinstance(claims, int) else list(claims)
    if any(claim < output for claim, output in zip(asked, answers, strict=True)):
        raise ServelabError(_("A request cannot write more tokens than it asked for."))
    seats = max_num_seqs or len(lengths)
    # In the cache after k written tokens: prompt + k - 1, for the newest has not been through the model yet.
    before = [prompt - 1 for prompt, _output in lengths]
    written = [0] * len(lengths)
    waiting, running, order = deque(range(len(lengths))), [], []
    rows, layout, preemptions = [], [], 0
    while waiting or running:
        gave_way = False
        for i in list(running):
            while i in running and not allocator.grow(i, before[i] + written[i] + 1):
                victim, gave_way = running.pop(), True
                allocator.free(victim)
                waiting.appendleft(victim)
                preemptions += 1
        while waiting and not gave_way and len(running) < seats:
            first = waiting[0]
            if not allocator.admit(first, before[first] + written[first] + 1, before[first] + asked[first]):
                break
            running.append(waiting.popleft())
            if not written[first]:
                order.append(first)
        if not running:
            text = _("Request {n} asks for {tokens:,} tokens of memory and does not fit.")
            raise ServelabError(text.format(n=waiting[0], tokens=before[waiting[0]] + asked[waiting[0]]))
        row = {"running": len(running), "waiting": len(waiting), "tokens": 0, "reserved": 0, "internal": 0}
        pieces = []
        for i in running:
            written[i] += 1
            tokens, held = before[i] + written[i], allocator.held(i)
            last = min(before[i] + answers[i], held)
            row["tokens"] += tokens
            row["reserved"] += last - tokens
            row["internal"] += held - last
            pieces += _filled(allocator.pieces[i], tokens)
        left, row["external"], row["kept"] = allocator.left, 0, allocator.kept
        if waiting and len(running) < seats:
            need = before[waiting[0]] + max(asked[waiting[0]], written[waiting[0]] + 1)
            row["external"] = left if left >= need else 0
        row["free"] = left - row["external"]
        rows.append(row)
        layout.append(pieces)
        for i in [i for i in running if written[i] == answers[i]]:
            allocator.free(i)
            running.remove(i)
    return Replay(allocator.capacity, pd.DataFrame(rows), order, preemptions, layout)


def _filled(pieces: Sequence[Piece], tokens: int) -> list[tuple[int, int, int]]:
    """Each piece of a sequence with how many of its tokens are there: (start, length, tokens)."""
    found = []
    for start, length in pieces:
        found.append((start, length, min(length, tokens)))
        tokens = max(0, tokens - length)
    return found
