"""The control that needs no server: order, clocks and counts."""

import time
from types import SimpleNamespace as Thing

import pytest

from servelab.errors import ServelabError
from servelab.load import synthetic, texts
from servelab.load.local import in_steps, one_by_one
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


class Steps:
    """Serves all it has side by side, one token a step."""

    def __init__(self):
        self.open, self.added = [], []

    def add(self, prompt, max_tokens, *, ignore_eos):
        self.open.append(Thing(id=10 + len(self.added), left=max_tokens, reason=None))
        self.added.append((prompt, max_tokens, ignore_eos))
        return self.open[-1]

    def step(self):
        if not self.open:
            return None
        time.sleep(0.002)
        for one in self.open:
            one.left -= 1
            one.reason = None if one.left else "length"
        parts = [Thing(request=one.id, written=(7,)) for one in self.open]
        ended = [one.id for one in self.open if not one.left]
        self.open = [one for one in self.open if one.left]
        return Thing(parts=parts, finished=ended)


def test_in_steps_serves_side_by_side():
    engine = Steps()
    result = in_steps(engine, synthetic(n=5, prompt_tokens=3, output_tokens=4), progress=False)
    assert [r.id for r in result.records] == list(range(5))
    assert all(r.ok and r.output_tokens == 4 and r.finish_reason == "length" for r in result.records)
    assert len({tuple(r.token_times_s) for r in result.records}) == 1, "the tokens of a step come at its end"
    assert result.summary().completed == 5 and engine.added[0][1:] == (4, True)


def test_in_steps_takes_requests_in_as_they_come():
    requests = [Request(1, [1], 2, arrival_s=0.05), Request(0, [1], 3, arrival_s=0.0)]
    first, late = in_steps(Steps(), requests, progress=False).records
    assert (first.id, late.id) == (0, 1) and late.intended_s == 0.05 <= late.first_token_s
    assert late.output_tokens == 2


def test_in_steps_as_a_closed_loop_keeps_so_many_users_asking():
    requests = [Request(i, [1], n, arrival_s=100.0 * i) for i, n in enumerate((1, 4, 1, 1))]
    records = in_steps(Steps(), requests, progress=False, concurrency=2).records
    assert [r.id for r in records] == [0, 1, 2, 3] and all(r.ok for r in records)
    assert records[0].intended_s <= records[1].intended_s < records[0].last_token_s
    steps = records[1].token_times_s
    for before, after in ((0, 2), (2, 3)):  # the free user asks when the answer is there, and is in the next step
        assert records[after].intended_s >= records[before].last_token_s
        assert steps.index(records[after].first_token_s) == steps.index(records[before].last_token_s) + 1


def test_what_cannot_be_served_is_refused():
    with pytest.raises(ServelabError, match="at least 1"):
        in_steps(Steps(), synthetic(n=2, prompt_tokens=3), concurrency=0)
    with pytest.raises(ServelabError, match="token ids"):
        in_steps(Steps(), texts(["hello"]))
    with pytest.raises(ServelabError, match="at least one request"):
        one_by_one(slow, [])
    with pytest.raises(ServelabError, match="token ids"):
        one_by_one(slow, texts(["hello"]))
