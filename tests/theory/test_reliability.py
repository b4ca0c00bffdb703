"""Budgets, burn rates and availability against the numbers of the books and against counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servelab.errors import ServelabError
from servelab.theory import reliability as rel
from servelab.theory.reliability import DAY, HOUR, Alert

objectives = st.floats(0.5, 0.9999)
shares = st.floats(0, 1)


def test_43_minutes_a_month():
    assert rel.error_budget(0.999) == pytest.approx(2592)
    assert rel.error_budget(0.99, 1_000_000) == pytest.approx(10_000)


def test_the_workbook_s_table():
    burn = rel.threshold([0.02, 0.05, 0.10], [HOUR, 6 * HOUR, 3 * DAY])
    assert burn.tolist() == pytest.approx([14.4, 6, 1])
    assert [a.burn for a in rel.ALERTS] == pytest.approx(burn.tolist())
    assert [a.long_s / a.short_s for a in rel.ALERTS] == [12, 12, 12]


@given(st.floats(0.1, 100), st.floats(60, 30 * DAY))
def test_spending_and_threshold_are_inverse(burn, window):
    assert rel.threshold(rel.budget_spent(burn, window), window) == pytest.approx(burn)
    assert rel.budget_spent(burn, rel.exhausted_s(burn)) == pytest.approx(1)


@given(st.integers(0, 100), st.integers(1, 1000), objectives)
def test_at_a_burn_rate_of_one_exactly_the_allowed_fails(bad, more, slo):
    total = bad + more
    assert rel.burn_rate(bad, total, slo) * rel.error_budget(slo, total) == pytest.approx(bad, abs=1e-9)
    assert rel.burn_rate(0, 0, slo) == 0


def test_an_alert_fires_when_it_says_and_stops_soon_after():
    alert, slo, every = Alert(14.4, HOUR, 300), 0.999, 10.0
    bad = np.zeros(1440 * 6)
    start, end = 3600, 3600 + 360
    bad[start:end] = 5  # of 100 in each 10 s: 5 % for an hour
    firing = alert.fires(bad, np.full(bad.size, 100), every, slo)
    first, last = np.flatnonzero(firing)[[0, -1]]
    assert (first + 1 - start) * every == pytest.approx(alert.detection_s(0.05, slo), abs=2 * every)
    assert alert.detection_s(0.05, slo) == pytest.approx(1036.8)
    assert (last + 1 - end) * every <= 300
    assert firing[first : last + 1].all()


def test_one_bad_minute_wakes_nobody():
    bad = np.zeros(2000)
    bad[1000:1003] = 20
    for alert in rel.ALERTS[:2]:
        assert not alert.fires(bad, np.full(2000, 100), 20.0, 0.99).any()
    assert np.isinf(rel.ALERTS[0].detection_s(0.01, 0.999))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=50), st.integers(1, 20))
def test_rolling_sums(counts, n):
    assert rel.rolling(counts, n).tolist() == [sum(counts[max(0, i + 1 - n) : i + 1]) for i in range(len(counts))]


@given(st.lists(shares, min_size=1, max_size=6))
def test_series_are_worse_than_the_worst_and_parallel_better_than_the_best(a):
    assert rel.in_series(a) <= min(a) + 1e-12
    assert rel.in_parallel(a) >= max(a) - 1e-12


@given(shares, st.integers(1, 12))
def test_series_and_parallel_are_ends_of_k_of_n(a, n):
    assert rel.at_least(n, n, a) == pytest.approx(rel.in_series([a] * n), abs=1e-12)
    assert rel.at_least(1, n, a) == pytest.approx(rel.in_parallel([a] * n), abs=1e-12)


def test_replicas_for_an_objective_by_hand():
    """Replicas of 99 %: two for one, 99.99 %. Four needed: 99.90 % with five, 99.998 % with six."""
    assert rel.replicas_for(1, 0.99, 0.999) == 2
    assert rel.replicas_for(4, 0.99, 0.999) == 5 and rel.replicas_for(4, 0.99, 0.9999) == 6
    assert rel.at_least(4, 6, 0.99) == pytest.approx(0.99998, abs=1e-5)
    with pytest.raises(ServelabError):
        rel.replicas_for(4, 0.1, 0.999, most=5)


def test_availability_and_retries_by_hand():
    assert rel.availability(99 * HOUR, HOUR) == pytest.approx(0.99)
    assert rel.retry_load([0, 0.5, 1], 3).tolist() == [1, 1.875, 4]


@pytest.mark.parametrize("slo", [0, 1, 1.2])
def test_impossible_objectives_are_refused(slo):
    with pytest.raises(ServelabError):
        rel.error_budget(slo)
