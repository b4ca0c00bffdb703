"""A classroom: made once, released in two languages, and filled from whatever a platform exports."""

from __future__ import annotations

import io
import os
import re
import stat
import zipfile
from pathlib import Path

import nbformat
import pytest

from autograder import classroom, collect, pipeline
from autograder.config import configure
from autograder.intake import FILE_BYTES
from servelab.errors import ServelabError
from tests.autograder.conftest import LEVEL

STEM = "1.3_batching_tradeoff"
OTHER = "1.4_kv_cache_growth"


# --- making one ------------------------------------------------------------------------------------------------------


def test_a_classroom_has_a_seed_a_name_and_a_key_that_only_its_owner_reads(tmp_path):
    room = classroom.init(tmp_path / "a")
    assert room == classroom.find(tmp_path / "a")
    assert stat.S_IMODE((room.root / ".key").stat().st_mode) == 0o600 and len(room.key) == 32
    assert classroom.init(tmp_path / "b").seed != room.seed


def test_making_it_again_changes_nothing(tmp_path):
    room = classroom.init(tmp_path)
    (room.root / "classroom.toml").write_text('name = "mine"\nseed = 5\nexchange = "/srv/exchange"\n')
    again = classroom.init(tmp_path)
    assert (again.name, again.seed, again.exchange, again.key) == ("mine", 5, Path("/srv/exchange"), room.key)


def test_what_is_no_classroom_is_told(tmp_path):
    with pytest.raises(ServelabError, match="servelab grade init"):
        classroom.find(tmp_path)
    for damaged in ("seed = 5", 'name = "x"\nseed = "many"', "\xff = ["):
        (tmp_path / "classroom.toml").write_text(damaged)
        with pytest.raises(ServelabError, match="is damaged"):
            classroom.find(tmp_path)
    (classroom.init(tmp_path / "new").root / ".key").unlink()
    with pytest.raises(ServelabError, match="key"):
        _ = classroom.find(tmp_path / "new").key


def test_an_assignment_is_a_level_or_a_lab():
    known = classroom.assignments()
    assert [s.entry.id for s in known[LEVEL]] == ["1.1", "1.2", "1.3", "1.4"]
    assert [s.entry.id for s in known["vllm-2.1"]] == ["vllm-2.1"]
    stems = [s.stem for sources in known.values() for s in sources]
    assert len(stems) == len(set(stems)), "a file's name must tell its assignment"
    with pytest.raises(ServelabError, match="level-1"):
        classroom.assignment("level-0")


def test_nbgraders_commands_find_the_classroom(school):
    """Its own file, read as nbgrader reads it."""
    from traitlets.config.loader import PyFileConfigLoader

    config = PyFileConfigLoader("nbgrader_config.py", path=str(school.room.root)).load_config()
    assert config.CourseDirectory.root == str(school.room.root)
    assert config == configure(type(config)(), school.room.root)


# --- releasing -------------------------------------------------------------------------------------------------------


def test_a_release_holds_no_solution_and_no_hidden_test(school):
    files = sorted(school.room.step("release", LEVEL).rglob("*.ipynb"))
    assert len(files) == 8
    for file in files:
        assert not re.search("SOLUTION|HIDDEN TESTS", file.read_text())
    hidden = school.source().exercises()[0].test.source.split("### BEGIN HIDDEN TESTS")[1]
    assert "rng" in hidden and "rng" not in school.released().cells[-1].source


def test_both_languages_have_the_same_cells_but_for_the_prose(school):
    for id in ("1.1", "1.2", "1.3", "1.4"):
        english, chinese = school.released(id).cells, school.released(id, "zh_TW").cells
        assert [c.id for c in english] == [c.id for c in chinese]
        for one, other in zip(english, chinese, strict=True):
            assert one == other if one.cell_type == "code" else True
        graded = [c for c in chinese if c.metadata.get("nbgrader", {}).get("grade")]
        assert all(c.metadata.nbgrader.checksum and c.metadata.editable is False for c in graded)
        assert "推" in " ".join(c.source for c in chinese) and "推" not in " ".join(c.source for c in english)


def test_a_released_notebook_says_how_to_hand_it_in(school):
    for lang in ("en", "zh_TW"):
        cell = school.released(lang=lang).cells[1]
        assert cell.id == "handing-in" and f"{STEM}.ipynb" in cell.source


def test_links_lead_to_what_is_beside_or_nowhere(school):
    links = re.compile(r"\]\(([^)]+\.ipynb)")
    for file in school.room.step("release", LEVEL).rglob("*.ipynb"):
        for cell in nbformat.read(file, as_version=4).cells:
            for target in links.findall(cell.source) if cell.cell_type == "markdown" else ():
                assert (file.parent / target).is_file(), f"{file}: {target}"
    assert any(OTHER in c.source for c in school.released().cells), "1.3 leads to 1.4"


