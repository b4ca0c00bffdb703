import errno
import json
import multiprocessing
import os

import pytest

from servelab.errors import ServelabError
from servelab.lessons.store import Store


@pytest.fixture
def said():
    return []


@pytest.fixture
def store(tmp_path, said):
    return Store(tmp_path / "progress.json", said.append)


def put(store: Store, **values) -> None:
    with store.update() as data:
        data.update(values)


def test_nothing_stored_is_an_empty_object(store):
    assert store.read() == {}


def test_what_was_stored_is_read(store):
    put(store, a=1)
    put(store, b="推論")
    assert store.read() == {"a": 1, "b": "推論"}


def test_an_error_inside_the_block_stores_nothing(store):
    put(store, a=1)
    with pytest.raises(KeyError), store.update() as data:
        data["a"] = 2
        raise KeyError
    assert store.read() == {"a": 1}


@pytest.mark.parametrize("damage", ["", "{", "[1, 2]", "\x00\x00"])
def test_a_damaged_file_is_kept_and_its_last_good_version_used(store, said, damage):
    put(store, a=1)
    put(store, b=2)
    store.path.write_text(damage)
    assert store.read() == {"a": 1}
    aside = store.path.with_name("progress.damaged.json")
    assert aside.read_text() == damage
    assert len(said) == 1 and "progress.damaged.json" in said[0]
    assert store.read() == {"a": 1} and len(said) == 1


def test_bytes_that_are_no_text_count_as_damage(store, said):
    store.path.write_bytes(b"\xff\xfe{}")
    assert store.read() == {}
    assert "a new one is begun" in said[0]


def test_a_second_damaged_file_does_not_replace_the_first(store):
    for damage in ("first", "second"):
        store.path.write_text(damage)
        store.read()
    kept = sorted(p.read_text() for p in store.path.parent.glob("progress.damaged*.json"))
    assert kept == ["first", "second"]


def _count(path, times):
    for _ in range(times):
        with Store(path).update() as data:
            data["n"] = data.get("n", 0) + 1


def test_notebooks_that_write_at_once_lose_nothing(store):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_count, args=(store.path, 25)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert store.read() == {"n": 100}


def test_a_full_disk_is_one_sentence_and_leaves_the_old_file(store, monkeypatch):
    put(store, a=1)

    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ServelabError, match="progress.json could not be saved .*No space left"):
        put(store, a=2)
    assert json.loads(store.path.read_text()) == {"a": 1}
    assert not list(store.path.parent.glob("*.new"))


def test_a_missing_folder_is_one_sentence(tmp_path):
    with pytest.raises(ServelabError, match="could not be saved"):
        Store(tmp_path / "gone" / "progress.json").read()


def test_a_number_that_json_cannot_hold_is_refused_before_anything_is_lost(store):
    put(store, a=1)
    with pytest.raises(ValueError):
        put(store, a=float("nan"))
    assert store.read() == {"a": 1}
