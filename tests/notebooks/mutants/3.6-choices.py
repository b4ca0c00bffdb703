"""Plausible wrong answers to 3.6-choices."""

from tests.notebooks.variants import but

RIGHT = """
def choices(rho, d, longest):
    tail = [1.0]
    while len(tail) <= longest or tail[-1] > 1e-15:
        tail.append(rho * tail[-1] ** d)
    return tail[: longest + 1], sum(tail[1:]) / rho
"""

MUTANTS = {
    "knows M/M/1 only": but(RIGHT, "rho * tail[-1] ** d", "rho * tail[-1]"),
    "takes the square for every d": but(RIGHT, "rho * tail[-1] ** d", "rho * tail[-1] ** (2 if d > 1 else 1)"),
    "divides the load by the choices": but(RIGHT, "rho * tail[-1] ** d", "rho * tail[-1] / d"),
    "raises the load, too": but(RIGHT, "rho * tail[-1] ** d", "(rho * tail[-1]) ** d"),
    "takes exactly k for at least k": but(
        RIGHT, "tail[: longest + 1],", "[a - b for a, b in zip(tail, tail[1:] + [0.0])][: longest + 1],"
    ),
    "begins at one request": but(RIGHT, "tail[: longest + 1],", "tail[1 : longest + 2],"),
    "ends the sum with the list": but(RIGHT, "sum(tail[1:])", "sum(tail[1 : longest + 1])"),
    "gives the number for the time": but(RIGHT, "sum(tail[1:]) / rho", "sum(tail[1:])"),
    "counts the servers with none": but(RIGHT, "sum(tail[1:]) / rho", "sum(tail) / rho"),
    "gives the waiting alone": but(RIGHT, "sum(tail[1:]) / rho", "sum(tail[2:]) / rho"),
}