def test_only_the_master_language_is_in_the_gradebook(school):
    from autograder import gradebook

    with gradebook.open(school.room) as book:
        notebooks = book.find_assignment(LEVEL).notebooks
        assert sorted(n.name for n in notebooks) == sorted(s.stem for s in classroom.assignment(LEVEL))
        assert sum(n.max_score for n in notebooks) == sum(
            e.points for s in classroom.assignment(LEVEL) for e in s.exercises()
        )


def test_what_nbgrader_refuses_is_told_in_a_sentence(school, monkeypatch):
    school.hand_in("ann", school.released())
    with pipeline.api(school.room).gradebook as book:
        book.update_or_create_student("ann")
        book.add_submission(LEVEL, "ann")
    fewer = classroom.assignment(LEVEL)[:2]
    monkeypatch.setattr(classroom, "assignments", lambda: {LEVEL: fewer})
    with pytest.raises(ServelabError, match="did not release level-1: .*submissions"):
        pipeline.release(school.room, LEVEL)


# --- collecting ------------------------------------------------------------------------------------------------------


def zipped(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def handed_in(room) -> dict[str, bytes]:
    folder = room.root / "submitted"
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_loose_files_named_by_learner_and_notebook(school, tmp_path):
    place = tmp_path / "inbox"
    place.mkdir()
    for name in (f"ann_{STEM}.ipynb", f"doejane_123_456_{STEM}-1.ipynb", f"bob_LATE_7_8_{OTHER}.ipynb", "notes.txt"):
        (place / name).write_bytes(name.encode())
    done = collect.collect(school.room, place)
    assert handed_in(school.room) == {
        f"ann/{LEVEL}/{STEM}.ipynb": f"ann_{STEM}.ipynb".encode(),
        f"doejane_123/{LEVEL}/{STEM}.ipynb": f"doejane_123_456_{STEM}-1.ipynb".encode(),
        f"bob_7/{LEVEL}/{OTHER}.ipynb": f"bob_LATE_7_8_{OTHER}.ipynb".encode(),
    }
    assert done.left == ["notes.txt is no notebook of an assignment."]


def test_a_zip_of_folders_as_moodle_makes_it_with_zips_inside(school, tmp_path):
    inner = zipped({f"level-1/zh_TW/{OTHER}.ipynb": b"zh", f"level-1/{STEM} (1).ipynb": b"en", "evil.py": b"!"})
    place = tmp_path / "all.zip"
    place.write_bytes(
        zipped({
            f"Ann Lee_17_assignsubmission_file_/{STEM}.ipynb": b"ann",
            "王小明_18_assignsubmission_file_/homework.zip": inner,
            f"__MACOSX/Ann Lee_17_assignsubmission_file_/._{STEM}.ipynb": b"junk",
        })
    )  # fmt: skip
    collect.collect(school.room, place)
    assert handed_in(school.room) == {
        f"Ann-Lee_17/{LEVEL}/{STEM}.ipynb": b"ann",
        f"王小明_18/{LEVEL}/{STEM}.ipynb": b"en",
        f"王小明_18/{LEVEL}/zh_TW/{OTHER}.ipynb": b"zh",
        f"王小明_18/{LEVEL}/{OTHER}.ipynb": b"zh",  # where nbgrader looks
    }


@pytest.mark.parametrize(
    "wrapped", ["hand-ins/ann/{stem}.ipynb", "hand-ins/ann_{stem}.ipynb", "ann/levels/{stem}.ipynb"]
)
def test_the_folder_that_holds_them_all_is_nobodys_name(school, tmp_path, wrapped):
    (tmp_path / "all.zip").write_bytes(zipped({wrapped.format(stem=STEM): b"ann"}))
    collect.collect(school.room, tmp_path / "all.zip")
    assert handed_in(school.room) == {f"ann/{LEVEL}/{STEM}.ipynb": b"ann"}


def test_a_hostile_archive_leaves_its_folder_by_no_way(school, tmp_path):
    link = zipfile.ZipInfo(f"eve/{OTHER}.ipynb")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(f"../../{STEM}.ipynb", b"up")
        archive.writestr(f"/tmp/eve/{STEM}.ipynb", b"root")
        archive.writestr(link, b"/etc/passwd")
        archive.writestr(f"eve../{STEM}.ipynb", b"dots")
        archive.writestr("eve/classroom.toml", b"seed = 1")
        archive.writestr("eve/timestamp.txt", b"2000-01-01 00:00:00 UTC")
    (tmp_path / "all.zip").write_bytes(data.getvalue())
    before = {p for p in tmp_path.rglob("*") if "submitted" not in p.parts}
    done = collect.collect(school.room, tmp_path / "all.zip")
    assert {p for p in tmp_path.rglob("*") if "submitted" not in p.parts} == before
    assert handed_in(school.room) == {f"eve/{LEVEL}/{STEM}.ipynb": b"dots"}
    assert len(done.left) == 5


def test_an_oversized_file_is_cut_where_its_reader_sees_that_it_is_one(school, tmp_path):
    (tmp_path / "all.zip").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"bomb/{STEM}.ipynb", b" " * (3 * FILE_BYTES))
    collect.collect(school.room, tmp_path / "all.zip")
    assert len(handed_in(school.room)[f"bomb/{LEVEL}/{STEM}.ipynb"]) == FILE_BYTES + 1


