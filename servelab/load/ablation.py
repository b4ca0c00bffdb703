"""One technique off and on under the same load: pairs of runs, the ratio of their costs, and what it proves.

A machine's speed drifts, so the two arms run next to each other, and the order changes from pair to pair
(off on, on off, off on ...): what is slow for a minute is slow for both. Of each pair only off / on counts. The
ratios are averaged as logarithms, because 2 and 1/2 must cancel (Fleming & Wallace, "How not to lie with statistics",
CACM 29(3), 1986), with Student's t interval; an effect with its interval says more than a test's yes or no (Kalibera &
Jones, "Rigorous benchmarking in reasonable time", ISMM 2013).

Costs are anything of which less is better: seconds, bytes, tokens computed. A ratio above 1 is the technique's gain.
"""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.load.client import blocking, drive
from servelab.load.metrics import CONFIDENCE
from servelab.load.report import Result
from servelab.load.workload import synthetic
from servelab.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

Verdict = Literal["gain", "loss", "none", "undecided"]
ALONE = ""
"""The name of a cost that was returned without one."""
Costs = float | Mapping[str, float]
Measure = Callable[[int], Costs | Awaitable[Costs]]
"""One run: takes a seed, returns its cost, or several by name. It may be an async function."""

WORTH = 1.1
"""The factor from which on a difference matters to anybody; a smaller one counts as none if that much is proven."""


def verdict(low: float, high: float, worth: float = WORTH) -> Verdict:
    """What the interval [low, high] of a ratio off / on proves.

    `gain`: all of it lies above 1; `loss`: all below. `none`: it covers 1 and reaches nowhere beyond `worth` or
    1/`worth`, so that no difference of use is left. `undecided`: it covers 1 and more: measure more pairs.
    """
    if low > 1:
        return "gain"
    if high < 1:
        return "loss"
    return "none" if low >= 1 / worth and high <= worth else "undecided"


@dataclass(frozen=True)
class Ablation:
    """How many times the cost without a technique is the cost with it.

    Attributes:
        ratio, low, high: the geometric mean of off / on over the pairs, and its 95 % interval; (0, inf) for one pair.
        pairs: how many there were; 0 for a quantity that was counted and has no interval.
        off, on: the geometric mean cost of each arm, in the unit of the cost.
    """

    ratio: float
    low: float
    high: float
    pairs: int
    off: float
    on: float

    @classmethod
    def of(
        cls, off: Sequence[float] | NDArray, on: Sequence[float] | NDArray, confidence: float = CONFIDENCE
    ) -> Ablation:
        """From paired costs, both of shape (pairs,): `off[i]` and `on[i]` ran next to each other.

        Raises:
            ServelabError: no pairs, arms of different length, or a cost that is not above 0.
        """
        without, with_it = np.asarray(off, float), np.asarray(on, float)
        if without.shape != with_it.shape or without.ndim != 1 or not without.size:
            raise ServelabError(_("An ablation needs pairs: as many runs with the technique as without, at least one."))
        if not (np.isfinite(without).all() and np.isfinite(with_it).all() and min(*without, *with_it) > 0):
            raise ServelabError(_("A ratio needs costs above 0: one of the runs measured nothing."))
        logs = np.log(without / with_it)
        n, mean = len(logs), float(logs.mean())
        half = math.inf if n < 2 else stats.t.ppf((1 + confidence) / 2, n - 1) * logs.std(ddof=1) / math.sqrt(n)
        low, high = (0.0, math.inf) if n < 2 else (math.exp(mean - half), math.exp(mean + half))
        middles = (float(np.exp(np.log(arm).mean())) for arm in (without, with_it))
        return cls(math.exp(mean), low, high, n, *middles)

    @classmethod
    def counted(cls, off: float, on: float) -> Ablation:
        """Of two numbers that were counted, such as bytes: every run gives the same, so the interval is a point."""
        return cls(off / on, off / on, off / on, 0, off, on)

    @property
    def verdict(self) -> Verdict:
        """What the interval proves (see `verdict`)."""
        return verdict(self.low, self.high)

    def __str__(self) -> str:
        return _("{what}: {verdict}").format(what=self.told, verdict=verdicts()[self.verdict])

    @property
    def told(self) -> str:
        """The ratio with its interval, in words."""
        if not self.pairs:
            return _("x {ratio:.3g}").format(ratio=self.ratio)
        return _("x {ratio:.3g} (95 %: {low:.3g} to {high:.3g}, {n} pairs)").format(
            ratio=self.ratio, low=self.low, high=self.high, n=self.pairs
        )


def verdicts() -> dict[Verdict, str]:
    """The verdicts in the learner's language."""
    return {"gain": _("gain"), "loss": _("loss"), "none": _("no difference"), "undecided": _("undecided")}


def ablate(
    off: Measure, on: Measure, pairs: int = 5, *, seed: int | None = None, warm: bool = False, progress: bool = True
) -> Any:
    """Run `off` and `on` in turns, `pairs` times each, and compare what they cost.

    Args:
        off, on: one run without and with the technique, from a seed. Each run gets a seed of its own: equal lengths,
            other prompts, so that no arm finds the other's work in a cache.
        pairs: how many; the order within a pair changes from one to the next.
        seed: of the first run; by default another one each time, because a server may remember what it was asked.
        warm: let each arm run once before, uncounted.
        progress: show a line.

    Returns:
        An `Ablation` where a run returns one cost; {name: `Ablation`} where it returns several.

    Raises:
        ServelabError: see `Ablation.of`; or the arms returned different costs.
    """
    if pairs < 1:
        raise ServelabError(_("An ablation needs pairs: as many runs with the technique as without, at least one."))
    seed = time.time_ns() if seed is None else seed
    arms: dict[str, list[Mapping[str, float]]] = {"off": [], "on": []}
    with Progress(progress) as line:
        if warm:
            _run(off, seed - 2), _run(on, seed - 1)
        for pair in range(pairs):
            line.say(_("pair {n} of {pairs}").format(n=pair + 1, pairs=pairs))
            for place, arm in enumerate(("off", "on") if pair % 2 == 0 else ("on", "off")):
                arms[arm].append(_run(off if arm == "off" else on, seed + 2 * pair + place))
        line.done(_("{n} pairs in {seconds:.0f} s").format(n=pairs, seconds=line.seconds))
    names = list(arms["off"][0])
    if any(set(run) != set(names) for runs in arms.values() for run in runs):
        raise ServelabError(_("Both arms of an ablation must return the same costs."))
    found = {name: Ablation.of(*([run[name] for run in arms[arm]] for arm in ("off", "on"))) for name in names}
    return found[ALONE] if names == [ALONE] else found


def _run(measure: Measure, seed: int) -> Mapping[str, float]:
    """The costs of one run by name."""
    costs = measure(seed)
    if inspect.isawaitable(costs):
        costs = blocking(lambda: costs)
    return costs if isinstance(costs, Mapping) else {ALONE: costs}


class Trials:
    """Ablations in families, each told in one line when it has been measured; `trials["prefix"]` is one by its name.

    Attributes:
        pairs: of every run that asks for no other number.
        found: {family: {name: ablation}}, in the order they were measured.
    """

    def __init__(self, pairs: int, progress: bool = True) -> None:
        self.pairs, self.progress = pairs, progress
        self.found: dict[str, dict[str, Ablation]] = {}

    def run(
        self, family: str, off: Measure, on: Measure, name: str = ALONE, *, pairs: int | None = None, warm: bool = False
    ) -> None:
        """`ablate` and keep what came out.

        Args:
            name: of the cost, where a run returns only one.

        Raises:
            ServelabError: see `ablate`.
        """
        came = ablate(off, on, pairs or self.pairs, warm=warm, progress=self.progress)
        for key, one in ({name: came} if isinstance(came, Ablation) else came).items():
            self.keep(family, key, one)

    def keep(self, family: str, name: str, one: Ablation) -> None:
        """Keep an ablation and tell it."""
        self.found.setdefault(family, {})[name] = one
        print(_("{what}: {verdict}").format(what=names().get(name, name), verdict=one))

    def __getitem__(self, name: str) -> Ablation:
        return self.all()[name]

    def all(self) -> dict[str, Ablation]:
        """Every ablation by its name."""
        return {name: one for group in self.found.values() for name, one in group.items()}

    def rest(self) -> pd.DataFrame:
        """What has not been shown to gain, one row a cost: its ratio, the verdict, and the first place to look."""
        import pandas as pd

        told, why, words = names(), reasons(), verdicts()
        rows = [
            (told.get(name, name), one.told, words[one.verdict], why.get(name, ""))
            for name, one in self.all().items()
            if one.verdict != "gain"
        ]
        return pd.DataFrame(rows, columns=[_("cost"), _("without ÷ with"), _("verdict"), _("look first at")])

    def gained(self) -> float:
        """The share of them, from 0 to 1, whose verdict is gain; the family `checks` left out."""
        told = [one.verdict for family, group in self.found.items() if family != "checks" for one in group.values()]
        return told.count("gain") / len(told) if told else 0.0


