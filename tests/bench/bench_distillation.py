"""A student of half the layers learns from text that its teacher wrote: perplexity by tokens seen.

Nobody else's text is needed: vLLM lets the teacher write freely (Liu et al., "LLM-QAT", 2023, section 3.1, make data
for quantisation so). The course's own text, on which the perplexity is taken, is in neither. What the teacher wrote
is kept beside the prepared models, so that another run trains on the same.
"""

from __future__ import annotations

import json
import statistics
import time

import numpy as np
import torch

from servelab import compress, hardware
from servelab import model as models
from servelab.bench import Bench
from servelab.engines import vllm
from servelab.paths import home

ROWS, QUICK, LENGTH = 160, 16, 192
KEPT = (*range(0, 30, 2),)
START = 0
"""<|endoftext|>: what stands before a document in training."""
OPENING = "The harbour was quiet that morning, and"
"""What all are asked to go on with, greedily: before and after a perplexity says little to a reader."""


def run(bench: Bench) -> None:
    """Cut every second layer, train what is left, and look at the perplexity on the way."""
    rows = text(bench, QUICK if bench.quick else ROWS)
    ids, teacher = compress.text_ids(), compress.load()
    student = compress.shortened(teacher, KEPT)
    whole, said = perplexity(teacher, ids), {"teacher": says(teacher), "cut": says(student)}
    curve = [{"tokens": 0, "perplexity": perplexity(student, ids)}]
    losses, began, spent, look = [], time.perf_counter(), 0.0, max(1, len(rows) // 2 // 8)
    for step, (seen, loss) in enumerate(compress.distil(teacher, student, torch.tensor(rows)), 1):
        losses.append(round(loss, 4))
        if step % look == 0:
            spent += time.perf_counter() - began
            curve.append({"tokens": seen, "perplexity": perplexity(student, ids)})
            bench.say(f"{seen} tokens: loss {statistics.fmean(losses[-look:]):.2f}, {curve[-1]['perplexity']:.1f}")
            began = time.perf_counter()
    before, after = curve[0]["perplexity"], curve[-1]["perplexity"]
    bench.figure("perplexity falls", before / after, "x", "10 or more", before >= 10 * after)
    bench.figure("student against teacher", after / whole, "x", "over 1: it does not catch up so soon", after > whole)
    bench.data = {
        "tier": hardware.tier().id,
        "layers": list(KEPT),
        "bytes": compress.size_bytes(student),
        "teacher_perplexity": whole,
        "evaluated_tokens": len(ids),
        "trained_tokens": curve[-1]["tokens"],
        "training_s": round(spent, 1),
        "curve": curve,
        "losses": losses,
        "opening": OPENING,
        "says": {**said, "student": says(student)},
    }


def perplexity(one: torch.nn.Module, ids: list[int]) -> float:
    """On the course's own text."""
    return float(np.exp(compress.surprise(one, ids).mean()))


def says(one: torch.nn.Module, tokens: int = 24) -> str:
    """How a model goes on from the opening, always with the likeliest token."""
    tokenizer = models.tokenizer("smollm2-135m")
    ids = torch.tensor([tokenizer(OPENING).input_ids])
    out = one.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False, pad_token_id=2)
    return tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)


def text(bench: Bench, rows: int) -> list[list[int]]:
    """What the teacher writes when nobody asks it anything: rows of token ids."""
    kept = home() / "distillation.json"
    if kept.exists():
        found = json.loads(kept.read_text())
        if len(found) >= rows:
            return found[:rows]
    stream: list[int] = []
    with vllm() as server:
        client, seed = server.client(), 0
        while len(stream) < rows * LENGTH:
            said = client.completions.create(
                model=server.model,
                prompt=[START],
                n=32,  # each with a seed of its own: this one, the next, ...
                max_tokens=LENGTH,
                temperature=1.0,
                seed=seed,
                extra_body={"return_token_ids": True},
            )
            for choice in said.choices:
                stream += [START, *choice.token_ids]
            seed += len(said.choices)
            bench.say(f"the teacher wrote {len(stream)} tokens")
    found = [stream[i * LENGTH : (i + 1) * LENGTH] for i in range(rows)]
    kept.write_text(json.dumps(found))
    return found
