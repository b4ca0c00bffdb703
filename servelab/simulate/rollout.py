"""A deployment in miniature: replicas that drain, stop, start and fail, for whoever decides what to do next.

A step is a function of what an operator sees, the same that `servelab.engines.deployment.Deployment.look` tells, and
of the wanted version; it returns (action, replica). `judge` lets it lead small deployments through rollouts, crashes
and versions that do not start, and tells which promise it breaks. Time passes in ticks, one after each action.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from servelab.i18n import _

Step = Callable[[dict[str, dict[str, Any]], int], Any]
TICKS = 150
START_TICKS = (2, 5)
MOST_OPEN = 4
FAILURES = 3
"""After so many failed starts of a version, a replica's rollout is given up."""


@dataclass
class Pod:
    """A replica: what is seen of it, and when the start under way will be over."""

    version: int = 1
    running: bool = True
    ready: bool = True
    admitted: bool = True
    open: int = 0
    failed: int = 0
    due: int = 0

    def seen(self) -> dict[str, Any]:
        """As an operator sees it."""
        return {k: v for k, v in vars(self).items() if k != "due"}


@dataclass
class Rollout:
    """A small deployment.

    Attributes:
        pods: {name: Pod}.
        wanted: the version that all should run.
        broken: the wanted version does not start.
        crashes: {tick: name} of the engines that die by themselves.
        broke: {promise: what happened}, the first time each was broken.
    """

    pods: dict[str, Pod]
    wanted: int
    rng: random.Random
    broken: bool = False
    crashes: dict[int, str] = field(default_factory=dict)
    broke: dict[str, str] = field(default_factory=dict)
    tick: int = 0

    def look(self) -> dict[str, dict[str, Any]]:
        """What an operator sees, as plain data."""
        return {name: pod.seen() for name, pod in self.pods.items()}

    @property
    def serving(self) -> int:
        """How many replicas get requests and can answer them."""
        return sum(pod.ready and pod.admitted for pod in self.pods.values())

    @property
    def settled(self) -> bool:
        """Whether everything is as it should be."""
        return all(pod.version == self.wanted and pod.ready and pod.admitted for pod in self.pods.values())

    def act(self, action: str, name: str) -> None:
        """Do one thing, and note the promise that it breaks."""
        pod, before = self.pods.get(name), self.serving
        if pod is None or action not in ("drain", "stop", "start", "admit"):
            self._break("form", _("it answers {what!r}").format(what=(action, name)))
            return
        if action == "drain":
            pod.admitted = False
        elif action == "stop":
            if pod.running and pod.admitted:
                self._break("drained", _("{name} is stopped while it gets requests").format(name=name))
            elif pod.ready and pod.open:
                self._break("drained", _("{name} is stopped with {n} open").format(name=name, n=pod.open))
            if self.broken and pod.version == self.wanted and not pod.running:
                self._break("halts", _("{name} is stopped though it does not run").format(name=name))
            pod.running = pod.ready = False
            pod.open = pod.due = 0
        elif action == "start":
            if pod.running:
                self._break("form", _("{name} is started though it runs").format(name=name))
                return
            pod.version, pod.running, pod.ready = self.wanted, True, False
            pod.due = self.tick + self.rng.randint(*START_TICKS)
        else:
            if not pod.ready:
                self._break("ready", _("{name} is admitted before it is ready").format(name=name))
            elif pod.version != self.wanted:
                self._break("ready", _("{name} is admitted with the old version").format(name=name))
            pod.admitted = True
        if before and not self.serving:
            self._break("served", _("{action} {name} leaves nobody who serves").format(action=action, name=name))

    def passes(self) -> None:
        """One tick: answers begin and end, starts succeed or fail, an engine may die."""
        self.tick += 1
        for name, pod in self.pods.items():
            if pod.running and pod.due and self.tick >= pod.due:
                pod.due = 0
                if self.broken and pod.version == self.wanted:
                    pod.running, pod.failed = False, pod.failed + 1
                else:
                    pod.ready, pod.failed = True, 0
            if pod.ready and pod.admitted:
                pod.open = self.rng.randint(0, MOST_OPEN)
            elif pod.open:
                pod.open -= self.rng.randint(0, 1)
            if self.crashes.get(self.tick) == name and pod.running:
                pod.running = pod.ready = False
                pod.open = pod.due = 0

    def run(self, step: Step) -> str:
        """Ask `step` until it says `done` or `halt`, or time is up: `late`."""
        while self.tick < TICKS:
            answer = step(self.look(), self.wanted)
            try:
                action, name = answer
            except (TypeError, ValueError):
                self._break("form", _("it answers {what!r}").format(what=answer))
                return "late"
            if action in ("done", "halt"):
                return action
            stale = [n for n, pod in self.pods.items() if pod.admitted and not pod.ready]
            if stale and action != "drain":
                text = _("{name} cannot serve and still gets requests")
                self._break("out", text.format(name=stale[0]))
            if action != "wait":
                self.act(action, name)
            self.passes()
        return "late"

    def _break(self, promise: str, what: str) -> None:
        self.broke.setdefault(promise, _("tick {n}: {what}").format(n=self.tick, what=what))


