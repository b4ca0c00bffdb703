"""The decision tree: every leaf is reached by the case it is for, and its bands begin where arithmetic says."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servelab import course
from servelab.errors import ServelabError
from servelab.theory import choice
from servelab.theory.batching import StepModel
from servelab.theory.choice import Case, Need, Server, walk

STEP = StepModel(fixed_s=0.04, each_s=0.005, prefill_s=0.001)
KIB, GIB = 2**10, 2**30
SERVER = Server(STEP, 32, memory_bytes=1.5 * GIB, weight_bytes=0.5 * GIB, token_bytes=45 * KIB, block_size=16)
NEED = Need(requests_per_s=1.0, prompt_tokens=16, output_tokens=100, tpot_s=0.3)


def case(server: Server = SERVER, **need) -> Case:
    return Case(replace(NEED, **need), server)


LEAVES = {
    "prototype-leaf": case(prototype=True),
    "models-leaf": case(models=2),
    "memory-leaf": case(Server(STEP, 32, 0.6 * GIB, 0.5 * GIB, 45 * KIB), prompt_tokens=2000),
    "latency-leaf": case(tpot_s=0.044),
    "api": case(requests_per_s=0.1),
    "service": case(requests_per_s=1.0),
    "fleet": case(requests_per_s=3.0),
}


@pytest.mark.parametrize("leaf", choice.leaves())
def test_each_leaf_is_reached_by_its_case(leaf):
    assert walk(LEAVES[leaf]).leaf == leaf
    assert leaf in choice.concerns(LEAVES[leaf])


def test_the_tree_is_whole():
    forks = {fork.id for fork in choice.FORKS}
    led = [to for fork in choice.FORKS for to in fork.leads.values()]
    assert sorted(led) == sorted({*forks - {choice.FORKS[0].id}, *choice.leaves()}), "each place is led to once"


@pytest.mark.parametrize("leaf", choice.leaves().values(), ids=lambda leaf: leaf.id)
def test_each_leaf_leads_to_a_lab_and_says_why(leaf):
    plan = course.load()
    labs = {id for track in plan.tracks for id in track.labs}
    assert leaf.notebooks[0] in labs and all(plan.notebook(id) for id in leaf.notebooks)
    assert leaf.title and leaf.why.endswith(".")


@pytest.mark.parametrize(
    ("rate", "band"),
    [(0.01, "low"), (9.99, "low"), (10, "medium"), (100, "medium"), (100.01, "high"), (5000, "high")],
)
def test_the_outline_s_thresholds(rate, band):
    ends = {"low": "api", "medium": "service", "high": "fleet"}
    assert choice.by_requests(case(requests_per_s=rate)) == band
    assert walk(case(requests_per_s=rate, tpot_s=math.inf), choice.by_requests).leaf == ends[band]


def test_requests_alone_say_nothing():
    """The same nine requests/s: `low` by the outline, and three different answers by tokens."""
    quick = Server(StepModel(0.01, 0.0005, 0.00001), 64)
    found = {n: choice.by_tokens(case(quick, requests_per_s=9, output_tokens=n)) for n in (5, 100, 2000)}
    assert found == {5: "low", 100: "medium", 2000: "high"}
    assert all(choice.by_requests(case(quick, requests_per_s=9, output_tokens=n)) == "low" for n in found)


def test_by_hand():
    """100 tokens alone: 0.056 s + 99 x 0.045 s. Twenty at once: 0.36 s + 99 x 0.14 s for 2,000 tokens."""
    assert case().alone_s == pytest.approx(0.04 + 0.016 + 99 * 0.045)
    assert case(requests_per_s=0.1).busy_alone == pytest.approx(0.4511)
    assert case(tpot_s=0.14).within_slo == 20 and case(tpot_s=0.1399).within_slo == 19
    assert case(tpot_s=0.14).capacity == pytest.approx(2000 / (0.04 + 0.32 + 99 * 0.14))
    assert case(tpot_s=0.044).within_slo == 0 and case(tpot_s=0.045).within_slo == 1
    assert case(tpot_s=math.inf).within_slo == 32
    assert case(tpot_s=0.044).engines is None and case(tpot_s=0.044).capacity == 0
    assert case().need.tokens_per_s == 100


def test_memory_counts_what_stands_beside_the_weights():
    bytes_a_block = 45 * KIB * 16
    server = replace(SERVER, memory_bytes=0.5 * GIB + 33 * bytes_a_block)  # 32 blocks to give away
    assert case(server, prompt_tokens=28).fits == 4, "128 tokens are 8 blocks"
    assert case(server, prompt_tokens=29).fits == 3
    assert case(replace(SERVER, memory_bytes=0.4 * GIB)).fits == 0, "the weights alone do not fit"
    assert walk(case(replace(SERVER, memory_bytes=0.4 * GIB), requests_per_s=0.01)).leaf == "memory-leaf"
    roomy = case(server, prompt_tokens=28, requests_per_s=0.01)
    assert roomy.fits < 32 and walk(roomy).leaf == "api", "four fit, and the load never brings more than one"


@given(st.floats(0.01, 50), st.integers(1, 400), st.integers(0, 400), st.integers(1, 6))
def test_what_flies_is_little_s_law(rate, output, prompt, engines):
    one = case(requests_per_s=rate, output_tokens=output, prompt_tokens=prompt)
    flying = one.in_flight(engines)
    if math.isinf(flying):
        assert rate / engines * output >= STEP.throughput(1e9, prompt, output) * (1 - 1e-6)
    else:
        seconds = float(STEP.e2e_s(max(flying, 1.0), prompt, output))
        assert flying == pytest.approx(rate / engines * seconds, rel=1e-6)


@given(st.floats(0.01, 50), st.integers(2, 400), st.floats(1.1, 10))
def test_more_load_never_needs_less(rate, output, factor):
    order = ("low", "medium", "high")
    less, more = (
        case(requests_per_s=rate, output_tokens=output),
        case(requests_per_s=rate * factor, output_tokens=output),
    )
    assert order.index(choice.by_tokens(less)) <= order.index(choice.by_tokens(more))
    assert less.engines <= more.engines and less.in_flight() <= more.in_flight()


@given(st.floats(0.01, 50), st.integers(1, 400))
def test_the_engines_counted_carry_the_load_and_one_less_would_not(rate, output):
    one = case(requests_per_s=rate, output_tokens=output)
    carried = one.engines * one.capacity * one.utilization
    assert carried >= one.need.tokens_per_s * (1 - 1e-6)
    assert one.engines == 1 or carried - one.capacity * one.utilization < one.need.tokens_per_s
    assert one.in_flight(one.engines) <= one.batch + 1e-6


def test_several_things_can_be_true_at_once():
    both = case(requests_per_s=3.0, models=3)
    assert walk(both).leaf == "models-leaf"
    assert choice.concerns(both) == ("models-leaf", "fleet")


@pytest.mark.parametrize("wrong", [{"requests_per_s": 0}, {"output_tokens": 0}, {"models": 0}, {"prompt_tokens": -1}])
def test_a_need_that_cannot_be_is_refused(wrong):
    with pytest.raises(ServelabError):
        replace(NEED, **wrong)
