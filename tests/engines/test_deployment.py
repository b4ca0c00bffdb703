"""A deployment of real parts before engines that cost nothing: Redis, NGINX and services, restarted under load."""

from __future__ import annotations

import contextlib
import os
import ssl
import sys
import threading
import time
from pathlib import Path

import httpx
import psutil
import pytest

from servelab.engines import deployment as module
from servelab.engines import keyvalue, process
from servelab.engines.certificate import local_certificate
from servelab.engines.deployment import deployment
from servelab.engines.router import nginx
from servelab.engines.server import Server
from servelab.errors import ServelabError
from servelab.load import drive, synthetic
from servelab.paths import ROOT
from tests.conftest import marked
from tests.load.mock_server import Mock, Running

SERVICE = ROOT / "labs" / "vllm" / "2.3_reference.py"
ENGINE = Path(__file__).parents[1] / "load" / "mock_server.py"
KEY = "me"
ROUNDS = int(os.environ.get("SERVELAB_ROUNDS", "3"))

needs_nginx = pytest.mark.skipif(not nginx(), reason="NGINX is not installed")
needs_redis = pytest.mark.skipif(not keyvalue.program(), reason="Redis is not installed")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SERVELAB_HOME", str(tmp_path))
    yield tmp_path
    for one in process.states():
        process.stop(one["name"], force=True)
    assert not marked(tmp_path), "a part outlived the test"


def mock_launch(name, port):
    """An engine that answers at once, as a supervised process."""
    spec = process.Spec(
        engine="mock", title="Mock", config={"mock": name}, command=[sys.executable, str(ENGINE), "--port", "{port}"],
        facts={"model": "mock"}, name=name, port=port,
    )  # fmt: skip
    with module.Progress(False) as line:
        state, token, reused = process.start(spec, line, timeout_s=60)
    return Server(state, token, reused)


def start(**options):
    options = {"keys": (KEY,), "progress": False, "launch": mock_launch, **options}
    return deployment(SERVICE, **options)


@contextlib.contextmanager
def under_load(url, n=120, concurrency=4):
    """A load beside the block; its result is in the list when the block is over."""
    found = []
    asked = synthetic(n=n, prompt_tokens=4, output_tokens=4, seed=1)
    line = threading.Thread(
        target=lambda: found.append(
            drive(url, asked, concurrency=concurrency, api_key=KEY, model="mock", progress=False)
        )
    )
    line.start()
    try:
        yield found
    finally:
        line.join()


