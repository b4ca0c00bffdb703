"""The one vocabulary of latency and throughput, defined once: unit, the instant the clock starts, where it stops.

Two clocks start for every request. `intended_s` is when the load meant to send it; `sent_s` is when it really left.
Latency counts from the INTENDED time: a user who waits because the client (or a full connection) was late still
waits. The columns that end in `_sent_s` count from the real send. Taking only those hides every stall that keeps the
client from sending: coordinated omission (G. Tene, "How NOT to Measure Latency"; wrk2). All times are in seconds
after the load's start, taken when the client has read the bytes.

Several tokens can reach the client in one read. A reader sees them at one instant, so `itl` counts ONE gap for that
read, from the read before; its k - 1 gaps of length zero are left out. Mean ITL is therefore at least TPOT, and equal
to it when every read carries one token. `gaps(record, bundled="zero")` keeps the zeros and `"spread"` divides the gap
by k, as other tools do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from scipy import stats

from servelab.i18n import _

NAN = math.nan


@dataclass(frozen=True)
class Term:
    """One word of the vocabulary: its short name, unit, what starts and stops its clock, and its plain reading."""

    name: str
    unit: str
    starts: str
    stops: str
    meaning: str


def vocabulary() -> dict[str, Term]:
    """Every term by its column name, in the learner's language."""
    intended, sent = _("the intended send time"), _("the real send time")
    first, last = _("the first token is read"), _("the last token is read")
    start, end = _("the load starts"), _("the last request ends")
    per_request = {
        "ttft_s": ("TTFT", intended, first, _("time to first token")),
        "ttft_sent_s": (_("TTFT, sent"), sent, first, _("TTFT from the real send: the client's wait left out")),
        "tpot_s": ("TPOT", first, last, _("time per output token: averaged over the tokens after the first")),
        "itl_s": (
            "ITL",
            _("a token is read"),
            _("the next token is read"),
            _("inter-token latency: one gap"),
        ),
        "e2e_s": ("E2E", intended, last, _("end-to-end latency")),
        "e2e_sent_s": (_("E2E, sent"), sent, last, _("E2E from the real send: the client's wait left out")),
        "client_queue_s": (_("client queueing"), intended, sent, _("the request waits inside the client")),
    }
    of_load = {
        "throughput_tok_s": (_("throughput"), _("tokens/s"), _("output tokens of requests that succeeded")),
        "request_rate": (_("request rate"), _("requests/s"), _("requests that succeeded")),
        "goodput": (_("goodput"), _("requests/s"), _("requests that met every bound of the SLO")),
        "attainment": (_("attainment"), "", _("share of all requests, failed ones too, that met the SLO")),
    }
    return {
        key: Term(name, "s", starts, stops, meaning) for key, (name, starts, stops, meaning) in per_request.items()
    } | {key: Term(name, unit, start, end, meaning) for key, (name, unit, meaning) in of_load.items()}


def axis(key: str) -> str:
    """An axis title for a term: its name with its unit."""
    term = vocabulary()[key]
    return f"{term.name} ({term.unit})" if term.unit else term.name


@dataclass(frozen=True)
class SLO:
    """Upper bounds in seconds a request must meet, all of them; None is no bound. TTFT and E2E count from intended.

    Goodput is the rate of requests that meet it (Zhong et al., DistServe, OSDI 2024).
    """

    ttft_s: float | None = None
    tpot_s: float | None = None
    e2e_s: float | None = None

    def met(self, record: Record) -> bool:
        """Whether a request succeeded and met every bound. One token has no TPOT and cannot miss its bound."""
        bounds = ((self.ttft_s, record.ttft_s), (self.tpot_s, record.tpot_s), (self.e2e_s, record.e2e_s))
        return record.ok and not any(bound is not None and value > bound for bound, value in bounds)

    def __str__(self) -> str:
        parts = [f"{k[:-2].upper()} <= {v:g} s" for k, v in asdict(self).items() if v is not None]
        return ", ".join(parts) or _("no bound")


Status = Literal["ok", "refused", "cut", "timeout", "unreachable"]


