"""The control that needs no server: order, clocks and counts."""

import time

import pytest

from servelab.errors import ServelabError
from servelab.load import synthetic, texts
from servelab.load.local import one_by_one
from servelab.load.workload import Request


def slow(prompt, n):
    for token in range(n):
        time.sleep(0.002)
        yield token


def test_one_at_a_time_in_the_order_of_arrival():
    result = one_by_one(slow, synthetic(n=5, prompt_tokens=3, output_tokens=4), progress=False)
    records = result.records
    assert [r.id for r in records] == list(range(5))
    assert all(r.ok and r.output_tokens == 4 and r.prompt_tokens == 3 for r in records)
    for before, after in zip(records, records[1:], strict=False):
        assert after.first_token_s > before.last_token_s
        assert after.ttft_s > before.ttft_s  # all came at once: each waits for those before it
    summary = result.summary()
    assert summary.completed == 5 and summary.throughput_tok_s > 0


def test_nobody_is_served_before_coming():
    requests = [Request(0, [1], 1, arrival_s=0.0), Request(1, [1], 2, arrival_s=0.05)]
    late = one_by_one(slow, requests, progress=False).records[1]
    assert late.first_token_s >= 0.05 and late.intended_s == 0.05
    assert late.e2e_s == pytest.approx(late.last_token_s - 0.05)


def test_what_cannot_be_served_is_refused():
    with pytest.raises(ServelabError, match="at least one request"):
        one_by_one(slow, [])
    with pytest.raises(ServelabError, match="token ids"):
        one_by_one(slow, texts(["hello"]))
