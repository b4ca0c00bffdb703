"""Drafts change when tokens come, never which: counted on distributions, with rules that are wrong as a control."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from servelab.errors import ServelabError
from servelab.theory import sampling as theory
from servelab.tiny import Draft, DraftModel, Engine, Llama, NGram, Sampling, history
from servelab.tiny.model import Run, lay_out
from servelab.tiny.sampling import draw, probabilities
from servelab.tiny.speculate import verify, verify_greedy

VOCABULARY, WRITTEN = 4, 4


@pytest.fixture(scope="module")
def small(tmp_path_factory, make_llama):
    """A model of four tokens: its whole distribution over four written tokens can be summed up."""
    folder = make_llama(tmp_path_factory.mktemp("small"), vocab_size=VOCABULARY, initializer_range=0.08)
    return Llama.load(folder)


@torch.inference_mode()
def exact(model, prompt, sampling):
    """The probability of every answer of four tokens, from the model's own logits, shape (4, 4, 4, 4)."""
    p = np.ones((VOCABULARY,) * WRITTEN)
    for n in range(WRITTEN):
        before = list(itertools.product(range(VOCABULARY), repeat=n))
        size = len(prompt) + n
        runs = [Run([*prompt, *b], 0, [i], 1) for i, b in enumerate(before)]
        logits = model(lay_out(runs, size), model.new_cache(len(runs), size))
        rows = [theory.probabilities(row, sampling.temperature, sampling.top_k, sampling.top_p) for row in logits]
        p *= np.array(rows).reshape([VOCABULARY] * (n + 1) + [1] * (WRITTEN - n - 1))
    return p


def surprise(model, speculate, sampling, samples=3000):
    """p-value of chi-square: the engine's answers against the exact distribution. And how many drafts it took."""
    prompt = [0, 1, 2, 3, 0, 1]
    engine = Engine(
        model, num_blocks=2000, block_size=4, max_num_seqs=256, max_num_batched_tokens=4096, speculate=speculate
    )
    requests = [
        engine.add(prompt, WRITTEN, Sampling(sampling.temperature, sampling.top_k, sampling.top_p, seed))
        for seed in range(samples)
    ]
    while engine.step():
        pass
    counts = np.zeros((VOCABULARY,) * WRITTEN)
    for request in requests:
        counts[tuple(request.output)] += 1
    expected = exact(model, prompt, sampling) * samples
    assert counts[expected == 0].sum() == 0
    order = np.argsort(expected, axis=None)
    pooled = np.cumsum(expected.flat[order]) // 8  # cells of at least about 8 expected answers
    cells = [(counts.flat[order][pooled == k].sum(), expected.flat[order][pooled == k].sum()) for k in set(pooled)]
    seen, hoped = np.array(cells).T
    return stats.chisquare(seen, hoped * seen.sum() / hoped.sum()).pvalue, engine.totals


def proposers(model):
    return {
        "none": None,
        "n-gram": NGram(3, prompt_lookup_max=2, prompt_lookup_min=1),
        "draft": DraftModel(model.first_layers(1), 3),
        "itself": DraftModel(model, 3),
    }


@pytest.mark.parametrize("sampling", [Sampling(1.0), Sampling(0.6, top_k=3, top_p=0.9)], ids=["plain", "cut"])
@pytest.mark.parametrize("name", ["none", "n-gram", "draft", "itself"])
def test_answers_are_distributed_as_the_model_says(small, name, sampling):
    pvalue, totals = surprise(small, proposers(small)[name], sampling)
    assert pvalue > 1e-3
    assert (totals.drafted > 500) == (name != "none")
    if name == "itself":
        assert totals.accepted > 0.99 * totals.drafted


def accept_everything(p, draft, generator):
    return [*draft.tokens, draw(p[-1], generator)]


def redraw_from_p(p, draft, generator):
    """The tempting mistake: a rejected draft is replaced by a draw from p, not from what is left of it."""
    for i, token in enumerate(draft.tokens):
        q = 1.0 if draft.q is None else draft.q[i, token]
        if torch.rand((), generator=generator) * q >= p[i, token]:
            return [*draft.tokens[:i], draw(p[i], generator)]
    return [*draft.tokens, draw(p[-1], generator)]


@pytest.mark.parametrize("wrong", [accept_everything, redraw_from_p])
@pytest.mark.parametrize("name", ["n-gram", "draft"])
def test_the_test_notices_a_wrong_rule(small, name, wrong, monkeypatch):
    monkeypatch.setattr("servelab.tiny.engine.verify", wrong)
    assert surprise(small, proposers(small)[name], Sampling(1.0))[0] < 1e-6


