"""The learner's workspace: what the course delivers, beside what the learner made of it.

    workspace/
        .servelab-workspace     marker: the language last asked for, and what was delivered
        progress.json ...       the learner's data, shared by both languages
        AGENTS.md               what a learner's AI assistant is asked to do
        en/0_start.ipynb  en/levels/...  en/labs/...
        zh_TW/...

A delivered notebook that the learner edited is theirs: a newer version is put beside it. One that was only run
is replaced.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from servelab import course, i18n
from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.paths import ASSETS, LOCALE, ROOT, WORKSPACE_MARKER

HANDOUTS = ASSETS / "workspace"


@dataclass
class Delivery:
    """What one call of `build` did.

    Attributes:
        folder: the workspace.
        start: the start page in the language asked for.
        written: files new or renewed.
        said: one sentence for each notebook whose newer version was put beside the learner's own.
    """

    folder: Path
    start: Path
    written: list[Path] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def build(folder: Path, lang: str | None = None) -> Delivery:
    """Create the workspace, or bring it up to date; what is current is not touched.

    Args:
        folder: the workspace; made if need be.
        lang: the language to deliver (default: the one of `SERVELAB_LANGUAGE`). Other languages delivered before
            stay as they are.

    Raises:
        ServelabError: the folder cannot be written, or its marker is damaged.
    """
    lang = lang or i18n.language()
    try:
        return _build(folder, lang)
    except OSError as error:
        raise ServelabError(
            _("The workspace {folder} cannot be written ({reason}): free some space or choose another folder.").format(
                folder=folder, reason=error.strerror or error
            )
        ) from None


def _build(folder: Path, lang: str) -> Delivery:
    folder.mkdir(parents=True, exist_ok=True)
    marker = folder / WORKSPACE_MARKER
    state = _state(marker)
    before = json.dumps(state)
    state["language"] = lang
    delivery = Delivery(folder, folder / lang / "0_start.ipynb")
    for entry in course.load().notebooks:
        if entry.status == "ready":
            _deliver_notebook(delivery, state["delivered"], entry, lang)
    for handout in sorted(p for p in HANDOUTS.rglob("*") if p.is_file()):
        _deliver_handout(delivery, state["delivered"], handout)
    if json.dumps(state) != before or not marker.exists():
        _write(marker, json.dumps(state, indent=1) + "\n")
    return delivery


def _state(marker: Path) -> dict[str, Any]:
    if not marker.exists():
        return {"language": i18n.SOURCE, "delivered": {}}
    try:
        state = json.loads(marker.read_text())
        return {"language": str(state["language"]), "delivered": dict(state["delivered"])}
    except (ValueError, KeyError, TypeError):
        raise ServelabError(
            _(
                "The file {path} is damaged, so the course cannot tell your work from its own: move the workspace "
                "aside and start again; your notebooks stay in it."
            ).format(path=marker)
        ) from None


def _deliver_notebook(delivery: Delivery, delivered: dict[str, Any], entry: course.Notebook, lang: str) -> None:
    """Put one notebook in place unless its current version lies there already."""
    path = delivery.folder / lang / entry.delivered
    version = _version(entry, lang)
    names = [path, path.with_suffix(".new.ipynb"), *(path.with_suffix(f".new-{n}.ipynb") for n in range(2, 100))]
    for candidate in names:
        key = candidate.relative_to(delivery.folder).as_posix()
        known = delivered.get(key, {})
        if candidate.exists() and known.get("version") == version:
            return
        if candidate.exists() and fingerprint(candidate) != known.get("cells"):
            continue  # the learner's own work, or a file the course did not put there
        import nbformat

        from servelab.notebooks.release import release
        from servelab.notebooks.source import Source

        candidate.parent.mkdir(parents=True, exist_ok=True)
        _write(candidate, nbformat.writes(release(Source(entry), lang)) + "\n")
        delivered[key] = {"version": version, "cells": fingerprint(candidate)}
        delivery.written.append(candidate)
        if candidate is not path:
            delivery.said.append(
                _("You edited {yours}, so it stays as it is; the new version lies beside it as {new}.").format(
                    yours=path.relative_to(delivery.folder), new=candidate.name
                )
            )
        return


def _deliver_handout(delivery: Delivery, delivered: dict[str, Any], handout: Path) -> None:
    """Copy one file of assets/workspace to the workspace's root unless the learner changed it there."""
    path = delivery.folder / handout.relative_to(HANDOUTS)
    key, version = path.relative_to(delivery.folder).as_posix(), _digest(handout.read_bytes())
    there = _digest(path.read_bytes()) if path.exists() else None
    if there == version or (there and there != delivered.get(key, {}).get("version")):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, handout.read_text())
    delivered[key] = {"version": version}
    delivery.written.append(path)


def fingerprint(path: Path) -> str:
    """Digest of a notebook's cell types and sources: the same after it was run, another once it was edited."""
    try:
        cells = json.loads(path.read_text())["cells"]
        return _digest(json.dumps([(c["cell_type"], "".join(c["source"])) for c in cells]).encode())
    except (ValueError, KeyError, TypeError):
        return "unreadable"


def _version(entry: course.Notebook, lang: str) -> str:
    """Digest of everything a released notebook is made from."""
    source = ROOT / entry.path
    here = Path(__file__).parent
    parts = [source, LOCALE / lang / "notebooks" / f"{source.stem}.po", here / "release.py", here / "translate.py"]
    ready = " ".join(n.path for n in course.load().notebooks if n.status == "ready")
    return _digest(b"\0".join(p.read_bytes() for p in parts if p.exists()) + ready.encode())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a stop in between leaves the old file."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)
