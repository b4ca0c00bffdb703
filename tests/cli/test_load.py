"""`servelab load` as a person types it."""

import importlib.util
import json
import sys

import pytest
import typer
from typer.testing import CliRunner

from servelab.cli import load as command
from servelab.errors import ServelabError
from servelab.load import Result, synthetic
from servelab.load.workload import write
from servelab.paths import ROOT

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def mock():
    spec = importlib.util.spec_from_file_location("mock_for_cli", ROOT / "tests" / "load" / "mock_server.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def app():
    one = typer.Typer()
    one.callback()(lambda: None)
    command.register(one)
    return lambda *words: CliRunner().invoke(one, ["load", *map(str, words)], catch_exceptions=True)


def test_closed_loop_with_report_records_and_page(app, mock, tmp_path):
    with mock.Running(mock.Mock(gap_s=0.002)) as server:
        done = app(server.url, "-n", 6, "--output-tokens", 5, "-c", 2, "--slo-ttft", 5,
                   "--save", tmp_path / "r.jsonl", "--html", tmp_path / "r.html")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "6 of 6 requests" in done.output and "attainment 100.0%" in done.output
    assert len(Result.load(tmp_path / "r.jsonl")) == 6
    page = (tmp_path / "r.html").read_text()
    assert page.count("plotly-graph-div") >= 5 and "<script src" not in page and "<link" not in page


@pytest.mark.parametrize("cv, says", [(1, "Poisson, 50/s"), (2, "gamma, 50/s, cv 2"), (0, "constant, 50/s")])
def test_open_loop(app, mock, cv, says):
    with mock.Running(mock.Mock()) as server:
        done = app(server.url, "-n", 5, "--rate", 50, "--cv", cv, "--spread", 0.5, "--output-tokens", 4)
    assert done.exit_code == 0 and says in done.output


def test_the_courses_trace_and_a_file_of_requests(app, mock, tmp_path):
    with mock.Running(mock.Mock()) as server:
        assert "replay" in app(server.url, "--trace", "course", "-n", 4, "--time-scale", 0.01).output
        asked = write(synthetic(3, 7, 2), tmp_path / "q.jsonl")
        assert app(server.url, "--requests-file", asked, "--usage", "end").exit_code == 0
        assert [len(b["prompt"]) for b in server.mock.bodies[-3:]] == [7, 7, 7]
    json.dumps(server.mock.bodies)


def test_all_requests_failed(app, mock):
    with mock.Running(mock.Mock(faults=dict.fromkeys(range(3), "refuse"))) as server:
        done = app(server.url, "-n", 3)
    assert done.exit_code == 1 and "prompt too long" in done.output


def test_sentences(app):
    for words, says in ((["127.0.0.1:9"], "Nothing answers"), (["127.0.0.1:9", "--trace", "absent"], "no file")):
        error = app(*words).exception
        assert isinstance(error, ServelabError) and says in str(error)


def test_a_name_that_is_not_running(app, monkeypatch):
    import servelab.engines

    monkeypatch.setattr(servelab.engines, "running", list)
    assert "servelab ps" in str(app("nobody").exception)
