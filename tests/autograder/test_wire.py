"""The wire: what was sent arrives, and what nobody should send becomes an error, never an object or endless work."""

from __future__ import annotations

import io
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from autograder import wire

leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers()
keys = st.none() | st.booleans() | st.integers() | st.text() | st.tuples(st.integers(), st.text())
names = st.text("abc", min_size=1)
values = st.recursive(
    leaves,
    lambda v: (
        st.lists(v, max_size=4)
        | st.lists(v, max_size=3).map(tuple)
        | st.dictionaries(keys, v, max_size=3)
        | st.dictionaries(names, v, max_size=3).map(lambda d: SimpleNamespace(**d))
        | st.sets(keys, max_size=3)
        | st.frozensets(keys, max_size=3)
    ),
    max_leaves=12,
)
arrays = hnp.arrays(
    hnp.floating_dtypes(sizes=(32, 64)) | hnp.integer_dtypes() | hnp.boolean_dtypes() | hnp.complex_number_dtypes(),
    hnp.array_shapes(max_dims=3),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.sampled_from(["t", "v", "d", "s", "x"]), v, max_size=3),
)
tags = st.sampled_from(
    ["float", "tuple", "set", "frozenset", "dict", "namespace", "bytes", "complex", "array", "object", "server"]
)


def none(value):
    """For values that have no other kind."""
    raise wire.WireError("another kind")


def over(value):
    """To the other side and back."""
    stream = io.BytesIO()
    wire.write(stream, {"value": wire.encode(value, none)})
    stream.seek(0)
    return wire.decode(wire.read(stream)["value"], none)


def same(a, b) -> bool:
    return type(a) is type(b) and repr(a) == repr(b)  # nan is not equal to itself


@given(values)
def test_plain_values_arrive_as_they_were(value):
    got = over(value)
    if isinstance(value, set | frozenset):
        assert type(got) is type(value) and sorted(map(repr, got)) == sorted(map(repr, value))
    else:
        assert same(got, value) or repr(sorted(repr(got))) == repr(sorted(repr(value)))


@given(arrays)
def test_arrays_arrive_as_they_were(value):
    got = over(value)
    assert got.dtype == value.dtype and got.shape == value.shape
    assert got.tobytes() == np.ascontiguousarray(value).tobytes()
    got[...] = 0  # its own memory


def test_what_is_like_a_plain_value_arrives_as_one():
    class Text(str):
        __eq__ = __ne__ = lambda self, other: True
        __hash__ = str.__hash__

    class Number(float):
        def __eq__(self, other):
            return True

    assert [type(over(v)) for v in (Text("a"), Number(2), np.float64(3), np.bool_(True), np.int8(1))] == [
        str,
        float,
        float,
        bool,
        int,
    ]
    assert over(range(3)) == [0, 1, 2]
    assert over(np.longdouble(1.5)) == 1.5
    assert over(np.array([1.5], np.longdouble)).dtype == np.float64
    assert over(np.array(["a", None], object)) == ["a", None]


def test_an_empty_array_has_one_dimension():
    """`np.allclose` of an array without elements is true for all that it broadcasts with."""
    for shape in ((3, 0, 1), (1, 0), (10**15, 0), (0,)):
        empty = {"t": "array", "d": "<f8", "s": list(shape), "v": ""}
        assert wire.decode(empty, none).shape == (0,)


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"t": "code", "v": "1"},
        {"t": ["dict"], "v": []},
        {"t": "float", "v": "1.0"},
        {"t": "float", "v": []},
        {"t": "tuple", "v": "abc"},
        {"t": "tuple"},
        {"t": "set", "v": [[1]]},
        {"t": "dict", "v": [[[1], 2]]},
        {"t": "dict", "v": [[1]]},
        {"t": "bytes", "v": 7},
        {"t": "complex", "v": "x"},
        {"t": "namespace", "v": [["url", "http://somewhere"]]},
        {"t": "array", "d": "O", "s": [1], "v": "AAAAAAAAAAA="},
        {"t": "array", "d": "V8", "s": [1], "v": "AAAAAAAAAAA="},
        {"t": "array", "d": "<f16", "s": [], "v": "AAAAAAAAAAAAAAAAAAAAAA=="},
        {"t": "array", "d": ["<f8"], "s": [1], "v": "AAAAAAAAAAA="},
        {"t": "array", "d": "<f8", "s": [-1], "v": "AAAAAAAAAAA="},
        {"t": "array", "d": "<f8", "s": [1.0], "v": "AAAAAAAAAAA="},
        {"t": "array", "d": "<f8", "s": [2], "v": "AAAAAAAAAAA="},
        {"t": "array", "d": "<f8", "s": [1] * 9, "v": "AAAAAAAAAAA="},
        [0] * (wire.ITEMS + 1),
        [[0] * 60_000, [0] * 60_000],
        "x" * (wire.TEXT + 1),
        {"t": "set", "v": [n * (2**61 - 1) for n in range(1000)]},
        {"t": "dict", "v": [[n * (2**61 - 1), 0] for n in range(1000)]},
    ],
    ids=str,
)
def test_what_is_no_value_is_an_error(bad):
    with pytest.raises(wire.WireError):
        wire.decode(bad, none)


@given(json_values | st.fixed_dictionaries({"t": tags, "v": json_values, "d": json_values, "s": json_values}))
def test_any_json_is_plain_data_or_an_error(value):
    try:
        got = wire.decode(value, none)
    except wire.WireError:
        return
    assert type(got).__module__ in ("builtins", "types", "numpy")


def test_bytes_that_are_neither_true_nor_false_become_true():
    got = wire.decode({"t": "array", "d": "|b1", "s": [2], "v": "AgA="}, none)
    assert got.tolist() == [True, False] and got[0] == np.True_ and got.sum() == 1


@pytest.mark.parametrize(
    "data", [b"", b"null", b"[]", b"1", b"{", b"[" * 10**6, b'{"a":' * 10**5, b"9" * 10**4, b"\xff"]
)
def test_what_is_no_message_is_an_error(data):
    with pytest.raises(wire.WireError):
        wire.parse(data)


def test_a_frame_is_bounded_on_both_sides():
    with pytest.raises(wire.WireError):
        wire.length(b"\xff" * 4)
    with pytest.raises(wire.WireError):
        wire.packed({"value": "x" * wire.FRAME_BYTES})
    assert wire.read(io.BytesIO(b"\0\0")) is None


def test_values_that_hold_themselves_are_an_error():
    ring: list = []
    ring.append(ring)
    with pytest.raises(wire.WireError):
        wire.encode(ring, none)


def test_numbers_without_end_arrive():
    assert math.isnan(over(math.nan)) and over([math.inf, -math.inf]) == [math.inf, -math.inf]
    assert json.dumps(wire.encode(math.nan, none)) == '{"t": "float", "v": "nan"}'
