"""Plausible wrong services for vllm-2.3-pressure; each must lose points."""

from tests.battery.defects import DEFECTS, planted

CHOSEN = {
    "lets one too many through",
    "refuses with 503",
    "counts those who left the queue",
    "gives up at the first failure",
    "has no budget",
    "ends a stalled stream as if it were whole",
}


def carried(text: str) -> str:
    """The answer cell that carries a service."""
    return f"from servelab.lessons.carry import carry\n\nsteady = carry('service.py', r'''\n{text}''')\n"


MUTANTS = {what: carried(planted(DEFECTS["pressure"][what][0])) for what in sorted(CHOSEN)}
