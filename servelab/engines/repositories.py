"""Model repositories for Triton: written from texts, or copied from those that the course ships (assets/triton)."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from servelab.errors import ServelabError
from servelab.i18n import _, listed
from servelab.paths import ASSETS

SHIPPED = ASSETS / "triton"
_FIELD = re.compile(r"@(\w+)@")


def write(files: Mapping[str, str], folder: str | Path | None = None) -> Path:
    """The folder of these files, {path inside it: text}: a new one, unless one is given.

    A path that ends in `/` makes a folder, such as the version of an ensemble, which has no file.
    """
    folder = Path(folder or tempfile.mkdtemp(prefix="models-"))
    for path, text in files.items():
        target = folder / path
        if path.endswith("/"):
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return folder


def shipped(name: str, folder: str | Path | None = None, **values: object) -> Path:
    """A copy of a repository of the course's, free to be changed, with `@key@` in its texts replaced by `values`.

    Args:
        name: of a folder in assets/triton.
        folder: where to; a new one, unless given.
        values: such as `model`, the folder of a language model.

    Raises:
        ServelabError: no such repository, or a value that it needs is missing.
    """
    source = SHIPPED / name
    if not source.is_dir():
        known = listed(sorted(one.name for one in SHIPPED.iterdir() if one.is_dir()))
        raise ServelabError(
            _("The course ships no repository {name}; there is {known}.").format(name=name, known=known)
        )
    files = {
        file.relative_to(source).as_posix(): file.read_text(encoding="utf-8")
        for file in sorted(source.rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    }
    if missing := sorted({key for text in files.values() for key in _FIELD.findall(text)} - set(values)):
        raise ServelabError(_("The repository {name} needs {keys}.").format(name=name, keys=listed(missing)))
    return write({path: _FIELD.sub(lambda key: str(values[key[1]]), text) for path, text in files.items()}, folder)
