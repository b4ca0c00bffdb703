"""What stands in model.json is the launch of `vllm serve`, without what only its API server needs."""

from pathlib import Path

import pytest

from servelab import course
from servelab.engines.inside import model_json
from servelab.errors import ServelabError


@pytest.fixture
def tier():
    return course.load().tiers[0]


def test_flags_become_engine_arguments_of_their_types(tier):
    got = model_json(Path("/m"), tier, max_num_seqs=8, enable_lora=True, enable_prefix_caching=False, api_key="k")
    assert got["model"] == "/m" and got["max_num_seqs"] == 8 and got["enable_lora"] is True
    assert got["enable_prefix_caching"] is False and got["max_model_len"] == tier.max_model_len
    assert got["dtype"] == "float32" and got["enforce_eager"] is True and got["environment"]["HF_HUB_OFFLINE"] == "1"


def test_what_belongs_to_the_api_server_is_left_out(tier):
    got = model_json(Path("/m"), tier, lora_modules=["a=/b"], served_model_name="x")
    assert not {"host", "port", "served_model_name", "lora_modules", "api_key"} & set(got)


def test_a_flag_that_vllm_lacks_is_told(tier):
    with pytest.raises(ServelabError, match="max_num_seqs"):
        model_json(Path("/m"), tier, max_num_seq=8)
