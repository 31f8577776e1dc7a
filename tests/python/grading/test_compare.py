# SPDX-License-Identifier: Apache-2.0
"""The comparisons: which results count as the expected one, and what is said to differ."""

from __future__ import annotations

import datetime as d
import fractions
import math
import pathlib
import resource
import uuid
import zoneinfo
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfold import CallTypeError, InvalidCall, codec
from pinfold.grading import compare, difference

NAN = float("nan")

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")


# ---- outputs -------------------------------------------------------------------------------------

OUTPUTS = [
    # got, expected, and whether they match exactly, by lines, by tokens
    ("", "", True, True, True),
    ("a", "a", True, True, True),
    ("a\n", "a", False, True, True),
    ("a \t\r\n\n \n", "a", False, True, True),
    ("a", "a\n\n", False, True, True),
    (" a", "a", False, False, True),
    ("\na", "a", False, False, True),
    ("a  b", "a b", False, False, True),
    ("a\nb", "a b", False, False, True),
    ("a b", "ab", False, False, False),
    ("a", "A", False, False, False),
    ("a b", "a", False, False, False),
    ("", "a", False, False, False),
    ("a", "", False, False, False),
    ("a\x0bb", "a b", False, False, True),
    ("a\xa0b", "a b", False, False, False),  # white space is that of ASCII
    ("a\u2028b", "a\nb", False, False, False),
    ("1.0", "1.0000001", False, False, True),
    ("1.0", "1.00001", False, False, False),
    ("1000000.5", "1000000.0", False, False, True),
    ("1000002.0", "1000000.0", False, False, False),
    ("1e3", "1000", False, False, True),
    ("1.0", "1", False, False, True),
    ("1.", "1", False, False, True),
    (".5", "0.5", False, False, True),
    ("+7", "7", False, False, True),
    ("007", "7", False, False, True),
    ("-0", "0", False, False, True),
    ("-7", "7", False, False, False),
    ("0.00000001", "0.0", False, False, True),
    # Integers count exactly, however large: an answer modulo a prime is no measurement.
    ("1000000008", "1000000007", False, False, False),
    ("1000000008.0", "1000000007", False, False, False),
    ("9007199254740993", "9007199254740992", False, False, False),
    ("9007199254740992.0", "9007199254740993", False, False, False),
    ("1e400", "1e400", True, True, True),
    ("1e400", "2e400", False, False, False),
    ("1e400", "1", False, False, False),
    ("1e-400", "0", False, False, True),
    ("1e9999999999999999999", "7", False, False, False),
    ("1e-9999999999999999999", "0", False, False, True),
    ("nan", "nan", True, True, True),
    ("nan", "NaN", False, False, False),
    ("inf", "1.0", False, False, False),
    ("nan", "1.0", False, False, False),
    ("infinity", "inf", False, False, False),
    ("1_0", "10", False, False, False),
    ("0x10", "16", False, False, False),
    ("1,5", "1.5", False, False, False),
    ("٣", "3", False, False, False),  # a digit, but not one of ASCII
    ("True", "1", False, False, False),
    ("--1", "-1", False, False, False),
    ("1e", "1", False, False, False),
    (".", "0", False, False, False),
    ("0" * 600 + "1", "1", False, False, False),  # too long for a number
    ("\0", "", False, False, False),
    ("a\0", "a", False, False, False),
]


@pytest.mark.parametrize(("got", "expected", "exact", "lines", "tokens"), OUTPUTS)
def test_outputs_match(got: str, expected: str, exact: bool, lines: bool, tokens: bool) -> None:
    answers = [compare(got, expected, how) for how in ("exact", "lines", "tokens")]
    assert answers == [exact, lines, tokens]
    assert compare(got.encode(), memoryview(expected.encode())) is tokens


