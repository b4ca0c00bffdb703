"""Plausible wrong services for vllm-2.3-contract; each must lose points."""

from tests.battery.defects import DEFECTS, planted

CHOSEN = {
    "looks at the key after the body",
    "takes a number that is written as text",
    "repeats the wrong input in its error",
    "believes in the length that is told",
    "is ready without a look at its engine",
    "documents success only",
}


def carried(text: str) -> str:
    """The answer cell that carries a service."""
    return f"from servelab.lessons.carry import carry\n\ntyped = carry('service.py', r'''\n{text}''')\n"


MUTANTS = {what: carried(planted(DEFECTS["contract"][what][0])) for what in sorted(CHOSEN)}
