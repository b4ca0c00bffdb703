"""Series whose behaviour is known: PromQL finds it again, and drawn readings are what they are said to be."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from servelab import scrapes
from servelab.engines.prometheus import installed
from servelab.monitoring import SIGNALS

needs_prometheus = pytest.mark.skipif(not installed(), reason="promtool is not installed")


@needs_prometheus
def test_prometheus_finds_what_was_put_in():
    series = scrapes.replicas([(3, 0, 0.2), (1, 0.5, 0.8)], 60, restart_s=50)
    asked = {
        "rate": "sum by (status) (rate(service_requests_total[20s]))",
        "bad": 'sum(rate(service_requests_total{status!="200"}[20s])) / sum(rate(service_requests_total[20s]))',
        "step": f"sum(rate({scrapes.STEP}_sum[20s])) / sum(rate({scrapes.STEP}_count[20s]))",
        "wrong": "sum(",
        "number": 3,
    }
    found = scrapes.answered(asked, series, 45)
    assert scrapes.close(found["rate"], {"200": 3.5, "429": 0.25, "504": 0.25})
    assert found["bad"][""] == pytest.approx(0.125) and found["step"][""] == pytest.approx((3 * 0.2 + 0.5 * 0.8) / 3.5)
    assert found["wrong"] == found["number"] == {}
    assert not scrapes.close({}, {}) and not scrapes.close({"": 1.0}, {"a": 1.0})
    assert "parse error" in scrapes.refused("sum(") and scrapes.refused("up") == "" and scrapes.refused(3) == "3"


@needs_prometheus
def test_an_alert_fires_while_it_has_a_value():
    series = scrapes.outcomes([(10, 10 if 20 <= t < 30 else 0) for t in range(60)], [(1, 0)] * 60)
    query = 'sum(rate(service_requests_total{status!="200"}[5s])) > 5'
    assert scrapes.firing(query, series, [10, 28, 50]) == [False, True, False]
    assert scrapes.firing(None, series, [10]) == scrapes.firing("x" * 3000, series, [10]) == [False]


def right(now, usual):
    if now["gate_waiting"] > now["engine_running"] + now["engine_waiting"]:
        return "gate"
    if now["engine_waiting"] >= 1:
        return "memory" if now["kv_used"] >= 0.9 else "seats"
    if now["prefix_found"] < 0.5 * usual["prefix_found"]:
        return "prefix"
    return "neighbour" if now["others_cpu"] >= 0.3 and now["step_s"] >= 1.5 * usual["step_s"] else "none"


def test_drawn_readings_have_their_fault_and_only_one_answer():
    rng = random.Random(0)
    seen = Counter()
    for _n in range(3000):
        fault, now, usual = scrapes.drawn(rng)
        assert set(now) == set(usual) == set(SIGNALS)
        assert right(now, usual) == fault, (fault, now, usual)
        seen[fault] += 1
    assert set(seen) == set(scrapes.FAULTS) and min(seen.values()) > 300
