"""What the code in a sandbox can see and do, and that nothing of it is left."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from autograder import calls, sandbox
from autograder.remote import Gone, Session
from autograder.sandbox import Limits
from servelab.errors import ServelabError
from servelab.paths import ROOT

pytestmark = pytest.mark.timeout(120)
bwrap = pytest.mark.skipif(sandbox._found() is None, reason="no sandbox on this machine: install bubblewrap")


@pytest.fixture
def ask():
    """What an expression is in a sandbox, as text, after some statements."""

    def told(statements: str, expression: str, limits: Limits | None = None) -> str:
        with sandbox.isolation().open(limits) as box:
            session = Session(box, 30)
            session.execute("cell", f"{statements}\ntold = str({expression})")
            return session.names(["told"])["told"]

    return told


@bwrap
def test_only_the_course_without_its_solutions_is_seen(ask):
    seen = json.loads(
        ask(
            f"import json, os\nroot = {str(ROOT)!r}\n"
            "seen = [os.listdir(root), os.listdir('/'), os.listdir('/tmp'), os.listdir('/run')]",
            "json.dumps(seen)",
        )
    )
    assert {"levels", "labs", "tests", ".git", "autograder", "shared"}.isdisjoint(seen[0])
    assert {"servelab", "course.toml", "assets"} <= set(seen[0])
    way_to_the_course = [ROOT.parts[2]] if ROOT.parts[1] == "tmp" else []
    assert seen[2] == way_to_the_course and sorted(seen[3]) == ["grader", "servers"]
    assert "home" not in seen[1] or "home" in str(ROOT) or "home" in sys.prefix


@bwrap
def test_it_is_nobody(ask):
    told = ask(
        "import os\nstatus = dict(line.split(':\\t', 1) for line in open('/proc/self/status').read().splitlines())",
        "[os.getuid(), os.geteuid(), os.getgroups(), status['CapEff'], status['CapBnd'], status['NoNewPrivs'], "
        "status['Seccomp']]",
    )
    uid, euid, groups, effective, bounding, no_new, filtered = eval(told)
    assert uid == euid != os.getuid() and 0 not in groups and not set(groups) & set(os.getgroups())
    assert int(effective, 16) == 0 and int(no_new) == 1
    assert int(bounding, 16) == 0 or os.geteuid() != 0
    assert int(filtered) == (2 if platform.machine() in calls.ARCHITECTURES else 0)


@bwrap
def test_its_environment_is_ours_to_choose(ask, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "x")
    monkeypatch.setenv("PYTHONPATH", "/x")
    told = ask("import os", "sorted(os.environ)")
    assert set(eval(told)) <= set(sandbox.environment()) | {"LC_CTYPE", "PWD"}


@bwrap
def test_nothing_but_its_small_folder_can_be_written(ask):
    told = ask(
        f"""
import os
done = []
for place in ("/", "/usr", "/etc", "/run", "/run/grader", "/run/servers", "/dev", {str(ROOT)!r}, {sys.prefix!r}):
    try:
        open(place + "/planted", "w")
        done.append(place)
    except OSError:
        pass
""",
        "done",
    )
    assert eval(told) == []


@bwrap
@pytest.mark.skipif(platform.machine() not in calls.ARCHITECTURES, reason="system calls of this machine are not known")
def test_calls_that_reach_deeper_are_barred(ask):
    told = ask(
        """
import ctypes, errno, os, subprocess, threading
libc, found = ctypes.CDLL(None, use_errno=True), {}
for name, act in {
    "memfd": lambda: libc.memfd_create(b"x", 0), "unshare": lambda: libc.unshare(0x10000000),
    "shm": lambda: libc.shmget(0, 4096, 0o1600), "ptrace": lambda: libc.ptrace(0, 0, 0, 0),
}.items():
    found[name] = (act(), ctypes.get_errno())
thread = threading.Thread(target=found.setdefault, args=("thread", 1))
thread.start()
thread.join()
found["process"] = subprocess.run(["true"]).returncode
""",
        "found",
    )
    found = eval(told)
    assert {found[name] for name in ("memfd", "unshare", "shm", "ptrace")} == {(-1, 1)}
    assert found["thread"] == 1 and found["process"] == 0


@bwrap
@pytest.mark.parametrize(
    ("code", "limits", "cause"),
    [
        ("kept = b'x' * 2**28\nwhile True: pass", {"memory_bytes": 2**27}, "MiB of memory"),
        ("import os\nfor _ in range(2): os.fork()\nwhile True: pass", {"cpu_seconds": 2}, "processor time|ended"),
    ],
)
def test_the_watch_says_why_it_ended_a_sandbox(code, limits, cause):
    with sandbox.isolation().open(Limits(**limits)) as box, pytest.raises(Gone, match=cause):
        Session(box, 40).execute("cell", code)


@bwrap
def test_processes_and_files_have_limits(ask):
    told = ask(
        """
import os, time
children, size = 0, 0
try:
    for _ in range(100):
        if os.fork() == 0:
            time.sleep(60)
        children += 1
except OSError:
    pass
try:
    with open("/tmp/large", "wb", 0) as file:
        for _ in range(64):
            size += file.write(b"x" * 2**20)
except OSError:
    pass
