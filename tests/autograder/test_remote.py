"""The conversation with a sandbox, against a made-up other side that says whatever it likes."""

from __future__ import annotations

import contextlib
import json
import os
import struct
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from autograder import remote, wire
from autograder.remote import AnswerError, Gone, Remote, Session
from servelab.errors import ServelabError

OBJECT = {"value": {"t": "object", "v": 1, "kind": "Thing"}}
pytestmark = pytest.mark.timeout(60)


class Box:
    """Two pipes; the other ends belong to the test."""

    broken = None

    def __init__(self) -> None:
        there, requests = os.pipe()
        replies, here = os.pipe()
        self.requests, self.replies = os.fdopen(requests, "wb", 0), os.fdopen(replies, "rb", 0)
        self.there, self.here = os.fdopen(there, "rb", 0), os.fdopen(here, "wb", 0)
        self.heard: list[dict] = []

    def say(self, *messages) -> None:
        for message in messages:
            data = message if isinstance(message, bytes) else json.dumps(message).encode()
            self.here.write(struct.pack(">I", len(data)) + data)

    def close(self) -> None:
        for stream in (self.requests, self.replies, self.there, self.here):
            stream.close()


@pytest.fixture
def box():
    box = Box()
    yield box
    box.close()


@pytest.fixture
def talk(box):
    """A session whose other side answers with these messages, whatever it is asked."""

    def begin(*replies, seconds: float = 20, **given) -> Session:
        box.say({"value": "ready"})
        session = Session(box, seconds, **given)

        def answer() -> None:
            with contextlib.suppress(ValueError):  # the streams were closed: the test is over
                for reply in replies:
                    box.heard.append(wire.read(box.there))
                    box.say(reply)

        threading.Thread(target=answer, daemon=True).start()
        return session

    return begin


def thing(session: Session) -> Remote:
    return session.ask("call")


def test_data_and_objects_come_back(talk, box):
    session = talk({"value": {"t": "tuple", "v": [1, "a"]}}, OBJECT, {"value": 7}, {"value": [1, 2]}, {"value": 3})
    assert session.ask("call") == (1, "a")
    one = thing(session)
    assert isinstance(one, Remote) and repr(one) == "<Thing>"
    assert one(1, key=np.int64(2)) == 7 and one.size == [1, 2] and one[0] == 3
    assert [h["do"] for h in box.heard] == ["call", "call", "call", "attribute", "call"]


def test_an_object_has_no_say_in_a_check(talk):
    one = thing(talk(OBJECT))
    for check in (
        lambda: one == 1,
        lambda: one != 1,
        lambda: one < 1,
        lambda: one >= 1,
        lambda: bool(one),
        lambda: 1 in one,
        lambda: one in [1],
        lambda: float(one),
        lambda: one + 1,
        lambda: 1 - one,
        lambda: abs(one),
        lambda: np.float64(1) == one,
        lambda: not one,
        lambda: [one] == [1],
        lambda: setattr(one, "x", 1),
        lambda: one.url,
        lambda: one.port,
    ):
        with pytest.raises(AnswerError):
            check()
    assert not isinstance(one, int | float | list | dict)


def test_a_method_is_no_truth(talk):
    method = thing(talk(OBJECT, {"value": {"t": "object", "v": 2, "kind": "method"}}, {"value": 5})).ok
    for check in (lambda: bool(method), lambda: method == 1, lambda: method != 1):
        with pytest.raises(AnswerError):
            check()
    assert method() == 5


def test_no_other_name_than_those_asked_for_is_bound(talk):
    forged = {"value": {"t": "dict", "v": [["f", 1], ["abs", 2], ["__builtins__", {"t": "dict", "v": []}], [7, 7]]}}
    assert talk(forged).names(["f", "g"]) == {"f": 1}


@pytest.mark.parametrize("value", [None, 1, [], "f", {"t": "tuple", "v": []}])
def test_names_that_are_none_are_an_answers_error(talk, value):
    with pytest.raises(AnswerError):
        talk({"value": value}).names(["f"])


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ({"error": "Mine", "told": "x", "bases": ["ValueError", "Exception"]}, ValueError),
        ({"error": "ServelabError", "told": "x", "bases": ["ServelabError"]}, ServelabError),
        ({"error": "E", "told": "x", "bases": ["UnicodeDecodeError", "KeyError"]}, KeyError),
        ({"error": "E", "bases": ["SystemExit", "BaseException", "GeneratorExit", "exec"]}, AnswerError),
        ({"error": "E", "bases": ["StopIteration", "Exception"]}, AnswerError),
        ({"error": [[1]], "told": {"a": 1}, "bases": 7}, AnswerError),
        ({"error": None, "told": None, "bases": [None, {}, []]}, AnswerError),
        ({"value": {"t": "x", "v": "y" * 10**6}}, AnswerError),
        ({"value": {"t": "server", "v": "not mine"}}, AnswerError),
        ({"value": {"t": "namespace", "v": [["url", "http://elsewhere"]]}}, AnswerError),
        ({}, type(None)),
    ],
    ids=str,
)
def test_what_is_raised_inside_is_an_error_here(talk, reply, kind):
    try:
        got = talk(reply).ask("call")
    except Exception as error:
        got = error
        assert len(str(error)) < 1000
    assert type(got) is kind


