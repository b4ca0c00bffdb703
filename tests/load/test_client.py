"""The client against the mock server: relations and loose bounds, never the speed of this machine."""

import asyncio
import threading

import numpy as np
import pytest
from mock_server import Mock, Running

from servelab.errors import ServelabError
from servelab.load import SLO, constant, drive, synthetic, texts, trace
from servelab.load.client import address_of, discover
from servelab.load.workload import in_sessions

pytestmark = pytest.mark.timeout(120)


def test_closed_loop_keeps_so_many_in_flight():
    with Running(Mock(first_s=0.05, gap_s=0.01)) as server:
        result = drive(server, synthetic(12, 16, 8), concurrency=3, progress=False)
    assert [r.id for r in result.records] == list(range(12)) and all(r.ok for r in result.records)
    assert all(r.output_tokens == 8 and r.prompt_tokens == 16 and r.token_check == "ok" for r in result.records)
    edges = sorted([(r.sent_s, 1) for r in result.records] + [(r.finished_s, -1) for r in result.records])
    assert max(np.cumsum([step for _t, step in edges])) <= 3
    s = result.summary()
    assert s.completed == 12 and s.ttft.p50 >= 0.05 and s.tpot.p50 >= 0.009
    assert s.client_queue.p50 < 0.05


def test_every_request_has_its_own_exact_prompt():
    with Running(Mock()) as server:
        asked = synthetic(6, (30, 0.5), (5, 0.5))
        result = drive(server, asked, concurrency=2, progress=False)
        sent = sorted(server.mock.bodies, key=lambda b: b["prompt"])
    assert [b["prompt"] for b in sent] == sorted(r.prompt for r in asked)
    assert all(b["ignore_eos"] and b["model"] == "mock" for b in sent)
    assert [r.output_tokens for r in result.records] == [r.output_tokens for r in asked]


def test_a_session_goes_into_a_header_and_not_into_the_body():
    with Running(Mock()) as server:
        asked = [*in_sessions(synthetic(6, 10, 2), 2, 5), *synthetic(1, 8, 2)]
        drive(server, asked, concurrency=1, progress=False)
        headers, bodies = server.mock.headers, server.mock.bodies
    assert [h.get("X-Session") for h in headers] == [r.session for r in asked]
    assert headers[0]["X-Session"] and all("session" not in b for b in bodies)


def test_open_loop_sends_on_schedule_whatever_the_server_does():
    with Running(Mock(first_s=0.5)) as server:
        result = drive(server, synthetic(20, 8, 1), arrivals=constant(100), progress=False)
    frame = result.frame()
    assert frame["intended_s"].tolist() == pytest.approx([i / 100 for i in range(20)])
    assert (frame["client_queue_s"] >= 0).all()
    assert frame["sent_s"].max() < frame["finished_s"].min()  # all were sent before the first answer


def test_coordinated_omission_shows_in_one_column_only():
    """One connection, one stall: those that wait inside the client wait too."""
    with Running(Mock(stall_at=5, stall_s=1.0)) as server:
        result = drive(server, synthetic(40, 8, 1), arrivals=constant(50), concurrency=1, progress=False)
    frame = result.frame()
    assert (frame["ttft_s"] > 0.3).sum() >= 25
    assert (frame["ttft_sent_s"] > 0.3).sum() <= 3
    s = result.summary(SLO(ttft_s=0.3))
    assert s.attainment < 0.5 and s.ttft.p90 > 3 * s.ttft_sent.p90


def test_bundled_tokens_count_one_gap():
    with Running(Mock(gap_s=0.05, bundle=4)) as server:
        r = drive(server, synthetic(1, 8, 16), progress=False).records[0]
    assert r.output_tokens == 16 and len(set(r.token_times_s)) <= 4 and r.token_check == "ok"