""",
        "[children, size]",
        Limits(processes=16, file_bytes=2**23),
    )
    children, size = eval(told)
    assert 1 <= children < 16 and size <= 2**23


@bwrap
def test_a_closed_sandbox_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    box = sandbox.isolation().open()
    session = Session(box, 30)
    fork = "if os.fork() == 0:\n    os.setsid()\n    os.fork()\n    signal.pause()"
    session.execute("cell", f"import os, signal\n{fork}\n{fork}")
    spaces = {os.readlink(f"/proc/{pid}/ns/pid") for pid in sandbox._tree(box.pid)} - {os.readlink("/proc/self/ns/pid")}
    assert spaces and list(tmp_path.iterdir())
    box.close()
    box.close()
    assert not list(tmp_path.iterdir())
    for _again in range(100):
        left = [pid for pid in os.listdir("/proc") if pid.isdigit() and _space(pid) in spaces]
        if not left:
            break
        time.sleep(0.05)
    assert not left


def _space(pid: str) -> str | None:
    try:
        over = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
        return None if over else os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return None


@bwrap
def test_who_burns_the_processor_waits_for_the_others(monkeypatch):
    monkeypatch.setattr(sandbox, "BUSY", 0.2)
    with sandbox.isolation().open() as box:
        session = Session(box, 60)
        session.execute("cell", "import os\nos.fork() or exec('while True: pass')")
        for _again in range(400):
            if all(os.getpriority(os.PRIO_PROCESS, pid) == 19 for pid in sandbox._tree(box.pid)):
                return
            time.sleep(0.1)
    raise AssertionError("still as urgent as all others")


def test_without_a_sandbox_grading_refuses(monkeypatch):
    monkeypatch.setattr(sandbox, "_found", lambda: None)
    with pytest.raises(ServelabError, match="--unsafe"):
        sandbox.isolation()
    assert sandbox.isolation(unsafe=True).name == "unsafe"


def test_what_does_not_start_is_no_sandbox():
    assert not sandbox.works(sandbox.Isolation("x", lambda sockets, limits: ["false"]))
    assert not sandbox.works(sandbox.Isolation("x", lambda sockets, limits: ["/nowhere/at/all"]))


def test_unsafe_runs_the_code_all_the_same():
    with sandbox.Isolation("unsafe", sandbox._bare).open() as box:
        session = Session(box, 30)
        session.execute("cell", "x = 6 * 7")
        assert session.names(["x"]) == {"x": 42}


def test_a_containers_processes_are_ended_by_its_service(tmp_path, monkeypatch):
    """Killing `docker run` leaves the container: the tool itself is asked to remove it."""
    tool = tmp_path / "docker"
    tool.write_text(
        f"""#!/bin/sh
case "$1" in
  run) for word; do case "$word" in --cidfile=*) echo id-7 > "${{word#--cidfile=}}";; esac; done
       exec {sys.executable} -E -s {sandbox.HERE / "inside.py"};;
  rm) echo "$@" >> {tmp_path}/asked;;
esac
"""
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SERVELAB_GRADER_SOCKETS", "")
    way = sandbox.Isolation("docker", lambda s, m: sandbox._container("docker", s, m))
    with way.open() as box:
        Session(box, 30).execute("cell", "x = 1")
    assert "rm --force id-7" in (tmp_path / "asked").read_text()


def test_a_container_gets_no_network_no_rights_and_the_limits(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: subprocess.CompletedProcess(a, 0, "", ""))
    words = sandbox._container("podman", tmp_path, Limits(memory_bytes=5 * 2**20, processes=7))
    for word in ("--network=none", "--read-only", "--cap-drop=ALL", "--pids-limit=7", f"--memory={5 * 2**20}"):
        assert word in words
    shown = [word.split("=", 1)[1].split(":")[0] for word in words if word.startswith("--volume")]
    assert not any(path in (str(ROOT), str(ROOT / "levels"), "/", str(Path.home())) for path in shown)


@bwrap
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="runs as a plain user already")
def test_a_plain_user_has_the_same_sandbox(tmp_path):
    """Root's own folder is hidden behind an empty one but for the interpreter, so that a plain user can start it."""
    script = (
        "from autograder import sandbox, remote\n"
        "with sandbox.isolation().open() as box:\n"
        "    session = remote.Session(box, 30)\n"
        "    session.execute('c', 'import os; uid = os.getuid(); os.fork() or exec(\"while True: pass\")')\n"
        "    print(sandbox.isolation().name, session.names(['uid']))\n"
    )
    python = Path(os.path.realpath(sys.base_prefix))
    hidden = Path("/root") in python.parents
    above = ["--perms", "0755", "--tmpfs", "/root"] if hidden else []
    again = ["--ro-bind", *[str(Path(*python.parts[:3]))] * 2] if hidden else []
    words = ["bwrap", "--dev-bind", "/", "/", *above, *again, "--perms", "1777", "--tmpfs", "/var/tmp"]
    words += [
        "--setenv",
        "HOME",
        "/var/tmp",
        "--setenv",
        "TMPDIR",
        "/var/tmp",
        "--setenv",
        "PYTHONPATH",
        str(ROOT),
        "--chdir",
        "/",
    ]
    words += ["--", "setpriv", "--reuid=1234", "--regid=1234", "--clear-groups", sys.executable, "-c", script]
    told = subprocess.run(words, capture_output=True, text=True, timeout=100)
    if "Permission denied" in told.stderr and "python" in told.stderr:
        pytest.skip("the interpreter lies where a plain user cannot read")
    assert told.stdout.strip() == "bubblewrap {'uid': 65534}", told.stderr


def test_a_course_that_lies_in_tmp_is_seen(tmp_path):
    """What is mounted later lies on top: the empty /tmp must not hide a course (or a Python) that lies there."""
    words = sandbox._bubblewrap(tmp_path, sandbox.Limits())
    assert words.index(sandbox.HOME) < words.index("--ro-bind")