@dataclass
class Record:
    """What happened to one request. Times are seconds after the load's start; NaN where it never happened.

    `token_times_s` has one entry a token: when the read that carried it was complete. `status`: `ok`; `refused` (the
    server answered with an error), `cut` (the stream broke off), `timeout`, `unreachable` (no connection).
    `token_check`: `ok`; `mismatch` (the server's `usage` contradicts the stream, the prompt's length or the length
    asked for); `unknown` (the server sent no usage: tokens were counted as events).
    """

    id: int
    intended_s: float
    sent_s: float = NAN
    first_token_s: float = NAN
    token_times_s: list[float] = field(default_factory=list)
    finished_s: float = NAN
    prompt_tokens: int = 0
    output_tokens: int = 0
    asked_tokens: int = 0
    status: Status = "ok"
    error: str = ""
    text: str = ""
    finish_reason: str = ""
    token_check: Literal["ok", "mismatch", "unknown"] = "ok"

    @property
    def ok(self) -> bool:
        """Whether the whole answer came."""
        return self.status == "ok"

    @property
    def last_token_s(self) -> float:
        """When the last token was read."""
        return self.token_times_s[-1] if self.token_times_s else NAN

    @property
    def client_queue_s(self) -> float:
        """From intended to sent."""
        return self.sent_s - self.intended_s

    @property
    def ttft_s(self) -> float:
        """From intended to the first token."""
        return self.first_token_s - self.intended_s

    @property
    def ttft_sent_s(self) -> float:
        """From sent to the first token."""
        return self.first_token_s - self.sent_s

    @property
    def e2e_s(self) -> float:
        """From intended to the last token."""
        return self.last_token_s - self.intended_s

    @property
    def e2e_sent_s(self) -> float:
        """From sent to the last token."""
        return self.last_token_s - self.sent_s

    @property
    def tpot_s(self) -> float:
        """From the first token to the last, over the tokens after the first; NaN for fewer than two tokens."""
        if self.output_tokens < 2:
            return NAN
        return (self.last_token_s - self.first_token_s) / (self.output_tokens - 1)

    def columns(self) -> dict[str, Any]:
        """The row of `Result.frame()`."""
        return {
            "id": self.id,
            "status": self.status,
            "intended_s": self.intended_s,
            "sent_s": self.sent_s,
            "first_token_s": self.first_token_s,
            "last_token_s": self.last_token_s,
            "finished_s": self.finished_s,
            "client_queue_s": self.client_queue_s,
            "ttft_s": self.ttft_s,
            "ttft_sent_s": self.ttft_sent_s,
            "tpot_s": self.tpot_s,
            "e2e_s": self.e2e_s,
            "e2e_sent_s": self.e2e_sent_s,
            "prompt_tokens": self.prompt_tokens,
            "output_tokens": self.output_tokens,
            "asked_tokens": self.asked_tokens,
            "token_check": self.token_check,
            "error": self.error,
        }


def gaps(record: Record, bundled: Literal["one", "zero", "spread"] = "one") -> np.ndarray:
    """Inter-token latencies of one request in seconds, shape (gaps,); `bundled` as the module's docstring says."""
    times = np.asarray(record.token_times_s, dtype=float)
    if bundled == "zero":
        return np.diff(times)
    reads, tokens = np.unique(times, return_counts=True)
    if bundled == "one":
        return np.diff(reads)
    return np.repeat(np.diff(reads) / tokens[1:], tokens[1:])


QUANTILES = (0.50, 0.90, 0.95, 0.99)
CONFIDENCE = 0.95


