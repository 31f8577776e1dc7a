# SPDX-License-Identifier: Apache-2.0
"""Values of the codec ``pickle`` whose reading runs code, as part of the call."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from conftest import MakeBackend
from pinfold import BadResult, CallTimeout, Limits, LocalBackend, WorkerCall
from pinfold._client import reading

pytestmark = pytest.mark.extension

RAISES = """
class Raises:
    def __reduce__(self):
        return exec, ("raise " + NAME,)
def f(name):
    global NAME
    NAME = name
    return [Raises()]
"""
# Reading this value blocks until the descriptor is readable.
WAITS = """
import os
class Waits:
    def __init__(self, fd):
        self.fd = fd
    def __reduce__(self):
        return os.read, (self.fd, 1)
def f(fd):
    return [Waits(fd)]
"""
NAMES = (
    "KeyboardInterrupt",
    "SystemExit(3)",
    "GeneratorExit",
    "__import__('asyncio').CancelledError",
)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A descriptor that has nothing to read until something is written to the other one, which is
    done in the end: no thread that reads a value is left."""
    source, sink = os.pipe()
    yield source, sink
    os.write(sink, b"x" * 100)
    for thread in threading.enumerate():
        if thread.name.startswith("pinfold-read"):
            thread.join()
    os.close(source)
    os.close(sink)


def pickling(make_backend: MakeBackend, **other: Any) -> LocalBackend:
    return make_backend(codec="pickle", max_workers=2, **other)


@pytest.mark.parametrize("isolation", ["fresh", "reuse"])
def test_what_reading_a_value_raises_is_a_bad_result(
    make_backend: MakeBackend, isolation: Any
) -> None:
    backend = pickling(make_backend, isolation=isolation)
    calls = [WorkerCall(RAISES, "f", [name]) for name in NAMES]

    async def awaited() -> None:
        for call in calls:
            result = await backend.run(call)
            assert result.outcome == "bad_result"
            with pytest.raises(BadResult, match="the pickled value cannot be read"):
                await backend.execute(call)

    asyncio.run(awaited())
    for call in calls:
        assert backend.submit(call).result().outcome == "bad_result"
    assert [result.outcome for _, result in backend.map(calls)] == ["bad_result"] * len(calls)


def test_a_value_that_takes_its_time_to_read_stops_no_event_loop(
    make_backend: MakeBackend, pipe: tuple[int, int]
) -> None:
    backend = pickling(make_backend)

    async def awaited() -> None:
        slow = asyncio.ensure_future(backend.run(WorkerCall(WAITS, "f", [pipe[0]])))
        other = await backend.run(WorkerCall("def f(): return 5", "f"))
        assert other.value == 5 and not slow.done()
        os.write(pipe[1], b"a")
        assert (await slow).value == [b"a"]

    asyncio.run(awaited())


@pytest.mark.parametrize("own", [True, False], ids=["wall_s", "deadline_s"])
def test_a_call_whose_value_is_read_for_too_long_is_a_timeout(
    make_backend: MakeBackend, pipe: tuple[int, int], own: bool
) -> None:
    backend = pickling(make_backend)
    limits = Limits(wall_s=0.5) if own else Limits()
    deadline_s = None if own else 0.5
    call = WorkerCall(WAITS, "f", [pipe[0]], limits=limits)

    async def awaited() -> None:
        result = await backend.run(call, deadline_s=deadline_s)
        assert result.outcome == "timeout" and result.metrics is not None
        assert result.error is not None and "while its value was read" in result.error.message
        with pytest.raises(CallTimeout):
            await backend.execute(call, deadline_s=deadline_s)

    asyncio.run(awaited())
    assert backend.submit(call, deadline_s=deadline_s).result().outcome == "timeout"
    assert [r.outcome for _, r in backend.map([call], deadline_s=deadline_s)] == ["timeout"]


def test_a_map_hands_out_what_is_read_at_last(
    make_backend: MakeBackend, pipe: tuple[int, int]
) -> None:
    backend = pickling(make_backend)
    calls = [WorkerCall(WAITS, "f", [pipe[0]]), WorkerCall("def f(): return 5", "f")]
    values = []
    for _, result in backend.map(calls):
        values.append(result.value)
        if result.value == 5:
            os.write(pipe[1], b"a")
    assert values == [5, [b"a"]]


def test_a_call_whose_value_is_being_read_can_be_cancelled(
    make_backend: MakeBackend, pipe: tuple[int, int]
) -> None:
    backend = pickling(make_backend)
    future = backend.submit(WorkerCall(WAITS, "f", [pipe[0]]))
    with pytest.raises(TimeoutError):
        future.result(timeout=0.5)
    assert future.cancel() and future.cancelled()


def test_a_backend_closes_while_a_value_is_read(
    make_backend: MakeBackend, pipe: tuple[int, int]
) -> None:
    backend = pickling(make_backend)
    call = WorkerCall(WAITS, "f", [pipe[0]])

    async def awaited() -> None:
        waiting = asyncio.ensure_future(backend.run(call))
        while not any(t.name == "pinfold-read" for t in threading.enumerate()):
            await asyncio.sleep(0.01)
        await asyncio.to_thread(backend.close)
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(awaited())


def test_what_names_only_makers_of_values_is_read_at_once(
    make_backend: MakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("decimal", "fractions", "numpy", "uuid"):  # the reader imports no module
        pytest.importorskip(name)

    def read(*_: object) -> None:
        raise AssertionError("it was to be read in a thread")

    monkeypatch.setattr(reading, "read", read)
    source = """
import collections, datetime, decimal, fractions, uuid, numpy
def f():
    return [
        {"a": (1, 2.5, None)}, {3}, 1j, bytearray(b"x"), collections.OrderedDict(a=1),
        datetime.datetime(2000, 1, 1), decimal.Decimal("1.5"), fractions.Fraction(1, 3),
        numpy.arange(3), numpy.zeros(9000), numpy.float64(2),
    ]
"""
    value = pickling(make_backend).submit(WorkerCall(source, "f")).result().unwrap()
    assert len(value) == 11 and np.array_equal(value[8], np.arange(3))
