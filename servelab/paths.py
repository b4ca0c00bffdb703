"""Where the course keeps things: its own files, this machine's state, the learner's workspace."""

from __future__ import annotations

import os
from pathlib import Path

from servelab.errors import ServelabError

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "assets"
LOCALE = ASSETS / "locale"
RECORDS = ASSETS / "records"
COURSE_FILE = ROOT / "course.toml"
WORKSPACE_MARKER = ".servelab-workspace"
SKIPPED = "servelab_skipped"  # key in an output's metadata: what a notebook left out on this machine


def home() -> Path:
    """This machine's state (prepared models, running servers, logs): `SERVELAB_HOME`, else `.servelab/` here."""
    path = Path(os.environ.get("SERVELAB_HOME") or ROOT / ".servelab")
    path.mkdir(parents=True, exist_ok=True)
    return path


def workspace() -> Path:
    """The learner's workspace: `SERVELAB_WORKSPACE`, else the nearest folder above that carries its marker.

    Raises:
        ServelabError: the notebook was opened outside a workspace.
    """
    given = os.environ.get("SERVELAB_WORKSPACE")
    if given:
        return Path(given)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / WORKSPACE_MARKER).exists():
            return folder
    raise ServelabError(
        "This notebook was opened outside the course's workspace, so nothing could be saved: "
        "run `make lab` in the course's folder and open the notebook there."
    )
