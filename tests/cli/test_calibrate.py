"""`servelab calibrate` without an engine."""

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from servelab import calibrate as calibration
from servelab.calibrate import Calibration, Fit
from servelab.cli import calibrate as command
from servelab.errors import ServelabError

MADE = Calibration(
    *(0.04, 0.002, 3e-6, 0.0015, 1.2e-7, 0.0, 0.008),
    held_out=Fit(0.031, 0.12, 0.2, 15),
    about={
        "peaks": {"gemm_flops_per_s": 178e9, "bandwidth_bytes_per_s": 27e9},
        "machine": {"mfu": 0.61, "mbu": 0.8, "t0_s": 0.012, "overlap": 0.2},
    },
)


def app():
    made = typer.Typer()
    made.callback()(lambda: None)
    command.register(made)
    return made


@pytest.fixture
def engine(monkeypatch):
    one = nullcontext(SimpleNamespace(name="mine"))
    monkeypatch.setattr(command, "_engine", lambda _name: one)


def test_prices_shares_and_errors_are_told(engine, monkeypatch):
    asked = []
    monkeypatch.setattr(calibration, "calibrate", lambda server, rounds: asked.append((server.name, rounds)) or MADE)
    done = CliRunner().invoke(app(), ["calibrate", "mine", "--rounds", "2"])
    assert done.exit_code == 0 and asked == [("mine", 2)]
    for text in ("40 ms", "2 ms", "3 µs", "1.5 ms", "120 ns", "8 ms", "178 GFLOP/s", "MFU 61%", "3.1%", "12.0%"):
        assert text in done.output, text
    assert "--rounds" not in done.output


def test_a_bad_fit_says_what_to_do(engine, monkeypatch):
    bad = replace(MADE, held_out=Fit(0.38, 0.95, 1.2, 15))
    monkeypatch.setattr(calibration, "calibrate", lambda server, rounds: bad)
    assert "calibrate again" in CliRunner().invoke(app(), ["calibrate"]).output


def test_a_kept_one_is_shown_and_a_missing_one_says_what_to_do(engine, monkeypatch):
    monkeypatch.setattr(calibration, "kept", lambda server: MADE)
    assert "40 ms" in CliRunner().invoke(app(), ["calibrate", "--show"]).output
    monkeypatch.setattr(calibration, "kept", lambda server: None)
    failed = CliRunner().invoke(app(), ["calibrate", "--show"])
    assert isinstance(failed.exception, ServelabError) and "servelab calibrate mine" in str(failed.exception)


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.5, "2.5 s"), (0.04, "40 ms"), (3e-6, "3 µs"), (7e-9, "7 ns"), (0, "0")]
)
def test_durations(seconds, text):
    assert command._duration(seconds) == text
