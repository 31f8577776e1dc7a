# SPDX-License-Identifier: Apache-2.0
"""The reader of the `data` codec against malicious bytes."""

from __future__ import annotations

import decimal
import errno
import fractions
import math
import os
import random
import resource
import subprocess
import sys
import zoneinfo
from typing import Any

import cbor2
import pytest
from cbor2 import CBORTag
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codec_support import received, same, values
from pinfold import codec
from pinfold.codec import Malformed, tags
from pinfold.codec.tags import MAX_DEPTH

QUIET = settings(deadline=None, suppress_health_check=list(HealthCheck))
OURS = {
    value
    for name, value in vars(tags).items()
    if name.isupper()
    and type(value) is int
    and name not in ("MAX_DEPTH", "OUT_OF_LINE", "HASH_OF_RATIONAL", "_OURS")
}


def read(*segments: bytes) -> Any:
    return codec.decode(received(segments), "data")


def read_item(item: object, *segments: bytes) -> Any:
    return read(cbor2.dumps(item), *segments)


def survives(segments: list[bytes]) -> bool:
    """Check that the bytes are refused or are a value that the codec itself would send."""
    try:
        value = read(*segments)
    except Malformed:
        return False
    again = codec.decode(received(codec.encode(value, "data")), "data")
    assert same(again, value)
    return True


# --- whole families of bytes ----------------------------------------------------------------------


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=3))
@settings(QUIET, max_examples=1500)
def test_random_bytes_are_refused_or_are_a_value(segments: list[bytes]) -> None:
    survives(segments)


def any_item() -> st.SearchStrategy[Any]:
    tags = st.sampled_from([*sorted(OURS), 0, 1, 4, 5, 25, 28, 29, 35, 36, 52, 100, 256, 260, 1004])
    leaves = st.one_of(
        st.integers(),
        st.sampled_from([0, 1, 2, 3]),
        st.binary(max_size=16),
        st.text(max_size=8),
        st.floats(),
        st.sampled_from([None, True, cbor2.undefined, cbor2.CBORSimpleValue(9)]),
        st.sampled_from(["<f8", "<i4", "|b1", "<U2", "|S3", "<M8[ns]", "|V0", "U", "S", "|O8"]),
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=9),
            st.builds(CBORTag, tags, inner),
            st.builds(CBORTag, tags, st.lists(inner, max_size=9)),
            st.dictionaries(st.text(max_size=3), inner, max_size=3),
        ),
        max_leaves=25,
    )


@given(any_item(), st.lists(st.binary(max_size=64), max_size=2))
@settings(QUIET, max_examples=1500)
def test_well_formed_nonsense_is_refused_or_is_a_value(item: Any, segments: list[bytes]) -> None:
    survives([cbor2.dumps(item), *segments])


def mutated(stream: bytes, chance: random.Random) -> bytes:
    octets = bytearray(stream)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(octets)) if octets else 0
        match chance.randrange(5):
            case 0 if octets:
                octets[at] ^= 1 << chance.randrange(8)
            case 1 if octets:
                octets[at] = chance.randrange(256)
            case 2:
                del octets[at : at + chance.randint(1, 8)]
            case 3:
                octets[at:at] = chance.randbytes(chance.randint(1, 4))
            case 4:
                start = chance.randrange(len(octets) + 1)
                octets[at:at] = octets[start : start + chance.randint(1, 24)]
    return bytes(octets)


@given(values(), st.randoms(use_true_random=False))
@settings(QUIET, max_examples=250)
def test_damaged_streams_are_refused_or_are_a_value(value: Any, chance: random.Random) -> None:
    segments = [bytes(segment) for segment in codec.encode(value, "data")]
    for _ in range(100):
        survives([mutated(segments[0], chance), *segments[1:]])


