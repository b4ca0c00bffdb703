"""The kitchen: who waits for what, and that it agrees with the roofline."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servelab.errors import ServelabError
from servelab.theory.kitchen import Kitchen

count = st.integers(1, 200)
kitchens = st.builds(
    Kitchen, cooks=count, batch=count, space=count, guests=count,
    recipes_s=st.floats(1e-4, 10), dish_s=st.floats(1e-4, 10), dishes=count,
)  # fmt: skip


def test_by_hand():
    kitchen = Kitchen(cooks=2, batch=4, space=3, guests=7, recipes_s=1.0, dish_s=0.5, dishes=10)
    assert (kitchen.running, kitchen.waiting, kitchen.held_by, kitchen.limit) == (3, 4, "space", "recipes")
    assert kitchen.round_s == 1.0
    assert kitchen.dishes_per_s == 3.0
    assert kitchen.last_wait_s == 21.0  # two full tables of ten rounds, then one round


@given(kitchens)
def test_more_cooks_help_only_where_cooks_are_the_limit(kitchen):
    more = replace(kitchen, cooks=kitchen.cooks + 1)
    assert more.round_s <= kitchen.round_s
    if kitchen.limit == "recipes":
        assert more.dishes_per_s == kitchen.dishes_per_s


@given(kitchens)
def test_a_larger_batch_never_cooks_less_and_never_answers_a_guest_faster(kitchen):
    more = replace(kitchen, batch=kitchen.batch + 1)
    assert more.dishes_per_s >= kitchen.dishes_per_s * (1 - 1e-12)
    assert more.round_s >= kitchen.round_s


@given(kitchens)
def test_every_guest_is_somewhere(kitchen):
    assert kitchen.running + kitchen.waiting == kitchen.guests
    assert 1 <= kitchen.running <= min(kitchen.batch, kitchen.space)


def test_an_empty_kitchen_is_refused():
    with pytest.raises(ServelabError, match="at least one cook"):
        Kitchen(cooks=0, batch=1, space=1, guests=1, recipes_s=1, dish_s=1)