@pytest.mark.parametrize("reply", [b"", b"null", b"[", b"[" * 10**6, b"7"])
def test_what_is_no_reply_ends_the_session(talk, reply):
    session = talk(reply, {"value": 1})
    for _ in range(2):
        with pytest.raises(Gone):
            session.ask("call")
    assert session.ended


def test_silence_ends_the_session(talk):
    session = talk(seconds=0.2)
    with pytest.raises(Gone, match="took more than 0.2 s"):
        session.ask("call")
    with pytest.raises(Gone, match="took more than 0.2 s"):
        session.ask("call", seconds=60)


def test_all_requests_together_have_a_limit(talk):
    session = talk(*[{"value": 1}] * 50)
    session.limit(30, together=0.3)
    with pytest.raises(Gone, match="took more than 0.3 s"):
        while session.ask("call"):
            time.sleep(0.05)


def test_the_limit_of_a_check_is_not_the_next_answers(talk):
    session = talk({"value": 1})
    session.limit(30, together=0)
    session.limit(30)
    assert session.ask("call") == 1


def test_who_never_listens_ends_the_session(talk):
    session = talk(seconds=0.3)
    with pytest.raises(Gone, match="took more than 0.3 s"):
        session.ask("call", args="x" * 2**20)


def test_who_promises_and_never_sends_ends_the_session(talk, box):
    session = talk(seconds=0.3)
    box.here.write(struct.pack(">I", 1000) + b"{")
    with pytest.raises(Gone, match="took more than 0.3 s"):
        session.ask("call")


def test_an_end_is_told_with_its_cause(talk, box):
    session = talk()
    box.here.close()
    box.broken = "took more than 5 MiB of memory"
    with pytest.raises(Gone, match="took more than 5 MiB of memory"):
        session.ask("call")


def test_no_server_is_started_unless_grading_starts_some(talk, box):
    ask = {"ask": "vllm", "options": {"t": "dict", "v": []}}
    session = talk(ask, {"value": 1})
    assert session.ask("call") == 1
    assert "No engine" in box.heard[1]["error"]


def test_a_server_of_gradings_own_comes_back_as_itself(talk, box):
    server = SimpleNamespace(name="vllm-1", port=8000)
    ask = {"ask": "vllm", "options": {"t": "dict", "v": [["max_num_seqs", 2]]}}
    asked = []
    engines = lambda options: asked.append(options) or ({"port": 8000}, server)  # noqa: E731
    session = talk(ask, {"value": {"t": "server", "v": "vllm-1"}}, engines=engines)
    assert session.ask("call") is server and asked == [{"max_num_seqs": 2}]
    assert "state" in box.heard[1]


@pytest.mark.parametrize("error", [ServelabError("no memory"), ValueError("secret"), OSError("secret")])
def test_a_server_that_does_not_start_is_told_in_a_sentence(talk, box, error):
    def engines(options):
        raise error

    assert talk({"ask": "vllm", "options": {"t": "dict", "v": []}}, {"value": 1}, engines=engines).ask("call") == 1
    assert "secret" not in box.heard[1]["error"]


def test_servers_are_not_asked_for_without_end(talk, box):
    session = talk(*[{"ask": "vllm", "options": []}] * (remote.ASKS + 5))
    with pytest.raises(Gone, match="servers"):
        session.ask("call")


def test_a_check_hands_out_only_data(talk, box):
    session = talk(OBJECT, {"value": 1})
    one = thing(session)
    for foreign in (object(), Remote(SimpleNamespace(), 1, "Thing"), lambda: 1):
        with pytest.raises(TypeError):
            one(foreign)
    assert one([one]) == 1


def test_what_is_iterated_is_data(talk):
    no_length = {"error": "AttributeError", "told": "no __len__", "bases": ["AttributeError"]}
    assert list(thing(talk(OBJECT, {"value": [1, 2]}, no_length))) == [1, 2]


@pytest.mark.parametrize("reply", [{"value": 7}, {"error": "E"}, {"value": None}])
def test_what_cannot_be_iterated_is_an_error(talk, reply):
    one = thing(talk(OBJECT, reply))
    with pytest.raises((AnswerError, TypeError)):
        iter(one)


@pytest.mark.parametrize("size", [-1, 2.0, True, None])
def test_a_length_is_a_number(talk, size):
    one = thing(talk(OBJECT, {"value": size}))
    with pytest.raises(AnswerError):
        len(one)
