"""Scoring by properties: partial credit, statements that raise, what a constant satisfies, and what may be shown."""

from __future__ import annotations

import math

import pytest

from autograder.properties import CONSTANTS, Checks, by_constants, score, shown

CELL = """
assert f(1) == 2, f"two, not {f(1)}"
assert f(2) == 3, "three"
### BEGIN HIDDEN TESTS
for n in (5, 6, 7):
    assert f(n) >= 0, "never negative"
    assert f(n) == n + 1, "one more"
assert isinstance(f(9), int), f"hidden {f(9)}"
### END HIDDEN TESTS
"""


def marks(f, cell: str = CELL, points: float = 6):
    checks = Checks(cell, "cell")
    outcomes, raised = checks.run({"f": f})
    earned, properties = score(outcomes, by_constants(checks, {"f"}, dict), points)
    return earned, [p.held for p in properties], raised


def test_only_hidden_properties_score_and_each_the_same():
    assert marks(lambda n: n + 1)[:2] == (6, [True] * 5)
    assert marks(lambda n: n + 1.0)[:2] == (4, [True, True, True, True, False])
    assert marks(lambda n: {1: 2, 2: 3}.get(n, -1.5))[:2] == (0, [True, True, False, False, False])


def test_a_loop_that_fails_once_has_failed():
    assert marks(lambda n: n + 1 if n != 6 else 0)[1] == [True, True, True, False, True]


def test_what_a_constant_satisfies_earns_nothing_alone():
    assert marks(lambda n: 5)[0] == 0
    assert marks(lambda n: n * 2)[0] == 0
    checks = Checks(CELL, "cell")
    assert score(checks.run({"f": lambda n: 3})[0], by_constants(checks, {"f"}, dict), 6)[1][2].free


@pytest.mark.parametrize("value", CONSTANTS, ids=repr)
def test_no_constant_earns_anything(value):
    assert marks(lambda n: value)[0] == 0


def test_constants_of_the_right_form_are_tried_too():
    cell = '### BEGIN HIDDEN TESTS\nassert f(0)["a"] == 7, "a"\nassert f(1)["a"] == 8, "b"'
    checks = Checks(cell, "cell")
    outcomes, _raised = checks.run({"f": lambda n: {"a": 7}})
    assert score(outcomes, by_constants(checks, {"f"}, dict), 2)[0] == 1
    assert score(outcomes, by_constants(checks, {"f"}, dict, [{"a": 7}]), 2)[0] == 0


def test_an_error_costs_its_own_statement_and_the_rest_goes_on():
    def f(n):
        if n == 6:
            raise ValueError("no six")
        return n + 1

    earned, held, raised = marks(f)
    assert held == [True, True, False, False, True]  # an error within an assert is that assert's
    assert (earned, raised) == (0, [])  # no better than a constant
    cell = CELL.replace("    assert f(n) >= 0", "    f(n)\n    assert f(n) >= 0")
    earned, held, raised = marks(f, cell)
    assert held == [True, True, False, False, True] and [str(e) for e in raised] == ["no six"]
    assert raised[0].hidden


def test_a_property_in_a_function_that_an_error_left_does_not_hold():
    cell = """### BEGIN HIDDEN TESTS
def check(n):
    got = f(n)
    assert got == n, "the same"
for n in (1, 2, 3):
    check(n)
assert f(1) == 1, "one"
"""

    def f(n):
        if n > 1:
            raise ValueError
        return n

    assert marks(lambda n: n, cell)[:2] == (6, [True, True])
    assert marks(f, cell)[1] == [False, True]


def test_a_property_that_was_never_checked_does_not_hold():
    assert marks(lambda n: [], "### BEGIN HIDDEN TESTS\nfor n in f(1):\n    assert n, 'x'")[1] == [False]


def test_an_end_of_the_process_is_not_swallowed():
    class Gone(BaseException):
        pass

    def f(n):
        raise Gone

    for cell in (CELL, "try:\n    f(1)\nexcept Exception:\n    pass"):
        with pytest.raises(Gone):
            Checks(cell, "cell").run({"f": f})


def test_messages_of_hidden_checks_never_hold_values():
    outcomes, _raised = Checks(CELL, "cell").run({"f": lambda n: 10.5 + n})
    assert [o.message for o in outcomes] == ["two, not 11.5", "three", "never negative", "one more", "a hidden check"]


def test_a_message_that_cannot_be_made_is_left_out():
    outcomes, _raised = Checks("assert f(1), f'{1 / 0}'\nassert not f(1), f'{f(1)}'", "cell").run({"f": lambda n: ""})
    assert [o.message for o in outcomes] == ["a check", "a check"]
    outcomes, _raised = Checks("assert not f(1), f'{f(1)}'", "cell").run({"f": lambda n: "\x1b[2J\ud800\n" * 500})
    assert outcomes[0].message.isprintable() and len(outcomes[0].message) == 300


def test_a_replay_runs_the_hidden_part_alone():
    outcomes, raised = Checks(CELL.replace("f(1)", "gone(1)"), "cell").run({"f": lambda n: n + 1}, only_hidden=True)
    assert [o.held for o in outcomes] == [False, False, True, True, True] and not raised


def test_where_only_losing_matters_what_no_hidden_check_builds_on_is_left_out():
    cell = """import math as m
seen = []
files = {"a": 1}
files["b"] = 2
late = {}
late.update(files)
said = f("costly")
print(said)
assert said, "visible"
### BEGIN HIDDEN TESTS
assert f(m.floor(late["b"])) == 3, "first"
assert f(9) == 10, "second"
"""
    asked = []

    def f(n):
        asked.append(n)
        return n if n == "costly" else n + 1

    outcomes, raised = Checks(cell, "cell").run({"f": f}, stop=True)
    assert asked == [2, 9] and not raised and [o.held for o in outcomes] == [False, True, True]
    asked.clear()
    assert Checks(cell, "cell").run({"f": lambda n: asked.append(n)}, stop=True)[0][2].held is False
    assert asked == [2]  # the first that does not hold is the last that is asked


def test_what_is_printed_stays_here(capsys):
    Checks("print('x')\nimport sys, warnings\nprint('y', file=sys.stderr)\nwarnings.warn('z')", "cell").run({})
    assert capsys.readouterr() == ("", "")


def test_asserts_inside_anything_are_properties():
    cell = "def g():\n    assert f(1), 'in a function'\nif True:\n    for n in [1]:\n        assert f(2), 'b'\ng()"
    outcomes, _raised = Checks(cell, "cell").run({"f": lambda n: n})
    assert [(o.message, o.held) for o in outcomes] == [("in a function", True), ("b", True)]


def test_nothing_that_steers_a_terminal_is_shown():
    assert shown("a\x1b[31m\r\nb\u202e\ud800", 100) == "a [31m  b  " and shown("x" * 500, 10) == "x" * 10
    assert math.isnan(CONSTANTS[CONSTANTS.index(0.5) + 1])
