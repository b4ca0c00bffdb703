"""What is read out of a server's metrics text."""

import pytest

from servelab.engines.metrics import Metrics, accepted_by_position
from servelab.errors import ServelabError


def reading(drafts: int, *accepted: int) -> Metrics:
    lines = [f'vllm:spec_decode_num_drafts_total{{engine="0"}} {drafts}']
    lines += [
        f'vllm:spec_decode_num_accepted_tokens_per_pos_total{{engine="0",position="{i}"}} {n}'
        for i, n in enumerate(accepted)
    ]
    return Metrics("\n".join(lines) + "\n")


def test_acceptance_by_position_is_over_drafts():
    assert accepted_by_position(reading(10, 8, 4, 1)) == [0.8, 0.4, 0.1]


def test_acceptance_since_an_earlier_reading():
    assert accepted_by_position(reading(30, 18, 6), reading(10, 8, 4)) == [0.5, 0.1]


def test_a_server_that_drafted_nothing_is_told():
    with pytest.raises(ServelabError, match="drafted nothing"):
        accepted_by_position(reading(10, 8), reading(10, 8))
    with pytest.raises(ServelabError, match="no metric vllm:spec_decode"):
        accepted_by_position(Metrics("up 1\n"))
