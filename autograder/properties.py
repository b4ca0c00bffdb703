"""A test cell as properties: each `assert` holds or not, those nobody could prepare for score, and equally.

The cell is executed in the grader's own process, statement by statement, so that one wrong answer does not hide the
right ones. Visible checks help the learner and score nothing: their inputs are known. A constant satisfies some hidden
properties too ("never negative"): an answer that does no better than one of a list of constants earns nothing.
"""

from __future__ import annotations

import ast
import contextlib
import io
import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from autograder.results import Property
from servelab.i18n import _
from servelab.notebooks.names import bound, read

HIDDEN = "### BEGIN HIDDEN TESTS"
CONSTANTS = (None, 0, 1, -1, 10**9, True, False, 0.5, math.nan, math.inf, "", [], {}, (), [0], [1], {"": 0})
_HOLD, _FAIL = "__held__", "__failed__"


@dataclass
class Outcome:
    """How one property fared: checked at least once, and never found wrong."""

    message: str
    hidden: bool
    checked: bool = False
    wrong: bool = False

    @property
    def held(self) -> bool:
        """Whether it was checked and never wrong."""
        return self.checked and not self.wrong


class Checks:
    """One test cell, ready to run.

    Args:
        source: the cell, hidden checks included.
        name: of the cell, for error messages.
    """

    def __init__(self, source: str, name: str) -> None:
        self.name = name
        lines = source.splitlines()
        self._hidden_from = next((n for n, line in enumerate(lines, 1) if line.strip() == HIDDEN), len(lines) + 1)
        tree = ast.parse(source)
        self._found: list[tuple[str | None, bool]] = []
        self._statements = []
        self._places: list[tuple[int, int, range]] = []
        for statement in tree.body:
            first = len(self._found)
            changed = ast.fix_missing_locations(_Asserts(self._add).visit(statement))
            code = compile(ast.Module([changed], []), name, "exec")
            inside = range(first, len(self._found))
            self._statements.append((code, inside, statement.lineno >= self._hidden_from))
            self._places.append((statement.lineno, statement.end_lineno, inside))
        self._idle = _idle(ast.parse(source).body, [hidden for _code, _inside, hidden in self._statements])

    def _add(self, node: ast.Assert) -> int:
        """Number the property of an assert; a message with values in it is shown only of visible checks."""
        hidden = node.lineno > self._hidden_from
        text = node.msg.value if isinstance(node.msg, ast.Constant) and isinstance(node.msg.value, str) else None
        self._found.append((text, hidden))
        return len(self._found) - 1

    def run(
        self, names: dict[str, Any], only_hidden: bool = False, stop: bool = False
    ) -> tuple[list[Outcome], list[Exception]]:
        """Check what `names` holds.

        Args:
            names: the namespace, changed by the cell.
            only_hidden: leave the visible statements out.
            stop: whether all hidden properties hold is all one wants to know: end at the first that does not, and
                leave out what no hidden check builds on.

        Returns:
            The properties in their order, and what statements raised; one of a hidden statement is marked `hidden`.
        """
        outcomes = [
            Outcome(text or (_("a hidden check") if hidden else _("a check")), hidden) for text, hidden in self._found
        ]
        raised: list[Exception] = []

        def held(number: int) -> None:
            outcomes[number].checked = True

        def failed(number: int, message: Callable[[], Any] | None, error: Exception | None = None) -> None:
            outcomes[number].checked = outcomes[number].wrong = True
            if message is not None and not outcomes[number].hidden:
                with contextlib.suppress(Exception):
                    outcomes[number].message = shown(str(message()), 300)
            if stop and outcomes[number].hidden:
                raise _Enough

        names |= {_HOLD: held, _FAIL: failed}
        with quiet():
            for place, (code, inside, hidden) in enumerate(self._statements):
                if (only_hidden and not hidden) or (stop and place in self._idle):
                    continue
                try:
                    exec(code, names)
                except _Enough:
                    break
                except Exception as error:
                    error.hidden = hidden
                    raised.append(error)
                    for number in {*inside, *self._passed(error)}:
                        outcomes[number].wrong = True
                    if stop and hidden:
                        break
        return outcomes, raised

    def _passed(self, error: Exception) -> Iterable[int]:
        """The properties of the functions of this cell that an error left: they were not checked to their end."""
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == self.name:
                for first, last, inside in self._places:
                    if first <= trace.tb_lineno <= last:
                        yield from inside
            trace = trace.tb_next