@pytest.mark.parametrize(
    ("how", "got", "expected", "said"),
    [
        ("exact", "a\nbc", "a\nbd", "byte 4, line 2: expected 'd', got 'c'"),
        ("exact", "a", "a\n", "byte 2, line 1: expected '\\n', got (the end)"),
        ("lines", "a\nbc\n", "a\nbd\n", "line 2, column 2: expected 'bd', got 'bc'"),
        ("lines", "a", "a\n\nb", "line 3, column 1: expected 'b', got ''"),
        ("tokens", "a b\nc", "a b\nd", "token 3: expected 'd', got 'c'"),
        ("tokens", "a", "a b", "token 2: expected 'b', got (the end)"),
        ("tokens", b"\xff", "a", "token 1: expected 'a', got '\\\\xff'"),
    ],
)
def test_what_differs_first_is_said(how: Any, got: Any, expected: Any, said: str) -> None:
    assert str(difference(got, expected, how)) == said


@pytest.mark.parametrize("how", ["exact", "lines", "tokens", "equal", "close"])
def test_what_is_said_is_short_and_shows_the_difference(how: Any) -> None:
    found = difference("x" * 100_000 + "y" * 1000, "x" * 100_000 + "z" * 1000, how)
    assert found is not None
    assert max(len(found.expected), len(found.got), len(found.position)) <= 200
    if how in ("exact", "lines", "tokens"):
        assert "z" in found.expected
        assert "y" in found.got


SEPARATORS = st.text(" \t\n\r\x0b\x0c", min_size=1, max_size=3)
WORDS = st.lists(st.text("abz019.-+e", min_size=1, max_size=4), max_size=30)


@given(WORDS, st.data())
def test_tokens_are_those_of_split(words: list[str], data: st.DataObject) -> None:
    gaps = data.draw(st.lists(SEPARATORS, min_size=len(words) + 1, max_size=len(words) + 1))
    text = "".join(gap + word for gap, word in zip(gaps, words, strict=False)) + gaps[-1]
    assert compare(text, " ".join(words), "tokens")
    assert not compare(text + "x", " ".join(words), "tokens") or not words


@given(st.text("ab \t\n\r", max_size=40), st.text("ab \t\n\r", max_size=40))
def test_lines_are_compared_as_their_definition_says(got: str, expected: str) -> None:
    def stripped(text: str) -> list[str]:
        lines = [line.rstrip(" \t\r") for line in text.split("\n")]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    assert compare(got, expected, "lines") is (stripped(got) == stripped(expected))


@given(st.integers(), st.integers(-3, 3))
def test_integers_match_only_themselves(number: int, more: int) -> None:
    assert compare(str(number + more), str(number)) is (more == 0)
    assert compare(f"{number + more}.0", str(number)) is (more == 0)


@given(st.floats(allow_nan=False, allow_infinity=False, width=32), st.floats(-1e-5, 1e-5))
def test_floats_match_to_a_millionth(number: float, more: float) -> None:
    other = number + more * max(1.0, abs(number))
    apart = abs(float(repr(other)) - float(repr(number)))
    want = apart <= 1e-6 * max(1.0, abs(number))
    if "." in repr(number) or "e" in repr(number):
        assert compare(repr(other), repr(number)) is want


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_are_compared(got: bytes, expected: bytes) -> None:
    assert compare(got, expected, "exact") is (got == expected)
    same = got.split() == expected.split()
    assert compare(got, expected, "tokens") or not same
    assert compare(got, got, "tokens")
    assert compare(got, got, "lines")


