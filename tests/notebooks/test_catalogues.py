"""The translators' tools find what is to be translated and what is wrong."""

from __future__ import annotations

import polib
import pytest

from servelab.errors import ServelabError
from servelab.notebooks import catalogues

from .conftest import CHINESE


def of(school, domain="notebooks/1.1_sum"):
    return next(c for c in catalogues.every() if c.domain == domain)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of one file instead of the real one."""
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "a.py").write_text('print(_("one {n}").format(n=1), _("two " "parts"), other("three"))\n')
    monkeypatch.setattr(catalogues, "PACKAGES", (folder,))
    return folder


def test_prose_and_lesson_texts_are_wanted(school):
    assert list(of(school).wanted) == list(CHINESE)


def test_a_whole_catalogue_has_no_problem(school):
    assert of(school).problems() == []


def test_a_missing_entry_is_told(school):
    school.translate({k: v for k, v in CHINESE.items() if k != "task"})
    assert of(school).problems() == ["zh_TW/notebooks/1.1_sum: missing: 'task'"]


def test_a_changed_cell_is_stale_until_translated_again(school):
    nb = school.source().notebook
    next(c for c in nb.cells if c.id == "task").source += " Quickly."
    school.write("1.1", nb)
    assert any("stale, the English changed: 'task'" in p for p in of(school).problems())
    assert of(school).update() == (0, 1, 0)
    entry = of(school).entries["task"]
    assert entry.fuzzy and entry.previous_msgid == "### Exercise\n\nWrite `add(a, b)`." and entry.msgstr
    assert of(school).stale == ["task"]
    assert of(school).update() == (0, 0, 0)


def test_an_entry_whose_cell_is_gone_is_told_and_dropped(school):
    nb = school.source().notebook
    nb.cells = [c for c in nb.cells if c.id != "task"]
    school.write("1.1", nb)
    assert of(school).left_over == ["task"]
    of(school).update()
    assert of(school).problems() == []


def test_bad_chinese_and_lost_code_are_told(school):
    school.translate(CHINESE | {"task": "### 練習\n\n寫出函數,默認為零。"})
    told = " ".join(of(school).problems())
    assert "other code" in told and "write 預設" in told and "half-width" in told


def test_new_cells_become_empty_entries(school):
    school.translate({})
    assert of(school).update()[0] == len(CHINESE)
    assert of(school).missing == list(CHINESE)


def test_a_catalogue_of_no_notebook_is_told(school, package):
    polib.POFile().save(str(school.root / "assets/locale/zh_TW/notebooks/9.9_gone.po"))
    assert catalogues.orphans() == ["zh_TW/notebooks/9.9_gone.po"]
    assert any("9.9_gone" in p for p in catalogues.check())


def test_an_entry_twice_is_one_sentence(school):
    path = school.translate()
    path.write_text(path.read_text() + '\nmsgctxt "task"\nmsgid "x"\nmsgstr "y"\n')
    with pytest.raises(ServelabError, match="twice"):
        _ = of(school).entries


def test_package_strings_are_the_literals(package):
    assert list(catalogues.package_strings()) == ["one {n}", "two parts"]


def test_a_string_no_translator_would_see_is_told(package):
    (package / "b.py").write_text('x = "three"\nprint(_(x))\n')
    with pytest.raises(ServelabError, match="package/b.py, line 2"):
        catalogues.package_strings()


def test_extract_writes_every_catalogue_and_says_what_changed(school, package):
    lines = catalogues.extract()
    assert "zh_TW/servelab: 2 new, 0 changed, 0 gone" in lines
    assert (school.root / "assets/locale/zh_TW/notebooks/1.2_product.po").exists()
    assert catalogues.extract() == []
