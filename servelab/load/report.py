"""The result of a load: records, frames, summary, a table to read, and a file to keep."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich import box
from rich.table import Table

from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.load.metrics import SLO, Percentiles, Record, Summary, gaps, summarize, vocabulary

FORMAT = "servelab-load-1"
LATENCIES = ("ttft_s", "ttft_sent_s", "tpot_s", "itl_s", "e2e_s", "e2e_sent_s", "client_queue_s")


@dataclass
class Result:
    """Everything a load left behind. `about`: address, model, load, started_unix_s, client_cpu_s."""

    records: list[Record]
    about: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        ok = sum(r.ok for r in self.records)
        return f"<Result: {ok} of {len(self)} requests answered, {self.about.get('load', '')}>"

    def frame(self) -> pd.DataFrame:
        """One row a request: the vocabulary's columns (seconds), token counts, status, in the order of their ids."""
        return pd.DataFrame([r.columns() for r in self.records], columns=list(Record(0, 0.0).columns()))

    def itl(self) -> pd.DataFrame:
        """One row a gap between reads that brought tokens: id, t_s (its end, after the load's start), itl_s."""
        parts = [
            pd.DataFrame({"id": r.id, "t_s": np.unique(r.token_times_s)[1:], "itl_s": gaps(r)})
            for r in self.records
            if len(set(r.token_times_s)) > 1
        ]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["id", "t_s", "itl_s"])

    def timeline(self, every_s: float = 1.0) -> pd.DataFrame:
        """The load over time, one row an interval: t_s (its start), tokens_per_s, in_flight and waiting (means).

        `in_flight` are requests sent and not finished, `waiting` those of them without a first token.
        """
        ends = [r.finished_s for r in self.records if not math.isnan(r.finished_s)]
        edges = np.arange(0, max(ends, default=0) + every_s, every_s)
        tokens = np.concatenate([r.token_times_s for r in self.records] or [[]])

        def mean_overlap(spans: list[tuple[float, float]]) -> np.ndarray:
            total = np.zeros(len(edges) - 1)
            for start, end in spans:
                total += np.clip(np.minimum(end, edges[1:]) - np.maximum(start, edges[:-1]), 0, None)
            return total / every_s

        sent = [r for r in self.records if not math.isnan(r.sent_s)]
        return pd.DataFrame(
            {
                "t_s": edges[:-1],
                "tokens_per_s": np.histogram(tokens, edges)[0] / every_s,
                "in_flight": mean_overlap([(r.sent_s, r.finished_s) for r in sent]),
                "waiting": mean_overlap(
                    [(r.sent_s, r.finished_s if math.isnan(r.first_token_s) else r.first_token_s) for r in sent]
                ),
            }
        )

    def summary(self, slo: SLO | None = None) -> Summary:
        """Rates and percentiles with their confidence intervals; goodput and attainment under `slo`."""
        return summarize(self.records, slo)

    def report(self, slo: SLO | None = None) -> Table:
        """The summary as a table that shows itself in a notebook and prints with rich in a terminal."""
        return table(self.summary(slo), self.about)

    def save(self, path: str | Path) -> Path:
        """Write JSON lines: a header, then one record a line (times to the microsecond)."""
        lines = [{"format": FORMAT, **self.about}] + [_rounded(asdict(r)) for r in self.records]
        path = Path(path)
        path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
        return path

    @classmethod
    def load(cls, path: str | Path) -> Result:
        """Read what `save` wrote.

        Raises:
            ServelabError: there is no such file, or it is not a saved load.
        """
        try:
            lines = [json.loads(line) for line in Path(path).read_text().splitlines() if line.strip()]
            about = lines[0]
            if about.pop("format") != FORMAT:
                raise KeyError("format")
            records = [Record(**{k: math.nan if v is None else v for k, v in line.items()}) for line in lines[1:]]
        except FileNotFoundError:
            raise ServelabError(_("There is no file {path}.").format(path=path)) from None
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            raise ServelabError(
                _("{path} is not a saved load: save one with `result.save(path)` or `servelab load --save`.").format(
                    path=path
                )
            ) from None
        return cls(records, about)


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    def one(value: Any) -> Any:
        if isinstance(value, float):
            return None if math.isnan(value) else round(value, 6)
        return [one(v) for v in value] if isinstance(value, list) else value

    return {k: one(v) for k, v in values.items()}


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return "?"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) >= 10 else f"{value:.4f}"[:6]


def _half(bounds: tuple[float, float]) -> str:
    return _number((bounds[1] - bounds[0]) / 2)


def table(summary: Summary, about: dict[str, Any] | None = None) -> Table:
    """A summary as a rich table: latencies with their percentiles, then rates, then what went wrong."""
    about, words = about or {}, vocabulary()
    title = " · ".join(str(about[k]) for k in ("model", "load") if about.get(k))
    out = Table(title=title or None, caption_justify="left", box=box.SIMPLE, pad_edge=False, padding=0)
    out.add_column(_("seconds"), no_wrap=True)
    for name in (_("mean"), "±95 %", "p50", "p90", "p95", "p99", _("p99, 95 %")):
        out.add_column(name, justify="right", no_wrap=True)

    def row(key: str, p: Percentiles) -> None:
        interval = " - ".join(map(_number, p.ci["p99"]))
        out.add_row(
            words[key].name,
            _number(p.mean),
            _half(p.ci["mean"]),
            *map(_number, (p.p50, p.p90, p.p95, p.p99)),
            interval,
        )

    for key in LATENCIES:
        row(key, getattr(summary, key.removesuffix("_s")))
    lines = [
        _("{ok} of {n} requests answered in {t:.1f} s").format(
            ok=summary.completed, n=summary.requests, t=summary.duration_s
        ),
        _("{tok:.1f} output tokens/s, {prompt:.1f} prompt tokens/s, {rate:.3g} requests/s").format(
            tok=summary.throughput_tok_s, prompt=summary.prompt_tok_s, rate=summary.request_rate
        ),
    ]
    if cpu := about.get("client_cpu_s"):
        lines.append(
            _("the client itself used {cpu:.1f} s of processor time ({share:.0%} of a core)").format(
                cpu=cpu, share=cpu / summary.duration_s
            )
        )
    if summary.slo != SLO():
        lines.append(
            _("SLO ({slo}): goodput {good:.3g} requests/s, attainment {share:.1%}").format(
                slo=summary.slo, good=summary.goodput, share=summary.attainment
            )
        )
    if summary.token_mismatches:
        lines.append(_("{n} token counts differ from the server's usage").format(n=summary.token_mismatches))
    if summary.token_unknown:
        lines.append(_("{n} answers without usage: tokens counted as events").format(n=summary.token_unknown))
    shown = [getattr(summary, k.removesuffix("_s")).ci for k in LATENCIES]
    if any(math.isinf(bound) for ci in shown for key in ("mean", "p99") for bound in ci[key]):
        lines.append(_("?: too few requests to bound that side"))
    out.caption = "\n".join(lines)
    return out
