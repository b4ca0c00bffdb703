"""Engines for submissions: the options that may be asked for, and the relay that leads to them, with small servers."""

from __future__ import annotations

import http.client
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from autograder import engines
from autograder.engines import Relays, check
from servelab.errors import ServelabError


def test_plain_options_pass():
    options = {"max_num_seqs": 2, "api_key": "taipei-101", "gpu_memory_utilization": 0.5, "enable_prefix_caching": True}
    assert check(options) is options
    assert check({"gpu_memory_utilization": 1}) and check({}) == {}


@pytest.mark.parametrize(
    "options",
    [
        {"model": "/etc/shadow"},
        {"name": "other"},
        {"port": 80},
        {"chat_template": "/etc/shadow"},
        {"trust_remote_code": True},
        {"worker_cls": "os.system"},
        {"middleware": "os.system"},
        {"progress": False},
        {"--host": "0.0.0.0"},
        {7: 1},
        {None: None},
        {"max_num_seqs": "2"},
        {"max_num_seqs": True},
        {"max_num_seqs": 2.0},
        {"max_num_seqs": -1},
        {"max_num_seqs": 10**9},
        {"max_model_len": 10**12},
        {"num_gpu_blocks_override": 10**6},
        {"num_gpu_blocks_override": 8192, "block_size": 256},
        {"gpu_memory_utilization": 7.0},
        {"gpu_memory_utilization": float("nan")},
        {"api_key": "--host=0.0.0.0"},
        {"api_key": "a b"},
        {"api_key": "a\n"},
        {"api_key": ""},
        {"api_key": "x" * 100},
        {"like": "../../x"},
        {"dtype": ["float32"]},
    ],
    ids=str,
)
def test_everything_else_is_refused_in_a_sentence(options):
    with pytest.raises(ServelabError) as refused:
        check(options)
    assert len(str(refused.value)) < 200


class Hello(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body[::-1])

    def log_message(self, *ignored):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def ask(path, body: bytes) -> bytes:
    connection = http.client.HTTPConnection("x")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(20)
    connection.sock.connect(str(path))
    connection.request("POST", "/", body=body)
    answer = connection.getresponse().read()
    connection.close()
    return answer


def test_a_relay_carries_whole_conversations_side_by_side(server, tmp_path):
    body = bytes(range(256)) * 4000
    with Relays(tmp_path) as relays:
        assert relays.open(server.server_port) and relays.open(server.server_port)
        path, found = tmp_path / str(server.server_port), []
        threads = [threading.Thread(target=lambda: found.append(ask(path, body))) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [body[::-1]] * 20
    with pytest.raises(OSError):
        ask(path, b"x")


def test_where_nobody_listens_there_is_no_relay(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with Relays(tmp_path) as relays:
        assert not relays.open(port) and not list(tmp_path.iterdir())


class Server:
    def __init__(self, name: str, stopped: list[str]) -> None:
        self.name, self.stopped = name, stopped
        self._state = {"name": name, "port": 1, "token": "secret", "env": {"HOME": "/root"}, "log": "/root/log"}

    def stop(self) -> None:
        self.stopped.append(self.name)


def test_a_few_servers_stay_up_and_a_sandbox_knows_nothing_of_this_machine(monkeypatch):
    stopped: list[str] = []
    asked = iter("abacd")
    monkeypatch.setattr("servelab.engines.vllm", lambda progress, **options: Server(next(asked), stopped))
    with engines.Engines() as grading:
        for _ in range(3):
            state, _server = grading({"max_num_seqs": 2})
        assert not stopped and "token" not in state and state["env"] == {} and state["log"] == "/dev/null"
        grading({})
        assert stopped == ["b"]  # used longest ago
        with pytest.raises(ServelabError):
            grading({"model": "x"})
    assert sorted(stopped) == ["a", "b", "c"]
