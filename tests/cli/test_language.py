"""The command speaks the learner's language."""

import pytest
import typer
from typer.testing import CliRunner

from servelab.cli import bench, engines, lab, load, notebooks


@pytest.fixture
def app(monkeypatch):
    monkeypatch.setenv("SERVELAB_LANGUAGE", "zh_TW")
    monkeypatch.setenv("COLUMNS", "200")
    one = typer.Typer()
    for module in (lab, engines, load, notebooks, bench):
        module.register(one)
    return lambda *words: CliRunner().invoke(one, words)


def test_help_of_commands_and_options(app):
    assert "列出執行中的伺服器。" in app("--help").output
    assert "請求數（預設 32）。" in app("load", "--help").output
    assert "課程的兩種語言。" in app("lang", "--help").output


def test_states_of_servers(app, monkeypatch):
    from servelab.engines import process

    one = {"name": "a", "url": "http://127.0.0.1:1", "engine": None, "started": 0}
    monkeypatch.setattr(process, "states", lambda: [one | {"phase": phase} for phase in process.RUNNING])
    monkeypatch.setattr(process, "users", lambda one: [])
    told = app("ps").output
    assert "啟動中" in told and "就緒" in told and "停止中" in told and "ready" not in told
