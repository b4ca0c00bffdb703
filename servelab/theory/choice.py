"""Which engine, and what in front of it: a decision tree that asks for numbers, one leaf an answer.

The outline of the course sorts demand by requests/s: below 10 a simple API wrapper, 10 to 100 vLLM + FastAPI, above
100 Triton + load balancing; and it names four cases beside it: short of memory, latency-sensitive, many models, a fast
prototype. The leaves are kept here. The thresholds are not, for a request is no unit of work: ten answers of 20 tokens
and ten of 2,000 are a hundredfold apart. With W(1) the seconds of a request alone on the engine, n tokens an answer, X
the engine's tokens/s and u the share of it one dares to use, the same three bands begin where something changes:

    low     rate x W(1) <= u     one at a time is enough: by Little's law a request is there a share of the time
    medium  rate x n <= u X      one engine is enough, if requests share its steps
    high    otherwise            several engines, and something that spreads the load over them

X depends on the batch, and the batch is bounded by the SLO (a step must not last longer) and by memory. Times are in
seconds, sizes in bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.theory import cost, kv_cache
from servelab.theory.batching import StepModel

SEED_RPS = (10.0, 100.0)
"""The outline's borders of low, medium and high demand, requests/s."""

UTILIZATION = 0.8
"""Share of an engine's throughput that one plans with: the rest is for bursts (3.2 says what happens without)."""


@dataclass(frozen=True)
class Need:
    """What a service is asked for.

    Attributes:
        requests_per_s: mean arrival rate.
        prompt_tokens, output_tokens: of a typical request.
        tpot_s: a token of an answer must come within this time after the one before.
        models: how many models (or versions) are served.
        prototype: something to be shown to a few people soon; no load is promised.
    """

    requests_per_s: float
    prompt_tokens: int
    output_tokens: int
    tpot_s: float = math.inf
    models: int = 1
    prototype: bool = False

    def __post_init__(self) -> None:
        if self.requests_per_s <= 0 or self.output_tokens < 1 or self.prompt_tokens < 0 or self.models < 1:
            raise ServelabError(_("A need has a rate above 0, at least one output token and at least one model."))

    @property
    def tokens_per_s(self) -> float:
        """Output tokens/s that the arrivals ask for."""
        return self.requests_per_s * self.output_tokens


@dataclass(frozen=True)
class Server:
    """What one engine on one machine gives, measured.

    Attributes:
        step: its step-time model.
        most_sequences: the most it runs at once (`max_num_seqs`).
        memory_bytes: for weights and KV cache together.
        weight_bytes, token_bytes: of the weights, and of one token in the cache.
        block_size: tokens a block of the cache.
    """

    step: StepModel
    most_sequences: int = 32
    memory_bytes: float = math.inf
    weight_bytes: float = 0.0
    token_bytes: float = 0.0
    block_size: int = 16


@dataclass(frozen=True)
class Case:
    """A need held against a server; everything the tree asks is computed here."""

    need: Need
    server: Server
    utilization: float = UTILIZATION

    @property
    def alone_s(self) -> float:
        """Seconds of a request that has the engine to itself, W(1)."""
        return float(self.server.step.e2e_s(1, self.need.prompt_tokens, self.need.output_tokens))

    @property
    def busy_alone(self) -> float:
        """Requests in service on average if they were served one at a time, rate x W(1); above 1 the line grows."""
        return self.need.requests_per_s * self.alone_s

    @property
    def within_slo(self) -> int:
        """The largest batch whose step is within the TPOT bound; 0 where not even one sequence is."""
        step, bound = self.server.step, self.need.tpot_s
        if float(step.tpot_s(1)) > bound:
            return 0
        if math.isinf(bound) or step.each_s <= 0:
            return self.server.most_sequences
        return max(1, min(self.server.most_sequences, math.floor((bound - step.fixed_s) / step.each_s + 1e-9)))

    @property
    def fits(self) -> int:
        """Sequences of this length that memory holds beside the weights."""
        server, length = self.server, self.need.prompt_tokens + self.need.output_tokens
        if math.isinf(server.memory_bytes) or not server.token_bytes:
            return server.most_sequences
        left = max(0.0, server.memory_bytes - server.weight_bytes)
        return max(0, kv_cache.pool(left, server.token_bytes, server.block_size).fits(length))

    @property
    def batch(self) -> int:
        """The batch one engine may run: within the SLO and within memory."""
        return min(self.within_slo, self.fits)

    @property
    def capacity(self) -> float:
        """Output tokens/s of one engine at that batch; 0 where nothing runs."""
        return self._throughput(self.batch)

    @property
    def engines(self) -> int | None:
        """Engines that carry the load at `utilization`; None where no number of them would."""
        if not self.batch:
            return None
        return int(cost.machines(self.need.tokens_per_s, self.capacity, self.utilization))

    def in_flight(self, engines: int = 1) -> float:
        """Mean number of requests in an engine when `engines` share the load, infinite where they cannot carry it.

        Little's law with the step model: b = rate x E2E(b), and E2E is linear in b, so b has a closed form. Means
        only: bursts and unequal lengths make it larger.
        """
        need, step = self.need, self.server.step
        rate = need.requests_per_s / engines
        if rate * self.alone_s <= 1:
            return rate * self.alone_s
        fixed = step.fixed_s * need.output_tokens
        each = step.prefill_s * need.prompt_tokens + step.each_s * (need.output_tokens - 1)
        return rate * fixed / (1 - rate * each) if rate * each < 1 else math.inf

    @property
    def wanted(self) -> int:
        """The batch one engine would run for this load if memory had no end: as the load asks, as the SLO allows."""
        flying = self.in_flight()
        return self.within_slo if math.isinf(flying) else min(self.within_slo, max(1, math.ceil(flying - 1e-9)))

    def _throughput(self, batch: int) -> float:
        need = self.need
        return float(self.server.step.throughput(batch, need.prompt_tokens, need.output_tokens)) if batch else 0.0


