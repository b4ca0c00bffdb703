"""What the files of plausible wrong answers (`mutants/`) share."""


def but(right: str, old: str, new: str) -> str:
    """The right answer with `old` in it replaced by `new`; `old` must be there, or the mutant would be no mutant."""
    assert old in right, f"not in the right answer: {old}"
    return right.replace(old, new)
