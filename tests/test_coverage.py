"""Every item of the outline can be pointed at: `assets/coverage.toml` names its cells, and they speak of it."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import pytest

from servelab import course
from servelab.lessons import texts
from servelab.paths import ASSETS, COURSE_FILE, ROOT

FILE = ASSETS / "coverage.toml"
COURSE = course.load()
TABLES = tomllib.loads(COURSE_FILE.read_text(encoding="utf-8"))
OUTLINE = {entry.section: entry for entry in COURSE.outline}


@dataclass(frozen=True)
class Item:
    """One item of the outline and where it is taught."""

    section: str
    seed: str
    gist: str
    notebook: str
    cells: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    table: str = ""
    holds: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For messages: the outline's words and what they mean."""
        return f"{self.seed!r} ({self.gist})"


def read(text: str) -> tuple[list[dict], list[Item]]:
    """The groups of a coverage file, and all of their items."""
    groups = tomllib.loads(text)["groups"]
    made = []
    for group in groups:
        for entry in group["items"]:
            lists = {key: tuple(entry.get(key, ())) for key in ("cells", "says", "holds")}
            made.append(Item(group["section"], **{**entry, **lists}))
    return groups, made


GROUPS, ITEMS = read(FILE.read_text(encoding="utf-8"))


def strings(value: object) -> Iterator[str]:
    """Every key and value of a table, as text."""
    if isinstance(value, dict):
        yield from value
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from strings(one)
    else:
        yield str(value)


@lru_cache
def cells(id: str) -> dict[str, str]:
    """The English text of a notebook's cells by id, with the quiz questions that each of them asks."""
    notebook = json.loads((ROOT / COURSE.notebook(id).path).read_text(encoding="utf-8"))
    asked = texts.source(id)

    def text(source: str) -> str:
        quiz = [asked.question(name) for name in re.findall(r"lesson\.quiz\(\"([\w-]+)\"", source)]
        return "\n".join([source, *texts.contexts(texts.Texts(quiz=tuple(quiz))).values()])

    return {cell["id"]: text("".join(cell["source"])) for cell in notebook["cells"]}


def fault(item: Item) -> str:
    """What is wrong with an item's place, in one sentence; empty where it is right."""
    where = f"{FILE.name}: {item.name}"
    if item.table:
        found = list(strings(TABLES.get(item.table, {})))
        missing = [w for w in item.holds or (item.seed,) if not any(w in text for text in found)]
        if missing:
            return f"{where} stands no more in course.toml's table {item.table!r}: {missing[0]!r} is not there."
    notebook = COURSE.notebook(item.notebook)
    if not notebook.ready:
        return ""
    if not item.cells:
        if item.table and notebook.id == "0":
            return ""
        return f"{where} has no place: notebook {notebook.id} is ready, so name the cells that teach it."
    there = cells(notebook.id)
    if unknown := [id for id in item.cells if id not in there]:
        near = ", ".join(sorted(there))
        return f"{where} points at cell {unknown[0]!r} of {notebook.path}, which is not there; its cells are: {near}."
    if not item.says:
        return f"{where} does not tell what its cells must say."
    texts_of = [there[id] for id in item.cells]
    if silent := [p for p in item.says if not re.search(p, "\n".join(texts_of), re.IGNORECASE)]:
        return f"{where}: cells {', '.join(item.cells)} of {notebook.path} say nothing like {silent[0]!r} any more."
    for id, text in zip(item.cells, texts_of, strict=True):
        if not any(re.search(p, text, re.IGNORECASE) for p in item.says):
            return f"{where}: cell {id!r} of {notebook.path} says nothing of it; leave it out, or tell what it says."
    return ""


@pytest.mark.parametrize("section", OUTLINE)
def test_every_item_has_its_place(section):
    items = [item for item in ITEMS if item.section == section]
    assert items, f"{FILE.name} has no group for section {section!r} of course.toml's outline."
    faults = [found for item in items if (found := fault(item))]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("notebook", [n for n in COURSE.notebooks if not n.ready], ids=lambda n: n.id)
def test_items_of_a_planned_notebook_wait_for_it(notebook):
    n = sum(item.notebook == notebook.id for item in ITEMS)
    assert n, f"{FILE.name} has nothing for notebook {notebook.id} to teach"
    pytest.skip(f"notebook {notebook.id} is planned: {n} of {len(ITEMS)} items wait for it")


def test_no_item_is_lost():
    for group in GROUPS:
        place = f"{group['section']} / {group['title']}"
        assert len(group["items"]) == group["count"], f"{place} has {group['count']} items in the outline"
    assert {item.section for item in ITEMS} == set(OUTLINE)
    twice = [name for name, n in Counter((item.section, item.seed, item.gist) for item in ITEMS).items() if n > 1]
    assert not twice


def test_the_map_and_the_outline_agree():
    """A section's items are taught in its notebooks, or stand in its tables; and none of its notebooks is idle."""
    for section, entry in OUTLINE.items():
        own = [item for item in ITEMS if item.section == section]
        for item in own:
            assert item.notebook in (*entry.notebooks, "0") or item.table in entry.tables, item.name
        if not entry.tables:
            assert {item.notebook for item in own} == set(entry.notebooks), section


GOOD = """
[[groups]]
section = "Level 1 自我驗證問題"
title = "t"
count = 1
items = [
  { seed = "一句話", gist = "g", notebook = "1.4", cells = ["idea", "quiz-questions"], says = ["KV", "never change"] },
]
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("", "", None),
        (
            '"idea"',
            '"idee"',
            "points at cell 'idee' of levels/1-intuition/1.4_kv_cache_growth.ipynb, which is not there",
        ),
        ("never change", "sold out", "say nothing like 'sold out' any more"),
        ('"idea"', '"idea", "opening"', "cell 'opening' of levels/1-intuition/1.4_kv_cache_growth.ipynb says nothing"),
        ('cells = ["idea", "quiz-questions"], ', "", "has no place: notebook 1.4 is ready"),
        (', says = ["KV", "never change"]', "", "does not tell what its cells must say"),
        ('notebook = "1.4"', 'notebook = "1.4", table = "levels"', "'一句話' is not there"),
        ('gist = "g"', 'gist = "g", table = "levels", holds = ["為什麼推理"]', None),
    ],
)
def test_what_moved_is_told_in_one_sentence(old, new, said):
    found = fault(read(GOOD.replace(old, new) if old else GOOD)[1][0])
    assert "\n" not in found
    assert not found if said is None else said in found
