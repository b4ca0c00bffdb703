"""SLO figures agree with the vocabulary's own judgement."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servelab.figures import slo as figures
from servelab.load.metrics import SLO, Record, summarize
from servelab.theory.slo import SEED


def record(i, ttft=0.1, tpot=0.05, tokens=4, status="ok"):
    times = [ttft + k * tpot for k in range(tokens)]
    return Record(
        i, intended_s=0, sent_s=0, first_token_s=ttft, token_times_s=times, finished_s=times[-1],
        output_tokens=tokens, status=status,
    )  # fmt: skip


rows = st.lists(
    st.tuples(st.floats(0.01, 2), st.floats(0.01, 0.5), st.integers(1, 5), st.sampled_from(["ok", "cut"])), min_size=1
)


@settings(deadline=None)
@given(rows, st.floats(0.01, 2), st.floats(0.01, 0.5))
def test_met_judges_as_the_vocabulary_does(rows, ttft, tpot):
    records = [record(i, *row) for i, row in enumerate(rows)]
    slo = SLO(ttft_s=ttft, tpot_s=tpot)
    frame = pd.DataFrame([r.columns() for r in records])
    assert figures.met(frame, slo).tolist() == [slo.met(r) for r in records]
    summary = summarize(records, slo)
    now = figures.goodput(frame, summary.duration_s, slo, np.array([tpot])).data[1].y[0]
    assert now == pytest.approx(summary.goodput)


def test_plane_shows_every_request_once():
    frame = pd.DataFrame([record(i, ttft=0.1 * (i + 1)).columns() for i in range(5)])
    fig = figures.plane(frame, SLO(ttft_s=0.35, tpot_s=0.1))
    assert [len(t.x) for t in fig.data] == [3, 2]
    assert fig.layout.shapes[0].x1 == pytest.approx(350)


def test_implied_crosses_where_the_targets_agree():
    fig = figures.implied(SEED, np.array([10, 20, 100]), reached_tok_s=200)
    assert fig.data[0].y.tolist() == [1000, 2000, 10_000]
    assert (fig.data[2].x[0], fig.data[2].y[0]) == (20, 2000)
    assert set(fig.data[3].y) == {200}


def test_utilisation_is_in_percent():
    fig = figures.utilisation({"busy": {"one": 0.9, "eight": 0.95}, "MFU": {"one": 0.05, "eight": 0.3}})
    assert fig.data[0].y == pytest.approx((90, 5))
