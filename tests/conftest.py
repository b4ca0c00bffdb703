"""Shared by every test: nothing of the author's own session leaks in, and what ran, passed and was skipped is said."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from servelab.paths import ROOT

SERVERS = {"battery", "browser", "engines"}
LEAKS = [f"SERVELAB_{name}" for name in ("LANGUAGE", "EFFORT", "STATIC", "OWNER", "WORKSPACE", "TIER")]


def pytest_configure(config: pytest.Config) -> None:
    for name in LEAKS:
        os.environ.pop(name, None)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    # A run in the background ignores Ctrl-C, and so would every program that a test ends by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.pluginmanager.register(AsItRuns(config))
    # No test hangs on timing, and a failure on one machine is the same failure on the next.
    settings.register_profile("course", deadline=None, derandomize=True)
    settings.load_profile("course")


class AsItRuns:
    """Names what failed or took long as soon as it ends: a run that is cut off has said where its time went."""

    LONG = 60  # seconds

    def __init__(self, config: pytest.Config) -> None:
        self.config, self.began = config, time.monotonic()

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal = self.config.pluginmanager.get_plugin("terminalreporter")
        if terminal is None or not (report.failed or report.duration >= self.LONG):
            return
        crash = getattr(report.longrepr, "reprcrash", None)
        why = f": {crash.message.splitlines()[0]}" if crash and crash.message else ""
        terminal.write_line(
            f"\nminute {(time.monotonic() - self.began) / 60:.0f}: {report.nodeid} ({report.when})"
            f" {report.outcome} after {report.duration:.0f} s{why}"
        )


class Lines(LoadScopeScheduling):
    """With several workers (`make test`): each works through one line of tests, then through the next that is left.

    What starts engines and servers stands in few long lines, within which only one works at a time; then come files
    that start none.
    """

    def _split_scope(self, nodeid: str) -> str:
        return line(nodeid) or nodeid.split("::")[0]


LINES = ("notebooks", "engines", "labs/vllm", "labs/triton")  # the longest first


def line(nodeid: str) -> str:
    """The line of a test: a lab's, that of all other notebooks, or that of all else with servers; empty for others."""
    file, _, test = nodeid.partition("::")
    if not serves(file):
        return ""
    lab = next((name for name in LINES if f"[{name}/" in test), "")
    return lab or ("notebooks" if "notebooks" in Path(file).parts else "engines")


@cache
def serves(file: str) -> bool:
    """Whether a test file lies where all need a server, or has a test marked `engine`."""
    path = ROOT / file
    return not SERVERS.isdisjoint(path.parts) or "pytest.mark.engine" in path.read_text()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest lines begin at once."""
    places = {name: n for n, name in enumerate((*LINES, ""))}
    items.sort(key=lambda item: places[line(item.nodeid)])


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    config.option.loadscopereorder = False
    return Lines(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How long each notebook took, and what memory it had at most."""
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.stats.get(kind, [])]
    told = [value for one in reports for name, value in one.user_properties if name == "notebook"]
    if told:
        terminalreporter.section("notebooks")
        terminalreporter.write("".join(f"{line}\n" for line in told))


def marked(home: Path) -> list[int]:
    """Processes of servers that were started in `home`."""
    import psutil

    from servelab.engines import keeper

    found = []
    for one in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if one.environ().get(keeper.MARKER, "").startswith(str(home)) and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one.pid)
    return found


@pytest.fixture(scope="module")
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home of its own for a module's real servers, sharing the machine's prepared models; none of them outlives it.

    So what another worker's servers count or hold is not taken for one's own.
    """
    from servelab import model
    from servelab.engines import process

    prepared = model.prepare(progress=False)
    folder = tmp_path_factory.mktemp("home")
    (folder / "models").symlink_to(prepared.parent, target_is_directory=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVELAB_HOME", str(folder))
        yield folder
        os.environ["SERVELAB_HOME"] = str(folder)
        for one in process.states():
            process.stop(one["name"], force=True)
    assert not marked(folder), "an engine outlived its tests"


@pytest.fixture(scope="module")
def engine_home(request: pytest.FixtureRequest) -> Path:
    """`own_home` for tests that are written for the CPU tier: on another they are skipped."""
    from servelab import hardware

    if hardware.tier().kind != "cpu":
        pytest.skip("this test is written for the CPU tier")
    return request.getfixturevalue("own_home")


@pytest.fixture(autouse=True)
def _unchanged_environment(monkeypatch: pytest.MonkeyPatch):
    """A test may set variables through monkeypatch; whatever else it sets does not outlive it."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
