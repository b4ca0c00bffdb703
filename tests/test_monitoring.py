"""Rules in scaled time against the theory, the dashboard's form, and how a request's seconds are put together."""

from __future__ import annotations

import json

import numpy as np
import pytest

from servelab import monitoring
from servelab.engines.prometheus import check, evaluate, installed
from servelab.errors import ServelabError
from servelab.scrapes import Served, tritons
from servelab.theory.reliability import ALERTS

BOARDS = (monitoring.DASHBOARD, monitoring.TRITON_DASHBOARD)
needs_prometheus = pytest.mark.skipif(not installed(), reason="promtool is not installed")


def counted(bad, total, late=None):
    """Series of the service's eyes from bad and all requests in each interval; of the good, `late` came late."""
    bad, total = np.cumsum(bad), np.cumsum(total)
    good = total - bad
    return {
        'service_requests_total{status="200"}': good.tolist(),
        'service_requests_total{status="504"}': bad.tolist(),
        'service_first_byte_seconds_bucket{le="1.0"}': (good - (np.cumsum(late) if late is not None else 0)).tolist(),
    }


def alarms(series, at, rules, every=1.0):
    exprs = [f'ALERTS{{alertname="{name}", alertstate="firing"}}' for name in ("BurnFast", "BurnSlow", "BurnTicket")]
    return [[bool(points) for points in times] for times in evaluate(series, exprs, at, every, [rules])]


@needs_prometheus
def test_rules_fire_where_the_theory_says():
    rng = np.random.default_rng(0)
    scale, n, every = 60.0, 240, 1.0  # an hour's window is 60 s
    total = np.full(n, 10.0)
    bad = np.zeros(n)
    bad[100:130] = 8
    bad[180:182] = 10
    bad[200:] = rng.integers(0, 2, 40)
    fast, slow, _ticket = alarms(counted(bad, total), range(70, n), monitoring.rules(scale))
    theory = monitoring.alert(scale).fires(bad, total, every, 0.99)[70:]
    assert sum(np.array(fast) != theory) <= 4  # windows of Prometheus begin and end at samples
    assert not any(fast[:30]) and any(fast[30:60]) and not any(fast[70:108])
    assert any(slow[30:70])


@needs_prometheus
def test_late_answers_are_bad_ones_and_quiet_is_neither():
    n = 120
    late = np.zeros(n)
    late[60:] = 5
    fast, _slow, _ticket = alarms(counted(np.zeros(n), np.full(n, 5.0), late), [55, 119], monitoring.rules(60))
    assert fast == [False, True]
    still = {name: [5.0] * n for name in counted([0], [1])}
    assert alarms(still, [119], monitoring.rules(60)) == [[False], [False], [False]]


@needs_prometheus
def test_a_service_that_only_ever_refused_is_bad():
    series = {'service_requests_total{status="429"}': list(range(120))}
    assert alarms(series, [119], monitoring.rules(60))[0] == [True]


@needs_prometheus
def test_the_file_is_valid_as_it_stands_and_scaled():
    triton = monitoring.TRITON_RULES.read_text()
    for text in (monitoring.RULES.read_text(), monitoring.rules(300, 0.5, 0.9), triton, monitoring.scaled(triton, 60)):
        check(text)


def test_rules_are_scaled_and_filled():
    text = monitoring.rules(300, 2, 0.95)
    assert 'le="2.0"' in text and "vector(0.05)" in text and 'le="1.0"' not in text
    assert "[12000ms]" in text and "[1000ms]" in text and "for: 400ms" in text and "[1h]" not in text
    assert monitoring.rules() == monitoring.RULES.read_text()
    with pytest.raises(ServelabError, match="no bucket that ends at 3 s: choose one of 0.1, 0.25"):
        monitoring.rules(1, 3)


