"""The engine explorer: its numbers are the theory's, and each leaf leads to its notebooks."""

import re
from pathlib import PurePosixPath

import pytest

from servelab import course
from servelab.theory import choice as theory
from servelab.theory.batching import StepModel
from servelab.theory.choice import Server
from servelab.widgets.engine_choice import NOTEBOOK, engine_choice, links

SERVER = Server(StepModel(0.04, 0.005, 0.001), 32, 1.5 * 2**30, 0.5 * 2**30, 46_080, 128)
REACHED = {
    "prototype-leaf": {"prototype": True},
    "models-leaf": {"models": 2},
    "memory-leaf": {"room": 0.05, "output": 512},
    "latency-leaf": {"tpot_ms": 30},
    "api": {"rate": 0.05},
    "service": {"rate": 1},
    "fleet": {"rate": 20},
}


@pytest.fixture
def explorer():
    return engine_choice(SERVER, measured={"8 at once": (1.0, 16)})


@pytest.mark.parametrize("leaf", theory.leaves())
def test_every_leaf_can_be_reached_and_says_why_and_where(explorer, leaf):
    said, found = explorer.say(**{**explorer.defaults, **REACHED[leaf]}), theory.leaves()[leaf]
    assert said.startswith(f"<b>{found.title}</b>") and found.why in said
    assert all(f">{id} " in said for id in found.notebooks)


def test_links_lead_from_the_lesson_to_the_course_s_notebooks():
    plan = course.load()
    here = PurePosixPath(plan.notebook(NOTEBOOK).path).parent
    for leaf in theory.leaves().values():
        hrefs = re.findall(r'href="([^"]+)"', links(leaf.notebooks))
        assert len(hrefs) == len(leaf.notebooks)
        for id, href in zip(leaf.notebooks, hrefs, strict=True):
            steps = []
            for part in (here / href).parts:
                steps = steps[:-1] if part == ".." else [*steps, part]
            assert "/".join(steps) == plan.notebook(id).path


def test_the_numbers_are_the_theory_s(explorer):
    said = explorer.say(**{**explorer.defaults, "rate": 5, "prompt": 16, "output": 200, "tpot_ms": 140})
    assert "ask for 1,000 tokens/s" in said and "with 20 at once" in said
    rate = float(SERVER.step.throughput(20, 16, 200))
    assert f"engines needed: {-(-1000 // (0.8 * rate)):.0f}," in said


def test_it_says_where_the_outline_would_have_led(explorer):
    assert "outline says: A simple API wrapper" in explorer.say(**{**explorer.defaults, "rate": 9, "output": 200})
    assert "outline says" not in explorer.say(**{**explorer.defaults, "rate": 0.05})


def test_other_concerns_are_not_forgotten(explorer):
    assert "Also called for: vLLM + FastAPI" in explorer.say(**{**explorer.defaults, "models": 2, "rate": 1})


def test_a_promise_that_cannot_be_kept_counts_no_engines(explorer):
    assert "engines needed" not in explorer.say(**{**explorer.defaults, "tpot_ms": 30})