def test_verify_alone_gives_p_whatever_q():
    p = torch.tensor([[0.5, 0.3, 0.2, 0.0], [0.1, 0.2, 0.3, 0.4]])
    generator = torch.Generator().manual_seed(0)
    for q in ([0.25, 0.25, 0.25, 0.25], [0.0, 0.1, 0.1, 0.8], [0.5, 0.3, 0.2, 0.0]):
        q = torch.tensor([q])
        drawn = [verify(p, Draft([draw(q[0], generator)], q), generator)[0] for _ in range(4000)]
        counts = np.bincount(drawn, minlength=4)
        assert counts[3] == 0 and stats.chisquare(counts[:3], 4000 * p[0, :3].numpy() / p[0].sum().item()).pvalue > 1e-3


def test_acceptance_is_the_overlap_of_p_and_q():
    """Leviathan et al., corollary 3.6: the expected acceptance is the sum of min(p, q)."""
    p, q = torch.tensor([[0.5, 0.3, 0.2], [1.0, 0, 0]]), torch.tensor([[0.2, 0.2, 0.6]])
    generator = torch.Generator().manual_seed(1)
    kept = [len(verify(p, Draft([draw(q[0], generator)], q), generator)) == 2 for _ in range(4000)]
    assert stats.binomtest(sum(kept), 4000, 0.2 + 0.2 + 0.2).pvalue > 1e-3


def test_greedy_keeps_drafts_up_to_the_first_that_differs():
    assert verify_greedy([5], []) == [5]
    assert verify_greedy([5, 6, 7], [5, 6]) == [5, 6, 7]
    assert verify_greedy([5, 6, 7], [5, 9]) == [5, 6]
    assert verify_greedy([5, 6, 7], [9, 6]) == [5]


@given(st.lists(st.integers(-90, 90), min_size=2, max_size=20, unique=True), st.floats(0.1, 3), st.integers(0, 20))
def test_the_distribution_is_the_course_s(logits, temperature, top_k):
    logits = np.array(logits) / 10
    ours = probabilities(torch.tensor(logits)[None], Sampling(temperature, top_k))[0]
    assert ours.numpy() == pytest.approx(theory.probabilities(logits, temperature, top_k), abs=1e-5)


def test_top_p_is_the_course_s():
    logits = torch.randn(50, generator=torch.Generator().manual_seed(3)) * 2
    for top_p in (0.1, 0.5, 0.9, 1.0):
        ours = probabilities(logits[None], Sampling(0.8, 30, top_p))[0]
        assert ours.numpy() == pytest.approx(theory.probabilities(logits, 0.8, 30, top_p), abs=1e-5)


def test_look_up_takes_the_longest_then_the_earliest():
    ngram = NGram(4, prompt_lookup_max=3, prompt_lookup_min=1)
    assert ngram.look_up([1, 2, 3, 4, 9, 2, 3, 5, 2, 3], 4) == [4, 9, 2, 3]
    assert ngram.look_up([1, 2, 3, 4, 2, 3, 5, 1, 2, 3], 2) == [4, 2]
    assert ngram.look_up([7, 7, 7], 4) == [7], "a match may overlap the end"
    assert ngram.look_up([1, 2, 3], 4) == []
    assert NGram(4, 3, 2).look_up([1, 5, 1], 4) == [], "one token alone is no match here"


@pytest.mark.engine
@given(st.lists(st.integers(0, 3), max_size=30), st.integers(1, 4), st.integers(0, 3), st.integers(1, 5))
def test_look_up_is_vllm_s(tokens, shortest, more, k):
    vllm = pytest.importorskip("vllm.v1.spec_decode.ngram_proposer")
    theirs = vllm._find_longest_matched_ngram_and_propose_tokens(
        np.array(tokens, dtype=np.int32), shortest, shortest + more, 1000, k
    )
    assert NGram(k, shortest + more, shortest).look_up(tokens, k) == theirs.tolist()


@pytest.mark.parametrize("sizes", [(0, 3, 2), (4, 1, 2), (4, 3, 0)])
def test_an_n_gram_that_cannot_be(sizes):
    with pytest.raises(ServelabError, match="n-gram"):
        NGram(*sizes)


@pytest.mark.parametrize("wrong", [{"temperature": -1}, {"top_k": -1}, {"top_p": 0}, {"top_p": 1.5}])
def test_a_sampling_that_cannot_be(wrong):
    with pytest.raises(ServelabError, match="top_p"):
        Sampling(**wrong)


def test_a_draft_of_another_vocabulary_is_refused(llama, small):
    with pytest.raises(ServelabError, match="vocabulary"):
        Engine(llama, speculate=DraftModel(small))


def test_a_history_tells_every_draft_and_the_totals_agree(small):
    engine = Engine(small, num_blocks=200, block_size=4, speculate=NGram(3, prompt_lookup_max=2, prompt_lookup_min=1))
    engine.generate([[0, 1, 2, 3, 0, 1], [2, 2, 2, 2]], max_tokens=12, ignore_eos=True)
    accepted, drafted = history.drafts(engine.history)
    assert sum(drafted) == engine.totals.drafted > 0 and sum(accepted) == engine.totals.accepted
    assert all(a <= d <= 3 for a, d in zip(accepted, drafted, strict=True))
