"""The number on most dashboards: how busy the machine looks while a server works.

On a CPU tier, the share of all cores' time that the server's processes took. On a GPU tier, what `nvidia-smi` calls
utilization.gpu: the share of time in which some kernel was running, however small (NVML, nvmlUtilization_t).
Neither says how much useful work was done: for that see MFU and MBU in `servelab.theory.cost`.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import psutil

from servelab import hardware

if TYPE_CHECKING:
    from servelab.engines.server import Server

QUERY = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]


class Busy:
    """`with Busy(server) as meter: ...`, then `meter.share`, from 0 to 1."""

    def __init__(self, server: Server, every_s: float = 0.25) -> None:
        self.share = float("nan")
        self._pid, self._every = server.pid, every_s
        self._gpu = hardware.tier().kind == "cuda"
        self._samples: list[float] = []
        self._stop = threading.Event()

    def __enter__(self) -> Busy:
        self._began, self._cpu = time.monotonic(), self._cpu_seconds()
        if self._gpu:
            self._thread = threading.Thread(target=self._sample, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._gpu:
            self._stop.set()
            self._thread.join()
            if self._samples:
                self.share = sum(self._samples) / len(self._samples) / 100
            return
        wall = (time.monotonic() - self._began) * hardware.probe().cores
        self.share = (self._cpu_seconds() - self._cpu) / wall

    def _cpu_seconds(self) -> float:
        """CPU time of the engine's process tree so far."""
        total = 0.0
        with contextlib.suppress(psutil.Error):
            first = psutil.Process(self._pid)
            for one in (first, *first.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    used = one.cpu_times()
                    total += used.user + used.system
        return total

    def _sample(self) -> None:
        while not self._stop.wait(self._every):
            with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
                text = subprocess.run(QUERY, capture_output=True, text=True, timeout=10, check=True).stdout
                values = [float(line) for line in text.split()]
                self._samples.append(sum(values) / len(values))


class Others:
    """`with Others(server) as others: ...`, then `others.share`: what other programs took of all cores, from 0 to 1.

    Neither the server's processes nor this one count; what a hypervisor gave to other machines (steal) does. A
    measurement during which it is large is one of a smaller machine.
    """

    def __init__(self, server: Server) -> None:
        self.share = float("nan")
        self._ours = [psutil.Process()]
        with contextlib.suppress(psutil.Error):
            first = psutil.Process(server.pid)
            self._ours += [first, *first.children(recursive=True)]

    def __enter__(self) -> Others:
        self._before = self._seconds()
        return self

    def __exit__(self, *_: object) -> None:
        busy, idle, ours = (after - before for before, after in zip(self._before, self._seconds(), strict=True))
        if busy + idle > 0:
            self.share = max(0.0, busy - ours) / (busy + idle)

    def _seconds(self) -> tuple[float, float, float]:
        """Of all cores busy and idle, and of our processes, in seconds so far."""
        now, ours = psutil.cpu_times(), 0.0
        for one in self._ours:
            with contextlib.suppress(psutil.Error):
                used = one.cpu_times()
                ours += used.user + used.system
        busy = sum(getattr(now, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq", "steal"))
        return busy, now.idle + getattr(now, "iowait", 0.0), ours