def test_the_rules_are_the_workbooks():
    text = monitoring.RULES.read_text()
    words = {3600: "1h", 300: "5m", 21600: "6h", 1800: "30m", 259200: "3d"}
    for alert in ALERTS:
        long, short = words[round(alert.long_s)], words[round(alert.short_s)]
        times = f"{alert.burn:g} * " if alert.burn != 1 else ""
        assert f"slo:bad:share_{long} > {times}scalar(slo:budget) and slo:bad:share_{short} >" in text


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_the_dashboard_has_grafanas_form(path):
    board = json.loads(path.read_text())
    assert board["uid"] and board["title"] and board["schemaVersion"] >= 36
    assert (
        board["templating"]["list"][0] | {"type": "datasource", "query": "prometheus"} == board["templating"]["list"][0]
    )
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, f"{panel['title']} lies on another panel"
        taken |= cells
        if panel["type"] != "row":
            assert panel["type"] in ("timeseries", "stat") and panel["datasource"]["uid"] == "${datasource}"
            refs = [target["refId"] for target in panel["targets"]]
            assert (
                refs and len(set(refs)) == len(refs) and all(t["expr"] and t["legendFormat"] for t in panel["targets"])
            )


@needs_prometheus
@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_every_query_of_the_dashboard_is_promql(path):
    queries = [expr for panel in monitoring.panels(path) for expr, _legend in panel.queries]
    assert len(evaluate({"up": [1]}, queries, [0])) == len(queries) > 10
    assert not any("$" in expr for expr in queries)


def test_panels_know_whose_metrics_they_show():
    by_title = {panel.title: panel for panel in monitoring.panels(every_s=0.5)}
    assert by_title["Redis: memory"].metrics == {"redis"} and by_title["Scraped"].metrics == set()
    assert by_title["Waiting at the gate"].metrics == {"service", "vllm"}
    assert "[2000ms]" in by_title["Tokens"].queries[0][0]
    assert by_title["Tokens"].row.startswith("Engine")


def test_triton_s_panels_are_triton_s():
    panels = monitoring.panels(monitoring.TRITON_DASHBOARD)
    assert set().union(*(panel.metrics for panel in panels)) == {"nv"}


@needs_prometheus
def test_triton_s_alerts_tell_what_happens_and_nothing_else():
    here = {"well": Served(5, queue_s=0.01), "hangs": Served(5, hangs_s=60), "fails": Served(5, fails_s=60)}
    series = {f'{name[:-1]},job="a"}}': values for name, values in tritons([here], 120).items()}
    gone = 'nv_inference_request_success{model="gone",version="1",instance="0"}'
    series |= {gone: list(range(60)), 'up{job="a"}': [1] * 121, 'up{job="b"}': [1] * 60 + [0] * 61}
    rules, every = monitoring.TRITON_RULES.read_text(), 10
    (times,) = evaluate(series, ['ALERTS{alertstate="firing"}'], [590, 1000], every, [rules])
    told = [
        sorted({f"{p.labels['alertname']} {p.labels.get('model', p.labels.get('job'))}" for p in at}) for at in times
    ]
    assert told == [[], ["ModelFails fails", "ModelGone gone", "ModelHangs hangs", "TritonDown b"]]


def test_offsets_run_faster_too():
    assert "offset 5000ms" in monitoring.scaled(monitoring.TRITON_RULES.read_text(), 60)


def test_a_story_adds_up():
    line = {"first_byte_s": 1.5, "seconds": 3.0}
    word = "gen_ai.latency."
    span = {"time_to_first_token": 0.5, "time_in_queue": 0.1, "time_in_model_prefill": 0.4, "time_in_model_decode": 1.2}
    told = monitoring.story(line, {word + key: value for key, value in span.items()})
    assert told == pytest.approx({"gate": 1.0, "queue": 0.1, "prefill": 0.4, "decode": 1.2, "rest": 0.3})
    assert list(told) == list(monitoring.PHASES)


def test_neighbours_leave():
    import psutil

    before = {p.pid for p in psutil.Process().children()}
    with monitoring.neighbour(2):
        assert len({p.pid for p in psutil.Process().children()} - before) == 2
    assert {p.pid for p in psutil.Process().children()} <= before
