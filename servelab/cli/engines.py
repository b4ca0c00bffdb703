"""`servelab doctor | serve | ps | stop | logs`: this machine, and the engines that run on it."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import shutil
import signal
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from servelab.errors import ServelabError
from servelab.i18n import _

FOLLOW_S = 0.3


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""

    @app.command(help=_("Show what this machine is, what it can do, and what each missing part would enable."))
    def doctor(
        fresh: Annotated[bool, typer.Option(help=_("Measure the peaks again."))] = False,
        quick: Annotated[bool, typer.Option(help=_("Leave the measurements out."))] = False,
    ) -> None:
        _doctor(fresh, quick)

    @app.command(
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        help=_(
            "Start a server and keep it till Ctrl-C: `serve vllm`, `serve triton REPOSITORY`. "
            "Unknown options go to the engine: --max-num-seqs 8, --load-model a."
        ),
    )
    def serve(
        context: typer.Context,
        engine: Annotated[str, typer.Argument(help=_("The engine: vllm or triton."))],
        like: Annotated[str, typer.Option(help=_("The preset: fast or defaults."))] = "fast",
        model: Annotated[str | None, typer.Option(help=_("A model of course.toml, or a model folder."))] = None,
        name: Annotated[str | None, typer.Option(help=_("The server's name."))] = None,
        port: Annotated[int | None, typer.Option(help=_("A port on 127.0.0.1; without it, a free one."))] = None,
        tier: Annotated[
            str | None, typer.Option(help=_("The tier, with --dry-run; without it, this machine's."))
        ] = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help=_("Show the launch, start nothing."))] = False,
    ) -> None:
        if engine == "triton":
            _triton(context.args, tier, dry_run, name=name, port=port)
            return
        if engine != "vllm":
            raise ServelabError(_("There is no engine {engine}; choose: vllm, triton.").format(engine=engine))
        flags = engine_flags(context.args)
        if dry_run:
            _dry_run(tier, like, model, flags)
            return
        if tier:
            raise ServelabError(_("--tier goes with --dry-run: a launch always takes this machine's own tier."))
        _serve(flags, like=like, model=model, name=name, port=port)

    @app.command(help=_("List the servers that run."))
    def ps() -> None:
        _ps()

    @app.command(help=_("Stop one server, or all."))
    def stop(
        name: Annotated[str | None, typer.Argument(help=_("Which server."))] = None,
        every: Annotated[bool, typer.Option("--all", help=_("Every server."))] = False,
        force: Annotated[bool, typer.Option(help=_("Also one that another program uses."))] = False,
    ) -> None:
        from servelab.engines import process

        if bool(name) == every:
            raise ServelabError(_("Name one server, or say --all; `servelab ps` lists them."))
        names = [one["name"] for one in process.states()] if every else [name]
        refused = []
        for one in names:
            try:
                process.stop(one, force=force)
                print(_("{name} is stopped.").format(name=one))
            except ServelabError as error:
                refused.append(str(error))
        if not names:
            print(_("No server runs."))
        if refused:
            raise ServelabError(" ".join(refused))

    @app.command(help=_("Show a server's log."))
    def logs(
        name: Annotated[str, typer.Argument(help=_("Which server, running or not."))],
        lines: Annotated[int, typer.Option("-n", "--lines", help=_("How many of the last lines."))] = 40,
        follow: Annotated[bool, typer.Option("-f", "--follow", help=_("Go on till the server ends."))] = False,
    ) -> None:
        _logs(name, lines, follow)


def engine_flags(words: list[str]) -> dict[str, Any]:
    """The engine's options from a command line: `--max-num-seqs 8 --enforce-eager` -> snake_case with values.

    Raises:
        ServelabError: a word that is neither an option nor an option's value.
    """
    flags: dict[str, Any] = {}
    flag = None
    for word in words:
        if word.startswith("--"):
            flag, given, value = word[2:].partition("=")
            flag = flag.replace("-", "_")
            if flag.startswith("no_") and not given:
                flags[flag.removeprefix("no_")] = False
                flag = None
                continue
            flags[flag] = _value(value) if given else True
            flag = None if given else flag
        elif flag is None:
            raise ServelabError(_("{word} is not an option: write engine flags as --flag value.").format(word=word))
        elif flags[flag] is True:
            flags[flag] = _value(word)
        else:
            flags[flag] = [*(flags[flag] if isinstance(flags[flag], list) else [flags[flag]]), _value(word)]
    return flags


def _value(word: str) -> Any:
    """Numbers and objects as themselves, so that the command and Python ask for one and the same server."""
    try:
        value = json.loads(word)
    except ValueError:
        return word
    return value if isinstance(value, (int, float, dict)) and not isinstance(value, bool) else word


def _triton(words: list[str], tier: str | None, dry_run: bool, **options: Any) -> None:
    from servelab import course, hardware
    from servelab.engines.triton import asked, launch, text_of, triton

    if not words or words[0].startswith("-"):
        raise ServelabError(_("Name the model repository: `servelab serve triton REPOSITORY`."))
    folder, flags = words[0], engine_flags(words[1:])
    flags["control"] = flags.pop("model_control_mode", None) or flags.pop("control", "none")
    flags["load"] = _several(flags.pop("load_model", None))
    if not dry_run:
        if tier:
            raise ServelabError(_("--tier goes with --dry-run: a launch always takes this machine's own tier."))
        _keep(lambda: triton(folder, **options, **flags), _("{name} serves {model} at {url}; Ctrl-C stops it."))
        return
    from pathlib import Path

    chosen = course.load().tier(tier) if tier else hardware.tier()
    using = flags.pop("using", None) or ("docker" if chosen.kind == "cuda" else "package")
    image = chosen.image or course.load().versions.triton_image
    given = asked(flags.pop("control"), flags.pop("load"), flags.pop("cache_bytes", None), flags)
    command, env = launch(Path(folder).expanduser().resolve(), using, given, name=options["name"], image=image)
    text = text_of(command, env)
    for port in ("port", "grpc_port", "metrics_port"):
        text = text.replace("{" + port + "}", str(options.get(port) or flags.get(port) or port.upper()))
    print(text)


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _serve(flags: dict[str, Any], **options: Any) -> None:
    from servelab.engines import vllm

    _keep(lambda: vllm(**options, **flags), _("{name} serves {model} at {url}/v1; Ctrl-C stops it."))


def _keep(start: Callable[[], Any], said: str) -> None:
    """Start a server and hold it until Ctrl-C, or until it ends."""
    from servelab.engines import process

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    for sign in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, end)
    os.environ["SERVELAB_OWNER"] = str(os.getpid())
    server = start()
    with process.stopping_at_end(server.name), contextlib.suppress(KeyboardInterrupt):
        model = server.model or server.model_path
        print(said.format(name=server.name, model=model, url=server.url), flush=True)
        while process.is_running(process.state(server.name)):
            time.sleep(FOLLOW_S)
        if process.state(server.name)["phase"] == "died":
            raise ServelabError(_("{name} ended by itself; see `servelab logs {name}`.").format(name=server.name))


def _dry_run(tier_id: str | None, like: str, model: str | None, flags: dict[str, Any]) -> None:
    from servelab import course, hardware
    from servelab.engines.vllm import check_flags, launch

    check_flags(flags)
    versions = course.load().versions
    tier = course.load().tier(tier_id) if tier_id else hardware.tier()
    plan = launch(tier, like=like, model=model, flags=flags)
    unmeasured = _("not measured yet")
    rows = {
        _("tier"): f"{tier.id} ({_text(tier.title)})",
        _("model"): f"{plan.served} ({plan.model.source}, {plan.model.licence})",
        _("dtype"): plan.dtype,
        _("context length"): _("{n} tokens").format(n=plan.max_model_len),
        _("requests at once"): flags.get("max_num_seqs") or tier.max_num_seqs if like == "fast" else _("vLLM's choice"),
        _("GPUs"): tier.gpus or "-",
        _("container image"): versions.vllm_image if tier.kind == "cuda" else "-",
        _("throughput"): measured(tier.id) or unmeasured,
    }
    console = Console(highlight=False, soft_wrap=True)
    for label, value in rows.items():
        console.print(f"[bold]{label}[/bold]: {value}")
    print(plan.text().replace("{port}", str(flags.get("port", "PORT"))))


def measured(tier_id: str) -> str | None:
    """The stamped throughput of the default launch on a tier, in words; None where nobody has measured it."""
    from servelab import records

    try:
        record = records.load("launch")
    except ServelabError:
        return None
    if record.get("tier") != tier_id:
        return None
    found = next((f for f in record["figures"] if f["name"] == "fast-32"), None)
    stamp = record["stamp"]
    return found and _("{value:.0f} {unit} at concurrency 32 ({cpu}, {date})").format(
        value=found["value"], unit=found["unit"], cpu=stamp["hardware"]["cpu"], date=stamp["date"][:10]
    )


def _text(text: Any) -> str:
    from servelab.i18n import language

    return str(getattr(text, language(), text))


def _ps() -> None:
    from servelab.engines import process

    table = Table()
    for column in (_("name"), _("state"), _("address"), _("pid"), _("memory"), _("up"), _("used by")):
        table.add_column(column)
    said = {"starting": _("starting"), "ready": _("ready"), "stopping": _("stopping")}
    found = process.states()
    for one in found:
        pids = sorted({user["pid"] for user in process.users(one)})
        table.add_row(
            one["name"],
            said[one["phase"]],
            one["url"].removeprefix("http://"),
            str((one["engine"] or {}).get("pid", "-")),
            f"{process.memory_bytes(one) / 2**30:.1f} GiB" if one["engine"] else "-",
            _("{minutes:.0f} min").format(minutes=(time.time() - one["started"]) / 60),
            ", ".join(map(str, pids)) or _("nobody (warm)"),
        )
    if found:
        Console().print(table)
    else:
        print(_("No server runs."))


def _logs(name: str, lines: int, follow: bool) -> None:
    from servelab.engines import process
    from servelab.engines.server import tail

    path = process.log_path(name)
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in process.folder().glob("*.log"))) or _("none")
        raise ServelabError(_("There is no log of {name}; there are: {known}.").format(name=name, known=known))
    print(tail(path, lines))
    if not follow:
        return
    with path.open(errors="replace") as log, contextlib.suppress(KeyboardInterrupt):
        log.seek(0, 2)
        while True:
            text = log.read()
            print(text, end="", flush=True)
            if not text and not process.is_running(process.state(name)):
                return
            time.sleep(FOLLOW_S)


def _doctor(fresh: bool, quick: bool) -> None:
    import psutil

    from servelab import hardware, records
    from servelab.engines import ports
    from servelab.paths import home

    hw, tier = hardware.probe(), hardware.tier()
    console = Console(highlight=False)
    peaks = None
    if not quick:
        with console.status(_("Measuring this machine, once")):
            peaks = hardware.measure(fresh)
    memory, disk = psutil.virtual_memory(), shutil.disk_usage(home())
    flags = [n for n in ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "asimd") if n in hw.flags]
    gib = 2**30
    facts = Table(title=_("This machine"), show_header=False, title_justify="left")
    rows = [
        (_("tier"), f"{tier.id}: {_text(tier.title)}"),
        (_("system"), f"{hw.system} {hw.machine}, Python {platform.python_version()}"),
        (_("processor"), _("{cpu}, {n} cores").format(cpu=records.cpu_name(), n=hw.cores)),
        (_("vector units"), ", ".join(flags) or _("none that vLLM needs")),
        (_("GPUs"), ", ".join(f"{g.name} {g.memory_bytes / gib:.0f} GiB" for g in hw.gpus) or _("none")),
        (
            _("memory"),
            _("{total:.1f} GiB, {free:.1f} free").format(total=memory.total / gib, free=memory.available / gib),
        ),
        (_("disk"), _("{free:.0f} GiB free under {home}").format(free=disk.free / gib, home=home())),
        (_("a free port"), str(ports.free_port())),
    ]
    if peaks:
        rows += [
            (_("matrix product"), _("{x:.0f} GFLOP/s, float32").format(x=peaks.gemm_flops_per_s / 1e9)),
            (_("memory bandwidth"), _("{x:.1f} GB/s, reading").format(x=peaks.bandwidth_bytes_per_s / 1e9)),
            (_("measured"), peaks.date),
        ]
    if tier.kind == "cuda" and not quick:
        rows.append((_("GPU, measured"), _card_peaks(tier.dtype)))
    for label, value in rows:
        facts.add_row(label, value)
    console.print(facts)
    installed = Table(title=_("Installed"), show_header=False, title_justify="left")
    for name, version in {**records.versions(), "servelab": importlib.metadata.version("servelab")}.items():
        installed.add_row(name, version)
    console.print(installed)
    parts = Table(title=_("Parts of the course that need something more"), title_justify="left")
    for column in (_("part"), _("here"), _("what it enables")):
        parts.add_column(column)
    for name, there, what in optional_parts(hw):
        parts.add_row(name, f"[green]{_('yes')}[/green]" if there else _("no"), what)
    console.print(parts)


def _card_peaks(dtype: str) -> str:
    """What one card of this machine reaches, in words; the reason where it cannot be measured."""
    from servelab.engines import peaks

    try:
        top = peaks.measure("cuda", dtype)
    except ServelabError as error:
        return str(error)
    return _("{x:.0f} TFLOP/s, {dtype}; {y:.0f} GB/s, reading").format(
        x=top.gemm_flops_per_s / 1e12, dtype=dtype, y=top.bandwidth_bytes_per_s / 1e9
    )


def optional_parts(hw: Any) -> list[tuple[str, bool, str]]:
    """What a machine may lack: (name, whether it is here, what it enables)."""
    try:
        hw.require_avx2()
        can_run = True
    except ServelabError:
        can_run = False
    browser = any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    return [
        ("vLLM", _installed("vllm"), _("every measurement on a real engine")),
        ("AVX2", can_run, _("vLLM on the processor")),
        ("AVX-512", hw.avx512, _("wider vectors: vLLM's faster CPU kernels")),
        ("NVIDIA GPU", bool(hw.gpus), _("the GPU tiers: models from 1.5B on, half-precision kernels")),
        ("C++ compiler", bool(shutil.which("g++") or shutil.which("clang++")), _("`--like defaults`: torch.compile")),
        ("nginx", _program("nginx"), _("2.3 and lab vllm 2.4: replicas behind NGINX itself")),
        ("redis-server", _program("redis-server"), _("labs vllm 2.3 and 2.4: sessions and rate limits")),
        ("prometheus", _program("prometheus"), _("4.4 and lab vllm 2.5: metrics over time, alerts")),
        ("bubblewrap", _program("bwrap"), _("grading: submissions run in a sandbox")),
        ("chromium", browser, _("the tests that open JupyterLab in a browser")),
        ("docker", _program("docker"), _("the container images of the GPU tiers")),
    ]


def _program(name: str) -> bool:
    # Servers of the system often stand where an ordinary user's PATH does not look.
    return shutil.which(name) is not None or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin") is not None


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
