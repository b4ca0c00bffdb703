"""The SLO explorer: a looser bound never loses a request, and a load without tokens is refused in words."""

import pandas as pd
import pytest

from servelab.errors import ServelabError
from servelab.widgets.slo import slo

FRAME = pd.DataFrame(
    {"status": ["ok"] * 4 + ["cut"], "ttft_s": [0.1, 0.2, 0.4, 0.8, None], "tpot_s": [0.05, 0.2, 0.06, None, None]}
)


def test_begins_at_the_medians_and_judges_all_requests():
    explorer = slo(FRAME, duration_s=10)
    assert explorer.values == {"ttft_ms": 200, "tpot_ms": 60}
    assert "1 of 5 requests" in explorer.caption()


def test_looser_bounds_never_lose_a_request():
    explorer = slo(FRAME, duration_s=10)
    counts = [len(explorer.figures(ttft_ms=t, tpot_ms=200)[0].data[0].x) for t in (50, 150, 250, 401)]
    assert counts == sorted(counts) == [0, 1, 2, 3]


def test_nothing_to_judge_is_said():
    with pytest.raises(ServelabError, match="two tokens"):
        slo(FRAME.assign(tpot_s=float("nan")), duration_s=10)
