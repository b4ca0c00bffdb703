"""Triton Inference Server (not the kernel language) as a server: from the package, or in NVIDIA's container.

The same repository of models runs in both. All three of its addresses, HTTP, gRPC and metrics, are on 127.0.0.1.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from servelab import course, hardware
from servelab.engines import keeper, process, triton_install
from servelab.engines.metrics import Metrics
from servelab.engines.server import KINDS, Server
from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.paths import home
from servelab.progress import Progress

if TYPE_CHECKING:
    import httpx
    import numpy as np
    import pandas as pd

Control = Literal["none", "explicit", "poll"]
CONTROLS = ("none", "explicit", "poll")
EXIT_TIMEOUT_S = 5
NEED_BYTES = 2**29
MOUNT = "/models"
SHARED_MEMORY = Path("/dev/shm")


class TritonServer(Server):
    """A running Triton. Its `url` is the HTTP address; `grpc_url` and `metrics_url` are the other two.

    Attributes:
        repository: the folder of its models.
        using: `package` or `docker`.
        speaks: the protocol by which `servelab.load` knows it.
    """

    speaks = "triton"

    def __init__(self, state: process.State, token: str | None = None, reused: bool = True) -> None:
        super().__init__(state, token, reused)
        self.repository = Path(self.config["repository"])
        self.using: str = self.config["using"]
        self.grpc_url = f"127.0.0.1:{state['more_ports']['grpc_port']}"
        self.metrics_url = f"http://127.0.0.1:{state['more_ports']['metrics_port']}/metrics"

    def ready(self, model: str | None = None, version: str = "") -> bool:
        """Whether it is ready: all of it, or one model. `health()` says only that it lives."""
        path = f"/v2{_model_path(model, version) if model else '/health'}/ready"
        return self._is_mine() and self._http.get(self.url + path).status_code == 200

    def metrics(self) -> Metrics:
        """Its metrics, read now.

        Raises:
            ServelabError: it is gone, or was started without metrics.
        """
        import httpx

        self._require()
        try:
            return Metrics(self._http.get(self.metrics_url).raise_for_status().text)
        except httpx.HTTPError:
            raise ServelabError(_("The server {name} tells no metrics.").format(name=self.name)) from None

    def memory_bytes(self) -> int:
        """Memory of the server and its models now, in bytes; a model's process comes and goes with it."""
        import psutil

        self._require()
        with contextlib.suppress(psutil.Error):
            tree = [keeper.mark(child.pid) for child in psutil.Process(self.pid).children(recursive=True)]
            return process.memory_bytes({**process.state(self.name), "tree": tree})
        return super().memory_bytes()

    def models(self) -> pd.DataFrame:
        """The models of its repository: `name`, `version`, `state`, and `reason`, one sentence, where one failed."""
        import pandas as pd

        rows = self._post("/v2/repository/index").json()
        told = [{key: row.get(key, "") for key in ("name", "version", "state", "reason")} for row in rows]
        for row in told:
            row["reason"] = cause(row["reason"])
        return pd.DataFrame(told, columns=["name", "version", "state", "reason"])

    def load(self, model: str, config: Mapping[str, Any] | None = None) -> None:
        """Load a model, or load it anew; `config` replaces its config.pbtxt. Needs `control="explicit"`.

        Raises:
            ServelabError: it cannot be loaded: Triton's own cause in one sentence.
        """
        _require_files(self.repository, model)
        body = {"parameters": {"config": json.dumps(config)}} if config else {}
        self._repository("load", model, body)

    def unload(self, model: str, dependents: bool = False) -> None:
        """Unload a model, and with `dependents` those it is made of. Needs `control="explicit"`."""
        self._repository("unload", model, {"parameters": {"unload_dependents": dependents}})

    def config_of(self, model: str) -> dict[str, Any]:
        """A model's configuration as Triton completed it."""
        return self._get(f"/v2{_model_path(model)}/config").json()

    def serving(self) -> list[str]:
        """Names of the models that answer now: also of those that came with a load and lie in no folder."""
        return sorted({one["name"] for one in self._get("/v2/models/stats").json()["model_stats"]})

    def statistics(self, model: str, version: str = "") -> dict[str, Any]:
        """Triton's own statistics of a model, of the given or its first version."""
        return self._get(f"/v2{_model_path(model, version)}/stats").json()["model_stats"][0]

    def infer(
        self, model: str, inputs: Mapping[str, Any], version: str = "", parameters: Mapping[str, Any] | None = None
    ) -> dict[str, np.ndarray]:
        """One inference over HTTP: {name: array} in, {name: array} out. Texts are arrays of `str` or `bytes`.

        Raises:
            ServelabError: Triton refuses it, or the model failed: its own sentence.
        """
        body: dict[str, Any] = {"inputs": [tensor(name, value) for name, value in inputs.items()]}
        if parameters:
            body["parameters"] = dict(parameters)
        return arrays(self._post(f"/v2{_model_path(model, version)}/infer", body).json())

    def generate(self, prompt: str, max_tokens: int = 64, temperature: float = 0.0, **options: Any) -> str:
        """The answer of a model with `text_input` and `text_output`, as NVIDIA's vLLM backend has them."""
        model = options.pop("model", None) or self.model
        body = {"text_input": prompt, "max_tokens": max_tokens, "temperature": temperature, "stream": False, **options}
        return self._post(f"/v2{_model_path(model)}/generate", body).json()["text_output"]

    def client(self) -> Any:
        """A gRPC client, `tritonclient.grpc.InferenceServerClient`."""
        import tritonclient.grpc

        self._require()
        return tritonclient.grpc.InferenceServerClient(self.grpc_url)

    @cached_property
    def _http(self) -> httpx.Client:
        """A connection a request: Triton waits at its end for every connection that is still open."""
        import httpx

        alone = httpx.Limits(max_keepalive_connections=0)
        return httpx.Client(trust_env=False, timeout=httpx.Timeout(600, connect=5), limits=alone)

    def _post(self, path: str, body: Any = None) -> Any:
        return self._get(path, json=body or {})

    def _repository(self, what: str, model: str, body: dict[str, Any]) -> None:
        self._require()
        answer = self._http.post(f"{self.url}/v2/repository/models/{model}/{what}", json=body)
        if answer.is_error:
            text = _("Triton did not {what} {model}: {cause}.")
            said = answer.json().get("error", answer.text)
            raise ServelabError(text.format(what=what, model=model, cause=_load_cause(self.log_path, model, said)))