def test_far_too_much_is_refused(school, tmp_path, monkeypatch):
    monkeypatch.setattr(collect, "FILES", 3)
    place = tmp_path / "inbox"
    place.mkdir()
    for n in range(4):
        (place / f"s{n}_{STEM}.ipynb").write_text("")
    with pytest.raises(ServelabError, match="more than 3 files"):
        collect.collect(school.room, place)
    monkeypatch.setattr(collect, "FILES", 9)
    monkeypatch.setattr(collect, "TOTAL_BYTES", 5)
    (place / f"s1_{STEM}.ipynb").write_text("many bytes")
    with pytest.raises(ServelabError, match="GiB"):
        collect.collect(school.room, place)


def test_what_is_damaged_or_not_there_is_told(school, tmp_path):
    (tmp_path / "all.zip").write_bytes(b"PK nonsense")
    assert "no zip archive" in collect.collect(school.room, tmp_path / "all.zip").left[0]
    whole = zipped({f"ann/{STEM}.ipynb": os.urandom(5000)})
    (tmp_path / "all.zip").write_bytes(whole[:500] + b"\0" * 100 + whole[600:])
    assert "in part only" in collect.collect(school.room, tmp_path / "all.zip").left[0]
    with pytest.raises(ServelabError, match="nothing at"):
        collect.collect(school.room, tmp_path / "nowhere")


def test_links_in_a_folder_are_not_followed(school, tmp_path):
    place = tmp_path / "inbox"
    (place / "eve").mkdir(parents=True)
    (place / "eve" / f"{STEM}.ipynb").symlink_to(school.room.step("source", LEVEL) / f"{STEM}.ipynb")
    (place / "mal").symlink_to(school.room.step("source", LEVEL))
    assert len(collect.collect(school.room, place).left) == 2
    assert not handed_in(school.room)


def test_a_named_assignment_takes_only_its_notebooks_and_notes_an_empty_submission(school, tmp_path):
    data = zipped({f"ann/{STEM}.ipynb": b"1", "ann/2.1_deployment.ipynb": b"2", "bob/essay.docx": b"3"})
    (tmp_path / "all.zip").write_bytes(data)
    collect.collect(school.room, tmp_path / "all.zip", LEVEL)
    assert handed_in(school.room) == {f"ann/{LEVEL}/{STEM}.ipynb": b"1"}
    assert school.room.students(LEVEL) == ["ann", "bob"]
    collect.collect(school.room, tmp_path / "all.zip")
    assert handed_in(school.room)["ann/vllm-2.1/2.1_deployment.ipynb"] == b"2"


def test_handing_in_again_replaces(school, tmp_path):
    place = tmp_path / "all.zip"
    place.write_bytes(zipped({f"ann/{STEM}.ipynb": b"1", f"ann/{OTHER}.ipynb": b"1"}))
    collect.collect(school.room, place)
    place.write_bytes(zipped({f"ann/{STEM}.ipynb": b"2", f"ann/copy/{STEM}.ipynb": b"3"}))
    done = collect.collect(school.room, place)
    assert list(handed_in(school.room).values()) == [b"2"]
    assert "twice" in done.left[0]


def test_nbgraders_exchange_is_collected_without_links_and_with_its_times(school, tmp_path):
    exchange = tmp_path / "exchange"
    inbound = exchange / school.room.name / "inbound"
    handed = inbound / f"eve+{LEVEL}+2026-03-01 10:00:00 UTC+x"
    (handed / "zh_TW").mkdir(parents=True)
    (handed / "timestamp.txt").write_text("2026-03-01 10:00:00 UTC")
    (handed / f"{STEM}.ipynb").symlink_to(school.room.step("source", LEVEL) / f"{STEM}.ipynb")
    (handed / "zh_TW" / f"{OTHER}.ipynb").write_text("zh")
    (handed / "gradebook.db").write_text("not mine")
    settings = school.room.root / "classroom.toml"
    settings.write_text(settings.read_text() + f'exchange = "{exchange}"\n')
    pipeline.exchange(classroom.find(school.room.root), LEVEL)
    assert set(handed_in(school.room)) == {
        f"eve/{LEVEL}/timestamp.txt",
        f"eve/{LEVEL}/{OTHER}.ipynb",
        f"eve/{LEVEL}/zh_TW/{OTHER}.ipynb",
    }
