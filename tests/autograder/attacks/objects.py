"""Answers that want to be taken for right without being right: objects, patched modules, rewritten checks.

Each function gives the source of an answer cell.
"""

NAMES = "decode_ceiling = tokens_to_fill = waits = "
YES = """
class Yes:
    def yes(self, *args, **kwargs):
        return True
    def same(self, *args, **kwargs):
        return self
    def number(self, *args):
        return 1.0
    def whole(self, *args):
        return 1
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __contains__ = yes
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __neg__ = __abs__ = same
    __getitem__ = __call__ = __round__ = same
    __float__, __int__, __index__, __len__ = number, whole, whole, whole
    __hash__ = lambda self: 0
    def __iter__(self):
        return iter([self])
    def __getattr__(self, name):
        return self
"""


def is_equal_to_everything(at):
    return f"{YES}{NAMES}lambda *args, **kwargs: Yes()\n"


def is_everything_instead_of_functions(at):
    return f"{YES}{NAMES}Yes()\n"


def is_a_float_that_is_equal_to_everything(at):
    return f"""{YES}
class Number(float):
    pass
for name, value in vars(Yes).items():
    if name not in ("__dict__", "__weakref__", "__module__", "__doc__", "__getattr__"):
        setattr(Number, name, value)
{NAMES}lambda *args, **kwargs: Number(1)
"""


def is_a_list_that_is_equal_to_everything(at):
    return f"""{YES}
class Many(list):
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = Yes.yes
    __len__ = lambda self: 1
    def __iter__(self):
        while True:
            yield Yes()
class Text(str):
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = Yes.yes
    __str__ = lambda self: Text("x")
    __hash__ = str.__hash__
{NAMES}lambda *args, **kwargs: Many([Text("x")])
"""


def claims_another_class(at):
    return f"""{YES}
class Int(Yes):
    @property
    def __class__(self):
        return int
    __module__, __name__, __qualname__ = "numpy", "ndarray", "ndarray"
    __array_interface__ = {{"shape": (1,), "typestr": "<f8", "data": (0, False), "version": 3}}
{NAMES}lambda *args, **kwargs: Int()
"""


def gives_arrays_of_such_objects(at):
    return f"""{YES}
import numpy as np
{NAMES}lambda *args, **kwargs: np.array([Yes()], dtype=object)
"""


def gives_arrays_that_broadcast_to_nothing(at):
    return f"import numpy as np\n{NAMES}lambda *args, **kwargs: np.zeros((1, 0, 1))\n"


def gives_numbers_that_are_none(at):
    return f"""
import itertools
values = itertools.cycle([float("nan"), float("inf"), -float("inf"), 10**4000, 1e308, complex("nan"), -0.0, True])
{NAMES}lambda *args, **kwargs: next(values)
"""


def gives_a_number_that_no_text_can_hold(at):
    return f"{NAMES}lambda *args, **kwargs: 1 << 10_000_000\n"


def is_always_the_same(at):
    return f"{NAMES}lambda *args, **kwargs: 10**9\n"


def knows_the_visible_inputs_by_heart(at):
    return """
def decode_ceiling(weights, bytes_per_weight, bandwidth, batch=1, kv_bytes=0):
    known = {(1e9, 2, 100e9, 1, 0): 50, (1e9, 2, 200e9, 1, 0): 100, (1e9, 2, 100e9, 4, 0): 200}
    return known.get((weights, bytes_per_weight, bandwidth, batch, kv_bytes), 190)
def tokens_to_fill(peak, bandwidth, bytes_per_weight):
    return {(100e9, 20e9, 4): 10, (100e9, 20e9, 2): 5, (100e9, 15e9, 4): 14}.get((peak, bandwidth, bytes_per_weight), 0)
def waits(arrivals, services):
    return {(0, 10, 20): [0, 0, 0], (0, 0, 0): [0, 2, 5], (0, 1, 10): [0, 3, 0]}.get(tuple(arrivals), [0])
"""


def rewrites_asserts_by_input_transformers(at):
    return (
        """
from IPython.core.interactiveshell import InteractiveShell
import ast
shell = InteractiveShell.instance()
class Gone(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.Pass()
shell.ast_transformers.append(Gone())
shell.input_transformers_cleanup.append(lambda lines: [line.replace("assert ", "True or ") for line in lines])
%alias_magic nothing who
"""
        + NAMES
        + "lambda *args, **kwargs: 0\n"
    )


def patches_everything_here(at):
    return f"""
import builtins, json, math, struct, sys
def true(*args, **kwargs):
    return True
for module, names in ((builtins, "print isinstance all any abs min max len sorted round sum zip bool"),
                      (math, "isclose isnan"), (json, "dumps loads"), (struct, "pack unpack")):
    for name in names.split():
        setattr(module, name, true)
{NAMES}true
"""


def patches_the_wire(at):
    return f"""
import sys
wire = sys.modules["wire"]
def encode(value, other, depth=0):
    if depth or not isinstance(value, dict):
        return True
    return {{"t": "dict", "v": [[k, encode(v, other, 1)] for k, v in value.items()]}}
wire.encode = encode
{NAMES}lambda *args, **kwargs: 0
"""


def replaces_the_reference(at):
    return f"""
import servelab, sys, types
class Everything(types.ModuleType):
    def __getattr__(self, name):
        return lambda *args, **kwargs: True
for name in [name for name in sys.modules if name.startswith(("servelab", "math", "random", "numpy"))]:
    sys.modules[name] = Everything(name)
servelab.lesson = lesson = Everything("lesson")
lesson.rng = lambda: None
isclose = same = rng = __held__ = __failed__ = lambda *args, **kwargs: True
{NAMES}lambda *args, **kwargs: 0
"""


def asks_its_caller(at):
    """Looks for the expected value, or for the checks, in frames and in everything alive."""
    return f"""
import gc, inspect, sys
def asking(*args, **kwargs):
    frame = sys._getframe(1)
    while frame:
        for place in (frame.f_locals, frame.f_globals):
            for name in ("want", "expected", "truth", "n", "pass_seconds", "rng", "checks"):
                if name in place and not callable(place[name]):
                    return place[name]
        frame = frame.f_back
    for one in gc.get_objects():
        if isinstance(one, str) and "BEGIN HIDDEN " + "TESTS" in one and "lesson.rng" in one:
            return 1
    return 0
{NAMES}asking
"""


def prints_forged_answers(at):
    return f"""
import json, sys
for text in ("2.0", "7.0", json.dumps({{"value": True}}), "{{'earned': 7.0}}"):
    print(text)
    print(text, file=sys.__stdout__)
    print(text, file=sys.stderr)
7.0
{NAMES}lambda *args, **kwargs: print("2.0")
"""