def _idle(statements: list[ast.stmt], hidden: list[bool]) -> set[int]:
    """The visible statements of which no hidden one needs a name, be it bound or changed there."""
    code = [ast.unparse(statement) for statement in statements]
    needed: set[str] = set()
    idle = set()
    for place in reversed(range(len(statements))):
        if hidden[place] or (bound(code[place]) | _changed(statements[place])) & needed:
            needed |= read(code[place])
        else:
            idle.add(place)
    return idle


def _changed(statement: ast.stmt) -> set[str]:
    """What a statement may change in place: `x[0] = 1`, `x.y = 1`, `x.append(1)`."""
    parts = [statement.value] if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call) else []
    parts = [call.func for call in parts]
    parts += [n for n in ast.walk(statement) if isinstance(getattr(n, "ctx", None), ast.Store | ast.Del)]
    return {n.id for part in parts for n in ast.walk(part) if isinstance(n, ast.Name)}


class _Enough(BaseException):
    """Ends a cell that has already lost."""


class _Asserts(ast.NodeTransformer):
    """`assert x, m` becomes: note whether x holds; if x itself raises, it does not."""

    def __init__(self, add: Callable[[ast.Assert], int]) -> None:
        self._add = add

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        number = self._add(node)
        new = ast.parse(
            f"try:\n    if __x__:\n        {_HOLD}({number})\n    else:\n        {_FAIL}({number}, lambda: __m__)\n"
            f"except Exception as __error__:\n    {_FAIL}({number}, None, __error__)"
        ).body[0]
        parts = {"__x__": node.test, "__m__": node.msg or ast.Constant("")}

        class Put(ast.NodeTransformer):
            def visit_Name(self, name: ast.Name) -> ast.AST:
                return parts.get(name.id, name)

        return Put().visit(new)


def shown(text: str, most: int) -> str:
    """A learner's text as it may be shown: on one line, without what would steer a terminal or end a file's writing."""
    return "".join(c if c.isprintable() else " " for c in text[:most])


def constant(value: Any) -> Callable[..., Any]:
    """A function that always gives `value`."""
    return lambda *args, **kwargs: value


def by_constants(
    checks: Checks, answers: set[str], names: Callable[[], dict[str, Any]], more: Iterable[Any] = ()
) -> list[frozenset[int]]:
    """For each constant, the hidden properties that hold for an answer which is it, whatever it is asked.

    Args:
        answers: names that the answer cell binds.
        names: makes the namespace of the check anew.
        more: constants of the form that is asked for.
    """
    found = []
    for value in (*CONSTANTS, *more):
        outcomes, _raised = checks.run(names() | {name: constant(value) for name in answers})
        found.append(frozenset(n for n, outcome in enumerate(outcomes) if outcome.hidden and outcome.held))
    return found


def score(
    outcomes: list[Outcome], constants: list[frozenset[int]], points: float
) -> tuple[float, tuple[Property, ...]]:
    """The points earned, rounded to hundredths, and the properties as a report shows them.

    Args:
        constants: what `by_constants` gave; an answer that does no better than one of them earns nothing.
    """
    cheap = frozenset().union(*constants)
    properties = tuple(Property(o.message, o.held, o.hidden, n in cheap) for n, o in enumerate(outcomes))
    hidden = [n for n, o in enumerate(outcomes) if o.hidden]
    held = frozenset(n for n in hidden if outcomes[n].held)
    if not held or any(held <= one for one in constants):
        return 0.0, properties
    return round(points * len(held) / len(hidden), 2), properties


@contextlib.contextmanager
def quiet():
    """Nothing that a cell prints, displays or warns of reaches the terminal."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield
