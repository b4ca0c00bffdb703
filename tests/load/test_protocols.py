"""Bytes in, record out: no server, no clock."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servelab.load.protocols import Capture, OpenAI, events
from servelab.load.workload import Request, texts


def sse(*data) -> bytes:
    return b"".join(b"data: " + (d if isinstance(d, bytes) else json.dumps(d).encode()) + b"\n\n" for d in data)


def token(text, count=None, reason=None) -> dict:
    usage = {} if count is None else {"usage": {"prompt_tokens": 3, "completion_tokens": count}}
    return {"choices": [{"text": text, "finish_reason": reason}], **usage}


def final(count, prompt=3) -> dict:
    return {"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": count}}


REQUEST = Request(0, [5, 6, 7], 4)


def decode(reads, usage="each", request=REQUEST, **given):
    values = dict(request=request, intended_s=0.0, sent_s=0.1, finished_s=9.0, http=200, reads=reads)
    return OpenAI(usage=usage).decode(Capture(**values | given))


@given(st.data())
def test_events_do_not_depend_on_where_reads_are_cut(data):
    stream = sse({"a": "é漢"}, b"[DONE]").replace(b"\n\n", b"\r\n\r\n") + b": ping\n\n" + sse({"b": 1})
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [d for _t, d in events([(0.0, p) for p in pieces])] == ['{"a": "\\u00e9\\u6f22"}', "[DONE]", '{"b": 1}']


def test_an_event_belongs_to_the_read_that_completes_it():
    whole = sse(token("a"))
    assert [t for t, _d in events([(1.0, whole[:9]), (2.0, whole[9:])])] == [2.0]


def test_one_token_a_read():
    reads = [(1.0, sse(token("a", 1))), (2.0, sse(token("b", 2))), (3.0, sse(token("c", 3)))]
    r = decode([*reads, (4.0, sse(token("d", 4, "length"), final(4), b"[DONE]"))])
    assert r.ok and r.text == "abcd" and r.token_times_s == [1, 2, 3, 4] and r.token_check == "ok"
    assert (r.prompt_tokens, r.output_tokens, r.first_token_s) == (3, 4, 1)


def test_several_tokens_in_one_read_and_in_one_event():
    first = sse(token("a", 1), token("b", 2))
    r = decode([(1.0, first), (2.0, sse(token("cd", 4, "length"), final(4)))])
    assert r.token_times_s == [1, 1, 2, 2] and r.token_check == "ok"


def test_usage_only_at_the_end_places_the_missing_tokens_last():
    r = decode([(1.0, sse(token("a"))), (2.0, sse(token("bcd", reason="length"), final(4)))], "end")
    assert r.token_times_s == [1, 2, 2, 2] and r.output_tokens == 4 and r.token_check == "ok"


def test_an_empty_last_event_is_no_token():
    reads = [(float(i), sse(token(t))) for i, t in enumerate("abcd")]
    r = decode([*reads, (5.0, sse(token("", reason="stop"), final(4)))], "end")
    assert r.token_times_s == [0, 1, 2, 3] and r.token_check == "ok"


@pytest.mark.parametrize(
    "last", [final(5), final(3), final(4, prompt=2)], ids=["more than asked", "fewer", "another prompt length"]
)
def test_counts_that_contradict_are_flagged(last):
    reads = [(1.0, sse(token("abcd", 4, "length"))), (2.0, sse(last))]
    assert decode(reads).token_check == "mismatch"


def test_without_usage_the_count_is_unknown():
    r = decode([(1.0, sse(token("a"), token("b", reason="stop")))], "end")
    assert r.ok and r.token_check == "unknown" and r.output_tokens == 2


def test_a_stream_that_breaks_off_is_cut():
    r = decode([(1.0, sse(token("a", 1)))])
    assert r.status == "cut" and r.output_tokens == 1 and "before" in r.error


def test_an_error_inside_the_stream():
    r = decode([(1.0, sse(token("a", 1), {"error": {"message": "engine died"}}))])
    assert r.status == "cut" and r.error == "engine died"


@pytest.mark.parametrize("failure", ["timeout", "unreachable", "cut"])
def test_failures_of_the_connection(failure):
    r = decode([], failure=failure, error="why", http=0)
    assert r.status == failure and r.error == "why" and r.output_tokens == 0


@pytest.mark.parametrize(
    "body", [b'{"error": {"message": "too long"}}', b'{"message": "too long"}', b'{"error": "too long"}', b"too long"]
)
def test_the_servers_own_words(body):
    r = decode([(1.0, body)], http=400)
    assert r.status == "refused" and r.error == "HTTP 400: too long"


def test_chat():
    chat = texts(["hi"], 2, chat=True)[0]
    opening = {"choices": [{"delta": {"role": "assistant", "content": ""}}]}
    parts = [{"choices": [{"delta": {"content": t}, "finish_reason": e}]} for t, e in (("a", None), ("b", "length"))]
    r = decode([(1.0, sse(opening)), (2.0, sse(parts[0])), (3.0, sse(parts[1], final(2, 30)))], "end", chat)
    assert r.ok and r.text == "ab" and r.token_times_s == [2, 3] and r.prompt_tokens == 30


def test_the_body():
    body = json.loads(OpenAI(extra={"temperature": 0.5}).encode(REQUEST, "m"))
    assert body["prompt"] == [5, 6, 7] and body["max_tokens"] == 4 and body["ignore_eos"] and body["stream"]
    assert body["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}
    assert body["temperature"] == 0.5
    plain = json.loads(OpenAI(usage="end").encode(texts(["hi"], chat=True)[0], "m"))
    assert "ignore_eos" not in plain and "prompt" not in plain and plain["stream_options"] == {"include_usage": True}
