"""Three allocators on the same requests: memory, slot, what clients ask for, block size, and what it does to each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import plotly.graph_objects as go

from servelab.figures import allocation as figures
from servelab.i18n import _
from servelab.simulate.allocation import FirstFit, Paged, Replay, Slots, replay
from servelab.widgets.base import Explorer, choice, steps

BLOCKS = (8, 16, 32, 64, 128)
SLOTS = (256, 512, 1024, 2048)
ASKED = (128, 256, 512)
MEMORIES = (1024, 2048, 4096, 8192)


def names() -> dict[str, str]:
    """The three by the course's words."""
    return {"fixed": _("fixed slots"), "dynamic": _("dynamic, first fit"), "paged": _("paged")}


def allocation(lengths: Sequence[tuple[int, int]], memory: int = 2048, slot: int = 1024, block: int = 32) -> Explorer:
    """Explorer: the same requests, all waiting at the start, through three allocators (simulated).

    Args:
        lengths: (prompt, answer) of each request, in tokens; none is longer than the smallest memory allows.
        memory: tokens of memory to begin with.
        slot: of fixed allocation: the longest sequence that is promised.
        block: of paging.
    """
    lengths = tuple(lengths)
    longest = max(prompt + output for prompt, output in lengths)
    answer = max(output for _prompt, output in lengths)

    @lru_cache(maxsize=256)
    def served(kind: str, memory: int, setting: int | None) -> Replay:
        if kind == "fixed":
            return replay(Slots(memory, setting), lengths)
        if kind == "dynamic":
            return replay(FirstFit(memory), lengths, setting)
        return replay(Paged(memory // setting, setting), lengths)

    def all_three(memory: int, slot: int, asked: int, block: int) -> dict[str, Replay]:
        settings = {"fixed": min(slot, memory), "dynamic": asked or None, "paged": block}
        return {names()[kind]: served(kind, memory, setting) for kind, setting in settings.items()}

    def draw(memory: int, slot: int, asked: int, block: int) -> list[go.Figure]:
        replays = all_three(memory, slot, asked, block)
        maps = [figures.memory_map(one, name) for name, one in replays.items()]
        return [figures.account(replays).update_layout(height=270), *maps]

    def say(memory: int, slot: int, asked: int, block: int) -> str:
        told = _("{name}: {concurrency:.1f} requests at once, {steps:,} steps for all")
        replays = all_three(memory, slot, asked, block)
        each = [told.format(name=n, concurrency=r.concurrency, steps=r.steps) for n, r in replays.items()]
        return "<br>".join(each)

    known = {_("the answer's own length, foreknown"): 0} | {
        _("{n} answer tokens, all alike").format(n=n): n for n in ASKED if n >= answer
    }
    controls = {
        "memory": steps(_("Memory (tokens)"), sorted({*MEMORIES, memory}), memory),
        "slot": steps(_("Slot (tokens)"), [n for n in sorted({*SLOTS, slot}) if n >= longest], slot),
        "asked": choice(_("Dynamic: room asked for"), known, list(known.values())[min(1, len(known) - 1)]),
        "block": steps(_("Block (tokens)"), BLOCKS, block),
    }
    return Explorer(controls, draw, say=say, columns=2)
