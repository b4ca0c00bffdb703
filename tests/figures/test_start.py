"""The start page's figures hold what course.toml and the trace hold."""

from servelab import course
from servelab.figures import start
from servelab.load import trace

PLAN = course.load()


def words(fig) -> str:
    return " ".join(a.text or "" for a in fig.layout.annotations)


def test_tracks_show_every_lab_and_both_outcomes():
    fig = start.tracks(PLAN, {"2.1": 0.5})
    boxes = {id for track in PLAN.tracks for id in (*track.theory, *track.labs)}
    filled = [s for s in fig.layout.shapes if s.fillcolor]
    assert len(fig.layout.shapes) - len(filled) == len(boxes)
    assert len(filled) == 1 and abs((filled[0].x1 - filled[0].x0) - 0.44) < 1e-9
    for track in PLAN.tracks:
        assert str(track.title) in words(fig)


def test_assessment_adds_up_to_the_whole():
    fig = start.assessment(PLAN)
    assert [sum(bar.x) for bar in fig.data] == [g.weight for g in PLAN.groups]
    assert sum(sum(bar.x) for bar in fig.data) == 100
    assert {title for bar in fig.data for title in bar.y} == {str(i.title) for i in PLAN.items}


def test_trace_draws_every_request_twice():
    requests = trace(n=20)
    fig = start.trace(requests)
    assert [len(t.x) for t in fig.data] == [20, 20]
    assert list(fig.data[0].y) == [r.prompt_tokens for r in requests]
