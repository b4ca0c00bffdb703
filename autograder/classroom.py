"""A classroom: nbgrader's course folder, filled from the course's notebooks as they are committed.

    classroom/
        classroom.toml                      the class's name in nbgrader, its seed, its exchange
        .key                                signs what the labs record; nobody's but the instructor's
        nbgrader_config.py                  by it nbgrader's commands and JupyterLab panels find everything here
        source/<assignment>/                notebooks with solutions and hidden tests
        release/<assignment>/               what learners get; the other languages in folders of their own, zh_TW/
        submitted/<student>/<assignment>/   what they handed in
        autograded/  feedback/              nbgrader's, made of clean copies
        gradebook.db                        nbgrader's; one process writes it
        results/<assignment>/<student>.json the judgements

Nothing in it is for learners but `release` and `feedback`.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from servelab import course, i18n
from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.notebooks.source import Source

FILE = "classroom.toml"
KEY = ".key"
CONFIG = Path(__file__).with_name("nbgrader_config.py")
SETTINGS = """\
# A classroom of the course; `servelab grade` and nbgrader's panels work on this folder.
name = "{name}"     # the course's name in nbgrader's gradebook and exchange
seed = {seed}  # the inputs of the hidden checks are drawn from it: the same for everyone, and not to be handed out
# exchange = "/srv/nbgrader/exchange"  # nbgrader's exchange folder, where there is one
"""


@dataclass(frozen=True)
class Classroom:
    """An existing classroom.

    Attributes:
        root: its folder, absolute.
        name: what nbgrader calls the course.
        seed: what the inputs of the checks are drawn from.
        exchange: nbgrader's exchange folder, if the class has one.
    """

    root: Path
    name: str
    seed: int
    exchange: Path | None = None

    @cached_property
    def key(self) -> bytes:
        """The secret that signs what the labs record.

        Raises:
            ServelabError: it is gone.
        """
        try:
            return bytes.fromhex((self.root / KEY).read_text())
        except (OSError, ValueError):
            raise ServelabError(
                _("The classroom's key {path} cannot be read: restore it, or run `servelab grade init` again.").format(
                    path=self.root / KEY
                )
            ) from None

    def step(self, step: str, assignment: str, student: str = ".") -> Path:
        """nbgrader's folder of one step (`"submitted"`) for one assignment."""
        return self.root / step / student / assignment

    def students(self, assignment: str) -> list[str]:
        """Who handed something in, by name."""
        folders = (self.root / "submitted").glob(f"*/{assignment}")
        return sorted(f.parent.name for f in folders if f.is_dir() and not f.parent.name.startswith("."))

    def copies(self, student: str, assignment: str, source: Source) -> dict[str, Path]:
        """The submitted copies of one notebook, by the language of the folder they lie in.

        A link is no submission: it would lead the grader, who may read everything, to another's file.
        """
        folder, found = self.step("submitted", assignment, student), {}
        for lang in i18n.languages():
            path = (folder if lang == i18n.SOURCE else folder / lang) / source.path.name
            if path.is_file() and path.resolve() == self.root.resolve() / path.relative_to(self.root):
                found[lang] = path
        return found


def assignments() -> dict[str, list[Source]]:
    """Every assignment that can be given now and its notebooks: a level's together, each lab for itself."""
    known = course.load()
    found: dict[str, list[Source]] = {}
    for entry in known.notebooks:
        if entry.ready and entry.part != "start":
            lab = entry.part in {track.id for track in known.tracks}
            found.setdefault(entry.id if lab else entry.part, []).append(Source(entry))
    return found


def assignment(name: str) -> list[Source]:
    """The notebooks of one assignment.

    Raises:
        ServelabError: there is no such assignment.
    """
    try:
        return assignments()[name]
    except KeyError:
        raise ServelabError(
            _("There is no assignment {name!r}; choose one of: {known}.").format(
                name=name, known=", ".join(assignments())
            )
        ) from None


def init(folder: Path) -> Classroom:
    """Make a classroom; in one that stands, only what is missing.

    Raises:
        ServelabError: the folder cannot be written, or its settings are damaged.
    """
    root = folder.resolve()
    try:
        root.mkdir(parents=True, exist_ok=True)
        settings, key = root / FILE, root / KEY
        if not settings.exists():
            settings.write_text(SETTINGS.format(name=course.load().metadata.id, seed=secrets.randbelow(2**31)))
        if not key.exists():
            with os.fdopen(os.open(key, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                file.write(secrets.token_hex(32))
        shutil.copyfile(CONFIG, root / CONFIG.name)
        for step in ("source", "release", "submitted"):
            (root / step).mkdir(exist_ok=True)
    except OSError as error:
        raise ServelabError(
            _("The classroom {folder} cannot be written ({reason}): choose another folder.").format(
                folder=root, reason=error.strerror or error
            )
        ) from None
    return find(root)


def find(folder: Path) -> Classroom:
    """The classroom in `folder`.

    Raises:
        ServelabError: there is none, or its settings are damaged.
    """
    path = folder.resolve() / FILE
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        exchange = data.get("exchange")
        return Classroom(path.parent, str(data["name"]), int(data["seed"]), Path(exchange) if exchange else None)
    except FileNotFoundError:
        raise ServelabError(
            _("There is no classroom in {folder}: make one with `servelab grade init {folder}`.").format(folder=folder)
        ) from None
    except (OSError, KeyError, TypeError, ValueError):
        raise ServelabError(
            _('{path} is damaged: it needs a line `name = "..."` and a line `seed = 1234`.').format(path=path)
        ) from None
