"""Handing in: what a learning platform exports, or what lies in nbgrader's exchange, sorted into the classroom.

Only notebooks of the course are taken, as plain files of bounded size; a name in an archive never becomes a path.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import IO

from nbgrader.exchange.default import ExchangeCollect

from autograder.classroom import Classroom, assignment, assignments
from autograder.intake import FILE_BYTES
from servelab import i18n
from servelab.errors import ServelabError
from servelab.i18n import _

FILES = 20_000
ARCHIVE_BYTES = 64 * 2**20
"""The largest archive inside an archive: one learner's own."""
TOTAL_BYTES = 4 * 2**30
SUFFIX = r"(?:[ ._-]?\(\d+\)|-\d+|-Copy\d*)*"
"""What browsers, Canvas and JupyterLab add to a notebook's name."""
PLATFORM = re.compile(r"_(\d+)_assignsubmission_.*$|_(\d+)_\d+$|_late(?=_)", re.IGNORECASE)
"""What Moodle and Canvas put behind a learner's name; of their numbers the learner's stays."""
_UNREADABLE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, ValueError)


@dataclass(frozen=True)
class Entry:
    """One file that was handed in: its path as told, and a way to read it."""

    path: PurePosixPath
    open: Callable[[], IO[bytes]]


@dataclass
class Collected:
    """What one call took.

    Attributes:
        taken: the files, by (student, assignment).
        left: what was not taken, and why, a sentence each.
    """

    taken: dict[tuple[str, str], list[Path]] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


def collect(room: Classroom, place: Path, only: str | None = None) -> Collected:
    """Sort a folder or a zip archive of submissions into the classroom.

    Per learner a folder (or an archive) with notebooks anywhere in it, or loose files `<learner>_<notebook>.ipynb`.
    A folder named like a language marks the copies in it. What a learner handed in before for the same assignment
    is replaced.

    Args:
        only: take this assignment's notebooks and no others; a learner without one has an empty submission.

    Raises:
        ServelabError: there is nothing at `place`, or far too much.
    """
    wanted = {only: assignment(only)} if only else assignments()
    stems = {source.stem: name for name, sources in wanted.items() for source in sources}
    done, fresh, spare = Collected(), set(), TOTAL_BYTES

    def renewed(student: str, name: str) -> Path:
        folder = room.step("submitted", name, student)
        if folder not in fresh:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)
            fresh.add(folder)
        return folder

    with contextlib.ExitStack() as stack:
        for entry in _unwrapped(list(_entries(place, done, stack)), stems):
            student, stem = _whose(entry.path, stems)
            if not student or not (stem or only):
                done.left.append(_("{path} is no notebook of an assignment.").format(path=entry.path))
                continue
            folder = renewed(student, only or stems[stem])
            done.taken.setdefault((student, only or stems[stem]), [])
            if not stem:
                done.left.append(_("{path} is no notebook of an assignment.").format(path=entry.path))
                continue
            lang = next((part for part in entry.path.parts if part in i18n.languages()[1:]), ".")
            target = folder / lang / f"{stem}.ipynb"
            if target.exists():
                done.left.append(_("{path} was handed in twice; the first one is kept.").format(path=entry.path))
                continue
            try:
                spare -= _save(entry, target)
            except _UNREADABLE:
                done.left.append(_("{path} could be read in part only.").format(path=entry.path))
            if spare < 0:
                raise ServelabError(
                    _("{path} holds more than {n} GiB: hand over one assignment's submissions.").format(
                        path=place, n=TOTAL_BYTES // 2**30
                    )
                )
            done.taken[student, stems[stem]].append(target)
    for folder in fresh:
        _lift(folder)
    return done


def learner(told: str) -> str | None:
    """A learner's name as a folder may have it; None where nothing is left of it."""
    short = PLATFORM.sub(lambda match: f"_{match[1] or match[2]}" if match[1] or match[2] else "", told)
    return re.sub(r"[^\w.@-]+", "-", short).strip(".-_")[:100] or None


def _whose(path: PurePosixPath, stems: dict[str, str]) -> tuple[str | None, str | None]:
    """The learner and the notebook that a file's path names."""
    for stem in stems:
        match = _named(path, stem)
        if match and len(path.parts) > 1:
            return learner(path.parts[0]), stem
        if match and match[1]:
            return learner(match[1]), stem
    return (learner(path.parts[0]) if len(path.parts) > 1 else None), None


def _named(path: PurePosixPath, stem: str) -> re.Match[str] | None:
    return re.fullmatch(rf"(?:(.+?)[_-])?{re.escape(stem)}{SUFFIX}\.ipynb", path.name)


