"""`servelab calibrate`: measure an engine's steps and fit a model of their time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from servelab.i18n import _

if TYPE_CHECKING:
    from servelab.calibrate import Calibration


UNSURE = 0.1
"""A median error above this is said to be much."""


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""

    @app.command(help=_("Measure this machine and an engine's steps, and fit a model that predicts their time."))
    def calibrate(
        server: Annotated[
            str | None,
            typer.Argument(metavar="[NAME]", help=_("A name from `servelab ps`; without it, the tier's vLLM.")),
        ] = None,
        rounds: Annotated[int, typer.Option(min=1, help=_("How often each load runs."))] = 3,
        show: Annotated[bool, typer.Option(help=_("Show the kept calibration, measure nothing."))] = False,
    ) -> None:
        from servelab import calibrate as calibration
        from servelab.errors import ServelabError

        with _engine(server) as engine:
            if show:
                made = calibration.kept(engine)
                if made is None:
                    text = _("This engine has not been calibrated on this machine: run `servelab calibrate {name}`.")
                    raise ServelabError(text.format(name=engine.name))
            else:
                made = calibration.calibrate(engine, rounds)
            _report(made)


def _engine(name: str | None):
    """The running server of that name, or the tier's vLLM, started if need be."""
    from servelab.engines import running, vllm
    from servelab.errors import ServelabError

    if name is None:
        return vllm()
    for one in running():
        if one.name == name:
            return one
    raise ServelabError(_("No server named {name} is running: `servelab ps` lists those that are.").format(name=name))


def _report(made: Calibration) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(title=_("What a step costs"), title_justify="left")
    for column, justify in ((_("feature"), "left"), (_("price"), "right"), (_("paid for"), "left")):
        table.add_column(column, justify=justify)
    for name, paid_for in (
        ("fixed_s", _("a step")),
        ("decode_s", _("a sequence that decodes")),
        ("context_s", _("a cached token that it reads")),
        ("prefill_s", _("a prompt token")),
        ("chunk_s", _("a pair of a prompt's attention")),
        ("pieces_s", _("a prompt, or a piece of it")),
        ("request_s", _("a request, outside of its steps")),
    ):
        table.add_row(name.removesuffix("_s"), _duration(getattr(made, name)), paid_for)
    console.print(table)
    peaks, machine = made.about.get("peaks"), made.about.get("machine")
    if peaks:
        text = _("Machine: {flops:.0f} GFLOP/s matrix product, {bytes:.1f} GB/s reading.")
        console.print(
            text.format(flops=peaks["gemm_flops_per_s"] / 1e9, bytes=peaks["bandwidth_bytes_per_s"] / 1e9), style="dim"
        )
    if machine:
        text = _("Of it the engine gets: MFU {mfu:.0%}, MBU {mbu:.0%}, overlap {overlap:.0%}, t0 = {t0:.1f} ms a step.")
        console.print(text.format(**machine, t0=machine["t0_s"] * 1e3), style="dim")
    if made.held_out:
        text = _("Error on loads left out of the fit: median {median:.1%}, 95 % of them under {p95:.1%}.")
        console.print(text.format(median=made.held_out.median, p95=made.held_out.p95))
        if made.held_out.median > UNSURE:
            text = _(
                "That is much: other programs slowed some steps. Close them, and calibrate again with more --rounds."
            )
            console.print(text, style="yellow")


def _duration(seconds: float) -> str:
    """Seconds with three digits and the unit that fits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns" if seconds else "0"
