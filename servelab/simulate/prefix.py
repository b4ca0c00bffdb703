"""What makes two blocks equal: a chain of hashes over the tokens, block by block.

The key of a full block covers its own tokens and the key of the block before it, so equal keys mean equal prefixes
(vLLM: `hash_block_tokens` in `vllm/v1/core/kv_cache_utils.py`, there with SHA-256 against forged collisions; here
Python's own 64-bit hash of integers, which is the same on every run).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from servelab.load.workload import Request

ROOT = 0x5E7E
"""The key before the first block."""


def chain(tokens: Sequence[int], block_size: int, root: int = ROOT) -> tuple[int, ...]:
    """The keys of the full blocks of `tokens`, in order; what does not fill a block has none."""
    keys, key = [], root
    for start in range(0, len(tokens) - block_size + 1, block_size):
        key = hash((key, *tokens[start : start + block_size]))
        keys.append(key)
    return tuple(keys)


def request_tokens(request: Request) -> list[int]:
    """Token ids a request leaves in the cache: its prompt, and its answer where `extra["answer"]` gives the ids.

    A conversation's next turn repeats the answer of the last, so a workload with turns gives the answers.
    """
    if request.prompt_tokens is None:
        return []
    return [*request.prompt, *request.extra.get("answer", ())[: request.output_tokens]]


def shared(chains: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Each chain cut to the blocks that some other chain has too: the only ones a prefix cache can serve.

    What is cut off is still stored and still evicted in its turn. Knowing the whole workload beforehand, the
    simulator does not have to name what no request asks for: a load without shared prefixes costs nothing here.
    """
    seen = Counter(key for keys in chains for key in keys)
    cut = []
    for keys in chains:
        n = 0
        while n < len(keys) and seen[keys[n]] > 1:
            n += 1
        cut.append(keys[:n])
    return cut
