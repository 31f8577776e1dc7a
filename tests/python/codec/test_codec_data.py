# SPDX-License-Identifier: Apache-2.0
"""The `data` codec: the values that it carries exactly, its refusals and their messages."""

from __future__ import annotations

import array
import collections
import ctypes
import dataclasses
import datetime as dt
import enum
import gc
import ipaddress
import mmap
import pickle
import re
import subprocess
import sys
import threading
import time
import weakref
import zoneinfo
from decimal import Decimal, localcontext
from email.mime.text import MIMEText
from fractions import Fraction
from pathlib import PosixPath, PurePosixPath
from typing import Any

import cbor2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codec_support import ZONES, received, same, sent, values
from pinfold import codec
from pinfold.codec import NotCarried
from pinfold.codec.tags import MAX_DEPTH


@given(values())
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_value_arrives_with_its_type_all_the_way_down(value: Any) -> None:
    assert same(sent(value), value)


@pytest.mark.parametrize(
    "value",
    [
        1 << 20_000_000,
        -(1 << 70_000),
        b"x" * 5000,
        [b"x" * 5000, b"y" * 4096, b"z" * 4095],
        bytearray(b"x" * 5000),
        "\ud800",
        {"\udcff": "\udcff", "a": 1},
        {1: 1, 2: 2},
        {True: 1, 2: True},
        {(1, (2, None)): {frozenset({1}): set()}},
        {b"k": 1},
        ["\u4e2d", 1.5, "\U0001f600"],
        (((),),),
        Decimal("1E+999999999"),
        Fraction((1 << 200_000) + 1, 1 << 200_000),
        dt.timezone.utc,
        [float("-nan"), float("nan"), -0.0],
    ],
    ids=lambda value: f"{type(value).__name__}",
)
def test_an_edge_case_arrives_exactly(value: Any) -> None:
    assert same(sent(value), value)


def test_a_decimal_arrives_whatever_the_context_of_the_thread() -> None:
    values = [Decimal(text) for text in ("1E+10", "-1.5E-100", "sNaN12", "-Infinity", "-0", "2.50")]
    with localcontext() as context:
        context.capitals = 0
        assert same(sent(values), values)


def test_a_million_floats_arrive() -> None:
    floats = [i * 0.1 for i in range(1_000_000)]
    assert sent(floats) == floats


@pytest.mark.skipif(not ZONES, reason="no time zones on this machine")
def test_a_zone_is_the_one_of_this_process() -> None:
    zone = zoneinfo.ZoneInfo(ZONES[0])
    assert sent(dt.datetime(2024, 1, 1, tzinfo=zone)).tzinfo is zone


class Node:
    pass


class Colour(enum.IntEnum):
    RED = 1


class Plain(enum.Enum):
    A = 1


class Flag(enum.IntFlag):
    A = 1
    B = 2


class Word(str, enum.Enum):
    YES = "yes"


class Shouting(dict):  # type: ignore[type-arg]
    def items(self) -> Any:
        return [(key.upper(), value) for key, value in super().items()]


class Hiding(list):  # type: ignore[type-arg]
    def __iter__(self) -> Any:
        raise AssertionError("code of the value's author ran")

    def __len__(self) -> int:
        return 0


class Zone(dt.tzinfo):
    pass


Point = collections.namedtuple("Point", "x y")


RECORD = np.array([(1, 2.5)], np.dtype((np.record, [("a", "i4"), ("b", "f8")])))


@dataclasses.dataclass
class Data:
    x: int = 1


def subclass(base: type) -> Any:
    return type("Sub" + base.__name__, (base,), {"__module__": "user_code"})


