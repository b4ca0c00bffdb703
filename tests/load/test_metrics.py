"""Every definition against values worked out by hand, on records that no clock was needed for."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servelab.load.metrics import SLO, Percentiles, Record, axis, gaps, quantile_interval, summarize, vocabulary


def record(**given) -> Record:
    """Meant for 1.0, sent at 1.5, tokens at 2.0, 2.2, 2.2, 2.6; the stream ends at 2.7."""
    values = dict(
        id=0,
        intended_s=1.0,
        sent_s=1.5,
        first_token_s=2.0,
        token_times_s=[2.0, 2.2, 2.2, 2.6],
        finished_s=2.7,
        prompt_tokens=10,
        output_tokens=4,
        asked_tokens=4,
    )
    return Record(**values | given)


def test_every_latency_starts_and_stops_where_the_vocabulary_says():
    r = record()
    assert r.client_queue_s == pytest.approx(0.5)
    assert r.ttft_s == pytest.approx(1.0) and r.ttft_sent_s == pytest.approx(0.5)
    assert r.e2e_s == pytest.approx(1.6) and r.e2e_sent_s == pytest.approx(1.1)
    assert r.tpot_s == pytest.approx(0.6 / 3)


def test_tokens_of_one_read():
    assert gaps(record()) == pytest.approx([0.2, 0.4])
    assert gaps(record(), "zero") == pytest.approx([0.2, 0, 0.4])
    assert gaps(record(), "spread") == pytest.approx([0.1, 0.1, 0.4])


@given(st.lists(st.floats(0.001, 1), min_size=2, max_size=50), st.lists(st.integers(1, 4), min_size=50, max_size=50))
def test_itl_against_tpot(steps, bundle):
    """Mean ITL is at least TPOT; with the zeros kept, or spread, it is TPOT; without bundles they are equal."""
    reads = np.cumsum(steps)
    times = np.repeat(reads, [1, *bundle[1 : len(reads)]]).tolist()
    r = record(token_times_s=times, first_token_s=times[0], output_tokens=len(times))
    assert gaps(r).mean() >= r.tpot_s * (1 - 1e-9)
    assert gaps(r, "zero").mean() == pytest.approx(r.tpot_s)
    assert gaps(r, "spread").mean() == pytest.approx(r.tpot_s)
    plain = record(token_times_s=reads.tolist(), first_token_s=reads[0], output_tokens=len(reads))
    assert gaps(plain).mean() == pytest.approx(plain.tpot_s)


def test_one_token_has_no_tpot_and_cannot_miss_its_bound():
    r = record(token_times_s=[2.0], output_tokens=1)
    assert math.isnan(r.tpot_s) and len(gaps(r)) == 0 and SLO(tpot_s=1e-9).met(r)


def test_slo_needs_success_and_every_bound():
    assert SLO().met(record()) and not SLO().met(record(status="cut"))
    assert SLO(ttft_s=1.01, tpot_s=0.21, e2e_s=1.61).met(record())
    for bound in ({"ttft_s": 0.99}, {"tpot_s": 0.19}, {"e2e_s": 1.59}):
        assert not SLO(**bound).met(record())


def test_summary_by_hand():
    records = [record(id=i, intended_s=1.0 - 0.5 * i) for i in range(2)]
    records.append(record(id=2, status="timeout", finished_s=5.0, token_check="mismatch"))
    s = summarize(records, SLO(ttft_s=1.2))
    assert (s.requests, s.completed, s.failed, s.duration_s) == (3, 2, 1, 5.0)
    assert s.throughput_tok_s == pytest.approx(8 / 5) and s.prompt_tok_s == pytest.approx(20 / 5)
    assert s.request_rate == pytest.approx(2 / 5)
    assert s.goodput == pytest.approx(1 / 5) and s.attainment == pytest.approx(1 / 3)
    assert s.ttft.mean == pytest.approx(1.25) and s.ttft_sent.mean == pytest.approx(0.5)
    assert s.itl.n == 4 and s.token_mismatches == 1
    assert s.lateness == s.client_queue


def test_goodput_never_exceeds_the_rate():
    s = summarize([record(id=i) for i in range(5)], SLO(e2e_s=1.0))
    assert s.goodput == 0 and s.attainment == 0 and s.goodput <= s.request_rate


def test_nothing_succeeded():
    s = summarize([record(status="refused", token_times_s=[], output_tokens=0)])
    assert s.completed == 0 and s.throughput_tok_s == 0 and math.isnan(s.ttft.p99) and s.attainment == 0


def test_quantile_interval_has_the_ranks_of_the_tables():
    """Le Boudec, table A.1: the median of n = 20 lies in [x_(6), x_(15)], of n = 50 in [x_(18), x_(33)] at 95 %."""
    for n, low, high in ((20, 6, 15), (50, 18, 33)):
        assert quantile_interval(np.arange(1, n + 1), 0.5) == (low, high)


def test_quantile_interval_is_open_where_the_sample_is_too_small():
    assert quantile_interval(np.arange(367.0), 0.99)[1] == math.inf
    assert quantile_interval(np.arange(368.0), 0.99)[1] == 367.0
    assert quantile_interval(np.arange(3.0), 0.5) == (-math.inf, math.inf)


@pytest.mark.parametrize("q", [0.5, 0.9, 0.95])
def test_quantile_interval_covers_the_truth(q):
    rng = np.random.default_rng(0)
    hits = 0
    for _round in range(600):
        low, high = quantile_interval(np.sort(rng.exponential(size=200)), q)
        hits += low <= -math.log(1 - q) <= high
    assert hits / 600 >= 0.93


def test_intervals_of_gaps_know_that_one_request_is_one_draw():
    """Requests that differ make wider intervals than as many independent gaps would."""
    rng = np.random.default_rng(0)
    groups = [np.full(100, level) for level in rng.exponential(size=12)]
    values = np.concatenate(groups)
    low, high = Percentiles.of(values, groups).ci["mean"]
    plain_low, plain_high = Percentiles.of(values).ci["mean"]
    assert high - low > 3 * (plain_high - plain_low) and low < values.mean() < high


def test_percentiles_leave_out_what_never_happened():
    p = Percentiles.of([1.0, math.nan, 3.0])
    assert p.n == 2 and p.mean == 2 and p.p50 == 2


def test_every_column_has_its_term_and_axis():
    for key in ("ttft_s", "ttft_sent_s", "tpot_s", "e2e_s", "e2e_sent_s", "client_queue_s"):
        assert key in vocabulary() and key in record().columns()
        assert axis(key).endswith("(s)")
    assert all(t.meaning for t in vocabulary().values())
