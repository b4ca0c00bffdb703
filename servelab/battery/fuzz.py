"""Requests that schemathesis makes from a service's own schema: `python -m servelab.battery.fuzz URL KEY SEED`.

A process of its own, for a schema is its author's text: whatever it makes a generator do ends with this process. It
prints one line of JSON: how many requests were sent, and the first fault, empty where there is none.
"""

from __future__ import annotations

import json
import resource
import sys
import warnings
from typing import Any

EXAMPLES = 30
LARGEST_SCHEMA = 2**20
MEMORY_BYTES = 4 * 2**30
SECONDS = 100


def foreign(value: Any) -> bool:
    """Whether a schema refers to anything outside itself."""
    if isinstance(value, dict):
        reference = value.get("$ref", "#")
        return not (isinstance(reference, str) and reference.startswith("#")) or any(map(foreign, value.values()))
    return isinstance(value, list) and any(map(foreign, value))


def fuzz(url: str, key: str, seed: int) -> tuple[int, str]:
    """(requests sent, the first fault) of requests to the one path that costs something: half right, half wrong."""
    import httpx
    import hypothesis
    import schemathesis
    from schemathesis import GenerationMode
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    from servelab.battery.verdicts import PATH

    raw = httpx.get(f"{url}/openapi.json", trust_env=False, timeout=10).content
    if len(raw) > LARGEST_SCHEMA or foreign(document := json.loads(raw)):
        return 0, "the schema is larger than 1 MiB, or refers to something outside itself"
    document["paths"] = {PATH: document["paths"][PATH]}
    # JSON Schema takes 512.0 for an integer, strict types do not: a refusal of that is no fault.
    lenient = [positive_data_acceptance]
    schema = schemathesis.openapi.from_dict(document)
    sent = 0
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        strategy = schema[PATH]["POST"].as_strategy(generation_mode=mode)

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=EXAMPLES, deadline=None, database=None, phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck), print_blob=False,
        )  # fmt: skip
        @hypothesis.given(case=strategy)
        def send(case: Any) -> None:
            nonlocal sent
            sent += 1
            headers = {"Authorization": f"Bearer {key}"}
            case.call_and_validate(base_url=url, headers=headers, timeout=20, excluded_checks=lenient)

        try:
            send()
        except (Exception, BaseExceptionGroup) as error:
            return sent, told(error)
    return sent, ""


def told(error: BaseException) -> str:
    """The first failure of a group, in one line: what failed, and with which request."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines)[:400] or type(error).__name__


def main(url: str, key: str, seed: str) -> None:
    """Send and tell."""
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    try:
        sent, why = fuzz(url, key, int(seed))
    except Exception as error:  # a schema that no generator understands is a fault like any other
        sent, why = 0, told(error)
    print(json.dumps({"sent": sent, "why": why}))


if __name__ == "__main__":
    main(*sys.argv[1:])
