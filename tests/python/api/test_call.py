# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import enum
import pickle
from array import array
from collections import ChainMap, OrderedDict, deque, namedtuple
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from conftest import MakeBackend
from pinfold import CallTypeError, InvalidCall, Limits, LocalBackend, WorkerCall
from pinfold.call import FOREVER_NS, deadline_ns
from programs import SQUARE


def test_a_call_takes_what_a_function_takes() -> None:
    call = WorkerCall(
        code="def f(): pass",
        function_name="f",
        args=(1, [2]),
        kwargs={"k": "v"},
        python_path=["/tmp", Path("/usr")],
        env={"X": "1", "Y": None},
        codec="pickle",
        limits=Limits(output_bytes=10),
    )
    assert pickle.loads(pickle.dumps(call)) == call
    bare = WorkerCall("def f(): pass", "f")
    assert (bare.args, bare.kwargs, bare.python_path, bare.env) == ([], {}, [], {})
    assert bare.codec is None
    assert bare.limits is None


@pytest.mark.parametrize(
    "args",
    [
        *((1, 2), [1, 2], deque([1, 2]), range(1, 3), np.array([1, 2]), {1: "a", 2: "b"}.keys()),
        *({1: "a", 2: "b"}, namedtuple("Pair", "a b")(1, 2), array("i", [1, 2])),
    ],
    ids=lambda args: type(args).__name__,
)
def test_arguments_are_taken_from_any_iterable(args: Any, either: LocalBackend) -> None:
    call = WorkerCall("def f(*args): return list(args)", "f", args=args)
    assert list(call.args) == [1, 2]
    assert either.submit(call).result().unwrap() == [1, 2]


def test_arguments_of_a_generator_are_taken_once_and_at_once(either: LocalBackend) -> None:
    taken = []
    call = WorkerCall(
        "def f(*args): return list(args)", "f", args=(taken.append(n) or n for n in (1, 2))
    )  # type: ignore[func-returns-value]
    assert taken == [1, 2]
    for _ in range(2):
        assert either.submit(call).result().unwrap() == [1, 2]
    assert pickle.loads(pickle.dumps(call)) == call


def test_keyword_arguments_are_taken_from_any_mapping(either: LocalBackend) -> None:
    for kwargs in (MappingProxyType({"a": 1}), ChainMap({}, {"a": 1}), OrderedDict(a=1)):
        call = WorkerCall("def f(**kwargs): return kwargs", "f", kwargs=kwargs)
        assert pickle.loads(pickle.dumps(call)) == call
        assert either.submit(call).result().unwrap() == {"a": 1}


def test_what_an_iterable_of_arguments_raises_is_raised_at_once() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        WorkerCall("", "f", args=broken())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("function_name", ""),
        ("function_name", "\ud800"),
        ("python_path", ["a\0b"]),
        ("python_path", [""]),
        ("env", {"A=B": "1"}),
        ("env", {"": "1"}),
        ("env", {"A\0": "1"}),
        ("env", {"A": "1\0"}),
        ("codec", "xml"),
    ],
)
def test_a_field_that_cannot_work_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidCall, match=name):
        WorkerCall(**{"code": "", "function_name": "f", name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("code", b"x = 1"),
        ("code", None),
        ("function_name", 3),
        ("args", "abc"),
        ("args", ""),
        ("args", b"abc"),
        ("args", bytearray(b"abc")),
        ("args", None),
        ("args", 5),
        ("args", np.array(1)),
        ("kwargs", [("a", 1)]),
        ("kwargs", {1: 2}),
        ("python_path", "/tmp"),
        ("python_path", ""),
        ("python_path", [3]),
        ("python_path", [b"/tmp"]),
        ("python_path", None),
        ("python_path", 0),
        ("python_path", np.array(["/tmp", "/usr"])),
        ("env", None),
        ("env", {"A": 1}),
        ("env", {1: "A"}),
        ("codec", 5),
        ("limits", {"output_bytes": 1}),
    ],
)
def test_a_field_of_the_wrong_type_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(CallTypeError, match=name) as caught:
        WorkerCall(**{"code": "", "function_name": "f", name: value})
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    ("deadline_s", "ns"),
    [
        (None, FOREVER_NS),
        (float("inf"), FOREVER_NS),
        (1e300, FOREVER_NS),
        (2, 2_000_000_000),
        (0.5, 500_000_000),
        (Decimal("1.5"), 1_500_000_000),
        (0, 1),
        (1e-12, 1),
    ],
)
def test_a_deadline_is_a_number_of_seconds(deadline_s: Any, ns: int) -> None:
    assert deadline_ns(deadline_s) == ns


class Word(str, enum.Enum):
    DATA = "data"
    PICKLE = "pickle"
    REUSE = "reuse"
    NONE = "none"


def test_a_word_may_be_the_member_of_an_enumeration(make_backend: MakeBackend) -> None:
    config: Any = {"codec": Word.DATA, "isolation": Word.REUSE, "sandbox": Word.NONE}
    backend = make_backend(**config)
    fields = [getattr(backend.config, name) for name in config]
    assert list(map(type, fields)) == [str] * 3
    assert fields == ["data", "reuse", "none"]
    assert backend.submit(SQUARE).result(timeout=60).value == 49
    codec: Any = Word.PICKLE
    picky = dataclasses.replace(SQUARE, codec=codec)
    assert type(picky.codec) is str
    assert backend.submit(picky).result(timeout=60).value == 49


# Too large for Python to print.
BEYOND = pytest.param(-(10**5000), id="beyond")


@pytest.mark.parametrize(
    "deadline_s",
    [-1, -1e-9, float("-inf"), float("nan"), 10**400, BEYOND, Decimal("NaN"), Decimal("sNaN")],
)
def test_a_deadline_that_is_none_is_refused_at_once(deadline_s: Any, backend: LocalBackend) -> None:
    with pytest.raises(InvalidCall, match="deadline_s"):
        backend.submit(SQUARE, deadline_s=deadline_s)
    with pytest.raises(InvalidCall, match="deadline_s"):
        backend.map([SQUARE], deadline_s=deadline_s)


@pytest.mark.parametrize("deadline_s", ["1", True, 1j, [1], np.array([1, 2])])
def test_a_deadline_that_is_no_number_is_refused_at_once(
    deadline_s: Any, backend: LocalBackend
) -> None:
    with pytest.raises(CallTypeError, match="deadline_s"):
        backend.submit(SQUARE, deadline_s=deadline_s)
