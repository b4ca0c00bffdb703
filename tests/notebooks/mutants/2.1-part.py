"""Plausible wrong answers to 2.1-part."""

TEMPLATE = """
def first_difference(reference, answer):
    {body}
"""
LOOP = """for at, (one, other) in enumerate(zip(reference, answer)):
        if one != other:
            return at
    """
ENDS = """if len(reference) != len(answer):
        return min(len(reference), len(answer))
    return None"""


def mutant(body: str) -> str:
    return TEMPLATE.format(body=body)


MUTANTS = {
    "looks no further than the shorter answer": mutant(LOOP + "return None"),
    "counts from one": mutant(LOOP.replace("return at", "return at + 1") + ENDS.replace("answer))", "answer)) + 1")),
    "counts the tokens alike": mutant(
        "same = sum(one == other for one, other in zip(reference, answer))\n"
        "    return None if reference == answer else same"
    ),
    "tells the last difference": mutant(
        "found = None\n    " + LOOP.replace("return at", "found = at") + "return found"
    ),
    "takes index 0 for none": mutant(
        f"at = _first(reference, answer)\n    return at or None\n\n\ndef _first(reference, answer):\n    {LOOP}{ENDS}"
    ),
    "looks at lengths first": mutant(
        "if len(reference) != len(answer):\n        return min(len(reference), len(answer))\n    "
        + LOOP
        + "return None"
    ),
    "says -1 where nothing differs": mutant(LOOP + ENDS.replace("return None", "return -1")),
    "names the longer one's end": mutant(LOOP + ENDS.replace("min(", "max(")),
    "compares what occurs, not where": mutant(
        "return None if set(reference) == set(answer) else min(len(reference), len(answer))"
    ),
}
