# SPDX-License-Identifier: Apache-2.0
"""The `pickle` codec: it carries, by value, objects that `data` refuses, and leaves no trace."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
import tempfile
import threading
import types
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import cloudpickle
import numpy as np
import pytest

from codec_support import received, same, sent
from conftest import output_of
from pinfold import codec
from pinfold.codec import CannotDecode, NotCarried
from pinfold.codec._reader import is_plain_pickle
from pinfold.codec.tags import OUT_OF_LINE

SOURCE = """
import enum
FACTOR = 3

class Node:
    def __init__(self, value, next=None):
        self.value, self.next = value, next

    def scaled(self):
        return self.value * FACTOR

class Colour(enum.Enum):
    RED = 1

def outer(n):
    return lambda x: x * n + FACTOR
"""


@pytest.fixture
def user_code() -> Iterator[types.ModuleType]:
    yield load_user_code()
    sys.modules.pop("user_code", None)


def load_user_code() -> types.ModuleType:
    module = types.ModuleType("user_code")
    exec(compile(SOURCE, "user_code.py", "exec"), module.__dict__)
    sys.modules["user_code"] = module
    return module


def across(value: object) -> Any:
    """Decode without a module `user_code`, as in the caller."""
    segments = codec.encode(value, "pickle")
    module = sys.modules.pop("user_code", None)
    try:
        return codec.decode(received(segments), "pickle")
    finally:
        if module is not None:
            sys.modules["user_code"] = module


def test_what_the_source_defines_travels_by_value(user_code: types.ModuleType) -> None:
    node, closure, kind, function, red = across(
        [
            user_code.Node(2),
            user_code.outer(10),
            user_code.Node,
            user_code.outer,
            user_code.Colour.RED,
        ]
    )
    assert type(node) is kind and node.value == 2 and node.scaled() == 6
    assert closure(2) == 23 and function(1)(1) == 4
    assert (kind.__module__, red.name) == ("user_code", "RED")


def test_cycles_and_shared_parts_keep_their_shape(user_code: types.ModuleType) -> None:
    node = user_code.Node([1])
    node.next = node
    first, second, shared = across([node, node, node.value])
    assert first is second and first.next is first and first.value is shared
    ring: list[Any] = []
    ring.append(ring)
    arrived = sent(ring, "pickle")
    assert arrived[0] is arrived


def test_structured_arrays_and_memmaps_go_through() -> None:
    structured = np.zeros(1000, [("a", "f8", (2,)), ("b", "U3")])
    assert same(sent(structured, "pickle"), structured)
    with tempfile.NamedTemporaryFile() as file:
        array = np.memmap(file, dtype="f8", mode="w+", shape=(100, 100))
        array[:] = 4
        arrived = sent([array], "pickle")[0]
    assert np.array_equal(np.asarray(arrived), np.asarray(array))
    arrived[0, 0] = 1


def test_an_array_of_objects_goes_through() -> None:
    array = np.array([[1], "a", None], dtype=object)
    assert list(sent(array, "pickle")) == list(array)


def registries() -> tuple[int, ...]:
    gc.collect()
    inside = cloudpickle.cloudpickle
    return (
        len(inside._PICKLE_BY_VALUE_MODULES),
        len(inside._DYNAMIC_CLASS_TRACKER_BY_CLASS),
        len(inside._DYNAMIC_CLASS_TRACKER_BY_ID),
        len(inside._extract_code_globals_cache),
        len(sys.modules),
    )


def test_a_thousand_calls_leave_cloudpickles_registries_no_larger() -> None:
    def call() -> None:
        module = load_user_code()
        value = [module.Node(1), module.outer(3), module.Colour.RED]
        segments = codec.encode(value, "pickle")
        del sys.modules["user_code"]
        codec.decode(received(segments), "pickle")

    call()
    before = registries()
    for _ in range(1000):
        call()
    assert registries() == before
    assert "user_code" not in cloudpickle.list_registry_pickle_by_value()


def test_a_module_that_somebody_registered_stays_registered(user_code: types.ModuleType) -> None:
    cloudpickle.register_pickle_by_value(user_code)
    try:
        across(user_code.Node)
        assert "user_code" in cloudpickle.list_registry_pickle_by_value()
    finally:
        cloudpickle.unregister_pickle_by_value(user_code)


def test_one_thread_that_is_done_does_not_end_it_for_another(user_code: types.ModuleType) -> None:
    inside, go = threading.Event(), threading.Event()

    class Waits:
        def __reduce__(self) -> Any:
            inside.set()
            assert go.wait(60)
            return int, ()

    got: list[Any] = []
    thread = threading.Thread(
        target=lambda: got.append(codec.encode([Waits(), user_code.Node(5)], "pickle"))
    )
    thread.start()
    assert inside.wait(60)
    codec.encode(user_code.Node, "pickle")
    go.set()
    thread.join(60)
    del sys.modules["user_code"]
    arrived: Any = codec.decode(received(got[0]), "pickle")
    assert arrived[1].scaled() == 15


INTERRUPTED = """
import sys, types
import cloudpickle
from pinfold import codec

