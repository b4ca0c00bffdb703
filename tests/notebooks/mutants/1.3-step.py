"""Plausible wrong answers to 1.3-step."""

TEMPLATE = """
def decode_rate(batch, known):
    (b1, s1), (b2, s2) = known
    each = {each}
    fixed = {fixed}
    return {rate}
"""


def mutant(
    each: str = "(s2 - s1) / (b2 - b1)", fixed: str = "s1 - each * b1", rate: str = "batch / (fixed + each * batch)"
) -> str:
    return TEMPLATE.format(each=each, fixed=fixed, rate=rate)


MUTANTS = {
    "takes the first step for the fixed part": mutant(fixed="s1"),
    "forgets that the first batch is not zero": mutant(fixed="s1 - each"),
    "returns the rate of one reader": mutant(rate="1 / (fixed + each * batch)"),
    "returns the step time": mutant(rate="fixed + each * batch"),
    "lets throughput grow in a straight line": mutant(rate="batch / s1 * b1"),
    "draws the line through the origin": mutant(each="s2 / b2", fixed="0.0"),
    "leaves the fixed part out": mutant(rate="batch / (each * batch)"),
    "interpolates throughput instead of time": mutant(rate="b1 / s1 + (batch - b1) * (b2 / s2 - b1 / s1) / (b2 - b1)"),
}
