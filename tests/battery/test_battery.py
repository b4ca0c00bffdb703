"""The battery: the reference holds every verdict, and each planted defect loses the one that names it."""

from __future__ import annotations

import os

import pytest

from servelab import battery
from servelab.battery import Carried, Report, Verdict
from servelab.battery.contract import CONTRACT
from servelab.battery.fuzz import foreign
from servelab.battery.pressure import PRESSURE, SILENCE
from servelab.battery.shared import SHARED
from servelab.battery.streaming import STREAMING
from servelab.engines import keyvalue, process
from servelab.errors import ServelabError
from servelab.paths import ASSETS
from tests.battery.defects import DEFECTS, planted, reference
from tests.conftest import marked

SUITES = {"contract": [CONTRACT], "streaming": [STREAMING], "pressure": [PRESSURE, SILENCE], "shared": [SHARED]}
PLANTED = [
    pytest.param(suite, changes, verdict, id=what.replace(" ", "-"))
    for suite, found in DEFECTS.items()
    for what, (changes, verdict) in found.items()
]


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVELAB_HOME", str(folder))
        yield folder
        os.environ["SERVELAB_HOME"] = str(folder)
        assert process.states() == []
        assert not marked(folder), "a service outlived its battery"


def needs(suite):
    if suite == "shared" and not keyvalue.program():
        pytest.skip("Redis is not installed")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("suite", SUITES)
def test_the_reference_holds_every_verdict(suite):
    needs(suite)
    report = battery.run(reference(suite), *SUITES[suite], seed=7, progress=False)
    assert report.told == ""
    assert len(report.verdicts) == sum(len(one.checks) for one in SUITES[suite])


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("suite", "changes", "verdict"), PLANTED)
def test_a_planted_defect_is_named(suite, changes, verdict):
    needs(suite)
    report = battery.run(planted(changes, suite), *SUITES[suite], only={verdict}, progress=False)
    assert [v.name for v in report.failed] == [verdict]


@pytest.mark.timeout(180)
def test_the_service_that_shares_keeps_what_it_promised_alone():
    report = battery.run(reference("shared"), STREAMING, PRESSURE, seed=8, progress=False)
    assert report.told == ""


def test_every_verdict_is_lost_by_some_defect():
    named = {verdict for found in DEFECTS.values() for _changes, verdict in found.values()}
    assert {name for s in SUITES.values() for one in s for name, _says, _check in one.checks} == named


def test_what_the_learner_starts_from_starts():
    report = battery.run(ASSETS / "services" / "naive.py", CONTRACT, only={"answers", "health"}, progress=False)
    assert len(report.failed) == 2


@pytest.mark.parametrize(
    ("text", "cause"),
    [("app = nothing\n", "line 1 of service.py: NameError"), ("# empty\n", "Error"), ("def app(:\n", "SyntaxError")],
)
def test_a_service_that_does_not_start_is_told_with_its_line(text, cause):
    with pytest.raises(ServelabError, match=cause):
        battery.run(text, CONTRACT, progress=False)


def test_a_file_that_is_not_there_is_told():
    from servelab.engines.service import service

    with pytest.raises(ServelabError, match="There is no file"):
        service("nowhere.py", "http://127.0.0.1:9", progress=False)


def test_a_report_tells_what_does_not_hold():
    report = Report((Verdict("key", "asks for a key", ""), Verdict("large", "refuses", "takes <all>")))
    assert report.told == "large: takes <all>"
    assert report.reasons == {"key": "", "large": "takes <all>"}
    assert "1 of 2" in str(report) and "&lt;all&gt;" in report._repr_html_()


def test_a_schema_that_leads_elsewhere_is_seen():
    assert foreign({"a": [{"$ref": "file:///etc/passwd"}]}) and foreign({"$ref": 3})
    assert not foreign({"$ref": "#/components/x", "b": [1, {"c": "d"}]})


def test_inside_a_sandbox_it_is_judged_from_outside(monkeypatch):
    from autograder import sandbox
    from autograder.engines import Relays
    from autograder.judge import ENGINE_LIMITS
    from autograder.remote import Session

    try:
        isolation = sandbox.isolation()
    except ServelabError as error:
        pytest.skip(str(error))
    text = planted([("raise Refused(429,", "raise Refused(503,")])
    with isolation.open(ENGINE_LIMITS) as box, Relays(box.sockets) as relays:
        session = Session(box, 60.0, lambda options: ({}, None), relays)
        session.execute("answer", f"from servelab.battery import Carried\nservice = Carried({text!r})")
        remote = session.names(["service"])["service"]
        names = {
            "answers",
            "key",
            "large",
            "leave-stream",
            "leave-whole",
            "slow",
            "flood",
            "leavers",
            "places",
            "unread",
        }
        report = battery.run(remote, CONTRACT, STREAMING, PRESSURE, SILENCE, only=names, progress=False)
        assert {v.name for v in report.verdicts} == names
        assert [v.name for v in report.failed] == ["flood"], report
        session.execute("broken", "service = Carried('app = nothing')")
        with pytest.raises(ServelabError, match="NameError"):
            battery.run(session.names(["service"])["service"], CONTRACT, progress=False)


def test_a_carried_service_shows_its_length():
    assert "2 lines" in repr(Carried("a\nb\n"))
