"""A learner's allocator drawn at work: its own tables, and whatever goes wrong with it."""

import pytest

from servelab.widgets.allocator import allocator, play
from tests.widgets.samples import CROWD, Blocks


def test_tables_are_read_through_slot_alone():
    states = play(Blocks(24, 16), CROWD, 16, {3: 0})
    for state in states:
        for sequence, table in state.tables.items():
            assert len(table) == -(-state.tokens[sequence] // 16)
            assert 0 not in table and len(set(table)) == len(table)
    assert {i for state in states for i in state.tables} == set(range(len(CROWD)))


@pytest.mark.parametrize("block", [8, 16, 32])
def test_every_request_writes_its_answer(block):
    states = play(Blocks(384 // block, block), CROWD, block, {3: 0})
    for i, (prompt, output) in enumerate(CROWD):
        seen = [state.tokens[i] for state in states if i in state.tokens]
        assert max(seen) == prompt + output - 1


def test_a_shared_prefix_is_in_two_tables():
    states = play(Blocks(24, 16), CROWD, 16, {3: 0})
    both = [state for state in states if {0, 3} <= state.tables.keys()]
    assert both and all(state.tables[0][:2] == state.tables[3][:2] for state in both)
    assert any("D shares 32 tokens of A." in state.told for state in states)


def test_a_full_pool_makes_the_last_give_way():
    states = play(Blocks(5, 8), [(8, 12), (8, 12)], 8, {})
    told = [sentence for state in states for sentence in state.told]
    assert "B gives way." in told and told.count("B comes in.") == 2


def test_one_that_raises_is_drawn_as_far_as_it_came():
    class Tired(Blocks):
        def free(self, sequence):
            raise RuntimeError("no more")

    shown = allocator(Tired, CROWD, memory=1024)
    assert "Your allocator stops here: RuntimeError: no more" in shown.caption(step=shown.controls["step"].max)
    assert "stops here" not in shown.caption(step=0)
    assert shown.figures(step=0)[1].data[2].text


def test_one_that_is_not_written_yet_is_an_empty_pool():
    shown = allocator(lambda blocks, size: NotYet(blocks, size), CROWD)  # noqa: F821 (that is the point)
    assert "NameError" in shown.caption() and len(shown.figures()) == 2


def test_an_error_is_no_html():
    def make(blocks, size):
        raise ValueError("<b>x</b>")

    assert "<b>x</b>" not in allocator(make, CROWD).caption()