@pytest.mark.parametrize("how", ["exact", "lines", "tokens"])
@pytest.mark.parametrize("width", [1, 2, 3, 7])
def test_every_byte_of_a_long_output_counts(how: Any, width: int) -> None:
    word = "abcdefg"[:width]
    text = f"{word}\n" * (150_000 // (width + 1))
    for at in [*range(65_520, 65_560), *range(131_050, 131_090)]:
        changed = f"{text[:at]}X{text[at + 1 :]}"
        found = difference(changed, text, how)
        assert found is not None
        if how == "lines":
            assert found.position.startswith(f"line {text.count(chr(10), 0, at) + 1},")
        elif how == "tokens":
            assert found.position == f"token {text.count(chr(10), 0, at) + 1}"
        else:
            assert found.position.startswith(f"byte {at + 1},")


BIG = 64 << 20


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (b"7" * BIG, b"7" * (BIG - 1) + b"8"),
        (b"7" * BIG, b"7" * (BIG - 1)),
        (b"1." * (BIG // 2), b"1." * (BIG // 2 - 1) + b"2."),
        (b" " * BIG, b"x"),
        (b"\n" * BIG, b"x"),
        (b"1 " * (BIG // 16) + b"1", b"1 " * (BIG // 16) + b"2"),
        (b"e" * BIG, b"e" * (BIG - 1) + b"f"),
    ],
    ids=["digits", "fewer", "points", "spaces", "lines", "tokens", "word"],
)
@pytest.mark.parametrize("how", ["exact", "lines", "tokens"])
def test_large_outputs_take_little_memory(how: Any, got: bytes, expected: bytes) -> None:
    # A comparison that took quadratic time would run for hours here.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert not compare(got, expected, how)
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    assert more * 1024 <= 5 * BIG


# ---- values --------------------------------------------------------------------------------------

UTC = d.timezone.utc
PLAIN: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**200, 0.0, 1.0, 0.1, NAN, math.inf, -math.inf, 1j),
    *(complex(NAN, 0), "", "a", "\udc80", b"", b"a", bytearray(b"a"), [], [1], (), (1,), {}),
    *({1: 2}, {"a": [1, (2, {3})]}, set(), {1}, {(1, frozenset({2}))}, frozenset({1}), range(3)),
    *(slice(1, 2), ..., Decimal("1.5"), Decimal("NaN"), Decimal("Infinity")),
    *(fractions.Fraction(1, 3), uuid.UUID(int=7), pathlib.PosixPath("a"), d.date(2020, 1, 2)),
    *(pathlib.PurePosixPath("a"), d.datetime(2020, 1, 2), d.datetime(2020, 1, 2, tzinfo=UTC)),
    *(d.time(3), d.timedelta(4), UTC, zoneinfo.ZoneInfo("UTC"), {NAN: 1}, {(NAN,): 1}, {None: 1}),
    *(np.arange(3), np.arange(3.0), np.array([1j]), np.array([True]), np.array(["a"])),
    *(np.array([b"a"]), np.zeros((0, 3)), np.zeros((3, 0)), np.array(7), np.float32(0.5)),
    *(np.array([NAN, 1]), np.array(["2020"], "M8[D]"), np.array(["NaT"], "M8[s]")),
    *(np.array([1], "m8[s]"), np.datetime64("2020-01-02"), np.timedelta64(3, "h")),
    *(np.zeros(2, [("a", "i4"), ("b", "f8", (2,))]), np.longdouble("0.1"), np.zeros(2, "V3")),
]
# Equal though they are not the same value.
ALIKE: list[tuple[Any, Any]] = [
    (0.0, -0.0),
    (np.float64(1.0), 1.0),
    (np.int8(1), 1),
    (np.bool_(True), True),
    (np.str_("a"), "a"),
    (np.float32(0.5), 0.5),
    (np.complex64(1j), 1j),
    (np.arange(3, dtype="i4"), np.arange(3, dtype=">u8")),
    (np.arange(3.0, dtype="f4"), np.arange(3.0)),
    (np.zeros((2, 3), order="F"), np.zeros((2, 3))),
    (np.zeros(2, [("a", "i4")]), np.zeros(2, [("a", ">i8")])),
    ({np.int64(1): 2}, {1: 2}),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ({3, 2, 1}, {1, 2, 3}),
    (Decimal("1.0"), Decimal("1.00")),
    (complex(NAN, 1), complex(NAN, 1)),
    (Decimal("NaN"), Decimal("sNaN")),
    (range(0), range(5, 5)),
]
UNLIKE: list[tuple[Any, Any, str]] = [
    (1, True, "result: expected bool True, got int 1"),
    (0, False, "result: expected bool False, got int 0"),
    (1.0, 1, "result: expected int 1, got float 1.0"),
    (None, 0, "result: expected int 0, got NoneType None"),
    ("1", 1, "result: expected int 1, got str '1'"),
    (b"a", "a", "result: expected str 'a', got bytes b'a'"),
    ([1], (1,), "result: expected tuple (1,), got list [1]"),
    ({1}, frozenset({1}), "result: expected frozenset frozenset({1}), got set {1}"),
    ([1, 2], [1, 3], "result[1]: expected 3, got 2"),
    ([1], [1, 2], "result: expected 2 items, got 1 items"),
    ([[0], [[1]]], [[0], [[2]]], "result[1][0][0]: expected 2, got 1"),
    ({"a": {"b": 1}}, {"a": {"b": 2}}, "result['a']['b']: expected 2, got 1"),
    ({"a": 1}, {"b": 1}, "result: expected a key 'b', got no such key"),
    ({"a": 1, "b": 1}, {"a": 1}, "result: expected no other key, got a key 'b'"),
    ({1: 1}, {True: 1}, "result: expected a key True, got no such key"),
    ({1}, {1.0}, "result: expected an item 1.0, got no such item"),
    ({(1, 2)}, {(1, True)}, "result: expected an item (1, True), got no such item"),
    ({1, 2}, {1}, "result: expected no other item, got an item 2"),
    (0.1 + 0.2, 0.3, "result: expected 0.3, got 0.30000000000000004"),
    (10**400, 10**400 + 1, "result: expected an int of 1329 bits, got an int of 1329 bits"),
    (np.arange(3), np.arange(4), "result: expected the shape (4,), got the shape (3,)"),
    (np.arange(3), np.arange(3.0), "result: expected the dtype float64, got the dtype int64"),
    (np.array([1, 0]), np.array([True, False]), "result: expected the dtype bool, got the dtype"),
    (np.zeros((2, 2)), np.array([[0.0, 0], [0, 1]]), "result[1, 1]: expected 1.0, got 0.0"),
    (np.array([-1]), np.array([2**64 - 1], "u8"), "result[0]: expected 18446744073709551615"),
    (np.array([2**63 - 1]), np.array([2**63], "u8"), "result[0]: expected 9223372036854775808"),
    (np.array([1], "m8[s]"), np.array([1], "m8[h]"), "result: expected the dtype timedelta64[h]"),
    (np.arange(3), [0, 1, 2], "result: expected list [0, 1, 2], got numpy.ndarray array("),
    (np.array(7), 7, "result: expected int 7, got numpy.ndarray 7"),
    (np.zeros(1, [("a", "i4")]), np.zeros(1, [("b", "i4")]), "result: expected the dtype [('b'"),
    (np.zeros(1, [("a", "i4")]), np.ones(1, [("a", "i4")]), "result['a'][0]: expected 1, got 0"),
    (d.datetime(2020, 1, 2), d.date(2020, 1, 2), "result: expected datetime.date datetime.date("),
    (pathlib.PosixPath("a"), pathlib.PurePosixPath("a"), "result: expected pathlib.PurePosixPath"),
]


@pytest.mark.parametrize(
    "value", PLAIN, ids=[f"{type(v).__name__}-{n}" for n, v in enumerate(PLAIN)]
)
@pytest.mark.parametrize("how", ["equal", "close"])
def test_a_value_is_equal_to_its_copy_and_to_no_other(value: Any, how: Any) -> None:
    copied = carried(value)
    assert difference(copied, value, how) is None
    assert difference([{"k": copied}], [{"k": value}], how) is None
    others = [other for other in PLAIN if compare(carried(other), value, "equal")]
    assert [type(other) for other in others] == [type(value)]


def carried(value: Any) -> Any:
    segments = [memoryview(bytearray(segment)) for segment in codec.encode(value, "data")]
    return codec.decode(segments, "data")


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_values_that_count_as_equal(one: Any, other: Any) -> None:
    for how in ("equal", "close"):
        assert difference(one, other, how) is None  # type: ignore[arg-type]
        assert difference(other, one, how) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(("got", "expected", "said"), UNLIKE)
def test_values_that_differ_in_type_or_content(got: Any, expected: Any, said: str) -> None:
    assert str(difference(got, expected, "equal")).startswith(said)
    assert not compare(expected, got, "equal")


CLOSE = [
    (0.1 + 0.2, 0.3, True),
    (1, 1.0, True),
    (1.0000001, 1, True),
    (True, 1, False),
    (1, True, False),
    (1000000008, 1000000007, False),
    (1000000008.0, 1000000007.0, True),
    (1.1, 1.0, False),
    (NAN, NAN, True),
    (math.inf, math.inf, True),
    (math.inf, -math.inf, False),
    (math.inf, 1e308, False),
    (NAN, 1.0, False),
    (10**400, 1.0, False),
    (10**400, math.inf, False),
    ([0.1 + 0.2], (0.3,), True),
    ([1, [2.0000001]], [1.0, (2,)], True),
    ({"a": 0.1 + 0.2}, {"a": 0.3}, True),
    ({1: 2}, {1.0: 2}, False),
    (1 + 1e-9j, 1, True),
    (1 + 1j, 1, False),
    (np.float32(0.1), 0.1, True),
    (np.array([0.1 + 0.2]), np.array([0.3]), True),
    (np.array([1, 2]), np.array([1.0, 2.0000001]), True),
    (np.array([1, 2]), np.array([1.0, 2.1]), False),
    (np.array([NAN, math.inf]), np.array([NAN, math.inf]), True),
    (np.array([math.inf]), np.array([1e308]), False),
    (np.array([1000000008]), np.array([1000000007]), False),
    (np.array([1 + 1j]), np.array([1 + 1.0000001j]), True),
    (np.array([True]), np.array([1]), False),
    (np.array([1.0]), [1.0], False),
    ("1.0", "1.00", False),
    (Decimal("1.0000001"), Decimal(1), False),
]


@pytest.mark.parametrize(("got", "expected", "same"), CLOSE)
def test_close_values_match(got: Any, expected: Any, same: bool) -> None:
    assert compare(got, expected, "close") is same


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=5)
)
KEYS = st.recursive(SCALARS, lambda keys: st.tuples(keys, keys) | st.frozensets(keys, max_size=3))
VALUES = st.recursive(
    SCALARS,
    lambda values: (
        st.lists(values, max_size=4)
        | st.tuples(values, values)
        | st.dictionaries(KEYS, values, max_size=4)
        | st.sets(KEYS, max_size=4)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_every_value_equals_what_the_codec_makes_of_it(value: Any) -> None:
    assert difference(carried(value), value, "equal") is None
    assert difference(carried(value), value, "close") is None


def strictly_equal(one: Any, other: Any) -> bool:
    """The definition of equality, quadratic and recursive."""
    if type(one) is not type(other):
        return False
    if type(one) in (list, tuple):
        return len(one) == len(other) and all(map(strictly_equal, one, other))
    if type(one) is dict:
        return same_bag(list(one.items()), list(other.items()))
    if type(one) in (set, frozenset):
        return same_bag(list(one), list(other))
    return bool(one == other or (one != one and other != other))


def same_bag(ones: list[Any], others: list[Any]) -> bool:
    for one in ones:
        found = [n for n, other in enumerate(others) if strictly_equal(one, other)]
        if not found:
            return False
        del others[found[0]]
    return not others


@given(VALUES, VALUES)
def test_equality_is_as_its_definition_says(one: Any, other: Any) -> None:
    for got, expected in ((one, other), ([one, 1], [one, True]), ({"k": one}, {"k": other})):
        assert compare(carried(got), expected, "equal") is strictly_equal(got, expected)


class Everything:
    """Equal to everything, and says that it was asked."""

    asked = 0

    def __eq__(self, other: object) -> bool:
        Everything.asked += 1
        return True

    def __ne__(self, other: object) -> bool:
        Everything.asked += 1
        return False

    __hash__ = object.__hash__
    __bool__ = __len__ = __float__ = __array__ = __eq__  # type: ignore[assignment]

    @property
    def __class__(self) -> Any:
        Everything.asked += 1
        return int


class Text(str):
    __slots__ = ()
    __eq__ = Everything.__eq__
    __ne__ = Everything.__ne__
    __hash__ = str.__hash__


class Array(np.ndarray):
    __eq__ = Everything.__eq__  # type: ignore[assignment]
    __array_priority__ = 1000


@pytest.mark.parametrize("how", ["equal", "close"])
def test_no_method_of_a_strange_value_is_called(how: Any) -> None:
    thing = Everything()
    Everything.asked = 0
    for got in (thing, [thing], {"a": thing}, {thing: 1}, {thing}, Text("a"), (Text("a"),)):
        for expected in (1, "b", [1], {"a": 1}, {1: 1}, {1}, None, ("b",), thing):
            assert not compare(got, expected, how)
    objects = np.empty(1, dtype=object)
    objects[0] = thing
    for got in (objects, np.zeros(1).view(Array), np.zeros(1, [("a", "f8")]).view(np.recarray)):
        assert not compare(got, np.ones(1), how)
        assert not compare(got, objects, how)
    assert Everything.asked == 0


def test_deep_and_long_values_are_compared_without_recursion() -> None:
    one: Any = 1
    other: Any = 2
    for _ in range(100_000):
        one, other = [one], [other]
    found = difference(one, other, "equal")
    assert found is not None
    assert (found.expected, found.got) == ("2", "1")
    assert len(found.position) <= 200
    assert compare([1] * 1_000_000, [1] * 1_000_000, "equal")


# ---- wrong arguments -----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["token", "", "EXACT", "equal "])
def test_an_unknown_comparison_is_refused(how: Any) -> None:
    with pytest.raises(InvalidCall, match="must be one of 'exact', 'lines', 'tokens', 'equal'"):
        compare("a", "a", how)


@pytest.mark.parametrize("how", [None, 3, b"exact", ["exact"]])
def test_a_comparison_of_a_wrong_type_is_refused(how: Any) -> None:
    with pytest.raises(CallTypeError, match="how must be one of"):
        compare("a", "a", how)


@pytest.mark.parametrize("value", [None, 3, ["a"], {"a": 1}, object()])
def test_an_output_of_a_wrong_type_is_refused(value: Any) -> None:
    with pytest.raises(CallTypeError, match="expected must be a str, bytes or a contiguous buffer"):
        compare("a", value)
    with pytest.raises(CallTypeError, match="got must be"):
        compare(value, "a")


def test_an_output_of_text_with_surrogates_is_the_bytes_that_they_stand_for() -> None:
    assert compare(b"\xff", "\udcff", "exact")
    with pytest.raises(InvalidCall, match="without surrogates"):
        compare("a", "\ud800")


def test_a_callable_decides() -> None:
    assert compare(1, 2, lambda got, expected: got < expected)
    assert compare(1, 2, lambda got, expected: np.bool_(True))
    found = difference([1], [2], lambda got, expected: False)
    assert str(found) == "expected [2], got [1]"
    for answer in (1, 0.3, None, "no", [], np.array([True])):
        with pytest.raises(CallTypeError, match="must return a bool"):
            compare(1, 1, lambda got, expected, answer=answer: answer)
    with pytest.raises(ZeroDivisionError):
        compare(1, 1, lambda got, expected: 1 / 0)


def test_a_zone_is_that_of_its_key_whatever_python_has_in_its_cache() -> None:
    zone = zoneinfo.ZoneInfo("UTC")
    other = zoneinfo.ZoneInfo.no_cache("UTC")
    assert zone != other
    assert difference(other, zone, "equal") is None
    assert difference({other: [other]}, {zone: [zone]}, "equal") is None
    assert difference(other, zoneinfo.ZoneInfo("Etc/GMT"), "equal") is not None