KINDS["triton"] = TritonServer


def _model_path(model: str | None, version: str = "") -> str:
    if not model:
        raise ServelabError(_("This repository has several models: name one."))
    return f"/models/{model}" + (f"/versions/{version}" if version else "")


def _load_cause(log: Path, model: str, said: str) -> str:
    """What a refused load says is often only 'failed to load'; the log has the reason."""
    told = cause(said)
    if "failed to load" in told and "failed to poll" not in told.lower():
        lines = log.read_text(errors="replace").splitlines()[-200:]
        found = [reason for line in reversed(lines) if (reason := _failed_model(line)) and reason[0] == model]
        return cause(found[0][1]) if found else told
    return told


DATATYPES = {
    "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64", "int8": "INT8",
    "int16": "INT16", "int32": "INT32", "int64": "INT64", "float16": "FP16", "float32": "FP32", "float64": "FP64",
}  # fmt: skip


def tensor(name: str, value: Any) -> dict[str, Any]:
    """An array as a tensor of the KServe protocol's JSON; everything that is not a number is BYTES."""
    import numpy as np

    array = np.asarray(value)
    kind = DATATYPES.get(array.dtype.name, "BYTES")
    data = array.ravel().tolist()
    if kind == "BYTES":
        data = [one.decode() if isinstance(one, bytes) else str(one) for one in data]
    return {"name": name, "shape": list(array.shape), "datatype": kind, "data": data}


