"""The loop: schedule, draft, one pass of the model, keep what it says, and a snapshot of it all.

engine = Engine()                       # the packaged model
answers = engine.generate([prompt, another], max_tokens=32)

request = engine.add(prompt, max_tokens=32)
while snapshot := engine.step():        # one step at a time, everything visible
    print(snapshot.tables, snapshot.waiting)
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from servelab.errors import ServelabError
from servelab.i18n import _
from servelab.model import prepare
from servelab.tiny.blocks import RESERVED, BlockPool
from servelab.tiny.history import Part, Snapshot
from servelab.tiny.model import Batch, Llama, Run, lay_out
from servelab.tiny.sampling import Sampling, probabilities
from servelab.tiny.scheduler import Plan, Request, Scheduler
from servelab.tiny.speculate import Draft, Proposer, verify, verify_greedy


@dataclass
class Totals:
    """Counted since the engine was made: steps, tokens run and written, found in the prefix cache, and the like."""

    steps: int = 0
    run: int = 0
    written: int = 0
    found: int = 0
    preemptions: int = 0
    drafted: int = 0
    accepted: int = 0


class Engine:
    """A paged, continuously batching engine over one Llama; one step is one pass of the model.

    Args:
        model: a loaded `Llama` or a folder of safetensors; without it, the packaged model.
        num_blocks, block_size: blocks of the KV cache, one of them reserved, and tokens a block.
        max_num_seqs: requests that run at once.
        max_num_batched_tokens: tokens a step; longer prompts are read in chunks.
        prefix_caching: whether blocks with a known prefix are used again.
        speculate: who drafts (`NGram`, `DraftModel`, or anything with their methods); None for nobody.
        history: how many snapshots are kept.
        device: without it, the GPU if there is one.

    Raises:
        ServelabError: a size that cannot work, or a model that is not there or no plain Llama.
    """

    def __init__(
        self,
        model: Llama | str | Path | None = None,
        *,
        num_blocks: int = 1024,
        block_size: int = 16,
        max_num_seqs: int = 32,
        max_num_batched_tokens: int = 512,
        prefix_caching: bool = True,
        speculate: Proposer | None = None,
        history: int = 1000,
        device: str | None = None,
    ) -> None:
        if min(block_size, max_num_seqs) < 1 or num_blocks < 2:
            text = _("An engine needs two blocks or more (one is reserved), and at least one token and one request.")
            raise ServelabError(text)
        if max_num_batched_tokens < max_num_seqs:
            text = _("A step must have room for a token of each request: max_num_batched_tokens={n} is less than {m}.")
            raise ServelabError(text.format(n=max_num_batched_tokens, m=max_num_seqs))
        if not isinstance(model, Llama):
            model = Llama.load(Path(model or prepare()), device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = model
        self.pool = BlockPool(num_blocks, block_size, prefix_caching)
        self.cache = model.new_cache(num_blocks, block_size)
        self.proposer = speculate
        drafts = speculate.num_speculative_tokens if speculate else 0
        self.scheduler = Scheduler(self.pool, max_num_seqs, max_num_batched_tokens, drafts)
        if speculate:
            speculate.attach(model, num_blocks, block_size)
        self.history: deque[Snapshot] = deque(maxlen=history)
        self.totals = Totals()
        self._next_id = 0

    def add(
        self,
        prompt: Sequence[int],
        max_tokens: int = 64,
        sampling: Sampling | None = None,
        ignore_eos: bool = False,
    ) -> Request:
        """Queue a prompt of token ids; its `output` grows step by step, its `reason` says when it has ended.

        Raises:
            ServelabError: an empty prompt, a token the model does not have, a length that can never fit.
        """
        prompt, shape = list(prompt), self.model.shape
        if not prompt or max_tokens < 1:
            raise ServelabError(_("A request needs at least one token to read and one to write."))
        if not all(isinstance(t, int) and 0 <= t < shape.vocab_size for t in prompt):
            text = _("A prompt is a list of token ids from 0 to {last}: use the model's tokenizer.")
            raise ServelabError(text.format(last=shape.vocab_size - 1))
        total, block = len(prompt) + max_tokens, self.pool.block_size
        # The last token written is never run, so it needs no place in the cache.
        most = min(shape.max_position_embeddings, (len(self.pool.blocks) - 1) * block + 1)
        if total > most:
            text = _("{prompt} tokens and {more} to write are more than the {most} that fit: shorten them.")
            raise ServelabError(text.format(prompt=len(prompt), more=max_tokens, most=most))
        sampling, generator = sampling or Sampling(), torch.Generator()
        if sampling.seed is None:
            generator.seed()
        else:
            generator.manual_seed(sampling.seed)
        stop = frozenset() if ignore_eos else shape.eos
        request = Request(self._next_id, prompt, len(prompt), max_tokens, sampling, stop, generator)
        self._next_id += 1
        self.scheduler.waiting.append(request)
        return request

    @torch.inference_mode()
    def step(self) -> Snapshot | None:
        """One step, or None when no request is left."""
        started = time.perf_counter()
        plan = self.scheduler.schedule()
        if not plan.work:
            return None
        state = self._state()
        drafts = self._draft(plan)
        runs = [
            Run(work.tokens, work.start, work.request.table, 1 + len(work.drafts) if work.catches_up else 0)
            for work in plan.work
        ]
        batch = lay_out(runs, self.pool.block_size, self.model.device)
        logits = self.model(batch, self.cache)
        if self.proposer:
            self.proposer.watch(batch)
        self._choose(plan, drafts, logits)
        lengths = [len(run.tokens) for run in runs]
        finished = self.scheduler.update(plan)
        snapshot = Snapshot(
            step=self.totals.steps,
            seconds=time.perf_counter() - started,
            parts=self._parts(plan, batch, lengths),
            admitted=_ids(plan.admitted),
            preempted=_ids(plan.preempted),
            finished=_ids(finished),
            **state,
        )
        self._count(snapshot)
        self.history.append(snapshot)
        return snapshot

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        max_tokens: int = 64,
        sampling: Sampling | None = None,
        ignore_eos: bool = False,
    ) -> list[list[int]]:
        """The tokens that continue each prompt; runs until every request has ended, those added before included."""
        requests = [self.add(prompt, max_tokens, sampling, ignore_eos) for prompt in prompts]
        while self.step():
            pass
        return [request.output for request in requests]

    def abort(self, request: Request) -> None:
        """End a request now and give its blocks back; nothing happens if it has ended."""
        self.scheduler.abort(request)

    def _draft(self, plan: Plan) -> dict[int, Draft]:
        """Ask for drafts where the plan has room for them; by request id."""
        bold = [work for work in plan.work if work.room]
        if not bold:
            return {}
        vocabulary = self.model.shape.vocab_size
        drafts = self.proposer.propose([(work.request, work.room) for work in bold])
        for work, draft in zip(bold, drafts, strict=True):
            if len(draft.tokens) > work.room or not all(0 <= t < vocabulary for t in draft.tokens):
                text = _("{n} drafts were asked for: return at most so many, each a token id of the model.")
                raise ServelabError(text.format(n=work.room))
            work.drafts = draft.tokens
        return {work.request.id: draft for work, draft in zip(bold, drafts, strict=True)}

    def _choose(self, plan: Plan, drafts: dict[int, Draft], logits: torch.Tensor) -> None:
        """Write what follows for each request that has caught up: rows of `logits` stand in the plan's order."""
        best, row = logits.argmax(-1).tolist(), 0
        for work in plan.work:
            if not work.catches_up:
                continue
            rows = slice(row, row := row + 1 + len(work.drafts))
            request = work.request
            if request.sampling.greedy:
                work.written = verify_greedy(best[rows], work.drafts)
            else:
                p = probabilities(logits[rows], request.sampling).cpu()
                work.written = verify(p, drafts.get(request.id, Draft([])), request.generator)
            work.accepted = len(work.written) - 1

    def _state(self) -> dict:
        """The queues, tables and blocks as they are now."""
        running, blocks = self.scheduler.running, self.pool.blocks
        return {
            "running": _ids(running),
            "waiting": _ids(self.scheduler.waiting),
            "tables": {request.id: tuple(request.table) for request in running},
            "users": tuple(block.users for block in blocks),
            "known": tuple(number for number, block in enumerate(blocks) if block.digest and number != RESERVED),
            "free": tuple(self.pool.free),
        }

    def _parts(self, plan: Plan, batch: Batch, lengths: Sequence[int]) -> tuple[Part, ...]:
        slots = iter(batch.slots.cpu().split(list(lengths)))  # one copy off a GPU, not one a request
        return tuple(
            Part(
                request=work.request.id,
                start=work.start,
                tokens=tuple(work.request.tokens[work.start : work.start + work.count]),
                drafts=tuple(work.drafts),
                accepted=work.accepted,
                written=tuple(work.written),
                slots=tuple(next(slots).tolist()),
                found=work.request.found if work.request in plan.admitted else 0,
            )
            for work in plan.work
        )

    def _count(self, snapshot: Snapshot) -> None:
        self.totals.steps += 1
        self.totals.run += snapshot.tokens
        self.totals.preemptions += len(snapshot.preempted)
        for part in snapshot.parts:
            self.totals.written += len(part.written)
            self.totals.found += part.found
            self.totals.drafted += len(part.drafts)
            self.totals.accepted += part.accepted


def _ids(requests: Sequence[Request]) -> tuple[int, ...]:
    return tuple(request.id for request in requests)
