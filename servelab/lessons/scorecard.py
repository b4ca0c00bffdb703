"""One trace, served again at each milestone: what every step gave, and what it cost. `scorecard.json`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servelab import records
from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.lessons.progress import now
from servelab.lessons.store import Store
from servelab.paths import workspace
from servelab.theory.cost import cost_per_million

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from servelab.load import SLO, Request, Result

FILE = "scorecard.json"
REQUESTS = {"ci": 8, "full": 32}
PRICE_PER_HOUR = 0.10
COLUMNS = (
    "name",
    "when",
    "requests",
    "throughput_tok_s",
    "ttft_p50_s",
    "ttft_p99_s",
    "tpot_p50_s",
    "goodput_req_s",
    "memory_bytes",
    "cost_per_million_tokens",
    "price_per_hour",
    "slo",
    "about",
)


class Scorecard:
    """The learner's rows. All come from the course's own trace; a row that got worse stays."""

    def __init__(self, effort: str = "full", folder: Path | None = None, say: Callable[[str], None] = print):
        self.effort = effort
        self.store = Store((folder or workspace()) / FILE, say)

    def requests(self, n: int | None = None) -> list[Request]:
        """The first `n` requests of the course's trace (default: 8 in a short run, else 32), lengths as recorded."""
        from servelab.load import trace

        return trace(n=n or REQUESTS[self.effort])

    def add(
        self,
        name: str,
        result: Result,
        server: Any = None,
        memory_bytes: int | None = None,
        slo: SLO | None = None,
        price_per_hour: float = PRICE_PER_HOUR,
        about: str = "",
    ) -> dict[str, Any]:
        """Add a milestone's row and return it.

        Args:
            name: the milestone, such as "vLLM, defaults"; the same in both languages.
            result: what `drive` returned for `requests()`.
            server: where given, its memory is read from it.
            memory_bytes: memory of the serving processes, where there is no `server`.
            slo: what goodput is counted under (default: TTFT 2 s, TPOT 0.2 s).
            price_per_hour: an ASSUMPTION, in your currency: what an hour of this machine costs. The default is
                about what a small two-core cloud machine costs in US dollars.
            about: a remark kept with the row.

        Raises:
            ServelabError: no request was answered.
        """
        from servelab.load import SLO

        slo = slo or SLO(ttft_s=2.0, tpot_s=0.2)
        summary = result.summary(slo)
        if not summary.completed:
            raise ServelabError(_("No request was answered, so there is nothing to put on the scorecard."))
        if memory_bytes is None and server is not None:
            memory_bytes = server.memory_bytes()
        row = {
            "name": name,
            "when": now(),
            "requests": summary.completed,
            "throughput_tok_s": summary.throughput_tok_s,
            "ttft_p50_s": summary.ttft.p50,
            "ttft_p99_s": summary.ttft.p99,
            "tpot_p50_s": summary.tpot.p50,
            "goodput_req_s": summary.goodput,
            "memory_bytes": memory_bytes,
            "cost_per_million_tokens": cost_per_million(price_per_hour, summary.throughput_tok_s),
            "price_per_hour": price_per_hour,
            "slo": str(slo),
            "about": about,
            "stamp": records.stamp(),
        }
        row = {key: None if value != value else value for key, value in row.items()}
        with self.store.update() as data:
            data.setdefault("rows", []).append(row)
        return row

    def rows(self) -> list[dict[str, Any]]:
        """Every row, oldest first, with its stamp."""
        return self.store.read().get("rows", [])

    def frame(self, newest: bool = False) -> pd.DataFrame:
        """The rows as a table; `newest` keeps the last of each name."""
        import pandas as pd

        table = pd.DataFrame(self.rows(), columns=list(COLUMNS))
        return table.drop_duplicates("name", keep="last", ignore_index=True) if newest else table

    def figure(self) -> go.Figure:
        """The rows beside each other, one panel a metric; costs rest on the price each row assumed.

        Raises:
            ServelabError: there is no row yet.
        """
        from servelab.figures import lessons

        rows = self.rows()
        if not rows:
            raise ServelabError(_("The scorecard is empty: its first rows come from notebooks 1.1 and 1.2."))
        return lessons.scorecard(rows)