REFUSED: list[tuple[Any, str, str]] = [
    (Node(), "result", f"{__name__}.Node"),
    ({"best": [0, 1, 2, Node()]}, "result['best'][3]", f"{__name__}.Node"),
    ([(1, {"a": {Node}})], "list(result[0][1]['a'])[0]", "type"),
    ({(1, 2): Node()}, "list(result.values())[0]", f"{__name__}.Node"),
    ({1: Node()}, "result[1]", f"{__name__}.Node"),
    ({None: {b"k": Node()}}, "result[None][b'k']", f"{__name__}.Node"),
    ({1 << 20_000: Node()}, "list(result.values())[0]", f"{__name__}.Node"),
    ([Data()], "result[0]", f"{__name__}.Data"),
    (collections.OrderedDict(a=[Node()]), "result['a'][0]", f"{__name__}.Node"),
    ([Point(1, {2: Node()})], "result[0][1][2]", f"{__name__}.Node"),
    (collections.deque([0, Node()]), "result[1]", f"{__name__}.Node"),
    ({"a": Node()}.items(), "result[0][1]", f"{__name__}.Node"),
    (subclass(list)([subclass(set)()]), "result[0]", "user_code.Subset"),
    ([(ctypes.c_wchar_p * 2)()], "result[0]", f"{__name__}.c_wchar_p_Array_2"),
    ([Plain.A], "result[0]", f"{__name__}.Plain"),
    *[
        ([subclass(base)()], "result[0]", f"user_code.Sub{base.__name__}")
        for base in (complex, bytes, bytearray, set, frozenset)
    ],
    ([subclass(Decimal)()], "result[0]", "user_code.SubDecimal"),
    ([subclass(dt.timedelta)()], "result[0]", "user_code.Subtimedelta"),
    ([subclass(dt.datetime)(2000, 1, 1)], "result[0]", "user_code.Subdatetime"),
    ([subclass(np.ndarray)(3)], "result[0]", "user_code.Subndarray"),
    ([dt.datetime(2000, 1, 1, tzinfo=Zone())], "result[0].tzinfo", f"{__name__}.Zone"),
    ([dt.time(tzinfo=Zone())], "result[0].tzinfo", f"{__name__}.Zone"),
    (slice(1, "a"), "result.stop", "str"),
    (lambda: 0, "result", "function"),
    ([iter([])], "result[0]", "list_iterator"),
    (NotImplemented, "result", "NotImplementedType"),
    (threading.Lock(), "result", "_thread.lock"),
    (ValueError(1), "result", "ValueError"),
    # cbor2 alone would carry these:
    (re.compile("a"), "result", "re.Pattern"),
    (ipaddress.ip_address("127.0.0.1"), "result", "ipaddress.IPv4Address"),
    (ipaddress.ip_network("::/8"), "result", "ipaddress.IPv6Network"),
    (MIMEText("a"), "result", "email.mime.text.MIMEText"),
    ([cbor2.undefined], "result[0]", "cbor2.UndefinedType"),
    ([cbor2.CBORSimpleValue(1)], "result[0]", "cbor2.CBORSimpleValue"),
    ([cbor2.CBORTag(2, b"")], "result[0]", "cbor2.CBORTag"),
    # numpy
    ([np.array([Node()])], "result[0]", "numpy.ndarray"),
    ([np.zeros(1, [("a", [("b", object)])])], "result[0]", "numpy.ndarray"),
    ([np.ma.array([1])], "result[0]", "numpy.ma.MaskedArray"),
    ([np.zeros((1, 1)).view(np.matrix)], "result[0]", "numpy.matrix"),
    ([np.dtype("f8")], "result[0]", "numpy.dtypes.Float64DType"),
]
_MOVED = {
    "numpy.ma.core.MaskedArray": "numpy.ma.MaskedArray",
    "numpy.recarray": "numpy.rec.recarray",
    "numpy.dtype[float64]": "numpy.dtypes.Float64DType",
}


@pytest.mark.parametrize(
    ("value", "path", "type_name"), REFUSED, ids=lambda v: v if type(v) is str else ""
)
def test_what_is_not_carried_is_named_by_path_and_type(
    value: Any, path: str, type_name: str
) -> None:
    with pytest.raises(NotCarried) as caught:
        codec.encode(value, "data")
    error = caught.value
    name = error.type_name.replace("cbor2._cbor2", "cbor2")
    assert (error.path, _MOVED.get(name, name)) == (path, type_name)
    assert str(error).startswith(f"{path} is a")
    assert "which the 'data' codec does not carry; return plain data" in str(error)
    assert 'codec="pickle"' in str(error)


def test_the_message_is_the_documented_sentence() -> None:
    value = subclass(Node)()
    with pytest.raises(NotCarried) as caught:
        codec.encode({"best": [0, 1, 2, value]}, "data")
    assert str(caught.value) == (
        "result['best'][3] is a user_code.SubNode, which the 'data' codec does not carry; "
        'return plain data, or use codec="pickle"'
    )
    with pytest.raises(NotCarried, match=r"^kwargs\['x'\] is a .*; pass plain data, or use"):
        codec.encode({"x": value}, "data", root="kwargs")


