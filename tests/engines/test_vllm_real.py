"""Real vLLM: few starts, many questions. Each start is the slowest thing on a small machine."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import openai
import psutil
import pytest

from servelab import model
from servelab.engines import process, running, vllm
from servelab.errors import ServelabError
from tests.conftest import marked

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]
FLAGS = {"max_num_seqs": 8, "block_size": 32, "max_model_len": 1024}
LONG = {"max_tokens": 900, "ignore_eos": True}


def family(name: str) -> list[psutil.Process]:
    """Every process of a running server, found from its keeper: a worker that sets its title hides its environment."""
    return psutil.Process(process.state(name)["keeper"]["pid"]).children(recursive=True)


def gone(processes: list[psutil.Process]) -> bool:
    """True when none of them runs any more."""
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def until(condition, seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not condition():
        time.sleep(0.1)
    return condition()


@pytest.fixture(scope="module")
def home(engine_home):
    return engine_home


@pytest.fixture(autouse=True)
def _use(home, monkeypatch):
    monkeypatch.setenv("SERVELAB_HOME", str(home))


@pytest.fixture(scope="module")
def server(home):
    with vllm(**FLAGS, progress=False) as started:
        yield started


def test_answers(server):
    assert "Paris" in server.generate("The capital of France is", max_tokens=8)
    chat = server.client().chat.completions.create(
        model=server.model, messages=[{"role": "user", "content": "Say hello."}], max_tokens=8, stream=True
    )
    assert "".join(part.choices[0].delta.content or "" for part in chat).strip()
    assert [one.name for one in running()] == [server.name]
    assert server.memory_bytes() > 2**30
    assert "Starting vLLM server" in server.logs(2000)


def test_structured_output(server):
    schema = {
        "type": "object",
        "properties": {"age": {"type": "integer", "minimum": 0, "maximum": 150}},
        "required": ["age"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    said = server.client().chat.completions.create(
        model=server.model,
        messages=[{"role": "user", "content": "A person's age, as JSON"}],
        max_tokens=40,
        temperature=0,
        response_format=form,
    )
    assert isinstance(json.loads(said.choices[0].message.content)["age"], int)
    number = server.generate("Call me at ", max_tokens=12, structured_outputs={"regex": "[0-9]{3}-[0-9]{4}"})
    assert re.fullmatch(r"\d{3}-\d{4}", number)


def test_metrics_and_kv_cache(server):
    cache = server.kv_cache
    assert cache.block_size == 32
    told = int(re.search(r"KV cache size: ([\d,]+) tokens", server.log_path.read_text()).group(1).replace(",", ""))
    assert cache.tokens == told
    before = server.metrics().value("vllm:generation_tokens_total")
    with server.watch("vllm:kv_cache_usage_perc", "vllm:num_requests_running", every=0.05) as watch:
        server.generate("Once upon a time", max_tokens=100, ignore_eos=True)
    assert until(lambda: server.metrics().value("vllm:generation_tokens_total") - before == 100)
    frame = watch.frame()
    assert watch.failed == 0 and frame["vllm:num_requests_running"].max() == 1
    assert 3 / cache.num_blocks <= frame["vllm:kv_cache_usage_perc"].max() <= 6 / cache.num_blocks


def test_the_same_configuration_is_reused_also_by_another_program(server, home):
    again = vllm(**FLAGS, progress=False)
    assert again.reused and again.pid == server.pid
    again.release()
    code = f"from servelab.engines import vllm; s = vllm(**{FLAGS!r}, progress=False); print(s.pid, s.reused)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert said == [str(server.pid), "True"]
    assert server.health()


def test_a_prompt_too_long_is_refused_in_the_engine_s_words(server):
    with pytest.raises(ServelabError, match=r"refused the request \(400\): .*maximum context length is 1024 tokens"):
        server.generate("word " * 2000)
    with pytest.raises(openai.BadRequestError, match="maximum context length"):
        server.client().completions.create(model=server.model, prompt="word " * 2000)
    with pytest.raises(ServelabError, match=r"\(404\)"):
        server.generate("x", model="another")
    assert server.health()


def test_the_vllm_command_works():
    script = Path(sys.executable).with_name("vllm")
    said = subprocess.run([str(script), "--version"], capture_output=True, text=True, timeout=300, check=True).stdout
    assert "cpu" in said


def test_a_length_the_model_was_not_made_for(home):
    with pytest.raises(ServelabError) as caught:
        vllm(**{**FLAGS, "max_model_len": 100_000}, progress=False)
    assert "max_model_len=100000 is more than the 8192 tokens the model was made for" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_kv_cache_too_small(home):
    with pytest.raises(ServelabError) as caught:
        vllm(**FLAGS, num_gpu_blocks_override=8, progress=False)
    assert "KV cache" in str(caught.value) and "max_model_len" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_folder_is_told_before_the_engine_starts(home, tmp_path):
    for file in model.folder("smollm2-135m").iterdir():
        if file.suffix != ".safetensors" and file.name != model.MANIFEST:
            (tmp_path / file.name).symlink_to(file)
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(ServelabError, match="model.safetensors is damaged"):
        vllm(model=tmp_path, progress=False)


def test_a_killed_engine_is_noticed(server):
    """The last one on this server: SIGKILL of the process that computes, while the API server lives on."""
    everything = family(server.name)
    computing = [p for p in everything if "EngineCore" in " ".join(p.cmdline())]
    assert len(computing) == 1 and len(everything) >= 2
    computing[0].kill()
    assert until(lambda: not server.health() and gone(everything))
    with pytest.raises(ServelabError, match="is gone.*run the cell"):
        server.generate("x")


def test_sigkill_of_the_owner_with_a_request_in_flight_leaves_no_orphan(home):
    code = f"""
import threading
from servelab.engines import vllm
server = vllm(**{FLAGS!r}, progress=False)
threading.Thread(target=lambda: server.generate("Count:", **{LONG!r}), daemon=True).start()
print(server.name, flush=True)
threading.Event().wait()
"""
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    everything = family(owner.stdout.readline().strip())
    assert len(everything) >= 2
    owner.kill()
    owner.wait()
    assert until(lambda: gone(everything))
    assert not running() and not marked(home)


def test_serve_in_a_terminal_ends_with_ctrl_c_also_with_a_request_in_flight(home):
    script = [sys.executable, "-c", "from servelab.cli import main; main()", "serve", "vllm"]
    words = ["--max-num-seqs", "8", "--block-size", "32", "--max-model-len", "1024"]
    terminal = subprocess.Popen([*script, *words], stdout=subprocess.PIPE, text=True)
    assert "Ctrl-C stops it" in terminal.stdout.readline()
    server = running()[0]
    everything = family(server.name)
    joined = vllm(**FLAGS, progress=False)
    assert joined.reused, "the command and Python ask for one and the same server"
    joined.release()

    def ask():
        with contextlib.suppress(ServelabError):
            server.generate("Count:", **LONG)

    asking = threading.Thread(target=ask)
    asking.start()
    assert until(lambda: server.metrics().value("vllm:num_requests_running") == 1)
    terminal.send_signal(signal.SIGINT)
    assert terminal.wait(60) == 0
    asking.join(60)
    assert not running() and until(lambda: gone(everything))


def test_a_killed_keeper_leaves_nothing_after_the_next_look(home):
    server = vllm(**FLAGS, progress=False)
    everything = family(server.name)
    assert len(everything) >= 2 and until(lambda: len(process.state(server.name)["tree"]) >= 2)
    psutil.Process(process.state(server.name)["keeper"]["pid"]).kill()
    assert until(lambda: not running() and gone(everything))