def names() -> dict[str, str]:
    """What the course's ablations and their families are called, by their short names, in the learner's language."""
    return {
        "checks": _("checks"),
        "memory": _("memory"),
        "compute": _("compute"),
        "io": _("I/O"),
        "control": _("nothing changed"),
        "servers": _("two servers, both flags idle"),
        "prefix": _("prefix cache: first token"),
        "paged": _("paging: the crowd's time"),
        "int8 bytes": _("int8 KV: bytes a token"),
        "fp8 bytes": _("fp8 KV: memory a token"),
        "fp8 step": _("fp8 KV: TPOT"),
        "first word": _("streaming: first word"),
        "whole answer": _("streaming: whole answer"),
        "wire": _("streaming: bytes on the wire"),
        "attention": _("fusion: attention"),
        "rmsnorm": _("fusion: RMSNorm"),
        "pass": _("fusion: the whole prefill"),
        "batching": _("batching: the crowd's time"),
        "prefill": _("parallel prefill: the crowd's time"),
        "stall": _("chunked prefill: longest stall"),
        "newcomer": _("chunked prefill: newcomer's TTFT"),
        "async": _("async look-ups: the crowd's time"),
        "queue tpot": _("queue: TPOT"),
        "queue e2e": _("queue: E2E"),
        "pool": _("connection pool: one token"),
        "bare": _("connection pool: bare call"),
    }


def reasons() -> dict[str, str]:
    """Where to look first when one of the course's ablations shows no gain, by its short name."""
    return {
        "control": _("nothing was changed; anything else is the machine's or chance's doing"),
        "servers": _("neither flag is used by this load; a difference is the machine's or chance's doing"),
        "prefix": _("the prompt fills few blocks, or its prefill is short beside the way through HTTP"),
        "paged": _("as many requests fit with reservations as come"),
        "fp8 step": _("a step reads far more weights than cache, and unpacking costs arithmetic"),
        "whole answer": _("the engine takes the same steps; streaming only tells of each sooner"),
        "wire": _("each token travels in an event of its own, with all that is around it"),
        "attention": _("the scores fit into the processor's cache"),
        "rmsnorm": _("torch's one call runs the same operators on this device"),
        "pass": _("attention is a small share of the pass (Amdahl)"),
        "batching": _("a step for four takes nearly four times as long as one for one"),
        "prefill": _("one prompt fills the step already"),
        "stall": _("the prompt is short, or fits the small budget too"),
        "newcomer": _("its prompt takes more steps, each with its fixed part"),
        "async": _("the look-ups are short beside the answers"),
        "queue tpot": _("a step for all is hardly longer than one for a few"),
        "queue e2e": _("the wait outside costs what the faster pace gives back"),
        "pool": _("a handshake on one machine is a small share of a request (Amdahl)"),
    }


def answered(result: Result) -> Result:
    """The same result, if every request of it was answered: a run that is not whole compares nothing.

    Raises:
        ServelabError: one was not, and why.
    """
    if failed := [record for record in result.records if not record.ok]:
        raise ServelabError(
            _("{n} of {all} requests failed ({why}): look at the server, then run the cell again.").format(
                n=len(failed), all=len(result.records), why=failed[0].error or failed[0].status
            )
        )
    return result


def makespan(server: Any, n: int, prompt: int, output: int, at_once: int | None = None) -> Measure:
    """A run that costs the seconds until the last of `n` equal requests is answered.

    Args:
        server: what `servelab.load.drive` takes.
        prompt, output: tokens of each request.
        at_once: how many are in flight; by default all.
    """

    def run(seed: int) -> float:
        load = synthetic(n, prompt, output, seed=seed)
        return answered(drive(server, load, concurrency=at_once or n, progress=False)).summary().duration_s

    return run


def seconds(work: Callable[[], object]) -> float:
    """How long one call of `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
