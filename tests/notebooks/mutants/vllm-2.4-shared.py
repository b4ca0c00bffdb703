"""Plausible wrong services for vllm-2.4-shared; each must lose points."""

from tests.battery.defects import DEFECTS, planted

CHOSEN = {
    "reads the count and then writes it",
    "names a copy by its prompt alone",
    "keeps sessions in its own memory",
    "names a session without its key",
    "never lets go",
    "fails with its Redis",
}


def carried(text: str) -> str:
    """The answer cell that carries a service."""
    return f"from servelab.lessons.carry import carry\n\nshared = carry('production.py', r'''\n{text}''')\n"


MUTANTS = {what: carried(planted(DEFECTS["shared"][what][0], "shared")) for what in sorted(CHOSEN)}
