"""Routers in front of mock servers: NGINX where it is installed, and the course's own, which must do the same."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest
from aiohttp import web

from servelab.engines import Router, balancer, ports, process, router, running
from servelab.engines.router import TEMPLATE, explain, nginx
from servelab.errors import ServelabError
from servelab.load import drive, synthetic
from servelab.load.workload import in_sessions
from servelab.theory.routing import smooth_round_robin
from tests.conftest import marked
from tests.load.mock_server import Mock, Running

needs_nginx = pytest.mark.skipif(not nginx(), reason="NGINX is not installed")
KINDS = [pytest.param("nginx", marks=needs_nginx), "python"]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SERVELAB_HOME", str(tmp_path))
    yield tmp_path
    for one in process.states():
        process.stop(one["name"], force=True)
    assert not marked(tmp_path), "a router outlived the test"


@pytest.fixture
def replicas():
    with Running(Mock()) as a, Running(Mock()) as b:
        yield {"a": a, "b": b}


@pytest.fixture(params=KINDS)
def using(request):
    return request.param


class Upstream:
    """A replica under the test's thumb. What is posted decides: `hold` sends half an answer and waits for `go`,
    `think` waits without a word, `break` ends the connection after half, `slam` at once; anything else is answered."""

    def __init__(self) -> None:
        self.go, self.begun, self.left = asyncio.Event(), threading.Event(), threading.Event()
        self.got: list[str] = []
        self.loop = asyncio.new_event_loop()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        asked = (await request.read()).decode()
        self.got.append(asked)
        if asked == "slam":
            request.transport.abort()
            return web.Response()
        answer = web.StreamResponse()
        if asked in ("hold", "break"):
            await answer.prepare(request)
            await answer.write(b"first ")
        self.begun.set()
        if asked == "break":
            request.transport.abort()
            return answer
        if asked in ("hold", "think"):
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                self.left.set()
                raise
        if asked != "hold":
            return web.Response(text="whole")
        await answer.write(b"second")
        await answer.write_eof()
        return answer

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"

    def call(self, work) -> None:
        asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def release(self) -> None:
        self.loop.call_soon_threadsafe(self.go.set)


@contextlib.contextmanager
def upstream() -> Iterator[Upstream]:
    one = Upstream()
    thread = threading.Thread(target=one.loop.run_forever, daemon=True)
    thread.start()
    one.call(one._start())
    try:
        yield one
    finally:
        one.call(one.runner.cleanup())
        one.loop.call_soon_threadsafe(one.loop.stop)
        thread.join(30)
        one.loop.close()


def start(replicas, policy="round_robin", **options):
    return router(replicas, policy, progress=False, **options)


def load(n=24, sessions=8, seed=1):
    return in_sessions(synthetic(n=n, prompt_tokens=4, output_tokens=3, seed=seed), sessions, 4)


def served(front, requests, **options):
    """Drive, and return the result and the log's rows of these requests."""
    result = drive(front, requests, progress=False, **options)
    log = front.requests(since=result.about["started_unix_s"])
    return result, log[log.path.str.endswith("completions")]  # what asked for the model may be logged late


def homes(log):
    """Where each session was answered: {session: the replicas}."""
    return log.groupby("session").replica.agg(set).to_dict()


def test_it_starts_answers_and_leaves_nothing(replicas, using, home):
    front = start(replicas, using=using)
    assert front.health() and front.using == using and front.model == "mock"
    assert front.replicas == {name: one.url.removeprefix("http://") for name, one in replicas.items()}
    assert [one.name for one in running()] == [front.name] and marked(home)
    assert 0 < front.memory_bytes() < 2**29 and front.ready_seconds > 0
    again = start(replicas, using=using)
    assert again.reused and again.pid == front.pid
    front.stop()
    assert not marked(home) and ports.is_free(front.port)
    with pytest.raises(ServelabError, match="was stopped"):
        front.requests()


def test_answers_come_whole_and_the_log_tells_who_gave_them(replicas, using):
    requests = load()
    result, log = served(start(replicas, using=using), requests, concurrency=3)
    assert all(r.ok and r.token_check == "ok" for r in result.records)
    assert Counter(log.session) == Counter(r.session for r in requests)
    assert set(log.status) == {200} and set(log.tries) == {1} and set(log.path) == {"/v1/completions"}
    assert (log.first_byte_s <= log.seconds + 0.002).all()
    assert log.replica.value_counts().to_dict() == {name: len(one.mock.bodies) for name, one in replicas.items()}


