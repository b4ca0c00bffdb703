import numpy as np
import pytest

from servelab.errors import ServelabError
from servelab.load import synthetic, texts
from servelab.load.workload import TOKEN_IDS, Request, in_sessions, lengths, read, renewed, write


def test_exact_lengths_by_seed():
    first = synthetic(8, 100, 20, seed=3)
    assert first == synthetic(8, 100, 20, seed=3)
    assert {r.prompt_tokens for r in first} == {100} and {r.output_tokens for r in first} == {20}
    assert all(TOKEN_IDS[0] <= i < TOKEN_IDS[1] for r in first for i in r.prompt)


def test_no_prompt_shares_a_prefix_with_another_or_with_another_seed():
    heads = [tuple(r.prompt[:16]) for seed in (0, 1) for r in synthetic(50, 64, 1, seed=seed)]
    assert len(set(heads)) == len(heads)


def test_shared_prefix_is_shared_and_the_length_stays_exact():
    some = synthetic(5, 50, 1, shared_prefix=32)
    assert len({tuple(r.prompt[:32]) for r in some}) == 1 and len({tuple(r.prompt[32:]) for r in some}) == 5
    assert {r.prompt_tokens for r in synthetic(5, 10, 1, shared_prefix=32)} == {10}


def test_renewed_keeps_lengths_and_what_is_shared_and_no_prompt():
    some = synthetic(6, (50, 0.5), (9, 0.5), shared_prefix=20)
    new = renewed(some, 1)
    assert [(len(r.prompt), r.output_tokens) for r in new] == [(len(r.prompt), r.output_tokens) for r in some]
    assert len({tuple(r.prompt[:20]) for r in new if len(r.prompt) >= 20}) == 1
    assert all(TOKEN_IDS[0] <= i < TOKEN_IDS[1] for r in new for i in r.prompt)
    assert all(a.prompt[:4] != b.prompt[:4] for a, b in zip(some, new, strict=True))
    assert renewed(some, 1) == new != renewed(some, 2)
    with pytest.raises(ServelabError):
        renewed(texts(["hi"]), 1)


def test_sessions_begin_with_what_is_theirs_and_go_on_with_the_requests_own():
    some = synthetic(400, 10, 5)
    grouped = in_sessions(some, 4, 30, seed=2)
    assert grouped == in_sessions(some, 4, 30, seed=2) != in_sessions(some, 4, 30, seed=3)
    assert [r.prompt[30:] for r in grouped] == [r.prompt for r in some]
    prefixes = {(r.session, tuple(r.prompt[:30])) for r in grouped}
    assert {name for name, _prefix in prefixes} == {"s0", "s1", "s2", "s3"} and len(prefixes) == 4
    counts = np.unique([r.session for r in grouped], return_counts=True)[1]
    assert counts.min() > 70
    assert [r.session for r in renewed(grouped, 5)] == [r.session for r in grouped]
    assert some[0].session is None
    with pytest.raises(ServelabError):
        in_sessions(texts(["hi"]), 2, 4)
    with pytest.raises(ServelabError):
        in_sessions(some, 0, 4)


def test_lengths_drawn_have_the_mean_and_spread_asked_for():
    drawn = lengths((200, 0.8), 100_000, np.random.default_rng(0))
    assert drawn.mean() == pytest.approx(200, rel=0.02)
    assert drawn.std() / drawn.mean() == pytest.approx(0.8, rel=0.03)
    assert lengths((1.2, 3), 1000, np.random.default_rng(0)).min() >= 1


def test_texts_and_chat():
    assert texts(["hi"])[0].prompt == "hi" and texts(["hi"])[0].prompt_tokens is None
    chat = texts(["hi"], 5, chat=True)[0]
    assert chat.chat and not chat.ignore_eos and chat.prompt[0]["content"] == "hi"


def test_requests_survive_a_file(tmp_path):
    some = synthetic(3, (20, 0.5), (9, 0.5)) + [Request(3, "text", 4, arrival_s=1.5)]
    assert read(write(some, tmp_path / "r.jsonl")) == some


@pytest.mark.parametrize("text", ["{", '{"prompt": [1]}', '{"prompt": [1], "output_tokens": 1, "colour": 2}'])
def test_a_wrong_file_is_one_sentence(tmp_path, text):
    (tmp_path / "r.jsonl").write_text(text)
    with pytest.raises(ServelabError, match="does not hold requests"):
        read(tmp_path / "r.jsonl")
    with pytest.raises(ServelabError, match="no file"):
        read(tmp_path / "absent.jsonl")


@pytest.mark.parametrize("bad", [{"n": 0}, {"prompt_tokens": 0}, {"output_tokens": (5, -1)}])
def test_bad_lengths(bad):
    with pytest.raises(ServelabError):
        synthetic(**bad)
