"""Open the course: JupyterLab over the learner's workspace, in the learner's language, on this machine only.

The lab session owns every engine that its notebooks start (`SERVELAB_OWNER`), so engines are reused from one
notebook to the next and end with the session. Nothing here asks anything of the network outside.
"""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import psutil

from servelab.engines.ports import HOST, free_port, holder, is_free
from servelab.errors import ServelabError
from servelab.paths import home

FIRST_PORT = 8888
START_SECONDS = 120
# Server extensions that a learner has no use for, and that cost start-up time.
UNUSED_EXTENSIONS = (
    "jupyter_lsp",
    "nbgrader.server_extensions.assignment_list",
    "nbgrader.server_extensions.course_list",
    "nbgrader.server_extensions.formgrader",
    "notebook",
)
# Parts of the page that are an instructor's; a learner keeps nbgrader's Validate button.
UNUSED_PLUGINS = tuple(
    f"@jupyter/nbgrader:{part}"
    for part in ("assignment-list", "course-list", "create-assignment", "formgrader", "menu")
)
JUPYTER_LOCALES = {"en": "default"}
SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/extensionmanager-extension/plugin": {"enabled": False},
}


@dataclass
class Lab:
    """A running JupyterLab: its process, its address (with the token) and its log."""

    process: subprocess.Popen
    url: str
    log: Path

    def stop(self, seconds: float = 10) -> None:
        """End the session and its kernels; it is killed if it does not leave within `seconds`."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        state_file().unlink(missing_ok=True)


def state_file() -> Path:
    """Where the running session of this course leaves its address."""
    return home() / "lab.json"


def running() -> str | None:
    """The address of this course's session that is already open, if one is."""
    try:
        state = json.loads(state_file().read_text())
        process = psutil.Process(state["pid"])
    except (OSError, ValueError, KeyError, psutil.NoSuchProcess):
        return None
    alive = process.create_time() == state["created"] and process.status() != psutil.STATUS_ZOMBIE
    return state["url"] if alive else None


def write_settings(language: str) -> Path:
    """JupyterLab's settings for the course: its menu language, and no look-ups of news or updates."""
    folder = home() / "lab" / "settings"
    locale = JUPYTER_LOCALES.get(language, language)
    wanted = SETTINGS | {"@jupyterlab/translation-extension/plugin": {"locale": locale}}
    for plugin, values in wanted.items():
        path = folder / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            stands = json.loads(path.read_text())
        except (OSError, ValueError):
            stands = {}
        path.write_text(json.dumps(stands | values, indent=1))
    return folder


def write_page_config() -> Path:
    """A configuration folder for Jupyter that leaves the instructor's parts out of the page."""
    folder = home() / "lab" / "config"
    path = folder / "labconfig" / "page_config.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"disabledExtensions": dict.fromkeys(UNUSED_PLUGINS, True)}, indent=1))
    return folder


def choose_port(port: int | None) -> int:
    """The asked-for port, or the first usual one if it is free, or any free one.

    Raises:
        ServelabError: the asked-for port is taken; names the program that holds it.
    """
    if port is None:
        return FIRST_PORT if is_free(FIRST_PORT) else free_port()
    if not is_free(port):
        raise ServelabError(
            f"Port {port} is taken by {holder(port)}: choose another with `make lab PORT=...`, or stop that program."
        )
    return port


def die_with_parent() -> None:
    """In the child, before it runs: let the kernel end it when its parent dies, however the parent dies."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def start(folder: Path, language: str, port: int | None = None, page: str = "0_start.ipynb") -> Lab:
    """Start JupyterLab on `folder`, opened at `page`, and return once it answers.

    Raises:
        ServelabError: the port is taken, or JupyterLab did not come up.
    """
    port = choose_port(port)
    token = secrets.token_hex(16)
    log = home() / "lab.log"
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={folder}",
        "--ServerApp.contents_manager_class=servelab.notebooks.reopen.Contents",
        f"--IdentityProvider.token={token}",
        f"--LabApp.default_url=/lab/tree/{page}",
        f"--LabApp.user_settings_dir={write_settings(language)}",
        f"--LabApp.workspaces_dir={home() / 'lab' / 'workspaces'}",
        "--LabApp.extension_manager=readonly",
        *(f"--ServerApp.jpserver_extensions={name}=False" for name in UNUSED_EXTENSIONS),
    ]
    env = os.environ | {
        "SERVELAB_OWNER": str(os.getpid()),
        "SERVELAB_LANGUAGE": language,
        "JUPYTER_CONFIG_PATH": os.pathsep.join(
            filter(None, (str(write_page_config()), os.environ.get("JUPYTER_CONFIG_PATH")))
        ),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    with log.open("w") as out:
        process = subprocess.Popen(
            command, env=env, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent
        )
    lab = Lab(process, f"http://{HOST}:{port}/lab/tree/{page}?token={token}", log)
    try:
        wait_until_answering(lab, f"http://{HOST}:{port}/api/status?token={token}")
    except BaseException:
        lab.stop()
        raise
    state = {"pid": process.pid, "created": psutil.Process(process.pid).create_time(), "url": lab.url}
    state_file().write_text(json.dumps(state))
    state_file().chmod(0o600)
    return lab


def wait_until_answering(lab: Lab, status_url: str) -> None:
    """Return when the session answers.

    Raises:
        ServelabError: it ended, or did not answer in time; carries the last line that it logged.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if lab.process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(status_url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    lines = [line for line in lab.log.read_text(errors="replace").splitlines() if line.strip()]
    raise ServelabError(f"JupyterLab did not start: {lines[-1] if lines else 'it said nothing'} (log: {lab.log}).")
