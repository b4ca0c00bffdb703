"""The supervisor, with a fake engine: nothing here loads torch or a model."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import psutil
import pytest

from servelab.engines import Server, keeper, ports, process, running
from servelab.engines.process import Spec
from servelab.errors import ServelabError
from servelab.progress import Progress

FAKE = Path(__file__).with_name("fake_engine.py")


def spec(*options: str, **changes) -> Spec:
    command = [sys.executable, str(FAKE), "{port}", *options]
    facts = {"engine": "fake", "title": "Fake", "config": {"options": options}, "command": command, "grace_s": 1.0}
    return Spec(**{**facts, **changes})


def start(*options: str, **changes) -> Server:
    state, token, reused = process.start(spec(*options, **changes), Progress(show=False))
    return Server(state, token, reused)


def marked(home: Path) -> list[int]:
    """Processes of engines started under this home."""
    found = []
    for one in psutil.process_iter():
        try:
            if one.environ().get(keeper.MARKER, "").startswith(str(home)) and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one.pid)
        except psutil.Error:
            continue
    return found


def until(condition, seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SERVELAB_HOME", str(tmp_path))
    monkeypatch.delenv("SERVELAB_OWNER", raising=False)
    yield tmp_path
    for one in process.states():
        process.stop(one["name"], force=True)
    assert until(lambda: not marked(tmp_path)), "an engine outlived the test"


def in_another_process(home: Path, body: str) -> subprocess.Popen:
    """Run code that starts servers as another owner would; it prints a server's name when it is ready."""
    code = f"import sys; sys.path.insert(0, {str(FAKE.parent)!r})\nfrom test_process import *\n" + textwrap.dedent(body)
    env = {**os.environ, "SERVELAB_HOME": str(home)}
    return subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True)


def test_a_server_starts_answers_and_stops(home):
    server = start()
    assert server.health() and not server.reused and server.ready_seconds > 0
    assert [s.name for s in running()] == [server.name]
    assert len(marked(home)) == 2
    server.stop()
    assert not server.health() and not running() and not marked(home)


def test_files_stand_in_a_folder_of_the_servers_own_made_anew_at_each_start(home):
    command = [sys.executable, "-c", "import runpy, sys; sys.argv[1:] = open(sys.argv[1]).read().split(); "
               f"runpy.run_path({str(FAKE)!r}, run_name='__main__')", "{folder}/arguments"]  # fmt: skip
    server = start(command=command, files={"arguments": "{port} --slow 0.01", "where": "{folder}"})
    own = process.own_folder(server.name)
    assert server.health() and (own / "arguments").read_text() == f"{server.port} --slow 0.01"
    assert (own / "where").read_text() == str(own)
    (own / "left").touch()
    server.stop()
    assert start(command=command, files={"arguments": "{port}"}).health() and sorted(p.name for p in own.iterdir()) == [
        "arguments"
    ]


def test_the_same_configuration_is_reused_and_another_told_apart():
    one, same, other = start(), start(), start("--slow", "0.1")
    assert same.reused and same.pid == one.pid
    assert not other.reused and other.pid != one.pid and other.port != one.port
    twin = start(name="twin")
    assert twin.name == "twin" and twin.pid not in (one.pid, other.pid)


def test_a_name_with_another_configuration_is_refused():
    start(name="mine")
    with pytest.raises(ServelabError, match="another configuration"):
        start("--slow", "0.1", name="mine")


def test_a_released_server_stays_warm_and_is_found_again():
    server = start()
    server.release()
    assert server.health()
    assert start().reused


def test_dead_owner_leaves_no_orphan(home):
    other = in_another_process(home, "server = start(); print(server.name, flush=True); time.sleep(600)")
    assert other.stdout.readline().strip()
    assert marked(home)
    other.kill()
    other.wait()
    assert until(lambda: not marked(home))
    assert not running()


def test_a_server_lives_on_with_its_second_owner(home):
    other = in_another_process(home, "server = start(); print(server.name, flush=True); time.sleep(600)")
    assert other.stdout.readline().strip()
    mine = start()
    assert mine.reused
    other.kill()
    other.wait()
    time.sleep(1)
    assert mine.health()


