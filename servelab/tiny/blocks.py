"""Who holds which block of the KV cache, and which blocks can be used again because their prefix is known.

A sequence holds blocks of `block_size` tokens, listed in its block table. A full block is known by a digest of every
token up to its end, so equal digests mean equal keys and values, and two sequences may hold the same block. A block
that nobody holds keeps its content until it is needed: the free list is a queue, least recently used first. The same
rules as vLLM's `BlockPool`, one block, number 0, left out for padding included.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

RESERVED = 0
"""The block that belongs to nobody: padded block tables point to it."""


@dataclass
class Block:
    """One block: how many sequences hold it, and the digest of the prefix that ends with it, if it is kept."""

    users: int = 0
    digest: bytes | None = None


def digest_of(before: bytes, tokens: Sequence[int]) -> bytes:
    """The digest of a full block: of its tokens and, through `before`, of all that came before it.

    SHA-256, as in vLLM: two prompts whose digests collided would read each other's cache.
    """
    return hashlib.sha256(before + array("q", tokens).tobytes()).digest()


class BlockPool:
    """All blocks, the queue of free ones and the prefixes that can be found."""

    def __init__(self, num_blocks: int, block_size: int, prefix_caching: bool = True) -> None:
        self.block_size = block_size
        self.prefix_caching = prefix_caching
        self.blocks = [Block() for _ in range(num_blocks)]
        self.free: OrderedDict[int, None] = OrderedDict.fromkeys(range(RESERVED + 1, num_blocks))
        self.known: dict[bytes, int] = {}

    def count(self, tokens: int) -> int:
        """Blocks that `tokens` tokens fill."""
        return -(-tokens // self.block_size)

    def find(self, digests: Sequence[bytes]) -> list[int]:
        """The blocks of the longest known run of `digests` from the first on. A gap ends it."""
        found = []
        for digest in digests:
            if digest not in self.known:
                break
            found.append(self.known[digest])
        return found

    def fits(self, blocks: int, found: Sequence[int] = ()) -> bool:
        """Whether `blocks` new ones are there once those `found` are held (free ones among them leave the queue)."""
        return blocks <= len(self.free) - sum(block in self.free for block in found)

    def hold(self, found: Sequence[int]) -> None:
        """One more user for blocks found by their prefix."""
        for block in found:
            self.blocks[block].users += 1
            self.free.pop(block, None)

    def take(self, n: int) -> list[int]:
        """`n` blocks to write to, the longest unused first; what they held can be found no more."""
        taken = [self.free.popitem(last=False)[0] for _ in range(n)]
        for number in taken:
            block = self.blocks[number]
            if block.digest is not None:
                del self.known[block.digest]
            block.users, block.digest = 1, None
        return taken

    def give_back(self, table: Sequence[int]) -> None:
        """One user less for each. The end of a sequence is reused before its beginning, which others may share."""
        for number in reversed(table):
            self.blocks[number].users -= 1
            if not self.blocks[number].users:
                self.free[number] = None

    def remember(self, number: int, digest: bytes) -> None:
        """This block is full and can be found by its digest, unless another block with the same prefix already is."""
        if self.prefix_caching and digest not in self.known:
            self.known[digest] = number
            self.blocks[number].digest = digest
