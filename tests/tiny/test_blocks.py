"""The pool: every block is free or held, the longest unused is taken first, a prefix is found by all it holds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from servelab.tiny.blocks import BlockPool, digest_of


def test_a_digest_tells_the_whole_prefix():
    first = digest_of(b"", [1, 2])
    assert digest_of(b"", [1, 2]) == first
    assert digest_of(first, [3, 4]) != digest_of(digest_of(b"", [9, 2]), [3, 4])
    assert digest_of(b"", [12]) != digest_of(b"", [1, 2])


def test_the_end_of_a_sequence_is_reused_before_its_beginning():
    pool = BlockPool(num_blocks=5, block_size=2)
    table = pool.take(3)
    assert table == [1, 2, 3] and list(pool.free) == [4]
    pool.give_back(table)
    assert list(pool.free) == [4, 3, 2, 1]


def test_a_prefix_is_found_until_its_block_is_needed():
    pool = BlockPool(4, 2)
    (block,) = pool.take(1)
    digest = digest_of(b"", [7, 8])
    pool.remember(block, digest)
    pool.give_back([block])
    assert pool.find([digest]) == [block]
    pool.hold([block])
    assert list(pool.free) == [2, 3] and pool.blocks[block].users == 1
    pool.hold([block])
    pool.give_back([block])
    assert block not in pool.free, "the other user still holds it"
    pool.give_back([block])
    pool.take(3)
    assert pool.find([digest]) == []


def test_a_gap_ends_the_run():
    pool = BlockPool(4, 1)
    digests = [bytes([i]) for i in range(3)]
    a, b = pool.take(2)
    pool.remember(a, digests[0])
    pool.remember(b, digests[2])
    assert pool.find(digests) == [a]


def test_found_blocks_that_are_free_count_as_needed():
    pool = BlockPool(4, 1)
    (a,) = pool.take(1)
    pool.remember(a, b"x")
    pool.give_back([a])
    assert pool.fits(2, [a]) and not pool.fits(3, [a])


def test_without_prefix_caching_nothing_is_found():
    pool = BlockPool(4, 1, prefix_caching=False)
    pool.remember(*pool.take(1), b"x")
    assert pool.find([b"x"]) == []


@given(st.integers(2, 12), st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5)), max_size=60))
def test_whatever_happens_the_books_balance(num_blocks, events):
    pool, tables, keys = BlockPool(num_blocks, 1), [], 0
    for kind, n in events:
        if kind == 0 and pool.fits(n):
            tables.append(pool.take(n))
            for block in tables[-1]:
                pool.remember(block, bytes([keys % 9]))
                keys += 1
        elif kind == 1 and tables:
            pool.give_back(tables.pop(n % len(tables)))
        elif kind == 2:
            found = pool.find([bytes([n])])
            pool.hold(found)
            tables.append(found)
        held = [block for table in tables for block in table]
        assert all(held.count(i) == block.users for i, block in enumerate(pool.blocks))
        assert set(pool.free) == set(range(1, num_blocks)) - set(held)
        assert all(pool.blocks[block].digest == digest for digest, block in pool.known.items())
        assert sum(block.digest is not None for block in pool.blocks) == len(pool.known)
