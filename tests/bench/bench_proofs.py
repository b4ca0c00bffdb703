"""Every exercise on a running server, proven: its reference passes, and each plausible wrong answer loses.

What stands as it was when it was last proven is kept; the rest is proven anew, and kept as soon as it is.
"""

from __future__ import annotations

import datetime
import os
import tempfile
import time
from pathlib import Path
from unittest import mock

from autograder import proof, proven
from servelab import records
from servelab.bench import Bench
from servelab.notebooks import execute


def run(bench: Bench) -> None:
    """Prove what is not proven yet; `--quick` proves the first of them only."""
    kept, pairs = proven.proofs(), proven.exercises()
    proofs = {e.name: kept[e.name] for s, e in pairs if proven.day(s, e)}
    left = [(s, e) for s, e in pairs if e.name not in proofs]
    problems = []
    with execute.session():
        for number, (source, exercise) in enumerate(left[: 1 if bench.quick else None], 1):
            bench.say(f"{number}/{len(left)} {exercise.name}")
            fingerprint, began = proven.fingerprint(source, exercise), time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                env = execute.environment("en", "ci", Path(folder))
                with mock.patch.dict(os.environ, env):
                    found = proof.lasting(source, exercise)
            if found:
                problems += found
                bench.say("\n".join(found))
                continue
            day = datetime.datetime.now(datetime.UTC).date().isoformat()
            took = round(time.monotonic() - began)
            proofs[exercise.name] = {"date": day, "seconds": took, "fingerprint": fingerprint}
            if not bench.quick:
                records.save(proven.RECORD, {"proofs": proofs})
    bench.data["proofs"] = proofs
    bench.figure("proven", len(proofs), "exercises", f"all {len(pairs)}", len(proofs) == len(pairs))
    bench.figure("problems", len(problems), "problems", "0", not problems)
