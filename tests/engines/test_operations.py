"""The operations of a small model, timed on the processor."""

import pytest

from servelab.course import Model
from servelab.engines import operations
from servelab.errors import ServelabError
from servelab.theory.roofline import OPERATIONS

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def small():
    from servelab import course

    known = course.load().model("smollm2-135m")
    values = {"hidden": 32, "heads": 4, "kv_heads": 2, "head_dim": 8, "intermediate": 64, "layers": 3, "vocab": 100}
    return known.model_copy(update=values) if isinstance(known, Model) else known


def test_each_operation_is_timed_at_each_batch(small):
    table = operations.measure(small, [1, 4], context=16, repeats=1, device="cpu", cold_bytes=2**16)
    assert sorted(set(table.operation)) == sorted(OPERATIONS) and len(table) == 2 * len(OPERATIONS)
    assert (table.seconds > 0).all() and (table.flop_s * table.seconds - table.flops).abs().max() < 1e-3
    qkv = table[table.operation == "qkv"].set_index("rows")
    assert qkv.flops[1] == 2 * 32 * (4 + 2 * 2) * 8, "of one layer"
    assert qkv.intensity[4] == 4 * qkv.intensity[1]
    attention = table[table.operation == "attention"].set_index("rows").intensity
    assert attention[4] == pytest.approx(attention[1])


def test_a_device_that_is_not_there_is_one_sentence(small):
    with pytest.raises(ServelabError, match="could not be measured"):
        operations.measure(small, [1], device="cuda:99", repeats=1, cold_bytes=1)
