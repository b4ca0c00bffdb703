"""The learner's copy: nothing of the answer in it, everything else there."""

from __future__ import annotations

import pytest

from servelab.notebooks import source as sources
from servelab.notebooks.release import release

READY = sources.ready()


def texts(nb, kind):
    return {c.id: c.source for c in nb.cells if c.cell_type == kind}


@pytest.mark.parametrize("lang", ["en", "zh_TW"])
@pytest.mark.parametrize("source", READY, ids=lambda s: s.stem)
def test_a_release_holds_no_solution_and_no_hidden_test(source, lang):
    text = "\n".join(c.source for c in release(source, lang).cells)
    assert "BEGIN SOLUTION" not in text and "HIDDEN TESTS" not in text
    answers = {e.answer.id: e.answer.source for e in source.exercises()}
    released = texts(release(source, lang), "code")
    assert all("raise NotImplementedError" in released[id] for id in answers)


@pytest.mark.parametrize("source", READY, ids=lambda s: s.stem)
def test_the_code_is_the_same_in_both_languages(source):
    assert texts(release(source, "en"), "code") == texts(release(source, "zh_TW"), "code")


def test_test_cells_are_locked_and_the_source_is_left_as_it_was(school):
    source = school.source()
    before = str(source.notebook)
    cells = {c.id: c for c in release(source, "en").cells}
    assert cells["1-1-add-test"].metadata.editable is False
    assert cells["1-1-add-answer"].metadata.get("editable", True)
    assert cells["1-1-add-answer"].source == "def add(a, b):\n    # YOUR CODE HERE\n    raise NotImplementedError()"
    assert 'lesson.passed("1.1-add")' in cells["1-1-add-test"].source
    assert str(source.notebook) == before


def test_prose_is_translated_and_code_is_not(school):
    cells = {c.id: c.source for c in release(school.source(), "zh_TW").cells}
    assert cells["task"] == "### 練習\n\n寫出 `add(a, b)`。"
    assert cells["guess"] == 'lesson.predict("sum")'


def test_a_link_leads_to_the_delivered_notebook_and_one_to_a_planned_notebook_is_plain_text(school):
    source = school.source()
    source.cells["task"].source += " Back to the [start](../0_start.ipynb#map)."
    cells = {c.id: c.source for c in release(source, "en").cells}
    assert "[start](../../0_start.ipynb#map)" in cells["task"]
    assert "[products](1.2_product.ipynb), then quotients." in cells["title"]


def test_the_start_page_links_down_into_the_learners_folder(school):
    source = school.source("0")
    source.notebook.cells[0].source += "\n\nGo to [sums](1-intuition/1.1_sum.ipynb)."
    assert "[sums](levels/1-intuition/1.1_sum.ipynb)" in release(source, "en").cells[0].source
