from __future__ import annotations

import io

import pytest
from rich.console import Console

from servelab import progress
from servelab.progress import Progress


def test_without_a_terminal_only_the_last_line_stays(capfd):
    with Progress() as line:
        line.say("working")
        line.done("ready [1/2]")
    assert capfd.readouterr().err == "ready [1/2]\n"


def test_silent(capfd):
    with Progress(show=False) as line:
        line.say("working")
        line.done("ready")
    assert capfd.readouterr() == ("", "")


def test_a_terminal_sees_the_line_change(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(progress, "Console", lambda **_: Console(file=screen, force_terminal=True, width=80))
    with Progress() as line:
        line.say("working on it")
        line.done("ready")
    assert "working on it" in screen.getvalue() and "ready" in screen.getvalue()


class Handle:
    def __init__(self, shown):
        self.shown = shown

    def update(self, data, raw):
        self.shown.append(data["text/plain"])


@pytest.fixture
def notebook(monkeypatch):
    shown = []

    def display(data, raw, display_id):
        shown.append(data["text/plain"])
        return Handle(shown)

    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.delenv("SERVELAB_STATIC", raising=False)
    return shown


def test_a_notebook_gets_one_output_that_changes(notebook):
    with Progress() as line:
        line.say("working")
        line.say("working")
        line.done("ready")
    assert notebook == ["working ...", "ready"]


def test_a_failure_leaves_no_half_line(notebook):
    with pytest.raises(ValueError), Progress() as line:
        line.say("working")
        raise ValueError
    assert notebook == ["working ...", ""]


def test_static_notebooks_keep_one_final_line(notebook, monkeypatch, capsys):
    monkeypatch.setenv("SERVELAB_STATIC", "1")
    with Progress() as line:
        line.say("working")
        line.done("ready")
    assert notebook == [] and capsys.readouterr().out == "ready\n"
