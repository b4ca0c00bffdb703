"""Plausible wrong services for vllm-2.3-streaming; each must lose points."""

from tests.battery.defects import DEFECTS, planted

CHOSEN = {
    "collects the stream and sends it at its end",
    "begins its stream before the engine has agreed",
    "works on for whoever waits no more",
    "ends a broken answer as if it were whole",
    "hoards what nobody reads",
}


def carried(text: str) -> str:
    """The answer cell that carries a service."""
    return f"from servelab.lessons.carry import carry\n\nstreamed = carry('service.py', r'''\n{text}''')\n"


MUTANTS = {what: carried(planted(DEFECTS["streaming"][what][0])) for what in sorted(CHOSEN)}