USING = [pytest.param("nginx", marks=needs_nginx), "python"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("using", USING)
def test_a_rolling_restart_loses_nothing(using):
    with start(using=using) as d:
        before = {name: part.pid for name, part in d.parts.items()}
        with under_load(d.url, n=400) as found:
            time.sleep(0.3)
            d.restart()
        assert [r.error for r in found[0].records if not r.ok] == []
        assert len(found[0].records) == 400
        after = {name: part.pid for name, part in d.parts.items()}
        changed = {name for name in after if after[name] != before[name]}
        assert changed == {"service-a", "service-b"}
        assert [(what, who) for _t, what, who in d.events] == [
            (what, who) for who in "ab" for what in ("drain", "stop", "start", "admit")
        ]
        rows = d.front.requests()
        assert set(rows.replica[rows.path == "/v1/completions"]) == {"a", "b"}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("using", USING)
def test_a_drained_replica_gets_nothing_and_keeps_its_open_answers(using):
    with (
        Running(Mock(first_s=0.2, gap_s=0.2)) as a,
        Running(Mock()) as b,
        start(engines=[a.url, b.url], using=using, policy="round_robin", launch=None) as d,
    ):
        with under_load(d.url, n=2, concurrency=2) as found:
            while not d.front.open("a"):
                time.sleep(0.01)
            d.act("drain", "a")
            looked = d.look()
            assert not looked["a"]["admitted"] and looked["b"]["admitted"]
            d.wait("a", "idle")
        assert all(r.ok for r in found[0].records)
        asked = len(a.mock.bodies)
        with under_load(d.url, n=4):
            pass
        assert len(a.mock.bodies) == asked
        assert set(d.front.requests().replica.tail(4)) == {"b"}


@pytest.mark.timeout(120)
def test_a_killed_engine_is_noticed_and_mended():
    with start() as d:
        engine, pid = d.replicas["a"].engine_url, d.replicas["a"].engine.pid
        d.kill("a")
        looked = d.look()
        assert not looked["a"]["running"] and not looked["a"]["ready"] and looked["b"]["ready"]
        with under_load(d.url, n=12) as found:
            pass
        assert all(r.ok for r in found[0].records), "the door asks the other one"
        assert d.mend() == ["a"]
        assert d.replicas["a"].engine_url == engine and d.replicas["a"].engine.pid != pid
        assert all(one["ready"] and one["admitted"] for one in d.look().values())
        with pytest.raises(ServelabError, match="There is no replica z"):
            d.act("drain", "z")
        with pytest.raises(ServelabError, match="There is no action burn"):
            d.act("burn", "a")


@pytest.mark.timeout(120)
def test_a_service_that_does_not_start_stops_the_restart_and_the_other_serves_on():
    with start() as d:
        with pytest.raises(ServelabError, match="did not start"):
            d.restart("raise RuntimeError('new and wrong')\n")
        looked = d.look()
        assert looked["a"]["failed"] == 1 and not looked["a"]["admitted"]
        assert looked["b"]["ready"] and looked["b"]["admitted"] and looked["b"]["version"] == 1
        with under_load(d.url, n=4) as found:
            pass
        assert all(r.ok for r in found[0].records)


@pytest.mark.timeout(120)
def test_reconciling_does_what_the_step_says():
    with start() as d:
        d.want()
        script = [("drain", "a"), ("wait", "a"), ("stop", "a"), ("start", "a"), ("wait", "a"), ("admit", "a")]
        left = list(script)

        def step(seen, wanted):
            assert wanted == 2 and set(seen) == {"a", "b"}
            if left and left[0] == ("admit", "a") and not seen["a"]["ready"]:
                return "wait", "a"
            return left.pop(0) if left else ("done", "")

        assert d.reconcile(step) == "done"
        assert d.look()["a"] | {"open": 0} == {
            "version": 2, "running": True, "ready": True, "admitted": True, "open": 0, "failed": 0,
        }  # fmt: skip
        assert d.reconcile(lambda seen, wanted: ("wait", "a"), timeout_s=0.2) == "late"
        with pytest.raises(ServelabError, match="no action"), d.kept(lambda seen, wanted: ("melt", "a")):
            time.sleep(0.3)


@needs_nginx
@pytest.mark.timeout(120)
def test_the_door_speaks_tls_limits_and_streams():
    who = {"Authorization": f"Bearer {KEY}"}
    with (
        Running(Mock(first_s=0.05, gap_s=0.05)) as engine,
        start(engines=[engine.url], rate=2, burst=3, launch=None) as d,
    ):
        trusts = ssl.create_default_context(cafile=str(d.authority))
        with httpx.Client(verify=trusts, trust_env=False) as client:
            assert client.get(f"{d.tls_url}/health").json() == {"status": "ok"}
            body = {"prompt": "x", "max_tokens": 8, "stream": True}
            with client.stream("POST", f"{d.tls_url}/v1/completions", headers=who, json=body) as answer:
                times = [time.perf_counter() for _piece in answer.iter_raw()]
            assert answer.headers["X-Request-Id"]
            assert len(times) > 3 and times[-1] - times[0] > 0.2, "pieces come as they are made"
            said = [client.get(f"{d.url}/health", headers=who).status_code for _n in range(9)]
            assert said[0] == 200 and said.count(429) >= 4
            large = client.post(f"{d.url}/v1/completions", content=b"x" * 2**21, headers={"Authorization": "b"})
            assert large.status_code == 413
        with httpx.Client(trust_env=False) as client, pytest.raises(httpx.ConnectError):
            client.get(f"{d.tls_url}/health")


@needs_redis
def test_redis_is_told_to_the_services_and_speaks(home):
    with start(replicas=1) as d:
        store = d.redis.connect()
        store.set("a", "1")
        assert store.get("a") == "1" and d.redis.health()
        environment = psutil.Process(d.replicas["a"].service.pid).environ()
        assert environment["REDIS_URL"] == f"{d.redis.url}/0"
    assert not d.redis.health()


def test_a_certificate_is_for_its_host_only():
    made = local_certificate("door.test", "127.0.0.2")
    from cryptography import x509

    names = x509.load_pem_x509_certificate(made.certificate.encode()).extensions
    said = names.get_extension_for_class(x509.SubjectAlternativeName).value
    assert said.get_values_for_type(x509.DNSName) == ["door.test"]
    assert made.key != local_certificate().key


def ours() -> set[int]:
    """Ports of this machine on which a child of this test listens."""
    found = set()
    for one in psutil.net_connections("tcp"):
        if one.status == psutil.CONN_LISTEN and one.pid:
            with contextlib.suppress(psutil.Error):
                if process.keeper.MARKER in psutil.Process(one.pid).environ():
                    found.add(one.laddr.port)
    return found


@pytest.mark.timeout(60 + 20 * ROUNDS)
def test_rounds_of_start_and_stop_leave_nothing_behind(home):
    seen = None
    with Running(Mock()) as engine:
        for _round in range(ROUNDS):
            with start(engines=[engine.url, engine.url], launch=None) as d:
                used = {part.port for part in d.parts.values()} | set(d.front._state["more_ports"].values())
                assert httpx.get(f"{d.url}/health", trust_env=False).status_code == 200
            assert not marked(home), "a process is left"
            assert not used & ours(), "a port is left"
            left = {str(path.relative_to(home)) for path in home.rglob("*")} - {"servers"}
            seen = left if seen is None else seen
            assert left == seen and not any(name.startswith("servers") for name in left), left


def test_wrong_settings_and_a_taken_name_are_told_before_anything_starts():
    with pytest.raises(TypeError):
        start(patience=3)
    with pytest.raises(ServelabError, match="at least one replica"):
        start(replicas=0)
    with Running(Mock()) as engine, start(engines=[engine.url], redis=False, launch=None) as d:
        assert d.redis is None
        with pytest.raises(ServelabError, match="runs already"):
            start()


def test_a_deployment_that_was_stopped_says_so():
    with Running(Mock()) as engine, start(engines=[engine.url], redis=False, launch=None, name="over") as d:
        pass
    for use in (lambda: d.url, d.look, lambda: d.act("drain", "a"), lambda: d.parts):
        with pytest.raises(ServelabError, match="The deployment over was stopped: start another one"):
            use()
    assert "over" in repr(d)
    d.stop()