@given(values())
@settings(QUIET, max_examples=50)
def test_a_stream_cut_short_or_run_on_is_refused(value: Any) -> None:
    stream, *others = (bytes(segment) for segment in codec.encode(value, "data"))
    for end in range(0, len(stream), 1 + len(stream) // 50):
        with pytest.raises(Malformed):
            read(stream[:end], *others)
    with pytest.raises(Malformed, match="1 bytes after the value"):
        read(stream + b"\x00", *others)


def test_every_tag_but_ours_is_refused() -> None:
    contents = [None, 0, "a", b"\0" * 4, [1, 2], [b"\0" * 4, 8], "2000-01-01", {}, 1.5]
    for tag in [*range(70_000), 1 << 32, (1 << 64) - 1]:
        if tag not in OURS:
            for content in contents if tag < 1100 else contents[:1]:
                with pytest.raises(Malformed, match=f"unknown tag {tag}"):
                    read_item(CBORTag(tag, content))


def test_reading_runs_no_code_and_opens_nothing() -> None:
    """An audit hook watches the interpreter while it reads mutated streams."""
    program = """
import random, sys, warnings
sys.path[:0] = sys.argv[1].split(":")
import numpy as np, uuid, decimal, fractions, datetime, pathlib, zoneinfo
from test_codec_hostile import mutated
from pinfold import codec
seen = []
watching = False
def hook(event, args):
    if watching and event != "object.__setattr__":
        seen.append((event, str(args)[:200]))
value = [
    {"a": [1, 2.5, (None, "b")]}, {3: {4, 5}}, 1 << 70, 2j, decimal.Decimal("1.5"), b"x", range(3),
    fractions.Fraction(1, 3), uuid.UUID(int=5), pathlib.PurePosixPath("a/b"), "\\ud800", ...,
    datetime.datetime(2000, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(1) / 3, "x")),
    np.arange(4), np.zeros(2, [("a", "f8", (2,)), ("b", "<U3")]), np.datetime64(3, "ns"),
]
[stream] = codec.encode(value, "data")
codec.decode([memoryview(bytearray(stream))], "data")
default_tags = [bytes([0xc0 + t]) if t < 24 else b"\\xd8" + bytes([t]) if t < 256 else
                b"\\xd9" + t.to_bytes(2, "big") for t in
                (0, 1, 4, 5, 25, 28, 29, 35, 36, 52, 54, 100, 256, 260, 261, 1004, 55799)]
contents = [b"\\x61a", b"\\x41a", b"\\x01", b"\\x82\\x01\\x02", b"\\x44abcd", b"\\x6a2000-01-01"]
streams = [t + c for t in default_tags for c in contents]
chance = random.Random(5)
streams += [mutated(stream, chance) for _ in range(20000)]
views = [[memoryview(bytearray(s))] for s in streams]
warnings.simplefilter("error")
sys.addaudithook(hook)
good = 0
for view in views:
    watching = True
    try:
        codec.decode(view, "data")
        good += 1
    except codec.Malformed:
        pass
    finally:
        watching = False
assert good > 100, good
assert not seen, seen[:5]
"""
    here = ":".join(path for path in sys.path if path)
    subprocess.run([sys.executable, "-c", program, here], check=True)


# --- named attacks --------------------------------------------------------------------------------


def head(major: int, length: int) -> bytes:
    return bytes([major << 5 | 27]) + length.to_bytes(8, "big")


@pytest.mark.parametrize("length", [1 << 20, 1 << 31, 1 << 40, (1 << 63) - 1, (1 << 64) - 1])
@pytest.mark.parametrize("major", range(2, 6))
def test_a_length_without_its_bytes_allocates_nothing(major: int, length: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for prefix in (b"", b"\x81", b"\xda" + tags.TUPLE.to_bytes(4, "big"), b"\xc2"):
        with pytest.raises(Malformed):
            read(prefix + head(major, length) + b"\x00" * 100)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10


BOMBS = {
    "lists": b"\x81" * 1_000_000,
    "maps": b"\xa1\x61a" * 300_000,
    "unknown tags": b"\xc0" * 1_000_000,
    "bignum tags": b"\xc2" * 1_000_000,
    "tuples": (b"\xda" + tags.TUPLE.to_bytes(4, "big") + b"\x81") * 100_000,
    "keys": b"\xa1" * 1_000_000,
    "indefinite lists": b"\x9f" * 1_000_000,
    "shared": b"\xd8\x1c" * 500_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_depth_is_bounded_before_anything_recurses(name: str) -> None:
    with pytest.raises(Malformed):
        read(BOMBS[name])


def tagged(tag: int) -> bytes:
    return b"\xda" + tag.to_bytes(4, "big") if tag > 0xFFFF else b"\xd9" + tag.to_bytes(2, "big")


LEVELS = {
    "list": b"\x81",
    "map": b"\xa1\x61k",
    "tuple": tagged(tags.TUPLE) + b"\x81",
    "frozenset": tagged(tags.FROZENSET) + b"\x81",
    "dict": tagged(tags.PAIRS) + b"\x82\x81\x00\x81",
}


@pytest.mark.parametrize("kind", LEVELS)
def test_the_reader_counts_levels_as_the_writer_does(kind: str) -> None:
    value = read(LEVELS[kind] * MAX_DEPTH + b"\x00")
    assert bytes(codec.encode(value, "data")[0]) == LEVELS[kind] * MAX_DEPTH + b"\x00"
    with pytest.raises(Malformed, match="more than 200 containers inside one another"):
        read(LEVELS[kind] * (MAX_DEPTH + 1) + b"\x00")


MALFORMED: dict[str, bytes] = {
    "empty": b"",
    "undefined": b"\xf7",
    "undefined inside": b"\x82\x01\xf7",
    "undefined as a key's value": b"\xa1\x61a\xf7",
    "simple value": b"\xe1",
    "simple value of two bytes": b"\x81\xf8\x20",
    "false as two bytes": b"\xf8\x14",
    "reserved length": b"\x1c",
    "break": b"\xff",
    "break in a list": b"\x82\x01\xff",
    "indefinite list": b"\x9f\x01\xff",
    "indefinite map": b"\xbf\x61a\x01\xff",
    "indefinite text": b"\x7f\x61a\xff",
    "indefinite bytes": b"\x5f\x41a\xff",
    "equal keys": b"\xa2\x61a\x01\x61a\x02",
    "number as a key": b"\xa1\x01\x02",
    "list as a key": b"\xa1\x81\x01\x02",
    "map as a key": b"\xa1\xa0\x02",
    "surrogate as text": b"\x63\xed\xa0\x80",
    "not UTF-8": b"\x61\xff",
    "two values": b"\x01\x02",
    "string reference": b"\xd9\x01\x00\x82\x63abc\xd8\x19\x00",
    "shared value": b"\xd8\x1c\x81\xd8\x1d\x00",
    "self-described": b"\xd9\xd9\xf7\x01",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_bytes_that_are_no_value_of_ours_are_refused(name: str) -> None:
    with pytest.raises(Malformed):
        read(MALFORMED[name])


def test_the_refusal_says_where() -> None:
    with pytest.raises(Malformed, match=r"unknown tag 36 \(at byte 4 of 7\)"):
        read(b"\x82\x01\xd8\x24\x61a\x00")
    with pytest.raises(Malformed, match=r"at byte 3 of 3"):
        read(b"\x83\x01\x02")


ITEMS: dict[str, tuple[int, Any]] = {
    "set of unhashable": (tags.SET, [[1]]),
    "set of equal": (tags.SET, [1, 1]),
    "set of equal kinds": (tags.SET, [1, True]),
    "set of text": (tags.SET, "abc"),
    "frozenset of a map": (tags.FROZENSET, {"a": 1}),
    "tuple of text": (tags.TUPLE, "abc"),
    "tuple of a map": (tags.TUPLE, {"a": 1}),
    "pairs, unhashable": (tags.PAIRS, [[[1]], [1]]),
    "pairs, equal": (tags.PAIRS, [[1, 1.0], [1, 2]]),
    "pairs, uneven": (tags.PAIRS, [[1, 2], [1]]),
    "pairs, text": (tags.PAIRS, ["ab", "cd"]),
    "pairs, three": (tags.PAIRS, [[], [], []]),
    "bignum of a list": (tags.POSITIVE_BIGNUM, [1, 2]),
    "bignum of text": (tags.NEGATIVE_BIGNUM, "1"),
    "complex of ints": (tags.COMPLEX, [1, 2]),
    "complex of text": (tags.COMPLEX, ["1", "2"]),
    "complex of one": (tags.COMPLEX, [1.0]),
    "NaN that is a number": (tags.NOT_A_NUMBER, b"\0" * 8),
    "NaN of 4 bytes": (tags.NOT_A_NUMBER, b"\x7f\xc0\0\0"),
    "surrogates that are not UTF-8": (tags.SURROGATES, b"\xff"),
    "Ellipsis of one": (tags.ELLIPSIS, 1),
    "range by 0": (tags.RANGE, [0, 1, 0]),
    "range of floats": (tags.RANGE, [0.0, 1, 1]),
    "range of bool": (tags.RANGE, [True, 1, 1]),
    "slice of text": (tags.SLICE, ["a", None, None]),
    "datetime of month 13": (tags.DATETIME, [2000, 13, 1, 0, 0, 0, 0, 0, None]),
    "datetime of a pickle": (
        tags.DATETIME,
        [b"\x07\xd0\1\1\0\0\0\0\0\0", 1, 1, 0, 0, 0, 0, 0, None],
    ),
    "datetime of bytes": (tags.DATETIME, [b"\x07\xd0\1\1\0\0\0\0\0\0"]),
    "datetime of fold 2": (tags.DATETIME, [2000, 1, 1, 0, 0, 0, 0, 2, None]),
    "datetime in a text": (tags.DATETIME, [2000, 1, 1, 0, 0, 0, 0, 0, "UTC"]),
    "datetime of a huge year": (tags.DATETIME, [1 << 70, 1, 1, 0, 0, 0, 0, 0, None]),
    "date of bytes": (tags.DATE, [b"\x07\xd0\1\1"]),
    "time of bytes": (tags.TIME, [b"\0\0\0\0\0\0"]),
    "timedelta too long": (tags.TIMEDELTA, [10**9, 0, 0]),
    "timedelta of floats": (tags.TIMEDELTA, [0.5, 0, 0]),
    "timezone of 2 days": (tags.TIMEZONE, [CBORTag(tags.TIMEDELTA, [2, 0, 0]), None]),
    "timezone of a number": (tags.TIMEZONE, [3600, None]),
    "zone above the root": (tags.ZONE, "../../etc/passwd"),
    "zone at the root": (tags.ZONE, "/etc/passwd"),
    "zone with a NUL": (tags.ZONE, "UTC\0"),
    "zone with a line": (tags.ZONE, "UTC\n"),
    "zone of dots": (tags.ZONE, "a..b"),
    "zone nowhere": (tags.ZONE, "No/Where"),
    "zone a directory": (tags.ZONE, "America"),
    "zone too long": (tags.ZONE, "a" * 10_000),
    "Decimal of words": (tags.DECIMAL, "one"),
    "Decimal with spaces": (tags.DECIMAL, " 1 "),
    "Decimal with underscores": (tags.DECIMAL, "1_0"),
    "Decimal of other digits": (tags.DECIMAL, "\u0661"),
    "Decimal out of range": (tags.DECIMAL, "1E+9999999999999999999"),
    "Decimal of a float": (tags.DECIMAL, 1.5),
    "Decimal of a tuple": (tags.DECIMAL, [0, [1], 5]),
    "Fraction of 0": (tags.RATIONAL, [1, 0]),
    "Fraction of -1": (tags.RATIONAL, [1, -1]),
    "Fraction of text": (tags.RATIONAL, ["1/3", 1]),
    "Fraction not in lowest terms": (tags.RATIONAL, [2, 4]),
    "Fraction of one": (tags.RATIONAL, [1]),
    "bignum of 0": (tags.POSITIVE_BIGNUM, b""),
    "bignum that an int holds": (tags.NEGATIVE_BIGNUM, b"\xff" * 8),
    "bignum with a zero in front": (tags.POSITIVE_BIGNUM, b"\0" + b"\xff" * 8),
    "UUID of 15": (tags.UUID, b"\0" * 15),
    "UUID of text": (tags.UUID, "0" * 32),
    "path of bytes": (tags.PATH, b"/"),
    "bytearray of a length": (tags.BYTEARRAY, 1 << 40),
    "bytearray of a list": (tags.BYTEARRAY, [1]),
    "array of nothing": (tags.ARRAY, []),
    "array with a bool for a dimension": (tags.ARRAY, ["<f8", [True], False, b"\0" * 8]),
    "array of a negative dimension": (tags.ARRAY, ["<f8", [-1], False, b""]),
    "array of 65 dimensions": (tags.ARRAY, ["<f8", [1] * 65, False, b"\0" * 8]),
    "array of too few bytes": (tags.ARRAY, ["<f8", [2], False, b"\0" * 15]),
    "array of too many bytes": (tags.ARRAY, ["<f8", [2], False, b"\0" * 17]),
    "array whose size wraps to 0": (tags.ARRAY, ["<f8", [1 << 32, 1 << 32], False, b""]),
    "array whose size wraps to 8": (tags.ARRAY, ["|u1", [(1 << 63) + 4, 2], False, b"\0" * 8]),
    "array whose bytes wrap": (tags.ARRAY, ["<f8", [1 << 61], False, b""]),
    "array empty and beyond addresses": (tags.ARRAY, ["<f8", [0, 1 << 62, 1 << 62], False, b""]),
    "array of a text order": (tags.ARRAY, ["<f8", [1], "F", b"\0" * 8]),
    "scalar of no bytes": (tags.SCALAR, ["<f8", b""]),
    "scalar of text": (tags.SCALAR, ["<f8", "12345678"]),
    "scalar of 9 bytes": (tags.SCALAR, ["<f8", b"\0" * 9]),
    "scalar string as an item": (tags.SCALAR, ["<U1", b"\0" * 4]),
}


@pytest.mark.parametrize("name", ITEMS)
def test_the_content_of_a_tag_is_checked(name: str) -> None:
    tag, content = ITEMS[name]
    with pytest.raises(Malformed):
        read_item(CBORTag(tag, content))
    with pytest.raises(Malformed):
        read_item([{"a": CBORTag(tag, content)}])
    with pytest.raises(Malformed):
        read(b"\xa1" + cbor2.dumps(CBORTag(tag, content)) + b"\x01")


DTYPES: list[Any] = [
    "O", "|O", "|O8", "<O8", "object", "f8", "float", "<f8,<f8", "(2,)<f8", "i4,(2,3)f8", "<f8 ",
    " <f8", "<f8\n", "<f8\0", "=f8", "|f8", "<i3", "<f7", "<b1", "|b8", "<c9", "<V8", "V8", "|V-1",
    "|V99999999999", "|V9999999999", "<U1073741824", "<U9999999999", "|S08", "<M8[7", "<M8[x]",
    "<M8[ns", "<M8[0ns]", "<M8[9999999999ns]", "<M8[ns]x", "<M8[ns/3]", "<m4", "<T16", "|T16", "",
    "<", "q", "datetime64[ns]", "{'names':['a'],'formats':['O']}", "__import__('os')",
    [], [0, 8], [0, 8, [["a", None, 0, "|O8", None]]], [0, 4, [["a", None, 0, "<f8", None]]],
    [0, 8, [["a", None, -1, "<f8", None]]], [0, 8, [["a", None, 1, "<f8", None]]],
    [4, 8, [["a", None, 0, "<f8", None]]], [0, -1, []], [0, 1 << 31, []], [True, 8, []],
    [0, 8, [["a", None, 0, "<f8", [2]]]], [0, 8, [["a", None, 0, "<f8", [-1]]]],
    [0, 8, [["a", None, 0, "<f8", [1 << 32, 1 << 32]]]], [0, 8, [["a", None, 0, "<f8", "(2,)"]]],
    [0, 16, [["a", None, 0, "<f8", None], ["a", None, 8, "<f8", None]]],
    [0, 16, [["a", "b", 0, "<f8", None], ["b", None, 8, "<f8", None]]],
    [0, 16, [["a", None, 0, "<f8", None], ["b", None, 7, "<f8", None]]],
    [0, 16, [["a", None, 0, "<f8", [2]], ["b", None, 8, "|b1", None]]],
    [1, 9, [["a", None, 1, "<f8", None]]], [0, 8, [[b"a", None, 0, "<f8", None]]],
    [0, 8, [[None, None, 0, "<f8", None]]], [0, 8, {"a": "<f8"}], None, 8, b"<f8",
]  # fmt: skip


@pytest.mark.parametrize("spec", DTYPES, ids=lambda spec: repr(spec)[:40])
def test_a_dtype_that_we_do_not_write_is_refused(spec: Any) -> None:
    for shape in ([], [0], [1]):
        for octets in (b"", b"\0" * 8, b"\0" * 16):
            with pytest.raises(Malformed):
                read_item(CBORTag(tags.ARRAY, [spec, shape, False, octets]))
    with pytest.raises(Malformed):
        read_item(CBORTag(tags.SCALAR, [spec, b"\0" * 8]))


@pytest.mark.parametrize("levels", [16, 17, 100, 300])
def test_a_dtype_is_nested_as_deep_as_the_writer_writes_it(levels: int) -> None:
    spec: Any = "<f8"
    for _ in range(levels + 1):
        spec = [0, 8, [["a", None, 0, spec, None]]]
    stream = cbor2.dumps(CBORTag(tags.ARRAY, ["SPEC", [1], False, b"\0" * 8]))
    stream = stream.replace(b"\x64SPEC", flat(spec))
    if levels == 16:
        assert bytes(codec.encode(read(stream), "data")[0]) == stream
        return
    with pytest.raises(Malformed, match="a dtype nested too deep" if levels < 200 else None):
        read(stream)


def flat(spec: Any) -> bytes:
    """Encode a deep dtype as `cbor2.dumps` would, without its recursion."""
    octets = b""
    tail = 0
    while type(spec) is list:
        octets += b"\x83\x00\x08\x81\x85\x61a\xf6\x00"
        tail += 1
        spec = spec[2][0][3]
    return octets + cbor2.dumps(spec) + b"\xf6" * tail


@pytest.mark.parametrize("index", [0, -1, 2, 1 << 70, True, None, 1.0, "1", [1]])
def test_a_segment_that_is_not_there_is_refused(index: Any) -> None:
    for item in (
        CBORTag(tags.SEGMENT, index),
        CBORTag(tags.ARRAY, ["|u1", [1], False, index]),
        CBORTag(tags.BYTEARRAY, index),
    ):
        for segments in ([], [b"x"]):
            with pytest.raises(Malformed):
                read_item(item, *segments)


def test_each_segment_is_used_exactly_once() -> None:
    one = CBORTag(tags.SEGMENT, 1)
    array = CBORTag(tags.ARRAY, ["|u1", [1], False, 1])
    assert read_item(one, b"x") == b"x"
    for twice in ([one, one], [array, array], [array, one]):
        with pytest.raises(Malformed, match="segment 1 is used twice"):
            read_item(twice, b"x")
    with pytest.raises(Malformed, match="1 segments are not used"):
        read_item([one], b"x", b"y")
    with pytest.raises(Malformed, match="1 segments are not used"):
        read_item(None, b"")
    with pytest.raises(Malformed, match="no segments"):
        codec.decode([], "data")


def test_a_segment_of_another_size_is_refused() -> None:
    for size in (0, 7, 9):
        with pytest.raises(Malformed, match=f"of 8 bytes on {size}"):
            read_item(CBORTag(tags.ARRAY, ["<f8", [1], False, 1]), b"\0" * size)


def test_a_huge_fraction_is_not_reduced(monkeypatch: pytest.MonkeyPatch) -> None:
    real = math.gcd

    def gcd(a: int, b: int) -> int:
        assert max(a.bit_length(), b.bit_length()) <= 1 << 16, "minutes, for ints of megabytes"
        return real(a, b)

    monkeypatch.setattr(math, "gcd", gcd)
    n, d = (1 << 40_000_000) - 1, (1 << 30_000_000) + 1
    fraction = read_item(CBORTag(tags.RATIONAL, [n, d]))
    assert type(fraction) is fractions.Fraction
    assert (fraction.numerator, fraction.denominator) == (n, d)


@pytest.mark.parametrize("name", [name for name in ITEMS if name.startswith("zone")])
def test_only_names_reach_the_time_zones(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time zones would look for files, and import parts of the package tzdata by name."""
    asked: list[str] = []

    class Zones:
        def __init__(self, key: str) -> None:
            asked.append(key)
            raise zoneinfo.ZoneInfoNotFoundError(key)

    monkeypatch.setattr(zoneinfo, "ZoneInfo", Zones)
    with pytest.raises(Malformed):
        read_item(CBORTag(*ITEMS[name]))
    assert all(key in ("No/Where", "America") for key in asked)


def test_a_decimal_out_of_range_is_refused_in_a_context_that_traps_nothing() -> None:
    with decimal.localcontext(decimal.Context(traps=[])), pytest.raises(Malformed):
        read_item(CBORTag(tags.DECIMAL, "1E+9999999999999999999"))


def test_a_huge_exponent_is_kept_as_one() -> None:
    assert str(read_item(CBORTag(tags.DECIMAL, "1E+999999999999999999"))) == "1E+999999999999999999"


def test_an_interrupt_while_reading_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    from pinfold.codec import reading

    for kind in (KeyboardInterrupt, MemoryError):

        def raises(*parts: object, kind: Any = kind) -> None:
            raise kind

        monkeypatch.setitem(reading._DECODERS, tags.DECIMAL, raises)
        with pytest.raises(kind):
            read_item([CBORTag(tags.DECIMAL, "1")])


@pytest.mark.parametrize("dtype", ["<U2", ">U2", "|b1"])
def test_bits_that_are_no_bool_or_character_are_refused(dtype: str) -> None:
    """numpy would make an invalid str of them."""
    octets = b"\xff" * 8
    struct = [
        0,
        12,
        [["a", None, 0, "<i4", None], ["b", None, 4, dtype, [8 if "b" in dtype else 1]]],
    ]
    deep = [0, 12, [["s", None, 0, struct, None]]]
    size = 8 if "b" in dtype else 1
    with pytest.raises(Malformed, match=r"neither 0 nor 1|beyond Unicode"):
        read_item(CBORTag(tags.ARRAY, [dtype, [size], False, octets]))
    with pytest.raises(Malformed, match=r"neither 0 nor 1|beyond Unicode"):
        read_item(CBORTag(tags.ARRAY, [dtype, [size], False, 1]), octets)
    for spec in (struct, deep):
        with pytest.raises(Malformed, match=r"neither 0 nor 1|beyond Unicode"):
            read_item(CBORTag(tags.ARRAY, [spec, [1], False, b"\0" * 4 + octets]))
        with pytest.raises(Malformed, match=r"neither 0 nor 1|beyond Unicode"):
            read_item(CBORTag(tags.SCALAR, [spec, b"\0" * 4 + octets]))


def test_numpy_is_asked_for_only_by_numpy_values(monkeypatch: pytest.MonkeyPatch) -> None:
    from pinfold.codec import arrays  # restored below

    monkeypatch.setitem(sys.modules, arrays.__name__, arrays)
    monkeypatch.delattr(codec, "arrays")
    monkeypatch.delitem(sys.modules, arrays.__name__)
    monkeypatch.setitem(sys.modules, "numpy", None)
    assert read(b"\x01") == 1
    with pytest.raises(Malformed, match="there is no numpy here"):
        read_item(CBORTag(tags.SCALAR, ["<f8", b"\0" * 8]))


def test_a_numpy_that_cannot_be_loaded_is_not_the_values_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The loader of extensions reports a full descriptor table as an ImportError."""
    from pinfold.codec import arrays

    class Full:
        def find_spec(self, name: str, *_: object) -> None:
            raise ImportError("libfortran.so: cannot open shared object file")

    monkeypatch.delattr(codec, "arrays")
    monkeypatch.delitem(sys.modules, arrays.__name__)
    monkeypatch.setattr(sys, "meta_path", [Full()])
    with pytest.raises(ImportError, match="cannot open"):
        read_item(CBORTag(tags.SCALAR, ["<f8", b"\0" * 8]))


def test_a_time_zone_that_cannot_be_opened_is_not_the_values_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(key: str) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(zoneinfo, "ZoneInfo", full)
    with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
        read_item(CBORTag(tags.ZONE, "Europe/Paris"))


def test_memory_that_the_reader_lacks_is_not_the_values_fault() -> None:
    value = b"\x9a\x00\x80\x00\x00" + b"\x00" * (8 << 20)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as statm:
        mapped = int(statm.read().split()[0]) * resource.getpagesize()
    segments = received([value])
    resource.setrlimit(resource.RLIMIT_AS, (mapped + (32 << 20), limits[1]))
    try:
        with pytest.raises(MemoryError):
            codec.decode(segments, "data")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
