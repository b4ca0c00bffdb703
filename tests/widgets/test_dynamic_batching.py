"""The batcher's explorer: a delay is paid at a low rate, measured loads lie where they belong, views agree."""

import numpy as np
import pytest

from servelab.widgets.dynamic_batching import REQUESTS, dynamic_batching, run

SEEN = {"rate": 80.0, "delay_ms": 10.0, "max_batch": 32, "instances": 1, "p50_ms": 31.0, "p95_ms": 52.0, "rps": 78.0}


@pytest.fixture(scope="module")
def explorer():
    return dynamic_batching(0.015, 0.0015, [{**SEEN, "sizes": {1: 30, 2: 10}}])


def test_alone_in_the_line_the_delay_is_paid_whole(explorer):
    over, *_others = explorer.figures(rate=5.0)
    median = over.data[0]
    assert median.y[0] == pytest.approx(16.5, abs=0.1)
    assert median.y[list(median.x).index(40.0)] == pytest.approx(56.5, abs=2)


def test_a_measured_load_is_laid_over_only_where_the_controls_stand_at_it(explorer):
    over, sizes, tail, flow = explorer.figures()
    assert [(list(t.x), list(t.y)) for t in over.data[1::2]] == [([10.0], [31.0]), ([10.0], [52.0])]
    assert list(sizes.data[1].y) == [75, 25]
    assert list(tail.data[1].y) == [52.0] and list(flow.data[1].y) == [78.0]
    assert [len(f.data) for f in explorer.figures(delay_ms=0.0)] == [4, 1, 1, 1]
    assert [len(f.data) for f in explorer.figures(max_batch=4)] == [2, 1, 1, 1]


def test_a_larger_batch_carries_more(explorer):
    small, large = (explorer.figures(max_batch=n, rate=480.0)[3].data[0].y for n in (1, 32))
    assert max(large) > 5 * max(small)


def test_every_request_is_in_one_batch():
    one = run(0.015, 0.0015, 80.0, 8, 10.0, 2)
    assert sum(one.sizes) == REQUESTS and max(one.sizes) <= 8
    assert np.all(one.waits_s > -1e-12)


def test_the_caption_tells_both_sides(explorer):
    assert "Without the delay" in explorer.caption() and "rows an execution" in explorer.caption()
