"""A second grader, in a process of its own: judges one good submission over and over while another is attacking.

Speaks by lines: `go` begins, `stop` ends a round, whose marks it tells.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

from autograder import intake, judge, sandbox
from servelab.notebooks import source as sources


def main(id: str, path: str) -> None:
    """Serve rounds until the input ends."""
    source = next(s for s in sources.ready() if s.entry.id == id)
    isolation, read = sandbox.isolation(), intake.read(Path(path), source)
    stop = threading.Event()
    print("ready", flush=True)
    while sys.stdin.readline() == "go\n":
        stop.clear()
        threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
        told = []
        while not told or not stop.is_set():
            judged = judge.judge(source, read, seed=11, isolation=isolation)
            told.append([judged.earned, [mark.cause for mark in judged.marks]])
            stop.wait(0.5)
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
