"""Small JSON files of the learner's that several notebooks write: locked, atomic, and never lost."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from servelab.errors import ServelabError
from servelab.i18n import _


class Store:
    """One JSON object in one file.

    A write replaces the file at once and leaves the version before it beside it. A file that cannot be read is
    kept under another name, the version before it takes its place, and `say` gets one sentence about it.
    """

    def __init__(self, path: Path, say: Callable[[str], None] = print):
        self.path = path
        self.say = say
        self._previous = path.with_name(f".{path.name}.previous")
        self._lock = path.with_name(f".{path.name}.lock")

    def read(self) -> dict[str, Any]:
        """The stored object; empty where there is none yet."""
        with self._locked():
            return self._read()

    @contextmanager
    def update(self) -> Iterator[dict[str, Any]]:
        """The stored object, to be changed in place; saved when the block ends without an error.

        Raises:
            ServelabError: the file cannot be written (disk full, folder read-only).
        """
        with self._locked():
            data = self._read()
            yield data
            self._write(data)

    def _read(self) -> dict[str, Any]:
        if not self.path.exists():
            return {}
        try:
            return _object(self.path)
        except (ValueError, OSError):
            aside = _free_name(self.path.with_name(f"{self.path.stem}.damaged{self.path.suffix}"))
            os.replace(self.path, aside)
        try:
            data = _object(self._previous)
            self.say(
                _("{file} was damaged: it is kept as {aside}, and its last good version is used.").format(
                    file=self.path.name, aside=aside.name
                )
            )
            self._write(data)
        except (ValueError, OSError):
            data = {}
            self.say(
                _("{file} was damaged: it is kept as {aside}, and a new one is begun.").format(
                    file=self.path.name, aside=aside.name
                )
            )
        return data

    def _write(self, data: dict[str, Any]) -> None:
        fresh = self.path.with_name(f".{self.path.name}.new")
        try:
            with open(fresh, "w", encoding="utf-8") as file:
                json.dump(data, file, indent=1, ensure_ascii=False, allow_nan=False)
                file.flush()
                os.fsync(file.fileno())
            if self.path.exists():
                self._previous.unlink(missing_ok=True)
                os.link(self.path, self._previous)
            os.replace(fresh, self.path)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise _unwritable(self.path, error) from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            descriptor = os.open(self._lock, os.O_CREAT | os.O_RDWR, 0o644)
        except OSError as error:
            raise _unwritable(self.path, error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _object(path: Path) -> dict[str, Any]:
    data = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict):
        raise ValueError("not an object")
    return data


def _free_name(path: Path) -> Path:
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free


def _unwritable(path: Path, error: OSError) -> ServelabError:
    return ServelabError(
        _(
            "{file} could not be saved in {folder} ({reason}): make room or make the folder writable, "
            "then run the cell again."
        ).format(file=path.name, folder=path.parent, reason=error.strerror)
    )
