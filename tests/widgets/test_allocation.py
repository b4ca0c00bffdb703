"""The explorer of three allocators: each view follows its control, and asking for too much is told."""

import pytest

from servelab.errors import ServelabError
from servelab.simulate.allocation import Paged, replay
from servelab.widgets.allocation import allocation
from tests.widgets.samples import EXPLORERS, LENGTHS


@pytest.fixture(scope="module")
def explorer():
    return EXPLORERS["allocation"]()


def test_it_begins_where_it_is_told(explorer):
    done = replay(Paged(64, 32), LENGTHS)
    assert f"paged: {done.concurrency:.1f} requests at once, {done.steps:,} steps" in explorer.caption()


def test_a_block_changes_paging_alone(explorer):
    small, large = (explorer.caption(block=block).split("<br>")[1:] for block in (8, 128))
    assert small[:2] == large[:2] and small[2] != large[2]


def test_who_asks_for_more_gets_fewer_in(explorer):
    shares = [explorer.figure(asked=asked).data[0].x[1] for asked in (0, 128, 512)]
    assert shares == sorted(shares, reverse=True)


def test_a_slot_is_never_more_than_the_memory(explorer):
    assert explorer.figures(memory=1024, slot=2048)[0].data[0].x[0] > 0


def test_a_claim_that_fits_nowhere_is_a_sentence():
    with pytest.raises(ServelabError, match="does not fit"):
        allocation([(700, 20)] * 3).figures(memory=1024, asked=512)
