"""Attacks by the process itself: it ends, hangs, floods, or takes what the grader imports.

Each function gives the source of an answer cell.
"""

WRONG = "decode_ceiling = tokens_to_fill = waits = lambda *args, **kwargs: 0\n"
NAMES = "decode_ceiling = tokens_to_fill = waits = "


def exits_by_sys_exit(at):
    return "import sys\nsys.exit(0)\n" + WRONG


def exits_at_once(at):
    return "import os\nos._exit(0)\n" + WRONG


def exits_when_called(at):
    return f"import os\n{NAMES}lambda *args, **kwargs: os._exit(0)\n"


def kills_itself(at):
    return "import os\nos.kill(os.getpid(), 9)\n" + WRONG


def stops_itself(at):
    return "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\n" + WRONG


def crashes(at):
    return "import ctypes\nctypes.string_at(0)\n" + WRONG


def crashes_when_called(at):
    return f"import ctypes\n{NAMES}lambda *args, **kwargs: ctypes.string_at(0)\n"


def ignores_interrupts_and_hangs(at):
    return """
import signal
for kind in range(1, 65):
    try:
        signal.signal(kind, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
while True:
    try:
        while True:
            pass
    except BaseException:
        pass
"""


def hangs_when_called(at):
    return f"import time\n{NAMES}lambda *args, **kwargs: time.sleep(600)\n"


def is_slow_in_every_call(at):
    return f"import time\n{NAMES}lambda *args, **kwargs: time.sleep(0.4) or 1\n"


def is_right_once_and_then_hangs(at):
    return """
import time
calls = []
def decode_ceiling(weights, bytes_per_weight, bandwidth, batch=1, kv_bytes=0):
    calls.append(1)
    if len(calls) > 5:
        time.sleep(600)
    return batch * bandwidth / (weights * bytes_per_weight + batch * kv_bytes)
"""


def gives_a_generator_without_end(at):
    return f"import itertools\n{NAMES}lambda *args, **kwargs: (n for n in itertools.count())\n"


def recurses_without_end(at):
    return f"""
import sys
sys.setrecursionlimit(10**8)
def deeper(*args, **kwargs):
    return deeper()
{NAMES}deeper
"""


def recurses_in_what_it_gives(at):
    return f"""
class Deep:
    def __getattr__(self, name):
        return getattr(self, name)
    def __repr__(self):
        return repr(self)
    def __iter__(self):
        yield from self
    def __len__(self):
        return len(self)
    __str__ = __repr__
{NAMES}lambda *args, **kwargs: Deep()
"""


def nests_what_it_gives(at):
    return f"""
nested = []
for _ in range(100_000):
    nested = [nested]
{NAMES}lambda *args, **kwargs: nested
"""


def gives_itself_in_itself(at):
    return f"""
ring = []
ring += [ring, ring]
{NAMES}lambda *args, **kwargs: ring
"""


def raises_errors_that_bite(at):
    return f"""
class Bite(Exception):
    def __str__(self):
        import os
        os._exit(3)
    __repr__ = __str__
    @property
    def args(self):
        raise Bite
def biting(*args, **kwargs):
    raise Bite
{NAMES}biting
"""


def raises_what_ends_a_grader(at):
    return f"""
import itertools
class Mine(BaseException):
    pass
kinds = itertools.cycle([KeyboardInterrupt, GeneratorExit, SystemExit, StopIteration, StopAsyncIteration, Mine])
def raising(*args, **kwargs):
    raise next(kinds)
{NAMES}raising
"""


def raises_what_has_no_name(at):
    return f"""
class Named(type):
    def __getattribute__(self, name):
        raise SystemExit
class Worse(BaseException, metaclass=Named):
    pass
def raising(*args, **kwargs):
    raise Worse
{NAMES}raising
"""


def writes_a_gigabyte(at):
    return f"""
import os, sys
for stream in (1, 2):
    for _ in range(64):
        os.write(stream, b"x" * 2**23)
print("x" * 2**26)
{NAMES}lambda *args, **kwargs: print("y" * 2**22)
"""


def gives_a_gigabyte(at):
    return f"{NAMES}lambda *args, **kwargs: 'x' * 2**30\n"


def gives_many_values(at):
    return f"{NAMES}lambda *args, **kwargs: [0] * 150_000\n"


def plants_modules(at):
    """sitecustomize, usercustomize, a .pth file, modules named like the grader's own."""
    return f"""
import os, site, sys
body = "import builtins\\nbuiltins.isclose = builtins.all = builtins.abs = lambda *a, **k: True\\n"
for folder in {{*sys.path, sys.prefix, "/tmp", "/tmp/.local/lib/python3/site-packages", "/run/grader", os.getcwd(),
               {str(at.root)!r}, *site.getsitepackages()}}:
    for name in ("sitecustomize.py", "usercustomize.py", "own.pth", "wire.py", "inside.py", "math.py", "json.py",
                 "autograder/__init__.py", "servelab/__init__.py"):
        try:
            os.makedirs(os.path.dirname(f"{{folder}}/{{name}}"), exist_ok=True)
            open(f"{{folder}}/{{name}}", "a").write(body)
        except OSError:
            pass
os._exit(1)
"""