module = types.ModuleType("user_code")
sys.modules["user_code"] = module
exec("class Node: pass", vars(module))
real = getattr(cloudpickle, sys.argv[1])
asked = []

def interrupted(*args):
    asked.append(args)
    if len(asked) == int(sys.argv[2]):  # where a signal handler may run
        asked.append(codec.encode(module.Node, "pickle"))
    return real(*args)

setattr(cloudpickle, sys.argv[1], interrupted)
got = codec.encode(module.Node, "pickle")
assert "user_code" not in cloudpickle.list_registry_pickle_by_value()
del sys.modules["user_code"]
print([codec.decode(each, "pickle").__name__ for each in (got, *asked) if isinstance(each, list)])
"""


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize(
    "where",
    ["list_registry_pickle_by_value", "register_pickle_by_value", "unregister_pickle_by_value"],
)
def test_a_signal_handler_may_pickle_at_any_time(where: str, n: int) -> None:
    printed = output_of(INTERRUPTED, where, str(n))
    assert printed in ("['Node', 'Node']\n", "['Node']\n")


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_fork_while_another_thread_pickles_can_pickle(
    user_code: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the fork one thread is pickling, and another is stopped while it holds the lock."""
    real = cloudpickle.list_registry_pickle_by_value
    pickling, locked, go = threading.Event(), threading.Event(), threading.Event()

    class Waits:
        def __reduce__(self) -> Any:
            pickling.set()
            assert go.wait(60)
            return int, ()

    def list_registry() -> Any:
        if threading.current_thread() is threads[1]:
            locked.set()
            assert go.wait(60)
        return real()

    threads = [
        threading.Thread(target=codec.encode, args=(value, "pickle")) for value in (Waits(), 1)
    ]
    threads[0].start()
    assert pickling.wait(60)
    monkeypatch.setattr(cloudpickle, "list_registry_pickle_by_value", list_registry)
    threads[1].start()
    assert locked.wait(60)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(30)
            assert "user_code" not in real()
            codec.encode(user_code.Node, "pickle")
            assert "user_code" not in real()
            status = 0
        finally:
            os._exit(status)
    status = os.waitpid(pid, 0)[1]
    go.set()
    for thread in threads:
        thread.join(60)
    assert os.waitstatus_to_exitcode(status) == 0


def test_registration_ends_after_a_refusal_too(user_code: types.ModuleType) -> None:
    with pytest.raises(NotCarried):
        codec.encode(threading.Lock(), "pickle")
    assert "user_code" not in cloudpickle.list_registry_pickle_by_value()


class Holder:
    def __init__(self, held: Any) -> None:
        self.held = held


class Exits(Exception):
    def __str__(self) -> str:
        raise SystemExit(4)


def read() -> None:
    raise Exits


class Reads:
    def __reduce__(self) -> Any:
        return read, ()


class Raises:
    def __reduce__(self) -> Any:
        raise KeyError("no")


