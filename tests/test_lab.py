"""Opening the course: a real JupyterLab, in the learner's language, that ends with whoever opened it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import psutil
import pytest

from servelab import lab
from servelab.engines.ports import free_port
from servelab.errors import ServelabError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SERVELAB_HOME", str(tmp_path / "home"))
    work = tmp_path / "work"
    work.mkdir()
    (work / "0_start.ipynb").write_text("{}")
    return work


def test_it_answers_at_its_address_in_its_language_and_ends(folder):
    session = lab.start(folder, "zh_TW", free_port())
    try:
        assert lab.running() == session.url
        with urllib.request.urlopen(session.url, timeout=60) as page:
            assert page.status == 200 and page.url.split("?")[0] == session.url.split("?")[0]
            config = json.loads(
                re.search(r'id="jupyter-config-data"[^>]*>(.*?)</script>', page.read().decode(), re.S)[1]
            )
        assert set(lab.UNUSED_PLUGINS) <= set(config["disabledExtensions"])
        assert "@jupyter/nbgrader:validate-assignment" not in config["disabledExtensions"]
        base, token = session.url.split("/lab/")[0], session.url.split("token=")[1]
        plugin = "@jupyterlab/translation-extension:plugin"
        with urllib.request.urlopen(f"{base}/lab/api/settings/{plugin}?token={token}", timeout=60) as answer:
            assert '"locale": "zh_TW"' in json.load(answer)["raw"]
        with urllib.request.urlopen(f"{base}/lab/api/translations/zh_TW?token={token}", timeout=60) as answer:
            menus = json.load(answer)
        assert menus["message"] == "" and menus["data"]["jupyterlab"], "JupyterLab has its own menus in Chinese"
    finally:
        session.stop()
    assert session.process.poll() is not None
    assert lab.running() is None


def test_a_taken_port_is_told_with_the_program_that_holds_it(folder):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ServelabError, match=rf"Port {port} is taken by .*pid {os.getpid()}.*PORT="):
            lab.start(folder, "en", port)


def test_a_session_that_cannot_start_tells_its_own_last_word(folder, monkeypatch):
    monkeypatch.setattr(lab.sys, "executable", "/bin/false")
    with pytest.raises(ServelabError, match="JupyterLab did not start"):
        lab.start(folder, "en", free_port())


def test_it_dies_with_the_process_that_opened_it(folder):
    code = (
        "import sys, time; from pathlib import Path; from servelab import lab; "
        "print(lab.start(Path(sys.argv[1]), 'en', int(sys.argv[2])).process.pid, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", code, str(folder), str(free_port())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as opener:
        jupyter = psutil.Process(int(opener.stdout.readline()))
        opener.send_signal(signal.SIGKILL)
    jupyter.wait(timeout=60)
    assert lab.running() is None


def test_settings_of_the_learner_are_kept(folder):
    theme = lab.home() / "lab" / "settings" / "@jupyterlab" / "translation-extension" / "plugin.jupyterlab-settings"
    theme.parent.mkdir(parents=True)
    theme.write_text('{"displayStringsPrefix": true}')
    lab.write_settings("zh_TW")
    assert json.loads(theme.read_text()) == {"displayStringsPrefix": True, "locale": "zh_TW"}
