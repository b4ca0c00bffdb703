"""Real Triton with small Python models: it starts in a second, so most tests have a server of their own."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from servelab.engines import TritonServer, process, running, triton, triton_install
from servelab.engines.repositories import write as write_files
from servelab.engines.triton import launch
from servelab.errors import ServelabError
from servelab.load import drive, texts
from servelab.load.triton import Generate, Infer, Stream

WHY = triton_install.obstacle()
pytestmark = [pytest.mark.timeout(120), pytest.mark.skipif(WHY is not None, reason=str(WHY))]

CONFIG = """backend: "python"
max_batch_size: 8
input [ { name: "X" data_type: TYPE_FP32 dims: [ 3 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 3 ] } ]
instance_group [ { kind: KIND_CPU } ]
"""
MODEL = """import os
import time
import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            x = pb.get_input_tensor_by_name(request, "X").as_numpy()
            if x[0, 0] == -1:
                raise ValueError("minus one is not for me")
            if x[0, 0] == -2:
                os._exit(7)
            if x[0, 0] == -3:
                time.sleep(60)
            if x[0, 0] == -4:
                time.sleep(2)
            answers.append(pb.InferenceResponse([pb.Tensor("Y", x * FACTOR)]))
        return answers
"""
TEXT_CONFIG = """backend: "python"
max_batch_size: 0
model_transaction_policy { decoupled: true }
input [
  { name: "text_input" data_type: TYPE_STRING dims: [ 1 ] },
  { name: "stream" data_type: TYPE_BOOL dims: [ 1 ] optional: true },
  { name: "sampling_parameters" data_type: TYPE_STRING dims: [ 1 ] optional: true },
  { name: "exclude_input_in_output" data_type: TYPE_BOOL dims: [ 1 ] optional: true }
]
output [ { name: "text_output" data_type: TYPE_STRING dims: [ -1 ] } ]
instance_group [ { kind: KIND_CPU } ]
"""
TEXT_MODEL = """import json
import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            wanted = json.loads(pb.get_input_tensor_by_name(request, "sampling_parameters").as_numpy()[0])
            said = pb.get_input_tensor_by_name(request, "text_input").as_numpy()[0].decode()
            if said == "fail":
                sender.send(pb.InferenceResponse(error=pb.TritonError("cannot say that")))
            else:
                for i in range(wanted["max_tokens"]):
                    text = np.array([f" 字{i}".encode()], object)
                    sender.send(pb.InferenceResponse([pb.Tensor("text_output", text)]))
            sender.send(flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""
ONES = np.ones((1, 3), np.float32)


def write(repository: Path, name: str, config: str = CONFIG, model: str | None = MODEL, factor: int = 2) -> Path:
    folder = repository / name
    (folder / "1").mkdir(parents=True, exist_ok=True)
    (folder / "config.pbtxt").write_text(config)
    if model is not None:
        (folder / "1" / "model.py").write_text(model.replace("FACTOR", str(factor)))
    return repository


def until(condition, seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not condition():
        time.sleep(0.05)
    return condition()


def family(name: str) -> list[psutil.Process]:
    engine = psutil.Process(process.state(name)["engine"]["pid"])
    return [engine, *engine.children(recursive=True)]


def asking(x: float) -> np.ndarray:
    return np.full((1, 3), x, np.float32)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("SERVELAB_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    for one in process.states():
        process.stop(one["name"], force=True)


@pytest.fixture
def repository(tmp_path):
    return write(tmp_path / "models", "double")


def test_made_ready_there_is_nothing_left_to_write(tmp_path, monkeypatch):
    (tmp_path / "packages").symlink_to(triton_install.root() / "packages")
    monkeypatch.setattr(triton_install, "root", lambda: tmp_path)
    triton_install.make_ready()
    assert (tmp_path / "run" / "backends" / "python" / "triton_python_backend_stub").exists()
    monkeypatch.setattr(triton_install, "_make", lambda *args: pytest.fail("made a second time"))
    triton_install.prepare()


def test_where_it_cannot_run_nothing_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(triton_install, "root", lambda: tmp_path / "triton")
    triton_install.make_ready()
    assert not (tmp_path / "triton").exists()


def test_it_starts_answers_is_reused_and_stops(repository):
    server = triton(repository, progress=False)
    assert server.health() and server.ready() and server.ready("double") and not server.ready("other")
    assert server.model == "double" and server.using == "package"
    answer = server.infer("double", {"X": ONES})
    assert answer["Y"].dtype == np.float32 and answer["Y"].tolist() == [[2, 2, 2]]
    assert server.metrics().value("nv_inference_request_success", model="double") == 1
    again = triton(repository, progress=False)
    assert again.reused and again.pid == server.pid
    everything = family(server.name)
    assert len(everything) == 2
    listening = {c.laddr for p in everything for c in p.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    assert {address.removeprefix("::ffff:") for address, _port in listening} == {"127.0.0.1"}
    assert len({port for _address, port in listening}) == 3
    again.release()
    server.stop()
    assert not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in everything)
    with pytest.raises(ServelabError, match="was stopped"):
        server.infer("double", {"X": ONES})


def test_a_changed_repository_is_another_server(repository):
    first = triton(repository, progress=False)
    write(repository, "double", factor=5)
    second = triton(repository, progress=False)
    assert not second.reused and second.name != first.name
    assert second.infer("double", {"X": ONES})["Y"][0, 0] == 5


def test_models_are_loaded_reloaded_and_unloaded_on_request(repository):
    write(repository, "triple", factor=3)
    server = triton(repository, control="explicit", load=["double"], progress=False)
    state = server.models().set_index("name")["state"]
    assert state["double"] == "READY" and state["triple"] != "READY"
    alone = server.memory_bytes()
    server.load("triple")
    assert server.memory_bytes() > alone + 2e6, "a model's process counts as soon as it is there"
    assert server.infer("triple", {"X": ONES})["Y"][0, 0] == 3
    write(repository, "triple", factor=30)
    server.load("triple")
    assert server.infer("triple", {"X": ONES})["Y"][0, 0] == 30
    write(repository, "triple", model="x = 1")
    with pytest.raises(ServelabError, match=r"did not load triple: AttributeError: .*TritonPythonModel"):
        server.load("triple")
    assert server.infer("triple", {"X": ONES})["Y"][0, 0] == 30, "the old one goes on"
    server.unload("triple")
    assert until(lambda: not server.ready("triple"))
    with pytest.raises(ServelabError, match="triple"):
        server.infer("triple", {"X": ONES})
    with pytest.raises(ServelabError, match="no model quadruple"):
        server.load("quadruple")
    assert triton(repository, control="explicit", load=["double"], progress=False).reused, "files are its own matter"


def test_a_model_loaded_with_its_files_is_listed_among_those_that_serve(repository):
    server = triton(repository, control="explicit", load=["double"], progress=False)
    code = base64.b64encode(MODEL.replace("FACTOR", "7").encode()).decode()
    config = {"backend": "python", "max_batch_size": 8, "instance_group": [{"kind": "KIND_CPU"}]}
    for side, name in (("input", "X"), ("output", "Y")):
        config[side] = [{"name": name, "data_type": "TYPE_FP32", "dims": [3]}]
    body = {"parameters": {"config": json.dumps(config), "file:1/model.py": code}}
    httpx.post(f"{server.url}/v2/repository/models/trial/load", json=body, timeout=60).raise_for_status()
    assert server.infer("trial", {"X": ONES})["Y"][0, 0] == 7
    assert server.serving() == ["double", "trial"]
    assert "trial" not in set(server.models()["name"]), "the index lists what lies in the repository"
    server.unload("trial")
    assert until(lambda: server.serving() == ["double"])


@pytest.mark.parametrize(
    ("config", "model", "told"),
    [
        (CONFIG.replace('"python"', '"python'), MODEL, r"config\.pbtxt of the model bad is wrong in line 1"),
        (CONFIG.replace("TYPE_FP32", "TYPE_FLOAT"), MODEL, "wrong in line 3: Unknown enumeration"),
        (CONFIG.replace('"python"', '"nope"'), MODEL, "unable to find backend library for backend 'nope'"),
        ('name: "other"\n' + CONFIG, MODEL, "directory name must equal model name"),
        (CONFIG.replace("KIND_CPU", "KIND_GPU"), MODEL, "no GPUs are available"),
        (CONFIG, None, r"version 1 has no model\.py"),
        (CONFIG, "def f(:", r"SyntaxError: invalid syntax \(model\.py, line 1\)"),
        (CONFIG, "import nothing_here", r"No module named 'nothing_here' \(bad/1/model\.py, line 1\)"),
        (CONFIG, "class TritonPythonModel:\n    def initialize(self, args):\n        raise ValueError('no weights')\n"
                 "    def execute(self, requests):\n        return []", r"no weights \(bad/1/model\.py, line 3\)"),
        (CONFIG, "import os\nclass TritonPythonModel:\n    def initialize(self, args):\n        os._exit(3)",
         "bad cannot be loaded: .*not healthy"),
    ],
    ids=["syntax", "type", "backend", "name", "gpu", "no file", "python", "import", "raises", "dies"],
)  # fmt: skip
def test_a_model_that_cannot_be_loaded_is_told_in_triton_s_words(tmp_path, config, model, told):
    if "KIND_GPU" in config and psutil.os.path.exists("/dev/nvidia0"):
        pytest.skip("this machine has a GPU")
    with pytest.raises(ServelabError, match=told) as caught:
        triton(write(tmp_path / "models", "bad", config, model), progress=False)
    assert "\n" not in str(caught.value) and not running()


def test_a_folder_without_models_versions_or_at_all(tmp_path):
    with pytest.raises(ServelabError, match="no model repository"):
        triton(tmp_path / "nowhere", progress=False)
    (tmp_path / "models").mkdir()
    with pytest.raises(ServelabError, match="is empty"):
        triton(tmp_path / "models", progress=False)
    (tmp_path / "models" / "m").mkdir()
    with pytest.raises(ServelabError, match="m cannot be loaded: it has no version"):
        triton(tmp_path / "models", progress=False)


def test_with_exit_on_error_false_the_others_serve_and_the_reason_is_listed(repository):
    write(repository, "bad", model="import nothing_here")
    server = triton(repository, exit_on_error=False, progress=False)
    assert server.health() and not server.ready()
    table = server.models().set_index("name")
    assert table.loc["double", "state"] == "READY" and "nothing_here" in table.loc["bad", "reason"]
    assert "\n" not in table.loc["bad", "reason"]


def test_wrong_names_shapes_types_and_a_crashing_model(repository):
    server = triton(repository, progress=False)
    wrong = {
        "unexpected inference input 'Z'": {"Z": ONES},
        "unexpected shape for input 'X'": {"X": np.ones((1, 4), np.float32)},
        "data-type is 'INT32', but model 'double' expects 'FP32'": {"X": np.ones((1, 3), np.int32)},
        "batch-size must be <= 8": {"X": np.ones((9, 3), np.float32)},
        "minus one is not for me": {"X": asking(-1)},
    }
    for told, inputs in wrong.items():
        with pytest.raises(ServelabError) as caught:
            server.infer("double", inputs)
        assert told in str(caught.value)
    with pytest.raises(ServelabError, match="unknown model"):
        server.infer("another", {"X": ONES})
    assert server.infer("double", {"X": ONES})["Y"][0, 0] == 2


def test_a_stub_that_dies_is_told_and_does_not_take_the_server_along(repository):
    write(repository, "triple", factor=3)
    server = triton(repository, control="explicit", load=["double", "triple"], progress=False)
    with pytest.raises(ServelabError, match="[Ss]tub process"):
        server.infer("double", {"X": asking(-2)})
    assert server.health() and server.infer("triple", {"X": ONES})["Y"][0, 0] == 3
    server.unload("double")
    assert until(lambda: not server.ready("double"))
    server.load("double")
    assert server.infer("double", {"X": ONES})["Y"][0, 0] == 2


@pytest.mark.parametrize("which", ["port", "grpc_port", "metrics_port"])
def test_a_port_that_is_taken_is_told(repository, which):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServelabError, match=f"Port {port} is taken by another program"):
            triton(repository, progress=False, **{which: port})


def test_stop_lets_a_short_request_end_and_does_not_wait_for_a_long_one(repository):
    server = triton(repository, exit_timeout_secs=4, progress=False)
    answers = []

    def ask(x):
        with contextlib.suppress(ServelabError):
            answers.append(server.infer("double", {"X": asking(x)})["Y"][0, 0])

    short = threading.Thread(target=ask, args=(-4,))
    short.start()
    assert until(lambda: server.metrics().value("nv_inference_pending_request_count") == 0 and short.is_alive())
    time.sleep(0.5)
    server.stop()
    short.join(30)
    assert answers == [-8]
    server = triton(repository, exit_timeout_secs=1, progress=False)
    everything = family(server.name)
    long = threading.Thread(target=ask, args=(-3,))
    long.start()
    time.sleep(0.5)
    server.stop()
    long.join(30)
    assert answers == [-8] and not running()
    assert not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in everything)


def test_a_dead_owner_leaves_neither_processes_nor_shared_memory(repository, home):
    code = (f"from servelab.engines import triton; s = triton({str(repository)!r}, progress=False); "
            "print(s.name, flush=True); import time; time.sleep(600)")  # fmt: skip
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    everything = family(owner.stdout.readline().strip())
    owner.kill()
    owner.wait()
    assert until(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in everything))
    server = triton(repository, progress=False)
    prefix = server.command[[w.startswith("--backend-config") for w in server.command].index(True)].split("=")[-1]
    assert list(Path("/dev/shm").glob(f"{prefix}*"))
    os.kill(process.state(server.name)["keeper"]["pid"], signal.SIGKILL)
    assert until(lambda: not running())
    triton(repository, progress=False).stop()
    assert not list(Path("/dev/shm").glob(f"{prefix}*"))