@pytest.mark.parametrize(
    ("value", "path", "type_name"),
    [
        (threading.Lock(), "result", "_thread.lock"),
        ({"best": [1, (threading.Lock(),)]}, "result['best'][1][0]", "_thread.lock"),
        ([Holder({"x": threading.Lock()})], "result[0].held['x']", "_thread.lock"),
        ({3: Raises()}, "list(result.values())[0]", f"{__name__}.Raises"),
        ({Raises(): 3}, "list(result)[0]", f"{__name__}.Raises"),
        ((n for n in ()), "result", "generator"),
    ],
    ids=range(6),
)
def test_what_cannot_be_pickled_is_named_by_path_and_type(
    value: Any, path: str, type_name: str
) -> None:
    with pytest.raises(NotCarried) as caught:
        codec.encode(value, "pickle")
    error = caught.value
    assert (error.path, error.type_name, error.codec) == (path, type_name, "pickle")
    assert error.__cause__ is not None
    assert f"{error.__cause__}" in str(error)
    assert str(error).endswith("which the 'pickle' codec does not carry; return plain data")


def test_too_deep_for_pickle_is_refused() -> None:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(NotCarried):
        codec.encode(value, "pickle")
    while value:
        value = value[0]


def test_an_exit_in_the_values_own_code_passes_on_the_way_out() -> None:
    class Exits:
        def __reduce__(self) -> Any:
            raise SystemExit(3)

    with pytest.raises(SystemExit):
        codec.encode([Exits()], "pickle")


def exits() -> None:
    raise SystemExit(3)


class ExitsOnArrival:
    def __reduce__(self) -> Any:
        return exits, ()


@pytest.mark.parametrize(
    ("stream", "cause"),
    [
        (b"", EOFError),
        (b"\x80\x05", EOFError),
        (b"not a pickle", Exception),
        (pickle.dumps(1)[:-1], EOFError),
        (b"\x80\x05\x97.", pickle.UnpicklingError),
        (pickle.dumps(ExitsOnArrival()), SystemExit),
        (b"\x80\x05cno_such_module\nname\n.", ModuleNotFoundError),
    ],
    ids=range(7),
)
def test_what_unpickling_raises_is_the_cause_of_one_error(stream: bytes, cause: Any) -> None:
    with pytest.raises(CannotDecode) as caught:
        codec.decode(received([stream]), "pickle")
    assert isinstance(caught.value.__cause__, cause)


def test_an_exit_in_the_text_of_what_unpickling_raises_is_held_as_well() -> None:
    with pytest.raises(CannotDecode, match=r"Exits: \(its text raised\)") as caught:
        codec.decode(received([pickle.dumps(Reads())]), "pickle")
    assert type(caught.value.__cause__) is Exits


def test_a_pickle_that_names_nothing_is_plain() -> None:
    plain = [
        None, True, 5, -70_000, 1 << 40, 1 << 3000, 1.5, "a", "x" * 300, b"b", b"c" * 300, [1], (),
        (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), {1: 2, 3: 4}, {1, 2}, frozenset({1}), [[1], [1]],
        bytearray(b"a"), list(range(2000)), bytearray(5000),
    ]  # fmt: skip
    for value in [*plain, plain]:
        [stream, *_] = codec.encode(value, "pickle")
        assert is_plain_pickle(stream)
        assert not any(is_plain_pickle(stream[:end]) for end in range(min(len(stream), 500)))
        assert codec.decode_here(received(codec.encode(value, "pickle")), "pickle") == value
    for other in (print, complex(1, 2), np.zeros(1), Decimal(1)):
        for protocol in range(6):
            assert not is_plain_pickle(pickle.dumps([other], protocol))


def test_a_pickle_that_names_code_is_not_read_unless_it_runs() -> None:
    for value in (print, os.getpid, [1, {"a": os.path.join}], user_defined()):
        segments = received(codec.encode(value, "pickle"))
        with pytest.raises(codec.RunsCode):
            codec.decode_here(segments, "pickle")
        codec.decode(segments, "pickle")


def user_defined() -> Any:
    class Defined:
        pass

    return Defined()


def test_no_segments_is_an_error() -> None:
    with pytest.raises(CannotDecode, match="no segments"):
        codec.decode([], "pickle")


def test_small_buffers_come_back_writable_too() -> None:
    small = np.zeros(OUT_OF_LINE // 8 - 1)
    assert len(codec.encode(small, "pickle")) == 1
    sent(small, "pickle")[0] = 1
