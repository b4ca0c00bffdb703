"""When requests are meant to be sent: seeded arrival processes.

An `Arrivals` is a rule; `offsets(n)` turns it into n times in seconds after the load's start. The same seed gives
the same times. An open loop sends at these times whatever the server does, as independent users would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from servelab.errors import ServelabError
from servelab.i18n import _


@dataclass(frozen=True)
class Arrivals:
    """An arrival process: a `name` for reports, its mean `rate` in requests/s, and how to draw it."""

    name: str
    rate: float
    draw: Callable[[int], np.ndarray]

    def offsets(self, n: int) -> np.ndarray:
        """The first `n` intended send times, shape (n,), seconds after the start, never decreasing."""
        return np.asarray(self.draw(n), dtype=float)


def _positive(rate: float, what: str) -> None:
    if not np.isfinite(rate) or rate <= 0:
        raise ServelabError(_("{what} must be a positive number, not {value}.").format(what=what, value=rate))


def poisson(rate: float, seed: int = 0) -> Arrivals:
    """Independent users: exponential gaps of mean 1/`rate` seconds (coefficient of variation 1)."""
    _positive(rate, "rate")

    def draw(n: int) -> np.ndarray:
        return np.cumsum(np.random.default_rng(seed).exponential(1 / rate, n))

    return Arrivals(_("Poisson, {rate:g}/s, seed {seed}").format(rate=rate, seed=seed), rate, draw)


def gamma(rate: float, cv: float = 2.0, seed: int = 0) -> Arrivals:
    """Bursty users: gamma gaps of mean 1/`rate` seconds and coefficient of variation `cv` (sd / mean).

    `cv` 1 is Poisson, above 1 comes in bursts, below 1 is more even. The shape is 1/cv^2 (what `vllm bench serve`
    calls burstiness).
    """
    _positive(rate, "rate")
    _positive(cv, "cv")

    def draw(n: int) -> np.ndarray:
        return np.cumsum(np.random.default_rng(seed).gamma(1 / cv**2, cv**2 / rate, n))

    name = _("gamma, {rate:g}/s, cv {cv:g}, seed {seed}").format(rate=rate, cv=cv, seed=seed)
    return Arrivals(name, rate, draw)


def constant(rate: float) -> Arrivals:
    """A metronome: one request every 1/`rate` seconds, the first at 0."""
    _positive(rate, "rate")
    return Arrivals(_("constant, {rate:g}/s").format(rate=rate), rate, lambda n: np.arange(n) / rate)


def replay(times: Iterable, speed: float = 1.0) -> Arrivals:
    """The times of a trace, `speed` times faster: seconds, or requests that carry `arrival_s`.

    Raises:
        ServelabError: times that go backwards, requests without a time, or (when drawn) fewer times than requests.
    """
    _positive(speed, "speed")
    listed = [getattr(t, "arrival_s", t) for t in times]
    if not listed or any(t is None for t in listed):
        raise ServelabError(_("These requests carry no arrival times: take them from a trace, or give a rate."))
    seconds = np.asarray(listed, dtype=float) / speed
    if (np.diff(seconds) < 0).any():
        raise ServelabError(_("The arrival times go backwards: sort the trace by time first."))

    def draw(n: int) -> np.ndarray:
        if n > len(seconds):
            raise ServelabError(
                _("The trace has {have} arrival times for {want} requests: drive fewer requests.").format(
                    have=len(seconds), want=n
                )
            )
        return seconds[:n]

    span = seconds[-1] - seconds[0]
    rate = (len(seconds) - 1) / span if span > 0 else float("nan")
    name = _("replay of {n} times, {rate:.3g}/s").format(n=len(seconds), rate=rate)
    return Arrivals(name, rate, draw)