def test_the_refusal_itself_can_be_pickled() -> None:
    with pytest.raises(NotCarried) as caught:
        codec.encode([np.array([Node()])], "data")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.path, copy.type_name, copy.codec) == (
        str(caught.value),
        "result[0]",
        "numpy.ndarray",
        "data",
    )


def test_a_type_cannot_lie_about_itself() -> None:
    class Meta(type):
        __module__ = "numpy"

        def __getattribute__(cls, name: str) -> Any:
            raise AssertionError("code of the value's author ran")

    class Liar(metaclass=Meta):
        @property
        def __class__(self) -> Any:
            return int

    with pytest.raises(NotCarried, match="Liar"):
        codec.encode([Liar()], "data")


@given(st.text(alphabet="/.a\0\u00e9", max_size=12))
@settings(max_examples=300, deadline=None)
def test_a_path_arrives_as_its_constructor_makes_it(text: str) -> None:
    for kind in (PosixPath, PurePosixPath):
        path = kind(text)
        stream = bytes(codec.encode(path, "data")[0])
        raw = stream[:5] + cbor2.dumps(text)  # with parts that a constructor drops
        for arrived in (sent(path), codec.decode(received([raw]), "data")):
            assert type(arrived) is kind and arrived == path and hash(arrived) == hash(path)
            assert arrived.parts == path.parts and str(arrived / "b") == str(path / "b")


def reordered() -> Any:
    value = collections.OrderedDict(a=1, b=2)
    value.move_to_end("a")
    return value


PLAIN: list[tuple[Any, Any]] = [
    (Colour.RED, 1),
    (Flag.A | Flag.B, 3),
    (Word.YES, "yes"),
    (subclass(int)(1 << 70), 1 << 70),
    (subclass(float)(1.5), 1.5),
    (subclass(str)("\ud800"), "\ud800"),
    (Point(1, [2]), (1, [2])),
    (time.gmtime(0), (1970, 1, 1, 0, 0, 0, 3, 1, 0)),
    (subclass(list)([1, Colour.RED]), [1, 1]),
    (Hiding([1, 2]), [1, 2]),
    (reordered(), {"b": 2, "a": 1}),
    (collections.defaultdict(list, {1: [2]}), {1: [2]}),
    (collections.Counter("aab"), {"a": 2, "b": 1}),
    (Shouting(a=1), {"A": 1}),
    ({Word.YES: 1, Colour.RED: 2}, {"yes": 1, 1: 2}),
    ({(2, Colour.RED): {Point(0, 1)}}, {(2, 1): {(0, 1)}}),
    (collections.deque([1, (2,)], maxlen=5), [1, (2,)]),
    ({1: 2}.keys(), [1]),
    ({1: 2}.values(), [2]),
    ({1: 2}.items(), [(1, 2)]),
    (reordered().items(), [("b", 2), ("a", 1)]),
    (array.array("d", [1.5, 2.5]), np.array([1.5, 2.5])),
    (array.array("b"), np.array([], np.int8)),
    (array.array("u", "ab"), np.array(["a", "b"])),
    (memoryview(b"abc"), np.frombuffer(b"abc", np.uint8)),
    (memoryview(array.array("i", range(6)))[::2], np.array([0, 2, 4], np.int32)),
    (memoryview(bytes(8192)), np.zeros(8192, np.uint8)),
    (np.zeros((2, 3))[:, 1:].data, np.zeros((2, 2))),
    ((ctypes.c_int16 * 3)(1, 2, 3), np.array([1, 2, 3], np.int16)),
    (np.rec.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]), RECORD),
]


@pytest.mark.parametrize(("value", "plain"), PLAIN, ids=lambda v: type(v).__name__)
def test_what_json_takes_and_what_is_a_buffer_arrives_as_plain_data(value: Any, plain: Any) -> None:
    assert same(sent(value), plain)
    assert same(sent([{"a": (value,)}]), [{"a": (plain,)}])


def test_a_mapped_file_arrives_as_an_array() -> None:
    with mmap.mmap(-1, 8192) as home:
        home[:3] = b"abc"
        segments = codec.encode([home], "data")
        [arrived] = codec.decode(received(segments), "data")  # type: ignore[misc]
        del segments
    assert arrived.dtype == np.uint8 and bytes(arrived) == b"abc" + bytes(8189)


