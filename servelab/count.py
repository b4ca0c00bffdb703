"""Count what a piece of torch code does: FLOPs of its products, bytes that it reads and writes, its largest tensor.

What is counted is what the operations are given and give back, the way a pencil counts it. A fused kernel is one
operation: what it keeps in the processor's own caches is not memory traffic. FLOPs are those of matrix products, a
multiply-add as two, and a product that a mask throws away afterwards is counted too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

EMPTY = ("empty", "new_empty", "empty_like", "empty_strided")
"""Operations that set memory aside and write nothing to it."""


@dataclass
class Count:
    """What was counted.

    Attributes:
        flops: of matrix products and attention kernels.
        bytes: of tensors that operations read and wrote; a view moves nothing.
        largest: bytes of the largest tensor that was made.
        result: what the code gave back.
    """

    flops: int = 0
    bytes: int = 0
    largest: int = 0
    result: Any = None


class _Counting(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.count = Count()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        packet = func.overloadpacket
        if packet in flop_registry:
            self.count.flops += int(flop_registry[packet](*args, **kwargs, out_val=out))
        elif "scaled_dot_product" in packet.__name__:
            self.count.flops += int(sdpa_flop_count(*(one.shape for one in args[:3])))
        if func.is_view or packet.__name__ in EMPTY:
            return out
        made = [one for one in tree_leaves(out) if isinstance(one, Tensor)]
        read = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        self.count.bytes += sum(map(_bytes, made)) + sum(map(_bytes, read))
        self.count.largest = max([self.count.largest, *map(_bytes, made)])
        return out


def _bytes(tensor: Tensor) -> int:
    """Bytes behind a tensor; one that is only expanded is as small as its memory."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def count(function: Callable[..., Any], *args: Any) -> Count:
    """Run `function(*args)` once and count what it does (without gradients)."""
    with torch.no_grad(), _Counting() as mode:
        mode.count.result = function(*args)
    return mode.count


def seconds(function: Callable[..., Any], *args: Any, repeats: int = 3) -> float:
    """Seconds of `function(*args)`: the best of `repeats` runs, after one that is not counted."""
    best = float("inf")
    with torch.no_grad():
        for turn in range(repeats + 1):
            began = time.perf_counter()
            function(*args)
            if turn:
                best = min(best, time.perf_counter() - began)
    return best