def _unwrapped(entries: list[Entry], stems: dict[str, str]) -> list[Entry]:
    """Without the one folder that holds all the learners, where an archive was made of such a folder."""
    notebooks = [e.path for e in entries if any(_named(e.path, stem) for stem in stems)]
    if not notebooks or len({p.parts[0] for p in notebooks}) > 1:
        return entries
    ours = {*stems.values(), *i18n.languages(), "levels", "labs"}
    folders = all(len(p.parts) > 2 and p.parts[1] not in ours for p in notebooks)
    files = all(len(p.parts) == 2 and any(m and m[1] for m in (_named(p, s) for s in stems)) for p in notebooks)
    if not (folders or files):
        return entries
    return [replace(e, path=PurePosixPath(*e.path.parts[1:])) for e in entries if len(e.path.parts) > 1]


def _lift(folder: Path) -> None:
    """A notebook handed in only in another language also stands where nbgrader looks for it."""
    for lang in i18n.languages()[1:]:
        for path in (folder / lang).glob("*.ipynb"):
            if not (folder / path.name).exists():
                shutil.copyfile(path, folder / path.name)


def _save(entry: Entry, target: Path) -> int:
    """Copy a file and tell its bytes; of one that is too large just so many that whoever reads it sees that it is."""
    target.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with entry.open() as source, target.open("xb") as file:
        while size <= FILE_BYTES and (part := source.read(min(FILE_BYTES + 1 - size, 1 << 20))):
            size += file.write(part)
    return size


def _entries(place: Path, done: Collected, stack: contextlib.ExitStack) -> Iterator[Entry]:
    """Every plain file of a folder or an archive; what is no plain file is told."""
    if place.is_dir():
        found = _in_folder(place, done, stack)
    elif place.is_file():
        found = _in_archive(stack.enter_context(place.open("rb")), PurePosixPath(), done, stack)
    else:
        raise ServelabError(_("There is nothing at {path} to collect: check the path.").format(path=place))
    for number, entry in enumerate(found):
        if number >= FILES:
            raise ServelabError(
                _("{path} holds more than {n} files: hand over one assignment's submissions.").format(
                    path=place, n=FILES
                )
            )
        yield entry


def _in_folder(place: Path, done: Collected, stack: contextlib.ExitStack) -> Iterator[Entry]:
    for path in sorted(place.rglob("*")):
        told = PurePosixPath(path.relative_to(place).as_posix())
        if path.is_symlink():
            done.left.append(_("{path} is a link, which is not followed.").format(path=told))
        elif not path.is_file() or _is_clutter(told):
            continue
        elif path.suffix.lower() == ".zip":
            yield from _in_archive(stack.enter_context(path.open("rb")), told.with_suffix(""), done, stack)
        else:
            yield Entry(told, lambda path=path: path.open("rb"))


def _in_archive(file: IO[bytes], under: PurePosixPath, done: Collected, stack: contextlib.ExitStack) -> Iterator[Entry]:
    """The files of an archive; one more archive deep, since learners hand in archives of their own."""
    try:
        archive = stack.enter_context(zipfile.ZipFile(file))
    except _UNREADABLE:
        done.left.append(_("{path} is no zip archive that can be opened.").format(path=under.name or file.name))
        return
    for info in archive.infolist()[: FILES + 1]:
        path = PurePosixPath(info.filename)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if info.is_dir() or _is_clutter(path):
            continue
        if path.is_absolute() or ".." in path.parts or kind not in (0, stat.S_IFREG) or info.flag_bits & 1:
            done.left.append(_("{path} has a name or a kind that no plain file has.").format(path=under / path))
        elif path.suffix.lower() == ".zip" and not under.parts:
            inner = stack.enter_context(tempfile.SpooledTemporaryFile(2**20))  # noqa: SIM115
            with contextlib.suppress(*_UNREADABLE), archive.open(info) as packed:
                while inner.tell() < ARCHIVE_BYTES and (part := packed.read(1 << 20)):
                    inner.write(part)
            yield from _in_archive(inner, path.with_suffix(""), done, stack)
        else:
            yield Entry(under / path, lambda info=info: archive.open(info))


def _is_clutter(path: PurePosixPath) -> bool:
    """What editors and systems leave behind."""
    return any(part.startswith((".", "__MACOSX")) and part != ".." for part in path.parts)


class Collect(ExchangeCollect):
    """nbgrader's collecting from its exchange, without following links: they would be read with the grader's rights."""

    def do_copy(self, src: str, dest: str, log: object = None) -> None:
        """Copy the notebooks of one submission, and the time it was made."""
        Path(dest).mkdir(parents=True)
        for path in sorted(Path(src).rglob("*")):
            inside = path.relative_to(src)
            placed = len(inside.parts) == 1 or (len(inside.parts) == 2 and inside.parts[0] in i18n.languages()[1:])
            plain = path.is_file() and not path.is_symlink() and not path.parent.is_symlink()
            if placed and plain and (path.suffix == ".ipynb" or path.name == "timestamp.txt"):
                _save(Entry(PurePosixPath(inside), lambda path=path: path.open("rb")), Path(dest) / inside)
        _lift(Path(dest))
