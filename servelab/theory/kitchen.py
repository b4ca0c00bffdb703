"""A kitchen that serves as an engine does: one trip for the recipes a round, shared by every dish on the stove.

The two pictures are one model. A round is a forward pass; fetching the recipe book is reading the weights, once
a pass; a dish is one token of one sequence; counter space is room in the KV cache. The pass takes the longer of
the two, as in the roofline (see `servelab.theory.roofline`); prompts are taken as read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from servelab.errors import ServelabError
from servelab.i18n import _

Limit = Literal["recipes", "cooks"]
Held = Literal["guests", "space", "batch"]


@dataclass(frozen=True)
class Kitchen:
    """One state of the kitchen, all guests already at the door and each with the same order.

    Attributes:
        cooks: how many units compute.
        batch: dishes the chef allows in one round (the batch limit).
        space: orders the counter can hold at once (sequences the KV cache has room for).
        guests: orders there are.
        recipes_s: seconds to fetch the recipes (to read the weights), once a round.
        dish_s: seconds of one cook for one dish (one token on one unit).
        dishes: dishes an order has (tokens an answer has).
    """

    cooks: int
    batch: int
    space: int
    guests: int
    recipes_s: float
    dish_s: float
    dishes: int = 32

    def __post_init__(self) -> None:
        if min(self.cooks, self.batch, self.space, self.guests, self.dishes) < 1:
            raise ServelabError(_("A kitchen needs at least one cook, one pot, one place, one guest and one dish."))

    @property
    def running(self) -> int:
        """Orders in a full round."""
        return min(self.batch, self.space, self.guests)

    @property
    def waiting(self) -> int:
        """Orders outside the first round."""
        return self.guests - self.running

    @property
    def held_by(self) -> Held:
        """What keeps the round from being larger."""
        if self.running == self.guests:
            return "guests"
        return "space" if self.space < self.batch else "batch"

    @property
    def limit(self) -> Limit:
        """What a round waits for."""
        return "cooks" if self.running * self.dish_s / self.cooks > self.recipes_s else "recipes"

    @property
    def round_s(self) -> float:
        """Seconds a full round takes; also the time between two dishes of one guest."""
        return max(self.recipes_s, self.running * self.dish_s / self.cooks)

    @property
    def dishes_per_s(self) -> float:
        """Dishes (tokens) per second of a full kitchen."""
        return self.running / self.round_s

    @property
    def last_wait_s(self) -> float:
        """Seconds until the last guest's first dish: full tables eat first, then their places are free."""
        return (math.ceil(self.guests / self.running) - 1) * self.dishes * self.round_s + self.round_s
