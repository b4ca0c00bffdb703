"""The block pool: what a paged engine counts, hands out, keeps for later and evicts.

vLLM keeps its free blocks in one queue. It hands out from the front. A freed block that no later request can hit
goes to the front, one that holds a full, hashed block goes to the back; so the queue is always the blank blocks,
then the hashed ones from the least to the most recently freed (`vllm/v1/core/block_pool.py`, `free_blocks` and
`get_new_blocks`). Two facts make a small model of it exact:

- blank blocks are interchangeable, so their number says everything;
- a hashed block matters for what it holds, not for where it is, so a number in memory is not needed either.

A block whose content no other request of the workload can ask for still takes its place in the queue, and is
evicted in its turn; a run of them, freed together, is one entry with a count.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence

from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.theory.kv_cache import RESERVED_BLOCKS

Key = Hashable
"""Names the content of a full block and of everything before it (see `servelab.simulate.prefix`)."""


class Block:
    """Full blocks with hashed content: one that can be hit (`key`), or a run of `count` that never will be (None)."""

    __slots__ = ("count", "key", "users")

    def __init__(self, key: Key | None, count: int = 1) -> None:
        self.key = key
        self.count = count
        self.users = 0
        """Requests that hold it; 0 while it waits to be hit or evicted."""


class Pool:
    """`num_blocks` blocks, one of them reserved (vLLM's null block), with or without a prefix cache."""

    def __init__(self, num_blocks: int, prefix_caching: bool = True) -> None:
        if num_blocks <= RESERVED_BLOCKS:
            raise ServelabError(_("A pool needs at least {n} blocks: one is reserved.").format(n=RESERVED_BLOCKS + 1))
        self.num_blocks = num_blocks
        self.prefix_caching = prefix_caching
        self.usable = num_blocks - RESERVED_BLOCKS
        self.blank = self.usable
        self.evictions = 0
        self._idle: OrderedDict[Block, None] = OrderedDict()
        self._idle_blocks = 0
        self._index: dict[Key, list[Block]] = {}

    @property
    def free(self) -> int:
        """Blocks that can be handed out: blank ones, and hashed ones that nobody holds."""
        return self.blank + self._idle_blocks

    @property
    def used(self) -> int:
        """Blocks that requests hold; a shared block counts once."""
        return self.usable - self.free

    @property
    def usage(self) -> float:
        """The share vLLM reports as `vllm:kv_cache_usage_perc`, from 0 to 1."""
        return self.used / self.usable

    @property
    def kept(self) -> list[Block]:
        """Cached blocks that nobody holds, the next to be evicted first; without those that no request can ask for."""
        return [block for block in self._idle if block.key is not None]

    def hits(self, keys: Sequence[Key], most: int) -> list[Block]:
        """The longest run of cached blocks from the start of `keys`, at most `most`."""
        found: list[Block] = []
        if self.prefix_caching and keys:
            for key in keys[:most]:
                copies = self._index.get(key)
                if not copies:
                    break
                found.append(copies[0])
        return found

    @staticmethod
    def idle(blocks: Sequence[Block]) -> int:
        """How many of `blocks` nobody holds: taking them makes so many fewer free."""
        return sum(not block.users for block in blocks)

    def hold(self, blocks: Sequence[Block]) -> None:
        """Take `blocks`, which are cached, for one more request."""
        for block in blocks:
            if not block.users:
                del self._idle[block]
                self._idle_blocks -= 1
            block.users += 1

    def take(self, n: int) -> None:
        """Hand out `n` of the `free` blocks: blank ones first, then the least recently freed, which are evicted."""
        blank = min(n, self.blank)
        self.blank -= blank
        n -= blank
        if not n:
            return
        self._idle_blocks -= n
        self.evictions += n
        while n > 0:
            oldest = next(iter(self._idle))
            if oldest.count > n:
                oldest.count -= n
                return
            del self._idle[oldest]
            n -= oldest.count
            if oldest.key is not None:
                self._forget(oldest)

    def publish(self, key: Key) -> Block:
        """A held block has become full: it can be hit from now on. Equal content is not merged, as in vLLM."""
        block = Block(key)
        block.users = 1
        self._index.setdefault(key, []).append(block)
        return block

    def release(self, named: Sequence[Block], private: int, unhashed: int) -> None:
        """Take back one request's blocks: `named` in order, `private` full ones behind them, `unhashed` at the end.

        The tail goes first, so that a prefix outlives what follows it.
        """
        self.blank += unhashed
        if private:
            self._idle[Block(None, private)] = None
            self._idle_blocks += private
        for block in reversed(named):
            block.users -= 1
            if not block.users:
                self._idle[block] = None
                self._idle_blocks += 1

    def _forget(self, block: Block) -> None:
        copies = self._index[block.key]
        copies.remove(block)
        if not copies:
            del self._index[block.key]