def test_a_class_whose_values_were_sent_is_not_kept() -> None:
    kind = subclass(dict)
    sent([kind(a=1)])
    gone = weakref.ref(kind)
    del kind
    gc.collect()
    assert gone() is None


def test_a_masked_array_is_refused_with_the_way_out() -> None:
    with pytest.raises(NotCarried, match=r"\.filled\(\) and its \.mask are carried"):
        codec.encode(np.ma.array([1], mask=[1]), "data")


def cycles() -> dict[str, tuple[Any, str, str]]:
    a: list[Any] = [1]
    a.append({"up": (a,)})
    b: dict[Any, Any] = {}
    b["self"] = b
    c: list[Any] = []
    d = {"list": [c, c]}
    c.append({1: c})
    return {
        "list": (a, "result[1]['up'][0]", "result"),
        "dict": (b, "result['self']", "result"),
        "inner": (d, "result['list'][0][0][1]", "result['list'][0]"),
    }


@pytest.mark.parametrize("name", cycles())
def test_a_cycle_is_refused_where_it_closes(name: str) -> None:
    value, path, start = cycles()[name]
    with pytest.raises(NotCarried) as caught:
        codec.encode(value, "data")
    assert caught.value.path == path
    assert f"contains itself (it is {start})" in str(caught.value)


def test_shared_parts_arrive_as_copies() -> None:
    part = [1]
    first, second = sent([part, part])
    assert first == second == [1] and first is not second


WRAPS = {
    "list": lambda v: [v],
    "tuple": lambda v: (v,),
    "frozenset": lambda v: frozenset([v]),
    "text dict": lambda v: {"k": v},
    "other dict": lambda v: {1: v},
    "key": lambda v: {(v,): 1},
}


def nested(kind: str, levels: int) -> Any:
    wrap = WRAPS[kind]
    if kind == "key":
        value: Any = ()
        for _ in range(levels - 2):
            value = (value,)
        return {value: 1}
    value = wrap(0)
    for _ in range(levels - 1):
        value = wrap(value)
    return value


@pytest.mark.parametrize("kind", WRAPS)
def test_the_deepest_value_arrives_and_one_level_more_is_refused(kind: str) -> None:
    deepest = nested(kind, MAX_DEPTH)
    assert repr(sent(deepest)) == repr(deepest)
    with pytest.raises(NotCarried, match="nested more than 200 containers deep"):
        codec.encode(nested(kind, MAX_DEPTH + 2 if kind == "key" else MAX_DEPTH + 1), "data")


def test_a_hundred_thousand_levels_are_refused_without_a_crash() -> None:
    value: Any = 0
    for i in range(100_000):
        value = [value] if i % 2 else (value,)
    with pytest.raises(NotCarried):
        codec.encode(value, "data")
    while value:  # unlink by hand: the value's own destructor would recurse
        value = value[0]


def test_an_array_in_the_deepest_list_arrives() -> None:
    array = np.zeros(3, [("a", [("b", "f8", (2,))])])
    value: Any = array
    for _ in range(MAX_DEPTH):
        value = (value,)
    assert same(sent(value), value)


def test_what_is_refused_leaves_nothing_behind() -> None:
    with pytest.raises(NotCarried):
        codec.encode([np.zeros(10_000), Node()], "data")
    assert sent([1]) == [1]


def test_an_unknown_codec_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match=r"'xml'.*data, pickle, json"):
        codec.encode(1, "xml")
    with pytest.raises(ValueError, match="'xml'"):
        codec.decode(received([b"\x01"]), "xml")


def test_importing_and_plain_values_bring_neither_numpy_nor_cloudpickle() -> None:
    program = (
        "import sys; from pinfold import codec; before = set(sys.modules)\n"
        "value = {'a': [1, 2.5, (None, {3})]}\n"
        "parts = [memoryview(bytearray(p)) for p in codec.encode(value, 'data')]\n"
        "assert codec.decode(parts, 'data') == value\n"
        "late = {'numpy', 'cloudpickle', 'pickle', 'decimal', 'fractions', 'uuid', 'zoneinfo'}\n"
        "assert not late & (set(sys.modules) - before), late & set(sys.modules)\n"
        "assert not {'numpy', 'cloudpickle'} & set(sys.modules)\n"
    )
    subprocess.run(
        [sys.executable, "-c", program], check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
