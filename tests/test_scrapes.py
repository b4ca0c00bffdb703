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


@needs_prometheus
def test_tritons_count_what_they_are_told_to_do():
    here = {"chat": scrapes.Served(6, bad=0.5, queue_s=0.02, batch=2), "idle": scrapes.Served(0)}
    there = {"chat": scrapes.Served(2), "bulk": scrapes.Served(1, waiting=3, hangs_s=40)}
    there["sick"] = scrapes.Served(4, fails_s=40)
    series = scrapes.tritons([here, there], 60, restart_s=30)
    asked = {
        "good": "sum by (model) (rate(nv_inference_request_success[10s]))",
        "bad": "sum by (model) (rate(nv_inference_request_failure[10s]))",
        "reasons": "count(nv_inference_request_failure{model='chat', instance='0'})",
        "waits": "nv_inference_pending_request_count{model='bulk'}",
        "rows": "rate(nv_inference_count{instance='0'}[10s]) / rate(nv_inference_exec_count[10s]) > 0",
        "queue": "rate(nv_inference_queue_duration_us{model='chat', instance='0'}[10s])",
    }
    now = scrapes.answered(asked, series, 60)
    assert now["good"] == pytest.approx({"chat": 5, "idle": 0, "bulk": 0, "sick": 0})
    assert now["bad"] == pytest.approx({"chat": 3, "idle": 0, "bulk": 0, "sick": 4})
    assert now["reasons"] == {"": 2} and list(now["waits"].values()) == [3 + 20]
    assert list(now["rows"].values()) == pytest.approx([2]) and list(now["queue"].values()) == pytest.approx([6e4])
    before = scrapes.answered(asked, series, 40)
    assert before["good"] == pytest.approx({"chat": 5, "idle": 0, "bulk": 1, "sick": 4})
    assert series['nv_inference_count{model="chat",version="1",instance="1"}'][29:32] == [60, 2, 4]


def test_tritons_vary_with_a_generator_and_means_stay():
    count = scrapes.tritons([{"a": scrapes.Served(5)}], 2000, rng=random.Random(1))
    (values,) = [v for k, v in count.items() if k.startswith("nv_inference_count")]
    assert values[-1] / 2001 == pytest.approx(5, rel=0.05) and len(set(map(float.__sub__, values[1:], values))) > 1000


def test_what_is_no_number_is_close_to_itself():
    assert scrapes.close({"a": float("nan")}, {"a": float("nan")}) and not scrapes.close(
        {"a": 1.0}, {"a": float("nan")}
    )


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