def test_a_session_owns_what_its_notebooks_start(home, monkeypatch):
    session = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    monkeypatch.setenv("SERVELAB_OWNER", str(session.pid))
    notebook = in_another_process(home, "server = start(); print(server.name, flush=True)")
    name = notebook.stdout.readline().strip()
    notebook.wait()
    time.sleep(1)
    assert [s.name for s in running()] == [name]
    session.kill()
    session.wait()
    assert until(lambda: not marked(home))


def test_two_at_once_share_one_server(home):
    body = "server = start('--slow', '1'); print(server.pid, server.reused, flush=True); time.sleep(600)"
    both = [in_another_process(home, body) for _ in range(2)]
    said = [one.stdout.readline().split() for one in both]
    assert said[0][0] == said[1][0]
    assert {said[0][1], said[1][1]} == {"True", "False"}
    for one in both:
        one.kill()
        one.wait()


def test_a_killed_engine_is_noticed(home):
    server = start()
    os.kill(server.pid, signal.SIGKILL)
    assert until(lambda: not server.health())
    assert until(lambda: not marked(home))
    with pytest.raises(ServelabError, match="is gone.*run the cell"):
        server.metrics()
    again = start()
    assert not again.reused and again.health()
    with pytest.raises(ServelabError):
        server.metrics()  # the old handle does not speak for the new server


def test_an_engine_that_leaves_with_code_0_is_noticed_too(home):
    server = start("--die-after", "0.5")
    assert until(lambda: not server.health())
    assert until(lambda: not marked(home))


def test_a_killed_keeper_is_swept(home):
    server = start()
    state = process.state(server.name)
    assert until(lambda: process.state(server.name)["tree"])
    os.kill(state["keeper"]["pid"], signal.SIGKILL)
    assert until(lambda: not keeper.alive(state["keeper"]))
    assert process.states() == []
    assert until(lambda: not marked(home))
    assert not start().reused


def test_a_look_at_the_servers_does_not_disturb_one_that_is_being_started(home):
    server = start()
    keeper.update(process.state_path(server.name), lambda s: s.update(phase="starting", kept=s["keeper"], keeper=None))
    assert process.states() == [] and process.state(server.name)["phase"] == "starting"
    keeper.update(process.state_path(server.name), lambda s: s.update(phase="ready", keeper=s["kept"]))
    assert server.health()


def test_a_keeper_that_does_not_answer_is_ended(home, monkeypatch):
    server = start()
    kept = process.state(server.name)["keeper"]["pid"]
    keeper.update(process.state_path(server.name), lambda s: s.update(grace_s=-29.5))
    os.kill(kept, signal.SIGSTOP)
    server.stop()
    assert not server.health() and until(lambda: not marked(home))


def test_an_engine_that_ignores_sigterm_is_killed_after_the_grace(home):
    server = start("--stubborn")
    server.stop()
    assert not marked(home)


def test_failure_while_starting_is_one_sentence(home):
    with pytest.raises(ServelabError) as caught:
        start("--fail", "ValueError: no such thing")
    assert "did not start: ValueError: no such thing" in str(caught.value)
    with pytest.raises(ServelabError, match="because of that"):
        start("--fail", "x", explain=lambda log: "because of that" if "x" in log else None)
    assert not running() and not marked(home)


def test_a_missing_program_is_one_sentence():
    with pytest.raises(ServelabError, match="No such file"):
        start(command=["/nowhere/engine", "{port}"])


def test_a_server_that_is_never_ready_is_stopped(home):
    with pytest.raises(ServelabError, match="not ready after"):
        process.start(spec("--slow", "600"), Progress(show=False), timeout_s=1)
    assert not marked(home)


def test_a_taken_port_names_the_program():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServelabError, match=rf"Port {port} is taken by another program \(pid {os.getpid()}, "):
            start(port=port)
    server = start(port=port)
    assert server.port == port
    with pytest.raises(ServelabError, match=f"Port {port} is taken by the server {server.name}"):
        start("--slow", "0.1", port=port)


