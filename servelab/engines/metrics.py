"""What an engine says about itself: its Prometheus metrics, read once or watched over time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from servelab.errors import ServelabError
from servelab.i18n import _

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Sample:
    """One line of the metrics text: full name, labels, value."""

    name: str
    labels: dict[str, str]
    value: float


class Metrics:
    """One reading of a server's /metrics (Prometheus text format)."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def all(self) -> list[Sample]:
        """Every sample."""
        from prometheus_client.parser import text_string_to_metric_families

        families = text_string_to_metric_families(self.text)
        return [Sample(s.name, s.labels, s.value) for family in families for s in family.samples]

    def samples(self, name: str) -> list[Sample]:
        """The samples of that name; a counter is found with and without its `_total`."""
        return [s for s in self.all if s.name in (name, f"{name}_total")]

    def value(self, name: str, **labels: str) -> float:
        """The sum over the samples of that name that carry these labels.

        Raises:
            ServelabError: the server has no such metric.
        """
        found = [s for s in self.samples(name) if labels.items() <= s.labels.items()]
        if not found:
            text = _("The server has no metric {name}; `server.metrics().frame()` lists what it has.")
            raise ServelabError(text.format(name=name))
        return sum(s.value for s in found)

    def frame(self) -> pd.DataFrame:
        """All samples as a table: name, labels, value."""
        import pandas as pd

        rows = [(s.name, ", ".join(f"{k}={v}" for k, v in s.labels.items()), s.value) for s in self.all]
        return pd.DataFrame(rows, columns=["name", "labels", "value"])


def accepted_by_position(after: Metrics, before: Metrics | None = None) -> list[float]:
    """Share of vLLM's drafts whose token at each position was accepted, over all readings or since `before`.

    Divides by all drafts, short ones too, as vLLM's own log does.

    Raises:
        ServelabError: the server does not speculate, or drafted nothing in between.
    """
    drafts, accepted = "vllm:spec_decode_num_drafts", "vllm:spec_decode_num_accepted_tokens_per_pos"

    def count(name: str, **labels: str) -> float:
        return after.value(name, **labels) - (before.value(name, **labels) if before else 0)

    positions = sorted({int(s.labels["position"]) for s in after.samples(accepted)})
    total = count(drafts)
    if not total:
        raise ServelabError(_("The server drafted nothing: give it a load that speculation can guess."))
    return [count(accepted, position=str(i)) / total for i in positions]


class Watch:
    """Samples metrics in a thread while a block runs; `frame()` has column `t_s` and one a metric.

    A reading that fails (the server is busy dying) is left out; `failed` counts them. `started_unix_s` is when the
    block began: a load's `about["started_unix_s"]` minus it is how much later the load began.
    """

    def __init__(self, read: Callable[[], Metrics], names: tuple[str, ...], every: float) -> None:
        self._read, self._names, self._every = read, names, every
        self._rows: list[tuple[float, ...]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="servelab-watch")
        self.failed = 0
        self.started_unix_s = 0.0

    def __enter__(self) -> Watch:
        first = self._read()
        for name in self._names:
            first.value(name)  # an unknown name is told now, not by an empty figure
        self._began, self.started_unix_s = time.monotonic(), time.time()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        due = self._began
        while True:
            at = time.monotonic() - self._began
            try:
                now = self._read()
                self._rows.append((at, *(now.value(name) for name in self._names)))
            except Exception:
                self.failed += 1
            due = max(due + self._every, time.monotonic())
            if self._stop.wait(due - time.monotonic()):
                return

    def frame(self) -> pd.DataFrame:
        """The readings so far: `t_s` seconds since the block began, then one column a metric."""
        import pandas as pd

        return pd.DataFrame(list(self._rows), columns=["t_s", *self._names])
