"""Triton Inference Server as this machine has it: its files, the Python that its Python backend embeds, its folders.

The server is unpacked by `make setup` into `packages`, beside the course's environment, because it needs another numpy
than vLLM. Its Python backend runs every model in a stub, a program that embeds libpython and takes no PYTHONPATH. It
does heed a `pyvenv.cfg` beside the first `python3` on PATH; so `run` is such an environment, in which the model finds
the old numpy first, then all packages of the course, and text as UTF-8. A model needs no lines of its own for that.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.locks import locked

VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
SYSTEM_LIBRARIES = ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib")
PYTHONS = ("3.11", "3.12")  # the newest for which there is a numpy before 2
GLIBC = (2, 35)
STARTUP = """\
import locale
import sys

for name in ("C.UTF-8", "C.utf8", "en_US.UTF-8"):
    try:
        locale.setlocale(locale.LC_CTYPE, name)
        break
    except locale.Error:
        pass
for stream in (sys.stdout, sys.stderr):
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")
"""


@dataclass(frozen=True)
class Installed:
    """Where everything is: the program, its backends and caches, and the environment it must run in."""

    program: Path
    backends: Path
    caches: Path
    env: dict[str, str]


def root() -> Path:
    """The folder of everything of Triton's, inside the course's environment."""
    return Path(sys.prefix) / "triton"


def obstacle() -> str | None:
    """Why the server cannot run here, as one sentence; None where it can."""
    if platform.machine() != "x86_64":
        return _("Triton's package exists for x86_64 processors only: use such a machine, or NVIDIA's container.")
    libc, version = platform.libc_ver()
    if libc == "glibc" and tuple(map(int, version.split(".")[:2])) < GLIBC:
        text = _("Triton needs glibc {need} or later and this system has {have}: use a newer Linux, or the container.")
        return text.format(need=".".join(map(str, GLIBC)), have=version)
    if VERSION not in PYTHONS:
        text = _("Triton's Python backend needs Python {known} and the course runs on {have}: "
                 "`make lab PYTHON=python3.12` sets it up anew with one that fits.")  # fmt: skip
        return text.format(known=_(" or ").join(PYTHONS), have=VERSION)
    if not (root() / "packages" / "pytriton").exists():
        return _("Triton Inference Server is not installed: run `make setup`.")
    try:
        libpython()
    except ServelabError as error:
        return str(error)
    return None


def libpython(base: Path | None = None, system: tuple[str, ...] = SYSTEM_LIBRARIES) -> tuple[Path, Path]:
    """The shared library of Python to embed, and the interpreter of the same build.

    This Python's own where it has one, else the system's Python of the same version.

    Raises:
        ServelabError: there is none; what to install.
    """
    base = base or Path(sys.base_prefix)
    file = f"libpython{VERSION}.so.1.0"
    own = [base / "lib", base / "lib64"]
    if str(base) == sys.base_prefix:
        own.append(Path(sysconfig.get_config_var("LIBDIR") or base / "lib"))
    folders = [(folder, base / "bin" / f"python{VERSION}") for folder in own if base != Path("/usr")]
    folders += [(Path(folder), Path("/usr/bin") / f"python{VERSION}") for folder in system]
    for folder, interpreter in folders:
        if (folder / file).exists() and interpreter.exists():
            return folder / file, interpreter
    text = _(
        "Triton's Python backend embeds {file}, which this machine lacks: run `apt install libpython{v} python{v}`."
    )
    raise ServelabError(text.format(file=file, v=VERSION))


def make_ready() -> None:
    """Make what is missing, where the server can run; elsewhere nothing.

    For whoever later runs it where this folder cannot be written, as in a grader's sandbox.
    """
    if obstacle() is None:
        prepare()


def prepare() -> Installed:
    """Everything ready to run; what is missing is made.

    Raises:
        ServelabError: the server cannot run here, and why.
    """
    if why := obstacle():
        raise ServelabError(why)
    packages, made = root() / "packages", root() / "run"
    server = packages / "pytriton" / "tritonserver"
    library, interpreter = libpython()
    with locked("triton"):
        wanted = f"{library}\n{interpreter}\n{packages}\n{sys.prefix}\n{STARTUP}"
        stamp = made / "made-for.txt"
        if not stamp.exists() or stamp.read_text() != wanted:
            shutil.rmtree(made, ignore_errors=True)
            _make(made, server, library, interpreter, packages)
            stamp.write_text(wanted)
    libraries = f"{made / 'lib'}:{packages / 'nvidia_pytriton.libs'}"
    return Installed(
        program=server / "bin" / "tritonserver",
        backends=made / "backends",
        caches=server / "caches",
        env={"LD_LIBRARY_PATH": libraries, "PATH": f"{made / 'bin'}:{os.environ.get('PATH', os.defpath)}"},
    )


def _make(made: Path, server: Path, library: Path, interpreter: Path, packages: Path) -> None:
    """The backends folder, and an environment for the stub that `pyvenv.cfg` makes one."""
    python, site = made / "backends" / "python", made / "lib" / f"python{VERSION}" / "site-packages"
    site.mkdir(parents=True)
    (made / "bin").mkdir()
    shutil.copytree(server / "backends" / "python", python)
    shutil.copy2(server / "python_backend_stubs" / VERSION / "triton_python_backend_stub", python)
    (made / "lib" / library.name).symlink_to(library)
    for name in ("python", "python3", f"python{VERSION}"):
        (made / "bin" / name).symlink_to(interpreter)
    (made / "pyvenv.cfg").write_text(f"home = {interpreter.parent}\ninclude-system-site-packages = false\n")
    (site / "servelab_triton_startup.py").write_text(STARTUP)
    course = Path(sysconfig.get_path("purelib"))
    (site / "servelab_triton.pth").write_text(f"{packages}\n{course}\nimport servelab_triton_startup\n")
