"""Results go to disk and back without loss, and a damaged file is told, not guessed."""

import json
import math

import pytest

from autograder import results
from autograder.results import Judgement, Mark, Property
from servelab.errors import ServelabError

MARK = Mark(
    exercise="1.3-goodput",
    item="metrics",
    points=4.0,
    earned=1.5,
    properties=(Property("Twice the rate.", True, True, False), Property("No tokens: 0.", False, True, True)),
    cause="The answer ran for more than 30 s and was stopped.",
    seconds=0.25,
)
JUDGEMENT = Judgement("1.3", "zh_TW", 7, (MARK, Mark("1.3-step", "batching", 2, 2)), ("一格被改動。",), 1.5, "ab12")


def test_a_judgement_survives_json():
    assert Judgement.from_json(json.loads(json.dumps(JUDGEMENT.to_json()))) == JUDGEMENT


def test_sums_and_what_failed():
    assert (JUDGEMENT.earned, JUDGEMENT.points) == (3.5, 6.0)
    assert [p.message for p in JUDGEMENT.mark("1.3-goodput").failed] == ["No tokens: 0."]
    with pytest.raises(KeyError):
        JUDGEMENT.mark("1.3-none")


def test_a_mark_given_by_hand_enters_or_replaces():
    more = JUDGEMENT.having(Mark("1.3-essay", "propose", 3, 2))
    assert [m.exercise for m in more.marks] == ["1.3-goodput", "1.3-step", "1.3-essay"]
    assert more.having(Mark("1.3-essay", "propose", 3, 3)).mark("1.3-essay").earned == 3
    assert len(JUDGEMENT.marks) == 2


@pytest.mark.parametrize("earned", [math.nan, math.inf, -0.5, 4.5])
def test_no_mark_beyond_its_bounds(earned):
    with pytest.raises(ValueError):
        Mark("1.3-goodput", "metrics", 4, earned)


def test_saved_is_loaded(tmp_path):
    odd = Judgement("1.4", "en", 1, (), notes=("a lone \udc80 surrogate",))
    results.save(tmp_path, "level-1", "ada", [JUDGEMENT, odd])
    results.save(tmp_path, "vllm-2.1", "bo", [])
    assert results.load(tmp_path, "level-1", "ada") == (JUDGEMENT, odd)
    assert results.load(tmp_path, "level-1", "nobody") == ()
    assert results.load_all(tmp_path) == {"level-1": {"ada": (JUDGEMENT, odd)}, "vllm-2.1": {"bo": ()}}
    assert results.load_all(tmp_path / "empty") == {}


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    results.save(tmp_path, "level-1", "ada", [JUDGEMENT])
    with pytest.raises(AttributeError):
        results.save(tmp_path, "level-1", "ada", [JUDGEMENT, None])
    broken = Judgement("1.3", "en", 7, (), seconds=math.nan)
    with pytest.raises(ValueError):
        results.save(tmp_path, "level-1", "ada", [broken])
    assert results.load(tmp_path, "level-1", "ada") == (JUDGEMENT,)
    assert [p.name for p in (tmp_path / "results" / "level-1").iterdir()] == ["ada.json"]


@pytest.mark.parametrize("name", ["", ".", "..", "../ada", "a/b", "a\\b", ".hidden", "nul\0"])
def test_no_name_leads_out_of_the_folder(tmp_path, name):
    with pytest.raises(ServelabError, match="cannot name a file"):
        results.save(tmp_path, "level-1", name, [])
    with pytest.raises(ServelabError, match="cannot name a file"):
        results.load(tmp_path, name, "ada")


@pytest.mark.parametrize("text", ["", "[]", '{"student": "ada"}', '{"student": "ada", "judgements": [{}]}', "\xff"])
def test_a_damaged_file_says_what_to_do(tmp_path, text):
    file = results.save(tmp_path, "level-1", "ada", [])
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(ServelabError, match=r"ada\.json is damaged: delete it and grade the assignment level-1 again"):
        results.load_all(tmp_path)
