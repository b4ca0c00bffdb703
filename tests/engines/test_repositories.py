"""Repositories are written and copied as asked; the text pipeline that the course ships does what its stages say."""

from __future__ import annotations

import numpy as np
import pytest

from servelab import model
from servelab.engines import process, triton, triton_install
from servelab.engines.repositories import SHIPPED, shipped, write
from servelab.errors import ServelabError

WHY = triton_install.obstacle()


def test_files_folders_and_a_second_writing(tmp_path):
    folder = write({"m/config.pbtxt": "a", "m/1/": ""}, tmp_path / "models")
    assert (folder / "m" / "1").is_dir() and (folder / "m" / "config.pbtxt").read_text() == "a"
    assert write({"m/config.pbtxt": "b"}, folder) == folder and (folder / "m" / "config.pbtxt").read_text() == "b"
    assert write({"x": "1"}) != write({"x": "1"})


def test_a_copy_has_its_values_and_leaves_the_original_alone(tmp_path):
    folder = shipped("text", tmp_path, model="/a/model")
    assert '"/a/model"' in (folder / "lm" / "config.pbtxt").read_text()
    (folder / "lm" / "config.pbtxt").write_text("mine")
    assert "@model@" in (SHIPPED / "text" / "lm" / "config.pbtxt").read_text()


def test_what_is_missing_is_told():
    with pytest.raises(ServelabError, match="ships no repository nothing; there is .*text"):
        shipped("nothing")
    with pytest.raises(ServelabError, match="text needs model"):
        shipped("text")


@pytest.fixture
def small(tmp_path):
    """A model of two random layers, with the tokenizer of the packaged one."""
    import shutil

    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    made = LlamaForCausalLM(LlamaConfig(vocab_size=49152, num_key_value_heads=1, **sizes)).eval()
    folder = tmp_path / "model"
    made.save_pretrained(folder)
    shutil.copy(model.prepare(progress=False) / "tokenizer.json", folder)
    return made, folder


@pytest.mark.timeout(180)
@pytest.mark.skipif(WHY is not None, reason=str(WHY))
def test_the_text_pipeline_is_the_model_s_own_tokens(small, tmp_path, monkeypatch):
    import torch

    made, folder = small
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("SERVELAB_HOME", str(tmp_path / "home"))
    repository = shipped("text", tmp_path / "models", model=folder)
    file = repository / "tokenise" / "1" / "model.py"
    write({"tokenise/2/model.py": file.read_text().replace("WINDOW = None", "WINDOW = 3")}, repository)
    config = repository / "tokenise" / "config.pbtxt"
    config.write_text(config.read_text() + "version_policy: { all: {} }\n")
    try:
        server = triton(repository, strict_model_config=True, progress=False)
        text = "The harbour at Sandvik had one quay. 港口"
        ids = server.infer("tokenise", {"TEXT": [text]}, version="1")["IDS"]
        assert server.infer("tokenise", {"TEXT": [text]})["IDS"].tolist() == ids[-3:].tolist()
        assert server.infer("detokenise", {"IDS": ids})["TEXT"].tolist() == [text]
        with torch.inference_mode():
            right = made(torch.tensor([ids.tolist()])).logits[0, -1].argmax().item()
        assert server.infer("lm", {"IDS": ids})["NEXT"].tolist() == [right]
        with pytest.raises(ServelabError, match="TEXT is empty"):
            server.infer("tokenise", {"TEXT": np.array([""])})
    finally:
        for one in process.states():
            process.stop(one["name"], force=True)