@pytest.mark.parametrize("usage", ["each", "end"])
def test_a_server_that_miscounts_is_flagged(usage):
    with Running(Mock(usage_error=1)) as server:
        assert drive(server, synthetic(2, 8, 4), usage=usage, progress=False).summary().token_mismatches == 2


def test_a_server_without_usage():
    with Running(Mock(usage=False)) as server:
        s = drive(server, synthetic(2, 8, 4), progress=False, usage="end").summary()
    assert s.completed == 2 and s.token_unknown == 2 and s.token_mismatches == 0


def test_faults_are_recorded_and_the_rest_goes_on():
    with Running(Mock(gap_s=0.005, faults={1: "refuse", 3: "cut", 4: "hang"})) as server:
        result = drive(server, synthetic(8, 8, 10), timeout_s=3, progress=False)
    assert [r.status for r in result.records] == ["ok", "refused", "ok", "cut", "timeout", "ok", "ok", "ok"]
    assert "prompt too long" in result.records[1].error and 0 < result.records[3].output_tokens < 10
    s = result.summary()
    assert s.failed == 3 and s.attainment == 5 / 8


def test_nobody_answers_is_one_sentence():
    with pytest.raises(ServelabError, match=r"Nothing answers at http://127\.0\.0\.1:9: start a server"):
        drive("127.0.0.1:9", synthetic(1), progress=False)
    with pytest.raises(ServelabError, match="Nothing answers"):
        drive("http://127.0.0.1:9", synthetic(3), model="m", concurrency=3, progress=False)


def test_the_model_is_asked_for_and_addresses_are_forgiving():
    with Running(Mock(model="small")) as server:
        assert discover(server.url) == "small" and discover(server) == "small"
        assert address_of(server.url + "/v1/") == server.url == address_of(server)


def test_chat_and_texts():
    with Running(Mock()) as server:
        r = drive(server, texts(["hello"], 3, chat=True), progress=False).records[0]
        assert r.ok and r.text == " t0 t1 t2" and r.output_tokens == 3
        assert drive(server, texts(["hello"], 3), progress=False).records[0].text == " t0 t1 t2"


def test_a_trace_brings_its_times():
    with Running(Mock()) as server:
        asked = trace(n=5, time_scale=0.01)
        result = drive(server, asked, progress=False)
    assert [r.intended_s for r in result.records] == pytest.approx([r.arrival_s for r in asked])


def test_inside_a_running_loop_as_in_a_notebook():
    with Running(Mock()) as server:

        async def cell():
            return drive(server, synthetic(2, 8, 2), progress=False)

        assert asyncio.run(cell()).summary().completed == 2
    assert not [t for t in threading.enumerate() if t.name == "servelab-load"]


def test_stop_leaves_nothing_running(monkeypatch):
    """The learner interrupts the cell: the load's thread ends and the error reaches the cell."""
    from servelab.progress import Progress

    def interrupt(self, line):
        raise KeyboardInterrupt

    with Running(Mock(faults={0: "hang"})) as server:
        discover(server)
        monkeypatch.setattr(Progress, "say", interrupt)
        with pytest.raises(KeyboardInterrupt):
            drive(server, synthetic(1, 8, 2))
    assert not [t for t in threading.enumerate() if t.name == "servelab-load"]


def test_one_final_line_where_nobody_watches(capsys, monkeypatch):
    monkeypatch.setenv("SERVELAB_STATIC", "1")
    with Running(Mock()) as server:
        drive(server, synthetic(2, 8, 2))
    said = capsys.readouterr()
    assert "2/2 answered" in said.err and said.err.count("\n") == 1 and not said.out


@pytest.mark.parametrize("bad", [{"concurrency": 0}, {"arrivals": [0.0]}, {"arrivals": [1.0, 0.0]}])
def test_arguments_that_cannot_be(bad):
    with Running(Mock()) as server, pytest.raises(ServelabError):
        drive(server, synthetic(2), progress=False, **bad)
    with pytest.raises(ServelabError):
        drive("127.0.0.1:9", [])
