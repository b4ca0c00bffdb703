"""The glossary is complete, keeps to itself, and a wrong line is refused by its number."""

from __future__ import annotations

import pytest

from servelab import glossary
from servelab.errors import ServelabError

HEADER = ",".join(glossary.COLUMNS)


def test_the_terms_of_the_field_are_explained_in_both_languages():
    terms = glossary.explained()
    assert len(terms) >= 60
    for term in terms:
        assert term.definition.en.endswith(".") and term.definition.zh_TW.endswith("。"), term.english
    names = [term.english for term in glossary.load()]
    assert len(names) == len(set(names))
    assert glossary.load()[: len(terms)] == terms, "the terms of the field stand first"


def test_the_glossary_keeps_to_itself():
    for term in glossary.load():
        for text in (term.chinese, term.definition.zh_TW if term.definition else ""):
            hits = [other.english for other in glossary.load() if other.avoid and other.avoid.search(text)]
            assert hits == [], (term.english, text)


def test_a_term_speaks_the_learners_language(monkeypatch):
    term = next(t for t in glossary.load() if t.english == "queue")
    monkeypatch.setenv("SERVELAB_LANGUAGE", "zh_TW")
    assert str(term) == "佇列"
    monkeypatch.setenv("SERVELAB_LANGUAGE", "en")
    assert str(term) == "queue"


@pytest.mark.parametrize(
    "line, reason",
    [
        ("queue,佇列,隊列", "a line has these columns"),
        (",佇列,,,,", "needs its English and its Chinese"),
        ("queue,,,,,", "needs its English and its Chinese"),
        ("queue,佇列,,,Where requests wait.,", "in both languages or in none"),
        ("queue,佇列,(隊列,,,", "no valid pattern"),
    ],
)
def test_a_wrong_line_is_refused_by_its_number(tmp_path, line, reason):
    path = tmp_path / "glossary.csv"
    path.write_text(f"{HEADER}\ncache,快取,,,,\n{line}\n", encoding="utf-8")
    with pytest.raises(ServelabError, match=rf"glossary\.csv, line 3: .*{reason}"):
        glossary.load(path)


def test_a_missing_glossary_is_said(tmp_path):
    with pytest.raises(ServelabError, match="restore it"):
        glossary.load(tmp_path / "glossary.csv")