PROMISES = ("form", "still", "served", "drained", "ready", "out", "ends", "mended", "halts")


def judge(step: Step, seed: int = 0, runs: int = 6) -> dict[str, str]:
    """Whether a step keeps the promises of a rollout: {promise: how it was broken}, empty where it was not.

    `form`: answers are actions of a replica. `still`: where all is well nothing is done. `served`: an action never
    leaves users with nobody. `drained`: who is stopped gets no requests, and has none open. `ready`: who is admitted
    is ready, and new. `out`: who cannot serve is taken out before anything else is done. `ends`: it says done when all
    is done, and not before. `mended`: what dies is started again. `halts`: a version that does not start is given up
    after three failures, and the others serve on.

    Args:
        step: `step(replicas, wanted) -> (action, replica)`.
        runs: small deployments of each kind.
    """
    found = dict.fromkeys(PROMISES, "")

    def note(promise: str, why: str) -> None:
        found[promise] = found[promise] or why

    for run in range(runs):
        rng = random.Random(f"rollout:{seed}:{run}")
        names = ["a", "b", "c", "d"][: rng.randint(2, 4)]

        def fresh(version: int = 1, **more: Any) -> Rollout:
            return Rollout({n: Pod(version=version) for n in names}, 2, rng, **more)  # noqa: B023

        calm = fresh(version=2)
        said = calm.run(step)
        if said != "done" or calm.tick:
            note("still", _("all is well, and it says {said} after {n} ticks").format(said=said, n=calm.tick))
        plain = fresh()
        part = fresh()
        part.pods[names[0]] = Pod(version=2)
        crashed = fresh(version=2)
        crashed.pods[rng.choice(names)] = Pod(version=2, running=False, ready=False)
        mid = fresh(crashes={rng.randint(2, 12): rng.choice(names)})
        for kind, one in (("ends", plain), ("ends", part), ("mended", crashed), ("mended", mid)):
            said = one.run(step)
            if said != "done" or not one.settled:
                note(kind, _("it says {said} while not all is done").format(said=said))
            _collect(one, note)
        broken = fresh(broken=True)
        said = broken.run(step)
        if said != "halt":
            note("halts", _("the new version never starts, and it says {said}").format(said=said))
        most = max(pod.failed for pod in broken.pods.values())
        if most != FAILURES:
            note("halts", _("it gives up after {n} failures instead of {most}").format(n=most, most=FAILURES))
        if broken.serving < len(names) - 1:
            note("halts", _("when it gives up, {n} of {all} serve").format(n=broken.serving, all=len(names)))
        _collect(broken, note)
    return found


def _collect(one: Rollout, note: Callable[[str, str], None]) -> None:
    for promise, why in one.broke.items():
        note(promise, why)
