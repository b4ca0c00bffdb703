"""What every bench shares: progress, figures with an aim and a verdict, and a stamped record.

A bench is a file `tests/bench/bench_<name>.py` with `def run(bench: Bench) -> None`; its docstring's first line
is its title. It calls `bench.figure(...)` once for each figure and may keep raw data in `bench.data`.

A record made on a GPU tier bears the card's name, `tiny-h100-80gb-hbm3.json`: it lies beside the CPU's `tiny.json`,
which the course reads, and never takes its place.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from servelab import hardware, records
from servelab.errors import ServelabError
from servelab.paths import ROOT

FOLDER = ROOT / "tests" / "bench"


@dataclass
class Figure:
    """One measured figure, its aim in words, and whether the aim was met."""

    name: str
    value: float
    unit: str
    aim: str
    met: bool


@dataclass
class Bench:
    """Handed to a bench: `quick` asks for under a minute; `figure` and `data` make the record."""

    name: str
    quick: bool = False
    console: Console = field(default_factory=Console)
    figures: list[Figure] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)

    def say(self, text: str) -> None:
        """Show progress."""
        self.console.print(f"[dim]{text}[/dim]", highlight=False)

    def figure(self, name: str, value: float, unit: str, aim: str, met: bool) -> None:
        """Report one figure: `aim` is words such as 'under 5 ms'; `met` is computed from `value`, never assumed."""
        self.figures.append(Figure(name, float(value), unit, aim, bool(met)))

    @property
    def record(self) -> str:
        """Name of the record: the bench's own, with the card's behind it on a GPU tier."""
        return "-".join(filter(None, (self.name, records.card() if hardware.tier().kind == "cuda" else "")))

    def close(self) -> None:
        """Print the table, save the record (a quick run is not a record), and print the contract's closing lines."""
        table = Table(title=self.name)
        for column in ("figure", "value", "unit", "aim", "verdict"):
            table.add_column(column)
        for f in self.figures:
            table.add_row(f.name, f"{f.value:.4g}", f.unit, f.aim, "met" if f.met else "missed")
        self.console.print(table)
        if not self.quick:
            records.save(self.record, {"figures": [asdict(f) for f in self.figures], **self.data})
        for f in self.figures:
            verdict = "met" if f.met else "missed"
            print(f"{self.name}/{f.name}: {f.value:.4g} {f.unit} | aim {f.aim} | {verdict}")


def names() -> list[str]:
    """The benches there are."""
    return sorted(p.stem.removeprefix("bench_") for p in FOLDER.glob("bench_*.py"))


def run(name: str, quick: bool = False) -> Bench:
    """Run one bench and return what it measured.

    Raises:
        ServelabError: there is no bench of that name.
    """
    path: Path = FOLDER / f"bench_{name}.py"
    if not path.exists():
        raise ServelabError(f"There is no bench {name!r}; choose one of: {', '.join(names()) or 'none yet'}.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up there
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))  # a bench may use what lies in tests/
    spec.loader.exec_module(module)
    bench = Bench(name, quick)
    module.run(bench)
    bench.close()
    return bench