def test_round_robin_takes_turns(replicas, using):
    _result, log = served(start(replicas, using=using), load())
    assert all(one != other for one, other in zip(log.replica, log.replica[1:], strict=False))


def test_weights_are_shares_spread_evenly(replicas, using):
    _result, log = served(start(replicas, "weighted", weights=[3, 1], using=using), load(40))
    assert log.replica.value_counts().to_dict() == {"a": 30, "b": 10}
    turns = "".join("ab"[i] for i in smooth_round_robin([3, 1], 41))
    assert "".join(log.replica) == turns[1:]  # the first turn was spent on the question which model is served


def test_least_connections_avoids_whom_is_busy(using):
    with upstream() as a, upstream() as b:
        front = start({"a": a.url, "b": b.url}, "least_conn", using=using)
        with httpx.stream("POST", front.url, content="hold") as held:
            busy, idle = (a, b) if a.got else (b, a)
            for _time in range(6):
                assert httpx.post(front.url, content="x").text == "whole"
            assert len(busy.got) == 1 and len(idle.got) == 6
            busy.release()
            assert held.read() == b"first second"


def test_tokens_are_passed_on_as_they_come(using):
    with upstream() as one:
        front = start({"one": one.url}, using=using)
        with httpx.stream("POST", front.url, content="hold", timeout=10) as answer:
            parts = answer.iter_bytes()
            assert next(parts) == b"first "  # while the replica waits to be released
            one.release()
            assert b"".join(parts) == b"second"


def test_a_client_that_leaves_is_noticed_at_the_replica(using):
    with upstream() as one:
        front = start({"one": one.url}, using=using)
        with httpx.stream("POST", front.url, content="hold", timeout=10):
            pass
        assert one.left.wait(10)


@pytest.mark.parametrize("policy", ["round_robin", "least_conn", "weighted", "consistent_hash"])
def test_a_replica_that_is_down_costs_no_request(replicas, using, policy):
    front = start({"a": replicas["a"], "gone": f"127.0.0.1:{ports.free_port()}"}, policy, using=using)
    result, log = served(front, load(), concurrency=3)
    assert all(r.ok for r in result.records) and set(log.replica) == {"a"}
    whole = front.requests()
    assert (whole.tries > 1).any(), "nobody met the dead replica"
    assert (whole.tries > 1).mean() < 0.5, "it is asked again and again"


def test_all_down_is_told(using):
    front = start({"gone": f"127.0.0.1:{ports.free_port()}"}, using=using)
    assert httpx.post(front.url, content="x").status_code == 502
    assert front.health() and front.requests().status.tolist() == [502]


def test_what_a_replica_had_is_not_sent_again(using):
    with upstream() as a, upstream() as b:
        front = start({"a": a.url, "b": b.url}, using=using)
        assert httpx.post(front.url, content="slam").status_code == 502
        assert len(a.got) + len(b.got) == 1
        assert httpx.post(front.url, content="x").text == "whole"


def test_an_answer_that_breaks_off_does_not_look_whole(using):
    with upstream() as one:
        front = start({"one": one.url}, using=using)
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.post(front.url, content="break")
        assert len(front.requests()) == 1


def test_a_session_stays_and_only_a_lost_replicas_sessions_move(using):
    requests = load(90, sessions=30)
    with Running(Mock()) as a, Running(Mock()) as b:
        with Running(Mock()) as c:
            front = start({"a": a, "b": b, "c": c}, "consistent_hash", using=using)
            before = homes(served(front, requests, concurrency=3)[1])
        result, log = served(front, requests, concurrency=3)
    after = homes(log)
    assert all(len(where) == 1 for where in (*before.values(), *after.values()))
    assert set.union(*before.values()) == {"a", "b", "c"} and set.union(*after.values()) == {"a", "b"}
    assert all(r.ok for r in result.records)
    assert all(after[session] == where for session, where in before.items() if where != {"c"})


def test_a_split_deals_sessions_out_once_and_a_salt_anew(replicas, using):
    requests = load(300, sessions=200, seed=3)
    front = start(replicas, "split", weights=[3, 1], using=using)
    first = homes(served(front, requests, concurrency=8)[1])
    assert all(len(where) == 1 for where in first.values())
    share = sum(where == {"a"} for where in first.values()) / len(first)
    assert 0.65 < share < 0.85
    salted = start(replicas, "split", weights=[3, 1], salt="another", using=using)
    other = homes(served(salted, requests, concurrency=8)[1])
    moved = sum(other[session] != where for session, where in first.items()) / len(first)
    assert 0.25 < moved < 0.5  # 2 x 3/4 x 1/4 of them by chance