def test_a_port_lost_in_between_is_chosen_again(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        free, lost = ports.free_port, [taken.getsockname()[1]]
        monkeypatch.setattr(ports, "free_port", lambda avoid: lost.pop() if lost else free(avoid))
        assert start().health()


def test_no_memory_is_one_sentence_and_warm_servers_make_room(monkeypatch):
    warm = start("--slow", "0.01")
    total = psutil.virtual_memory()
    need = 4 * 2**30

    class Memory:
        @property
        def available(self):
            return 2**30 if any(s.name == warm.name for s in running()) else total.total

    monkeypatch.setattr(psutil, "virtual_memory", Memory)
    with pytest.raises(ServelabError, match=rf"needs 4.0 GiB.*1.0 are free.*in use.*{warm.name}"):
        start(need_bytes=need)
    assert warm.health(), "a server in use was stopped by someone else"
    warm.release()
    assert start(need_bytes=need).health()
    assert not warm.health()


def test_no_memory_at_all(monkeypatch):
    with pytest.raises(ServelabError, match="close other programs"):
        start(need_bytes=2**50)


def test_full_disk_is_one_sentence(monkeypatch):
    monkeypatch.setattr(process.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 0, "total": 2**40}))
    with pytest.raises(ServelabError, match="disk under .* is full"):
        start()


def test_a_used_server_is_not_stopped_by_someone_else(home):
    other = in_another_process(home, "server = start(); print(server.name, flush=True); time.sleep(600)")
    name = other.stdout.readline().strip()
    with pytest.raises(ServelabError, match=f"in use by another program .pid {other.pid}"):
        process.stop(name)
    process.stop(name, force=True)
    assert not running()
    other.kill()
    other.wait()


def test_stop_of_an_unknown_server():
    with pytest.raises(ServelabError, match="no server nobody"):
        process.stop("nobody")


def test_metrics_and_watch():
    server = start()
    metrics = server.metrics()
    assert metrics.value("fake:requests") == metrics.value("fake:requests_total") == 5
    assert metrics.value("fake:requests", kind="b") == 3
    assert {"name", "labels", "value"} == set(metrics.frame().columns)
    assert server.kv_cache.tokens == 320
    with pytest.raises(ServelabError, match="no metric fake:nothing"):
        metrics.value("fake:nothing")
    with server.watch("fake:load", every=0.02) as watch:
        assert until(lambda: len(watch.frame()) >= 3)
    frame = watch.frame()
    assert list(frame.columns) == ["t_s", "fake:load"] and (frame["fake:load"] == 0.5).all()
    assert frame["t_s"].is_monotonic_increasing
    with pytest.raises(ServelabError, match="no metric"), server.watch("fake:nothing"):
        pass
    assert server.memory_bytes() > 2**20


def test_a_mark_tells_a_process_from_a_later_one():
    mine = keeper.mark(os.getpid())
    assert keeper.alive(mine)
    assert not keeper.alive({**mine, "started": "another:0"})
    assert not keeper.alive(None) and keeper.mark(2**22 + 5) is None


def test_the_command_in_a_terminal_ends_its_server(home):
    body = """
    server = start()
    with process.stopping_at_end(server.name):
        print(server.name, flush=True)
        try:
            time.sleep(600)
        except KeyboardInterrupt:
            pass
    """
    terminal = in_another_process(home, body)
    assert terminal.stdout.readline().strip()
    terminal.send_signal(signal.SIGINT)
    terminal.wait(timeout=120)
    assert not running() and not marked(home)


def test_a_handle_forgotten_while_the_state_is_locked_is_released_and_blocks_nothing(home):
    kept, forgotten = start(), [start()]
    path = process.state_path(kept.name)
    assert len(keeper.read(path)["users"]) == 2

    def collect(_state):
        forgotten.clear()
        gc.collect()

    locking = threading.Thread(target=keeper.update, args=(path, collect), daemon=True)
    locking.start()
    locking.join(30)
    assert not locking.is_alive(), "collecting the handle waits for a lock that its own thread holds"
    assert until(lambda: len(keeper.read(path)["users"]) == 1)


def test_a_server_that_is_leaving_is_not_joined(home):
    server = start()
    os.kill(process.state(server.name)["keeper"]["pid"], signal.SIGSTOP)  # its keeper cannot tidy up yet
    os.kill(server.pid, signal.SIGKILL)
    assert until(lambda: process.is_leaving(process.state(server.name)))
    assert not server.health()
    threading.Timer(1.0, os.kill, (process.state(server.name)["keeper"]["pid"], signal.SIGCONT)).start()
    again = start()
    assert not again.reused and again.health()
