"""vLLM inside Triton: tokens stream through generate_stream, with the tensors of NVIDIA's backend."""

from __future__ import annotations

import json
import sys

import pytest

from servelab import model
from servelab.engines import process, triton, triton_install
from servelab.engines.repositories import shipped
from servelab.errors import ServelabError
from servelab.load import drive, texts
from servelab.load.triton import Generate

WHY = triton_install.obstacle()
pytestmark = [pytest.mark.engine, pytest.mark.timeout(300), pytest.mark.skipif(WHY is not None, reason=str(WHY))]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    options = {
        "model": str(model.prepare(progress=False)), "dtype": "float32", "max_model_len": 512, "enforce_eager": True,
        "max_num_seqs": 8, "environment": {"VLLM_CPU_KVCACHE_SPACE": 1, "HF_HUB_OFFLINE": 1, "VLLM_NO_USAGE_STATS": 1},
    }  # fmt: skip
    folder = shipped("vllm", tmp_path_factory.mktemp("models"), engine=json.dumps(options), python=sys.executable)
    started = triton(folder, progress=False, need_bytes=3 * 2**30)
    yield started
    process.stop(started.name, force=True)


def test_tokens_stream_one_by_one_and_are_counted(server):
    endpoint = Generate("vllm_model", counts=True)
    result = drive(
        server, texts(["The capital of France is"] * 4, 12), concurrency=4, endpoint=endpoint, progress=False
    )
    assert [record.status for record in result.records] == ["ok"] * 4
    for record in result.records:
        assert record.output_tokens == 12 and record.token_check == "ok" and record.finish_reason == "length"
        assert record.prompt_tokens == 5 and "Paris" in record.text
        assert len(set(record.token_times_s)) > 1, "tokens come as they are made, not all at the end"


def test_the_whole_answer_at_once_is_the_same_text(server):
    whole = server.generate("The capital of France is", max_tokens=12)
    assert whole.startswith("The capital of France is Paris")
    alone = server.generate("The capital of France is", max_tokens=12, exclude_input_in_output=True)
    assert whole == "The capital of France is" + alone


def test_wrong_sampling_parameters_are_told_and_harm_nobody_else(server):
    wrong = {"text_input": "a", "sampling_parameters": json.dumps({"temperature": -3})}
    with pytest.raises(ServelabError, match="temperature"):
        server._post("/v2/models/vllm_model/generate", wrong)
    assert server.ready("vllm_model")
