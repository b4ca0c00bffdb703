import json

import numpy as np
import pytest

from servelab.errors import ServelabError
from servelab.load import fitting, trace
from servelab.load.traces import COURSE, Entry, read
from servelab.paths import ASSETS

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:15:46.6805900,374,44
"""
BURST = """Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
45,GPT-4,1087,230,1317,API log
50,ChatGPT,100,0,100,Conversation log
"""
MOONCAKE = "".join(
    json.dumps({"timestamp": t, "input_length": n, "output_length": 10, "hash_ids": h}) + "\n"
    for t, n, h in ((27000, 1100, [1, 2, 3]), (30000, 1500, [1, 2, 4]))
)


@pytest.fixture
def file(tmp_path):
    def make(text, name="t.csv"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return make


def test_azure_is_sorted_and_starts_at_zero(file):
    first, second = read(file(AZURE))
    assert (first.arrival_s, first.prompt_tokens, first.output_tokens) == (0, 374, 44)
    assert second.arrival_s == pytest.approx(4.314579, abs=2e-6)


def test_burstgpt_leaves_out_what_had_no_answer(file):
    assert read(file(BURST)) == [Entry(0, 472, 18), Entry(40, 1087, 230)]


def test_mooncake_shares_what_has_the_same_hash(file):
    first, second = trace(file(MOONCAKE))
    assert (first.prompt_tokens, second.prompt_tokens, second.arrival_s) == (1100, 1500, 3.0)
    assert first.prompt[:1024] == second.prompt[:1024] and first.prompt[1024:1100] != second.prompt[1024:1100]
    small = trace(file(MOONCAKE), length_scale=0.1)
    assert [r.prompt_tokens for r in small] == [110, 150] and small[0].prompt[:100] == small[1].prompt[:100]


def test_scales_and_limits(file):
    a, b = trace(file(AZURE), time_scale=0.5, length_scale=0.25, max_prompt_tokens=95, max_output_tokens=20)
    assert (a.prompt_tokens, a.output_tokens, b.prompt_tokens, b.output_tokens) == (94, 11, 95, 20)
    assert b.arrival_s == pytest.approx(4.314579 / 2, abs=1e-5)
    assert len(trace(file(AZURE), n=1)) == 1
    assert trace(file(AZURE), length_scale=1e-9)[0].output_tokens == 1


@pytest.mark.parametrize(
    "text, says",
    [
        ("a,b\n1,2\n", "is no trace"),
        ("", "is no trace"),
        (AZURE + "2023-11-16 18:15:51.1,x,3\n", "damaged at line 4"),
        (AZURE + "yesterday,1,3\n", "damaged at line 4"),
        ("Timestamp,Request tokens\n1,2\n", "damaged at line 2"),
        (MOONCAKE + '{"timestamp": 1}\n', "damaged at line 3"),
        (MOONCAKE + "{\n", "damaged at line 3"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n", "holds no request"),
    ],
)
def test_a_wrong_file_is_one_sentence(file, text, says):
    with pytest.raises(ServelabError, match=says):
        trace(file(text))


def test_no_file():
    with pytest.raises(ServelabError, match="no file"):
        trace("absent.csv")


def test_the_courses_trace_comes_from_its_parameters_byte_for_byte():
    about = json.loads((ASSETS / "traces" / "course.json").read_text())
    assert fitting.to_jsonl(fitting.generate(about["fitted"], **about["drawn"])) == COURSE.read_text()
    assert about["source"]["licence"] == "CC-BY 4.0" and about["drawn"] == fitting.ABOUT["drawn"]


def test_the_courses_trace_suits_a_small_engine():
    entries = read(COURSE)
    about = json.loads((ASSETS / "traces" / "course.json").read_text())
    drawn, fitted = about["drawn"], about["fitted"]
    assert len(entries) == drawn["n"] == len(trace())
    span = entries[-1].arrival_s / (len(entries) - 1)
    assert span == pytest.approx(1 / drawn["rate"], rel=0.2)
    for name, scale in (("prompt_tokens", "prompt_scale"), ("output_tokens", "output_scale")):
        median = np.median([getattr(e, name) for e in entries]) / drawn[scale]
        assert median == pytest.approx(fitted[name]["quantiles"][10], rel=0.25)
    assert max(e.prompt_tokens + e.output_tokens for e in entries) < 2048


def test_fitting_finds_what_generated_the_data():
    """Generate from known statistics, fit, and find them again."""
    about = json.loads((ASSETS / "traces" / "course.json").read_text())
    known = {**about["fitted"], "copula_correlation": 0.6, "gap_s": {"mean": 0.5, "cv": 1.7}}
    found = fitting.fit(fitting.generate(known, n=40_000, seed=1, rate=2.0, prompt_scale=1.0, output_scale=1.0))
    assert found["copula_correlation"] == pytest.approx(0.6, abs=0.03)
    assert found["gap_s"]["cv"] == pytest.approx(1.7, rel=0.05) and found["gap_s"]["mean"] == pytest.approx(
        0.5, rel=0.05
    )
    for name in ("prompt_tokens", "output_tokens"):
        middle = slice(2, 19)
        assert found[name]["quantiles"][middle] == pytest.approx(known[name]["quantiles"][middle], rel=0.1)


def test_the_command_makes_both_files(file, tmp_path, capsys):
    rng = np.random.default_rng(0)
    rows = (
        f"{t:.3f},m,{p},{o},0,API log\n"
        for t, p, o in zip(np.cumsum(rng.random(50)), *rng.integers(1, 500, (2, 50)), strict=True)
    )
    source = file(BURST.splitlines()[0] + "\n" + "".join(rows))
    fitting.main([str(source), "--folder", str(tmp_path / "out")])
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"course.json", "course.jsonl"}
    assert len(read(tmp_path / "out" / "course.jsonl")) == 240