Answer = str
"""`yes` or `no`; or `low`, `medium` or `high`."""


@dataclass(frozen=True)
class Fork:
    """One question of the tree: how the case answers it, and where each answer leads (a fork's id or a leaf's)."""

    id: str
    answer: Callable[[Case], Answer]
    leads: Mapping[Answer, str]


def _yes(said: bool) -> Answer:
    return "yes" if said else "no"


def by_tokens(case: Case) -> Answer:
    """The load's band, from tokens: see the module's docstring."""
    if case.busy_alone <= case.utilization:
        return "low"
    return "medium" if case.engines == 1 else "high"


def by_requests(case: Case) -> Answer:
    """The load's band as the outline draws it, from requests/s alone."""
    low, high = SEED_RPS
    rate = case.need.requests_per_s
    return "low" if rate < low else "medium" if rate <= high else "high"


FORKS: tuple[Fork, ...] = (
    Fork("prototype", lambda case: _yes(case.need.prototype), {"yes": "prototype-leaf", "no": "models"}),
    Fork("models", lambda case: _yes(case.need.models > 1), {"yes": "models-leaf", "no": "memory"}),
    Fork("memory", lambda case: _yes(case.fits < max(1, case.wanted)), {"yes": "memory-leaf", "no": "latency"}),
    Fork("latency", lambda case: _yes(case.within_slo == 0), {"yes": "latency-leaf", "no": "load"}),
    Fork("load", by_tokens, {"low": "api", "medium": "service", "high": "fleet"}),
)
"""The tree, its root first. What rules out most is asked first; the load decides among what is left."""


@dataclass(frozen=True)
class Leaf:
    """An answer: the outline's words for it, why, and the notebooks in which it is practised (a lab first)."""

    id: str
    title: str
    why: str
    notebooks: tuple[str, ...]


def leaves() -> dict[str, Leaf]:
    """Every leaf by its id, in the learner's language."""
    made = (
        Leaf(
            "prototype-leaf",
            _("vLLM + Gradio"),
            _(
                "Something to show soon: vLLM answers, Gradio is the page around it. Come back with numbers when "
                "people stay."
            ),
            ("vllm-2.1",),
        ),
        Leaf(
            "models-leaf",
            _("Triton Server"),
            _(
                "Several models, versions or frameworks under one roof: loading, versions, batching and metrics of all "
                "are Triton's trade. A language model runs inside it, on vLLM or TensorRT-LLM."
            ),
            ("triton-2.2", "triton-2.1"),
        ),
        Leaf(
            "memory-leaf",
            _("PagedAttention + quantisation"),
            _(
                "Memory holds fewer sequences than the load brings: page the KV cache, then keep weights or cache in "
                "fewer bits."
            ),
            ("vllm-2.2", "2.4"),
        ),
        Leaf(
            "latency-leaf",
            _("TensorRT-LLM + operator fusion"),
            _(
                "Even a reader alone gets tokens too late, so no scheduling can help; cheaper steps can: fused kernels "
                "and low precision (TensorRT-LLM, on NVIDIA), or several tokens a step (speculative decoding)."
            ),
            ("triton-2.3", "5.1"),
        ),
        Leaf(
            "api",
            _("A simple API wrapper"),
            _(
                "Requests hardly ever meet, so nothing is there to be batched: one process with the model and an API "
                "is enough, and the least to look after."
            ),
            ("vllm-2.1",),
        ),
        Leaf(
            "service",
            _("vLLM + FastAPI"),
            _(
                "Requests meet, and one engine carries them if they share its steps: vLLM batches, FastAPI in front "
                "checks, limits and streams."
            ),
            ("vllm-2.3", "vllm-2.2"),
        ),
        Leaf(
            "fleet",
            _("Triton + load balancing"),
            _(
                "One engine is not enough: several replicas, Triton or plain vLLM, and in front of them what spreads "
                "the load, such as NGINX or Kubernetes. The balancer is the part that decides."
            ),
            ("triton-2.5", "vllm-2.4"),
        ),
    )
    return {leaf.id: leaf for leaf in made}


@dataclass(frozen=True)
class Path:
    """The way through the tree: (fork, answer) from the root on, and the leaf at its end."""

    steps: tuple[tuple[str, Answer], ...]
    leaf: str


def walk(case: Case, band: Callable[[Case], Answer] = by_tokens) -> Path:
    """Ask the case from the root on; `band` says how the load is judged (`by_tokens`, or `by_requests`)."""
    forks, at, steps = {fork.id: fork for fork in FORKS}, FORKS[0].id, []
    while at in forks:
        said = (band if at == "load" else forks[at].answer)(case)
        steps.append((at, said))
        at = forks[at].leads[said]
    return Path(tuple(steps), at)


def concerns(case: Case) -> tuple[str, ...]:
    """Every leaf whose condition holds, by itself: a tree shows the first of them only."""
    return tuple(fork.leads[said] for fork in FORKS if (said := fork.answer(case)) != "no")