def quantile_interval(ordered: np.ndarray, q: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Distribution-free confidence interval of a quantile from an ordered sample, shape (n,).

    Order statistics: the number of values below the true quantile is Binomial(n, q), so [x_(j), x_(k)] covers it with
    P(j <= B < k). Each side spends half the error. A side that the sample is too small to bound is -inf or +inf
    (p99 has an upper bound only from n = 368 on). Source: Conover, Practical Nonparametric Statistics, 3rd ed.,
    sec. 3.2; Le Boudec, Performance Evaluation of Computer and Communication Systems, theorem 2.1.
    """
    n, tail = len(ordered), (1 - confidence) / 2
    below = stats.binom(n, q)
    low = int(below.ppf(tail))  # largest j with P(B < j) <= tail, as a 1-based rank
    high = int(below.ppf(1 - tail)) + 1  # smallest k with P(B >= k) <= tail
    return (
        float(ordered[low - 1]) if low >= 1 else -math.inf,
        float(ordered[high - 1]) if high <= n else math.inf,
    )


def _t_interval(values: np.ndarray) -> tuple[float, float]:
    if len(values) < 2:
        return -math.inf, math.inf
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def _statistics(ordered: np.ndarray) -> dict[str, float]:
    quantiles = np.quantile(ordered, QUANTILES)
    return {"mean": float(ordered.mean())} | {
        f"p{q * 100:.0f}": float(v) for q, v in zip(QUANTILES, quantiles, strict=True)
    }


def _cluster_bootstrap(
    groups: Sequence[np.ndarray], rounds: int = 200, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap that draws whole requests: gaps of one request are not independent.

    Source: Efron & Tibshirani, An Introduction to the Bootstrap, ch. 13; Davison & Hinkley, sec. 3.8 (clusters).
    """
    rng = np.random.default_rng(seed)
    drawn = [
        _statistics(np.concatenate([groups[i] for i in rng.integers(0, len(groups), len(groups))]))
        for _round in range(rounds)
    ]
    tail = 100 * (1 - CONFIDENCE) / 2
    return {k: tuple(np.percentile([d[k] for d in drawn], [tail, 100 - tail]).tolist()) for k in drawn[0]}


@dataclass(frozen=True)
class Percentiles:
    """A sample in short: percentiles (linear interpolation, as numpy's default) and their 95 % intervals in `ci`.

    `ci` has the keys mean, p50, p90, p95, p99. An infinite side means that the sample is too small to bound it.
    """

    n: int
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    ci: dict[str, tuple[float, float]]

    @classmethod
    def of(cls, values: Sequence[float] | np.ndarray, groups: Sequence[np.ndarray] | None = None) -> Percentiles:
        """Summarise `values`, shape (n,), NaN left out; `groups` (the same values by request) are resampled whole."""
        ordered = np.sort(np.asarray(values, dtype=float))
        ordered = ordered[~np.isnan(ordered)]
        if not len(ordered):
            return cls(0, NAN, NAN, NAN, NAN, NAN, dict.fromkeys(("mean", "p50", "p90", "p95", "p99"), (NAN, NAN)))
        groups = [g for g in groups or [] if len(g)]
        if len(groups) > 1:
            ci = _cluster_bootstrap(groups, rounds=int(np.clip(4_000_000 // len(ordered), 50, 200)))
        else:
            ci = {"mean": _t_interval(ordered)} | {f"p{q * 100:.0f}": quantile_interval(ordered, q) for q in QUANTILES}
        return cls(len(ordered), **_statistics(ordered), ci=ci)


@dataclass(frozen=True)
class Summary:
    """A load in numbers. Rates are per second of `duration_s`: from the load's start to its last request's end.

    Latencies are over requests that succeeded; `attainment` is over all of them. `lateness` is the client's own
    delay in sending (equal to `client_queue`, named twice because it is also what tells whether the client kept up).
    `token_mismatches` and `token_unknown` count records whose token counts the server contradicts or did not give.
    """

    requests: int
    completed: int
    failed: int
    duration_s: float
    request_rate: float
    throughput_tok_s: float
    prompt_tok_s: float
    slo: SLO
    goodput: float
    attainment: float
    ttft: Percentiles
    ttft_sent: Percentiles
    tpot: Percentiles
    itl: Percentiles
    e2e: Percentiles
    e2e_sent: Percentiles
    client_queue: Percentiles
    token_mismatches: int
    token_unknown: int

    @property
    def lateness(self) -> Percentiles:
        """How late the client sent."""
        return self.client_queue

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        return asdict(self)


def summarize(records: Sequence[Record], slo: SLO | None = None) -> Summary:
    """The summary of a load's records; without an `slo`, every success meets it."""
    slo = slo or SLO()
    good = [r for r in records if r.ok]
    ends = [r.finished_s for r in records if not math.isnan(r.finished_s)]
    duration = max(ends, default=NAN)
    met = sum(slo.met(r) for r in records)

    def per_second(count: float) -> float:
        return count / duration if duration > 0 else 0.0

    def over(name: str) -> Percentiles:
        return Percentiles.of([getattr(r, name) for r in good])

    each = [gaps(r) for r in good]
    return Summary(
        requests=len(records),
        completed=len(good),
        failed=len(records) - len(good),
        duration_s=duration,
        request_rate=per_second(len(good)),
        throughput_tok_s=per_second(sum(r.output_tokens for r in good)),
        prompt_tok_s=per_second(sum(r.prompt_tokens for r in good)),
        slo=slo,
        goodput=per_second(met),
        attainment=met / len(records) if records else NAN,
        ttft=over("ttft_s"),
        ttft_sent=over("ttft_sent_s"),
        tpot=over("tpot_s"),
        itl=Percentiles.of(np.concatenate(each) if each else [], groups=each),
        e2e=over("e2e_s"),
        e2e_sent=over("e2e_sent_s"),
        client_queue=over("client_queue_s"),
        token_mismatches=sum(r.token_check == "mismatch" for r in records),
        token_unknown=sum(r.token_check == "unknown" for r in good),
    )