def test_options_reach_triton(repository, tmp_path):
    config = CONFIG + "response_cache { enable: true }\n"
    write(repository, "double", config)
    trace = tmp_path / "trace.json"
    options = {"rate_limit": "execution_count", "metrics_config": "summary_latencies=true"}
    traced = [f"triton,file={trace}", "level=TIMESTAMPS", "rate=1"]
    server = triton(repository, cache_bytes=2**20, trace_config=traced, progress=False, **options)
    for _again in range(3):
        server.infer("double", {"X": ONES})
    assert server.metrics().value("nv_cache_num_hits_per_model", model="double") == 2
    assert server.config_of("double")["response_cache"]["enable"]
    assert server.statistics("double")["inference_stats"]["cache_hit"]["count"] == 2
    server.stop()
    assert "REQUEST_START" in trace.read_text()
    with pytest.raises(ServelabError, match="does not know the option --no-such-flag|no-such-flag"):
        triton(repository, no_such_flag=1, progress=False)
    with pytest.raises(ServelabError, match="choose one of none, explicit, poll"):
        triton(repository, control="magic", progress=False)


def test_a_load_over_http_grpc_and_infer_gives_the_records_of_any_engine(repository):
    write(repository, "talk", TEXT_CONFIG, TEXT_MODEL)
    server = triton(repository, progress=False)
    asked = texts(["你好", "fail", "again"], 4)
    for endpoint in (Generate("talk"), Stream("talk", address=server.grpc_url)):
        result = drive(server, asked, concurrency=2, endpoint=endpoint, progress=False)
        assert [r.status for r in result.records] == ["ok", "refused", "ok"], result.records
        good, bad = result.records[:2]
        assert good.text == " 字0 字1 字2 字3" and good.output_tokens == 4 and good.token_check == "unknown"
        assert good.sent_s <= good.first_token_s <= good.last_token_s <= good.finished_s
        assert "cannot say that" in bad.error
        assert result.summary().completed == 2
    endpoint = Infer("double", lambda request: {"X": ONES})
    result = drive(server, texts(["a"] * 8, 1), concurrency=4, endpoint=endpoint, progress=False)
    assert all(r.ok and "2.0" in r.text and r.ttft_s == r.e2e_s for r in result.records)
    server.stop()
    with pytest.raises(ServelabError, match="Nothing answers"):
        drive(server.url, asked, endpoint=Stream("talk", address=server.grpc_url), progress=False)


