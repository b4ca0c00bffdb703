"""Both languages are whole, and the code is the same in both."""

from __future__ import annotations

import pytest

from servelab import i18n
from servelab.errors import ServelabError
from servelab.notebooks import catalogues, translate
from servelab.notebooks import source as sources


def test_every_catalogue_is_complete_current_and_well_written():
    found = catalogues.check()
    assert not found, "\n".join([f"{len(found)} problems; run `servelab lang check`. The first:", *found[:40]])


@pytest.mark.parametrize("lang", [lang for lang in i18n.languages() if lang != i18n.SOURCE])
@pytest.mark.parametrize("source", sources.ready(), ids=lambda s: s.stem)
def test_translation_leaves_the_code_alone_and_changes_the_prose(source, lang):
    translated = translate.apply(source.notebook, source.stem, lang)
    pairs = list(zip(source.notebook.cells, translated.cells, strict=True))
    assert all(a == b for a, b in pairs if a.cell_type == "code")
    assert all(a.id == b.id and a.metadata == b.metadata for a, b in pairs)
    assert all(a.source != b.source for a, b in pairs if a.cell_type == "markdown")


def test_the_course_has_two_languages():
    assert i18n.languages() == ["en", "zh_TW"]


def test_an_unknown_language_is_one_sentence(monkeypatch):
    monkeypatch.setenv("SERVELAB_LANGUAGE", "fr")
    with pytest.raises(ServelabError, match="choose one of: en, zh_TW"):
        i18n.language()


def test_english_is_the_source_and_an_unknown_text_stays():
    assert i18n.translate("no such text", lang="zh_TW") == "no such text"
    assert i18n.catalogue("en", "servelab") == {}


@pytest.mark.parametrize(("lang", "together", "items"), [("en", "A. B.", "a, b"), ("zh_TW", "A.B.", "a、b")])
def test_each_language_has_its_own_gaps_and_commas(monkeypatch, lang, together, items):
    monkeypatch.setenv("SERVELAB_LANGUAGE", lang)
    assert i18n.sentences("A.", "B.") == together
    assert i18n.listed(["a", "b"]) == items
