"""The shelf of models: room for all means one load each, LRU is held against a walk by hand, size is only a scale."""

import numpy as np
import pytest

from servelab.widgets.ring import zipf
from servelab.widgets.shelf import REQUESTS, shares, shelf


@pytest.fixture(scope="module")
def explorer():
    return shelf(model_mb=100)


def test_loads_by_lru_are_those_of_a_walk_by_hand():
    held, loads = [], 0
    for model in zipf(0.8, 8, REQUESTS):
        if model in held:
            held.remove(model)
        else:
            loads += 1
            held = held[-2:]
        held.append(model)
    assert shares(8, 0.8)["lru"][2] == pytest.approx(100 * loads / REQUESTS)


def test_with_room_for_all_each_is_loaded_once_and_foresight_is_never_beaten():
    found = shares(8, 1.0)
    assert all(values[-1] == pytest.approx(100 * 8 / REQUESTS) for values in found.values())
    assert np.all(np.array(found["optimal"]) <= np.minimum(found["lru"], found["fifo"]) + 1e-9)


def test_memory_and_waiting_follow_their_sliders(explorer):
    loads, price = explorer.figures(load_s=5.0)
    assert list(price.data[1].y) == pytest.approx([0.05 * y for y in loads.data[1].y])
    assert list(price.data[0].x) == [100 * n for n in range(1, 9)]
    assert "3 of 8 loaded" in explorer.caption() and "300 MB instead of 800 MB" in explorer.caption()


def test_more_room_than_models_is_room_for_all(explorer):
    assert "4 of 4 loaded" in explorer.caption(models=4, room=16)