def test_by_its_name_a_load_finds_the_protocol_it_speaks(repository):
    write(repository.parent / "talking", "talk", TEXT_CONFIG, TEXT_MODEL)
    server = triton(repository.parent / "talking", progress=False)
    (found,) = running()
    assert isinstance(found, TritonServer) and found.grpc_url == server.grpc_url
    script = [sys.executable, "-c", "from servelab.cli import main; main()", "load", server.name]
    words = ["-n", "3", "--output-tokens", "4", "--prompt-tokens", "5"]
    done = subprocess.run([*script, *words], capture_output=True, text=True)
    assert done.returncode == 0 and "3 of 3 requests" in done.stdout, done.stderr
    write(repository.parent / "talking", "double")
    several = triton(repository.parent / "talking", progress=False)
    with pytest.raises(ServelabError, match="several models: name one"):
        drive(several, texts(["a"], 1), progress=False)
    assert drive(several, texts(["a"], 2), model="talk", progress=False).records[0].output_tokens == 2


def test_a_container_sees_the_weights_and_adapters_that_lie_outside_the_repository(tmp_path):
    weights, adapter = tmp_path / "weights", tmp_path / "adapter"
    models = write_files(
        {
            "lm/config.pbtxt": "",
            "lm/1/model.json": json.dumps({"model": str(weights), "tokenizer": "hub/name", "max_num_seqs": 8}),
            "lm/1/multi_lora.json": json.dumps({"story": str(adapter)}),
            "broken/1/model.json": "{",
        },
        tmp_path / "models",
    )
    command, env = launch(models, "docker", {"model_control_mode": "none"}, name="x", image="some/image:tag")
    volumes = [command[n + 1] for n, word in enumerate(command) if word == "--volume"]
    assert volumes == [f"{models}:/models", f"{adapter}:{adapter}:ro", f"{weights}:{weights}:ro"] and env == {}
    assert command[:3] == ["docker", "run", "--rm"] and command[command.index("some/image:tag") + 1] == "tritonserver"
    assert "--model-repository=/models" in command and "--http-address=127.0.0.1" in command


def test_the_command_serves_until_ctrl_c_and_shows_both_launches(repository, home):
    script = [sys.executable, "-c", "from servelab.cli import main; main()", "serve", "triton"]
    terminal = subprocess.Popen([*script, str(repository)], stdout=subprocess.PIPE, text=True)
    assert "Ctrl-C stops it" in terminal.stdout.readline()
    assert [one.name.split("-")[0] for one in running()] == ["triton"]
    terminal.send_signal(signal.SIGINT)
    assert terminal.wait(60) == 0 and not running()
    words = [*script, str(repository), "--dry-run", "--load-model", "double", "--model-control-mode", "explicit"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "--model-control-mode=explicit" in said and "--load-model=double" in said and "tritonserver " in said
    said = subprocess.run([*words, "--tier", "rtx4090"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("docker run") and "nvcr.io/nvidia/tritonserver:" in said and f"{repository}:/models" in said
    said = subprocess.run(script, capture_output=True, text=True)
    assert said.returncode == 1 and "Name the model repository" in said.stderr
