"""`servelab load`: drive a server and print the report."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from servelab.i18n import _

if TYPE_CHECKING:
    from servelab.engines import Server
    from servelab.load import SLO, Result


class UsageMode(StrEnum):
    """When the server tells its token counts."""

    each = "each"
    end = "end"


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""

    @app.command(help=_("Drive a server and print what it did: latencies, throughput, goodput."))
    def load(
        server: Annotated[str, typer.Argument(metavar="URL|NAME", help=_("An address, or a name from `servelab ps`."))],
        requests: Annotated[
            int | None, typer.Option("-n", "--requests", help=_("How many requests (default 32)."))
        ] = None,
        prompt_tokens: Annotated[int, typer.Option(help=_("Prompt length, tokens."))] = 128,
        output_tokens: Annotated[int, typer.Option(help=_("Output length, tokens."))] = 64,
        spread: Annotated[float, typer.Option(help=_("Coefficient of variation of both lengths (0: exact)."))] = 0.0,
        shared_prefix: Annotated[int, typer.Option(help=_("Tokens common to all prompts."))] = 0,
        seed: Annotated[int, typer.Option(help=_("Of prompts, lengths and arrivals."))] = 0,
        concurrency: Annotated[
            int | None, typer.Option("-c", "--concurrency", help=_("Closed loop of so many users; with --rate, a cap."))
        ] = None,
        rate: Annotated[float | None, typer.Option(help=_("Open loop: requests per second."))] = None,
        cv: Annotated[
            float, typer.Option(help=_("Burstiness of --rate: 1 Poisson, more is burstier, 0 a metronome."))
        ] = 1.0,
        trace: Annotated[str | None, typer.Option(help=_("Replay a trace file, or `course`."))] = None,
        time_scale: Annotated[float, typer.Option(help=_("Multiplies a trace's times."))] = 1.0,
        length_scale: Annotated[float, typer.Option(help=_("Multiplies a trace's lengths."))] = 1.0,
        requests_file: Annotated[
            Path | None, typer.Option(help=_("Requests as JSON lines: prompt, output_tokens, arrival_s."))
        ] = None,
        slo_ttft: Annotated[float | None, typer.Option(help=_("Bound on TTFT, seconds."))] = None,
        slo_tpot: Annotated[float | None, typer.Option(help=_("Bound on TPOT, seconds."))] = None,
        slo_e2e: Annotated[float | None, typer.Option(help=_("Bound on E2E, seconds."))] = None,
        timeout: Annotated[float, typer.Option(help=_("Seconds a request may take."))] = 600,
        usage: Annotated[
            UsageMode, typer.Option(help=_("Token counts with each chunk (vLLM), or at the end."))
        ] = "each",
        model: Annotated[
            str | None, typer.Option(help=_("The model's name, where the server does not tell it."))
        ] = None,
        api_key: Annotated[
            str | None, typer.Option(envvar="SERVELAB_API_KEY", help=_("Sent as a bearer token."))
        ] = None,
        save: Annotated[Path | None, typer.Option(help=_("Keep the records as JSON lines."))] = None,
        html: Annotated[Path | None, typer.Option(help=_("Write the report with its figures."))] = None,
    ) -> None:
        from rich.console import Console

        from servelab import load as loads
        from servelab.load import traces, workload

        length = (lambda tokens: (tokens, spread)) if spread else (lambda tokens: tokens)
        arrivals = None
        if requests_file:
            asked = workload.read(requests_file)[:requests]
        elif trace:
            path = traces.COURSE if trace == "course" else trace
            asked = traces.trace(path, requests, time_scale, length_scale, seed=seed)
            arrivals = loads.replay(asked) if rate is None else None
        else:
            n = 32 if requests is None else requests
            asked = loads.synthetic(n, length(prompt_tokens), length(output_tokens), seed, shared_prefix)
        if rate is not None:
            arrivals = {0: lambda: loads.constant(rate), 1: lambda: loads.poisson(rate, seed)}.get(
                cv, lambda: loads.gamma(rate, cv, seed)
            )()
        result = loads.drive(
            _server(server),
            asked,
            arrivals=arrivals,
            concurrency=concurrency,
            timeout_s=timeout,
            usage=usage.value,
            model=model,
            api_key=api_key,
        )
        slo = loads.SLO(slo_ttft, slo_tpot, slo_e2e)
        Console().print(result.report(slo))
        if failed := [r for r in result.records if not r.ok]:
            Console(stderr=True).print(f"{failed[0].status}: {failed[0].error}", markup=False)
        if save:
            result.save(save)
        if html:
            _page(result, slo, html)
        if len(failed) == len(result):
            raise typer.Exit(1)


def _server(server: str) -> str | Server:
    """An address as it is; a name is looked up among the running servers, which know what they speak."""
    if "://" in server or ":" in server:
        return server
    from servelab.engines import running
    from servelab.errors import ServelabError

    for one in running():
        if one.name == server:
            return one
    raise ServelabError(_("No server named {name} is running: `servelab ps` lists those that are.").format(name=server))


def _page(result: Result, slo: SLO, path: Path) -> None:
    """The report and its figures as one HTML file that needs no network."""
    import io

    import plotly.io as pio
    from rich.console import Console

    from servelab.figures import load as figures

    console = Console(record=True, width=120, file=io.StringIO())
    console.print(result.report(slo))
    drawn = [
        figures.timeline(result),
        figures.distribution(result, "ttft_s", slo),
        figures.distribution(result, "itl_s"),
        figures.histogram(result, "e2e_s", slo),
        figures.over_time(result),
    ]
    parts = [pio.to_html(f, full_html=False, include_plotlyjs=i == 0) for i, f in enumerate(drawn)]
    head = '<meta charset="utf-8"><body style="max-width:60rem;margin:2rem auto;font-family:system-ui,sans-serif">'
    table = console.export_html(inline_styles=True, code_format="<pre>{code}</pre>")
    path.write_text(f"<!doctype html>{head}{table}{''.join(parts)}</body>")
