"""Attacks on the conversation: the learner's process finds the stream to the grader and speaks for itself.

Each function gives the source of an answer cell.
"""

NAMES = "decode_ceiling = tokens_to_fill = waits = "
FIND = """
import gc, json, os, struct, time
inside = next(one for one in gc.get_objects() if type(one).__name__ == "Inside")
out, asked = inside.replies, inside.requests
def raw(data):
    out.write(data)
    out.flush()
def frame(data):
    raw(struct.pack(">I", len(data)) + data)
def say(message):
    frame(json.dumps(message).encode())
def hear():
    return json.loads(asked.read(struct.unpack(">I", asked.read(4))[0]))
"""


def replaces_the_checks_names(at):
    """Binds more names than were asked for: those of the functions that the checks judge by."""
    return (
        FIND
        + """
say({"value": None})
names = ("decode_ceiling tokens_to_fill waits isclose same all any abs min max len sorted range zip sum isinstance "
         "int float lesson rng servelab __name__ __held__ __failed__").split()
while True:
    do = hear()["do"]
    if do == "get":
        say({"value": {"t": "dict", "v": [[n, {"t": "object", "v": 1, "kind": "function"}] for n in names]}})
    else:
        say({"value": True})
"""
    )


def answers_everything_with_yes(at):
    return (
        FIND
        + """
say({"value": None})
kinds = [[n, {"t": "object", "v": 1, "kind": "function"}] for n in ("decode_ceiling", "tokens_to_fill", "waits")]
while True:
    say({"value": {"t": "dict", "v": kinds} if hear()["do"] == "get" else True})
"""
    )


def answers_before_it_is_asked(at):
    return (
        FIND
        + """
say({"value": None})
for _ in range(3):
    kinds = [[n, {"t": "object", "v": 1, "kind": "function"}] for n in ("decode_ceiling", "tokens_to_fill", "waits")]
    say({"value": {"t": "dict", "v": kinds}})
    for n in (50, 100, 200, 199) + (1,) * 400:
        say({"value": n})
time.sleep(600)
"""
    )


def answers_twice(at):
    return FIND + "say({'value': 50})\n" * 2 + NAMES + "lambda *args, **kwargs: say({'value': 200}) or 200\n"


def answers_and_never_listens(at):
    """The grader's requests pile up in the pipe."""
    return (
        FIND
        + """
while True:
    say({"value": {"t": "dict", "v": [[n, {"t": "object", "v": 1, "kind": "f"}] for n in ("decode_ceiling",)]}})
"""
    )


def asks_for_servers_without_end(at):
    return FIND + 'while True:\n    say({"ask": "vllm", "options": {"t": "dict", "v": []}})\n'


def answers_byte_by_byte(at):
    return (
        FIND
        + """
data = json.dumps({"value": [0] * 1000}).encode()
for byte in struct.pack(">I", len(data)) + data:
    os.write(out.fileno(), bytes([byte]))
    time.sleep(0.05)
"""
    )


def promises_more_than_it_sends(at):
    return FIND + 'raw(struct.pack(">I", 1000) + b"{}")\ntime.sleep(600)\n'


def promises_four_gigabytes(at):
    return FIND + 'raw(b"\\xff" * 4)\nwhile True:\n    raw(b"x" * 2**20)\n'


def sends_a_gigabyte_of_noise(at):
    return FIND + "for _ in range(256):\n    os.write(out.fileno(), os.urandom(16) * 2**18)\n"


def sends_json_that_is_nested_deeply(at):
    return FIND + 'frame(b"[" * 4_000_000)\n'


def sends_values_that_are_nested_deeply(at):
    return (
        FIND
        + """
for deep in ('{"t":"tuple","v":[' * 900 + "]}" * 900, "[" * 900 + "]" * 900):
    frame(('{"value":' + deep + "}").encode())
"""
        + NAMES
        + "lambda *args, **kwargs: 0\n"
    )


def sends_broken_replies(at):
    """Each of another kind, one to a call."""
    return (
        FIND
        + """
import itertools
bad = itertools.cycle([
    b'{"value":{}}', b'{"value":{"t":"code","v":"1"}}', b'{"value":{"t":["dict"]}}',
    b'{"value":{"t":"float","v":[]}}', b'{"value":{"t":"array","d":"O","s":[1],"v":""}}', b'{"error":[[[]]],"bases":7}',
    b'{"value":{"t":"array","d":"<f8","s":[1000000000000,0],"v":""}}', b'{"value":{"t":"object","v":[],"kind":{}}}',
    b'{"error":"E","told":{"a":1},"bases":["SystemExit",["x"],"__import__","exit","KeyboardInterrupt","UnicodeError"]}',
    b'{"value":{"t":"server","v":{}}}', b'{"value":' + b"9" * 5000 + b"}", b'{"error":"x","bases":["OSError"]}',
])
def answer(*args, **kwargs):
    frame(next(bad))
    return 0
"""
        + NAMES
        + "answer\n"
    )


def sends_frames_that_are_no_messages(at):
    return FIND + NAMES + "lambda *args, **kwargs: frame(b'') or frame(b'null') or frame(b'[]')\n"


def sends_keys_that_are_alike(at):
    """Their hashes are equal: a table of them takes time by the square of their number."""
    return (
        FIND
        + """
data = ('{"value":{"t":"dict","v":[' + ",".join(f"[{n * (2**61 - 1)},0]" for n in range(1, 120_000)) + "]}}").encode()
for _ in range(3):
    frame(data)
"""
        + NAMES
        + "lambda *args, **kwargs: frame(data)\n"
    )


def closes_the_streams(at):
    return FIND + "os.close(asked.fileno())\nos.close(out.fileno())\ntime.sleep(600)\n"


def writes_to_every_open_file(at):
    return (
        """
import json, os, struct
forged = json.dumps({"value": True}).encode()
for name in os.listdir("/proc/self/fd"):
    for _ in range(50):
        try:
            os.write(int(name), struct.pack(">I", len(forged)) + forged)
        except OSError:
            break
"""
        + NAMES
        + "lambda *args, **kwargs: 0\n"
    )


def hands_the_streams_to_a_child(at):
    """The child goes on answering while its parent hangs."""
    return (
        FIND
        + """
if os.fork():
    time.sleep(600)
say({"value": None})
while True:
    hear()
    say({"value": 1.0})
"""
    )