def arrays(answer: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The tensors of an answer in JSON; BYTES become objects of type `str`."""
    import numpy as np

    types = {datatype: name for name, datatype in DATATYPES.items()}
    return {
        out["name"]: np.array(out["data"], dtype=types.get(out["datatype"], object)).reshape(out["shape"])
        for out in answer["outputs"]
    }


def triton(
    repository: str | Path,
    *,
    control: Control = "none",
    load: Sequence[str] = (),
    cache_bytes: int | None = None,
    using: Literal["package", "docker"] | None = None,
    need_bytes: int = NEED_BYTES,
    name: str | None = None,
    port: int | None = None,
    grpc_port: int | None = None,
    metrics_port: int | None = None,
    progress: bool = True,
    **flags: Any,
) -> TritonServer:
    """A running, ready Triton over this repository; the one that runs with this configuration already, if any.

    Args:
        repository: a folder with one folder a model.
        control: `none` loads all models once, and a repository whose files changed is another server; `explicit` loads
            and unloads on request; `poll` looks at the files.
        load: with `explicit`, what to load at the start.
        cache_bytes: size of the response cache; models ask for it in their config.
        using: `package`, or `docker` for NVIDIA's container; without it the container where there is an NVIDIA GPU
            and Docker.
        need_bytes: memory it will take with its models.
        name, progress: as for `vllm`; `port` (HTTP), `grpc_port` and `metrics_port` on 127.0.0.1, else free ones.
        flags: tritonserver's own flags in Python's spelling: `rate_limit="execution_count"`,
            `trace_config=["level=TIMESTAMPS", "rate=1"]`, `exit_on_error=False`; a list repeats the flag.

    Raises:
        ServelabError: in one sentence: no such folder, a port taken, a server this machine cannot have, or Triton's
            own reason not to load a model.
    """
    folder = Path(repository).expanduser().resolve()
    models = _models(folder)
    using = using or ("docker" if hardware.tier().kind == "cuda" and shutil.which("docker") else "package")
    given = asked(control, load, cache_bytes, flags)
    command, env = launch(folder, using, given, name=name)
    for model in models if control != "explicit" or "*" in load else load:
        _require_files(folder, model)
    config = {"repository": str(folder), "using": using, "flags": given}
    if control == "none":
        config["files"] = fingerprint(folder)
    spec = process.Spec(
        engine="triton",
        title="Triton",
        config=config,
        command=command,
        env=env,
        facts={"model": models[0] if len(models) == 1 else None, "model_path": str(folder)},
        need_bytes=need_bytes,
        port=port,
        more_ports={"grpc_port": grpc_port, "metrics_port": metrics_port},
        name=name,
        ready_path="/v2/health/live",
        grace_s=float(given["exit_timeout_secs"]) + 3,
        explain=explain,
        stages=[("loading: ", _("loading models")), ("Started GRPCInferenceService", _("opening the ports"))],
    )
    _clear_shared_memory()
    with Progress(progress) as line:
        state, token, reused = process.start(spec, line)
        server = TritonServer(state, token, reused)
        told = {"name": server.name, "url": server.url, "seconds": server.ready_seconds}
        if reused:
            line.done(_("Triton runs already: {name} at {url}").format(**told))
        else:
            line.done(_("Triton is ready: {name} at {url}, {seconds:.1f} s").format(**told))
    return server


def _models(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise ServelabError(_("There is no model repository {folder}.").format(folder=folder))
    found = sorted(one.name for one in folder.iterdir() if one.is_dir() and not one.name.startswith("."))
    if not found:
        raise ServelabError(
            _("The model repository {folder} is empty: it needs a folder a model.").format(folder=folder)
        )
    return found


def _require_files(repository: Path, model: str) -> None:
    """Raises ServelabError where a model has no version, or a version of a Python model lacks its file.

    Triton 24.10 would not tell the first and wait for ever for the second.
    """
    if not (repository / model).is_dir():
        raise ServelabError(_("The repository {folder} has no model {model}.").format(folder=repository, model=model))
    config = repository / model / "config.pbtxt"
    if not any(one.name.isdigit() and one.is_dir() for one in (repository / model).iterdir()):
        text = _("The model {model} cannot be loaded: it has no version, which is a folder with a number for its name.")
        raise ServelabError(text.format(model=model))
    text = config.read_text(errors="replace") if config.is_file() else ""
    if not re.search(r"""^\s*backend\s*:\s*["']python["']""", text, re.M):
        return
    named = re.search(r"""^\s*default_model_filename\s*:\s*["']([^"']+)["']""", text, re.M)
    file = named[1] if named else "model.py"
    for version in (repository / model).iterdir():
        if version.name.isdigit() and version.is_dir() and not (version / file).exists():
            text = _("The model {model} cannot be loaded: version {version} has no {file}.")
            raise ServelabError(text.format(model=model, version=version.name, file=file))


def asked(control: str, load: Sequence[str], cache_bytes: int | None, flags: Mapping[str, Any]) -> dict[str, Any]:
    """tritonserver's flags of a launch, without addresses."""
    if control not in CONTROLS:
        text = _("There is no control mode {mode}: choose one of {modes}.")
        raise ServelabError(text.format(mode=control, modes=", ".join(CONTROLS)))
    if load and control != "explicit":
        raise ServelabError(_('`load` goes with control="explicit": the other modes load every model.'))
    given: dict[str, Any] = {"model_control_mode": control, "exit_timeout_secs": EXIT_TIMEOUT_S}
    if load:
        given["load_model"] = list(load)
    if cache_bytes is not None:
        given["cache_config"] = f"local,size={cache_bytes}"
    return given | dict(flags)


def fingerprint(folder: Path) -> str:
    """A digest of the repository's files: names, sizes, times of change; what Python compiled is left out."""
    rows = [
        (str(file.relative_to(folder)), file.stat().st_size, file.stat().st_mtime_ns)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:12]


def arguments(flags: Mapping[str, Any]) -> list[str]:
    """tritonserver's flags as words: `True` is `=true`, a list repeats the flag, `None` leaves it out."""
    words = []
    for key, value in flags.items():
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if one is not None:
                said = str(one).lower() if isinstance(one, bool) else str(one)
                words.append(f"--{key.replace('_', '-')}={said}")
    return words


def launch(
    folder: Path, using: str, flags: Mapping[str, Any], name: str | None = None, image: str | None = None
) -> tuple[list[str], dict[str, str]]:
    """Command (with its ports to fill in) and environment, from the package or as a container.

    The container's limits are those that NVIDIA's guide to the vLLM backend gives; folders outside the repository
    that its language models name are mounted where they are, to be read only.
    """
    addresses = {
        "http_address": "127.0.0.1", "http_port": "{port}", "grpc_address": "127.0.0.1", "grpc_port": "{grpc_port}",
        "metrics_address": "127.0.0.1", "metrics_port": "{metrics_port}",
    }  # fmt: skip
    if using == "docker":
        image = image or hardware.tier().image or course.load().versions.triton_image
        label = name or "triton-{port}"
        box = ["docker", "run", "--rm", "--init", "--name", f"servelab-{label}", "--network", "host", "--gpus", "all",
               "--shm-size=1g", "--ulimit", "memlock=-1", "--ulimit", "stack=67108864",
               "--volume", f"{folder}:{MOUNT}"]  # fmt: skip
        box += [word for one in outside(folder) for word in ("--volume", f"{one}:{one}:ro")]
        words = arguments({"model_repository": MOUNT, **addresses, **flags})
        return [*box, image, "tritonserver", *words], {}
    here = triton_install.prepare()
    own = {
        "model_repository": folder,
        "backend_directory": here.backends,
        "cache_directory": here.caches,
        "backend_config": [
            f"python,shm-region-prefix-name={_prefix()}" + "{port}-",
            *_listed(flags.get("backend_config")),
        ],
    }
    others = {key: value for key, value in flags.items() if key != "backend_config"}
    return [str(here.program), *arguments({**own, **addresses, **others})], here.env


def outside(repository: Path) -> list[Path]:
    """Folders of this machine that the language models of a repository name: their weights and their adapters."""
    told: list[Any] = []
    for file in sorted(repository.glob("*/*/*.json")):
        with contextlib.suppress(ValueError):
            said = json.loads(file.read_text(encoding="utf-8"))
            if isinstance(said, dict) and file.name == "model.json":
                told += [said.get("model"), said.get("tokenizer")]
            elif isinstance(said, dict) and file.name == "multi_lora.json":
                told += said.values()
    return sorted({Path(one) for one in told if isinstance(one, str) and Path(one).is_absolute()})


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [] if value is None else [value]


def text_of(command: Sequence[str], env: Mapping[str, str]) -> str:
    """A launch as one would type it."""
    shown = {key: value.replace(os.environ.get("PATH", "\0"), "$PATH") for key, value in env.items()}
    return " ".join([*(f"{key}={value}" for key, value in shown.items()), shlex.join(command)])


def _prefix() -> str:
    """Of the stubs' shared memory: this home's, so that what a killed server left is known as ours."""
    return f"servelab-{hashlib.sha256(str(home().resolve()).encode()).hexdigest()[:6]}-"


def _clear_shared_memory() -> None:
    """Remove what servers of this home that were killed have left in shared memory."""
    alive = {f"{_prefix()}{one['port']}-" for one in process.states()}
    for file in SHARED_MEMORY.glob(f"{_prefix()}*"):
        if not any(file.name.startswith(prefix) for prefix in alive):
            file.unlink(missing_ok=True)


# Reasons


def _failed_model(line: str) -> tuple[str, str] | None:
    found = re.search(r"failed to load '(?P<model>[^']+)' version (?P<version>\d+): (?P<why>.+?)\"?$", line)
    return (found["model"], found["why"]) if found else None


def cause(said: str) -> str:
    """Triton's words as one sentence's part: its kind of error and the stack are left out, the line is kept."""
    said = re.sub(r"^load failed for model '[^']+': version \d+ is at UNAVAILABLE state: ", "", said)
    text = said.replace("\\n", "\n").replace('\\"', '"').strip().strip('"')
    first = re.sub(r"^(?:Internal|Invalid argument|Not found|Unavailable|Unsupported|Already exists)(?: -|:) ", "",
                   text.split("\n")[0])  # fmt: skip
    frames = re.findall(r"^\s+(\S+\.py)\((\d+)\): ", text, re.M)
    if frames and not first.startswith("Stub"):
        first = _("{what} ({file}, line {line})").format(
            what=first.rstrip(".; "), file="/".join(Path(frames[0][0]).parts[-3:]), line=frames[0][1]
        )
    return first.rstrip(".; ")


def explain(log: str) -> str | None:
    """Triton's own reason for not starting, as part of a sentence; None where the log tells none."""
    if found := re.search(r"Socket '([^']+)' already in use", log):
        return _("its address {address} was taken by another program").format(address=found[1])
    if found := re.search(r"Error parsing text-format inference\.ModelConfig: (\d+):(\d+): (.+)\n(?:.*\n)*?"
                          r".*model directory '([^']+)': failed to read text proto", log):  # fmt: skip
        text = _("the config.pbtxt of the model {model} is wrong in line {line}: {what}")
        return text.format(model=found[4], line=found[1], what=found[3].rstrip(". "))
    for line in log.splitlines():
        if failed := _failed_model(line):
            return _("the model {model} cannot be loaded: {cause}").format(model=failed[0], cause=cause(failed[1]))
    for sign in (r"Poll failed for model directory '(?P<model>[^']+)': (?P<why>.+?)\"?$",
                 r"failed to load '(?P<model>[^']+)': (?P<why>.+?)\"?$"):  # fmt: skip
        if found := re.search(sign, log, re.M):
            return _("the model {model} cannot be loaded: {cause}").format(
                model=found["model"], cause=cause(found["why"])
            )
    if found := re.search(r"unrecognized option '(--[^']+)'", log):
        return _("it does not know the option {option}").format(option=found[1].partition("=")[0])
    if found := re.search(r"error while loading shared libraries: (.+)", log):
        return found[1]
    if found := re.search(r"^(?:error: )?creating server: (?:\w+ - )?(.+)$", log, re.M):
        return found[1]
    return None