def test_a_split_never_answers_with_the_other_version(replicas, using):
    front = start({"a": replicas["a"], "gone": f"127.0.0.1:{ports.free_port()}"}, "split", using=using)
    requests = load(60, sessions=40)
    result, log = served(front, requests, model="mock")
    belongs = {f"s{n}": balancer.version_of(f"s{n}", [1, 1]) for n in range(40)}
    for request, record in zip(requests, result.records, strict=True):
        assert record.ok == (belongs[request.session] == 0)
    assert set(log[log.status == 200].replica) == {"a"}


@needs_nginx
@pytest.mark.parametrize(("policy", "weights"), [("consistent_hash", [2, 1]), ("split", [1, 2])])
def test_both_routers_send_a_session_to_the_same_place(replicas, policy, weights):
    requests = load(200, sessions=150)
    seen = [
        homes(served(start(replicas, policy, weights=weights, salt="x", using=using), requests, concurrency=8)[1])
        for using in ("nginx", "python")
    ]
    assert seen[0] == seen[1] and set.union(*seen[0].values()) == {"a", "b"}


def test_its_own_rules_without_a_server():
    peers = [balancer.Peer(f"10.0.0.{n}:80", weight) for n, weight in enumerate((5, 1, 1))]
    assert [peers.index(balancer.turn(peers)) for _turn in range(7)] == [0, 0, 1, 0, 2, 0, 0]
    ring = balancer.points(peers)
    assert ring == sorted(ring) and len(ring) == 7 * balancer.POINTS_PER_WEIGHT
    assert balancer.percentages([1, 1, 1]) == [33.33, 33.33, 33.34]
    assert balancer.murmur(b"") == 0 and len({balancer.murmur(b"abcdefg"[:n]) for n in range(8)}) == 8
    peers[0].fail(100.0)
    assert not peers[0].up(100.0 + balancer.FAIL_TIMEOUT_S - 1) and peers[0].up(100.0 + balancer.FAIL_TIMEOUT_S)


@needs_nginx
def test_a_wrong_configuration_is_one_sentence(replicas, tmp_path):
    wrong = tmp_path / "wrong.conf"
    wrong.write_text(TEMPLATE.read_text().replace("proxy_buffering off", "proxy_bufering off"))
    with pytest.raises(ServelabError) as caught:
        start(replicas, using="nginx", template=wrong)
    told = str(caught.value)
    assert 'unknown directive "proxy_bufering"' in told and "\n" not in told
    assert not running()
    written = process.own_folder(next(process.folder().glob("*.json")).stem) / "router.conf"
    line = next(n for n, text in enumerate(written.read_text().splitlines(), 1) if "proxy_bufering" in text)
    assert f"line {line} of its configuration is wrong" in told


def test_reasons():
    assert explain('x\nnginx: [emerg] host not found in upstream "nowhere" in /a/router.conf:12\n') == (
        'line 12 of its configuration is wrong: host not found in upstream "nowhere"'
    )
    assert (
        explain("nginx: [emerg] mkdir() failed (13: Permission denied)\n") == "mkdir() failed (13: Permission denied)"
    )
    assert explain("all is well") is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"policy": "fastest"}, "no policy fastest.*round_robin, least_conn, weighted, consistent_hash, split"),
        ({"weights": [1]}, "one for each replica"),
        ({"weights": [1, 0]}, "whole numbers from 1"),
        ({"weights": [1, 0.5]}, "whole numbers from 1"),
    ],
)
def test_arguments_that_cannot_be(replicas, options, told):
    with pytest.raises(ServelabError, match=told):
        start(replicas, **options)


def test_no_replicas_and_odd_names(replicas):
    with pytest.raises(ServelabError, match="at least one replica"):
        start({})
    with pytest.raises(ServelabError, match="letters, digits"):
        start({"a;b": replicas["a"]})


def test_without_nginx_the_course_has_its_own(replicas, monkeypatch):
    monkeypatch.setattr(sys.modules[Router.__module__], "nginx", lambda: None)
    assert start(replicas).using == "python"
    with pytest.raises(ServelabError, match="NGINX is not installed"):
        start(replicas, using="nginx")
