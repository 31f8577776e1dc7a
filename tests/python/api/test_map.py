# SPDX-License-Identifier: Apache-2.0
"""map(): many calls, of which a bounded number is in flight, in loops and in threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from conftest import MakeBackend
from pinfold import CallTypeError, InvalidCall, LocalBackend, PoolClosed, WorkerCall, WorkerResult
from programs import SLEEP, SQUARE, call, square

pytestmark = pytest.mark.extension

Pairs = list[tuple[WorkerCall, WorkerResult]]


def collect(backend: LocalBackend, calls: Any, mode: str, **options: Any) -> Pairs:
    async def main() -> Pairs:
        return [pair async for pair in backend.map(calls, deadline_s=60, **options)]

    if mode == "async":
        return asyncio.run(main())
    return list(backend.map(calls, deadline_s=60, **options))


@pytest.fixture(params=["async", "thread"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_call_comes_with_its_result(mode: str, either: LocalBackend) -> None:
    pairs = collect(either, (square(n) for n in range(40)), mode)
    assert sorted(pair[1].value for pair in pairs) == [n * n for n in range(40)]
    assert all(result.value == program.args[0] ** 2 for program, result in pairs)


def test_ordered_results_come_in_the_order_of_the_calls(mode: str, either: LocalBackend) -> None:
    naps = [call("import time; time.sleep(args[0]); return args[0]", s) for s in (0.3, 0, 0.1, 0)]
    pairs = collect(either, naps * 3, mode, ordered=True)
    assert [result.value for _, result in pairs] == [0.3, 0, 0.1, 0] * 3


def test_results_come_as_they_complete(mode: str, either: LocalBackend) -> None:
    naps = [call("import time; time.sleep(args[0]); return args[0]", s) for s in (1.0, 0, 0)]
    pairs = collect(either, naps, mode)
    assert [result.value for _, result in pairs] == [0, 0, 1.0]


def test_every_outcome_is_a_result(mode: str, either: LocalBackend) -> None:
    calls = [SQUARE, call("1/0"), call("import os; os._exit(1)"), SQUARE]
    pairs = collect(either, calls, mode, ordered=True)
    assert [result.outcome for _, result in pairs] == ["ok", "exception", "exited", "ok"]


def test_nothing_to_do_is_done(mode: str, either: LocalBackend) -> None:
    assert collect(either, [], mode) == []


def test_a_generator_is_asked_for_calls_only_when_there_is_room(
    mode: str, make_backend: MakeBackend
) -> None:
    backend = make_backend(max_workers=2)
    asked = seen = 0
    most = 0

    def calls() -> Iterator[WorkerCall]:
        nonlocal asked, most
        for n in range(60):
            asked += 1
            most = max(most, asked - seen)
            yield square(n)

    async def main() -> None:
        nonlocal seen
        async for _ in backend.map(calls(), deadline_s=60):
            seen += 1

    if mode == "async":
        asyncio.run(main())
    else:
        for _ in backend.map(calls(), deadline_s=60):
            seen += 1
    assert seen == 60
    assert 2 <= most <= 8


def test_an_asynchronous_generator_is_asked_while_results_come(either: LocalBackend) -> None:
    async def main() -> list[int]:
        handed_out = asyncio.Event()

        async def calls() -> AsyncIterator[WorkerCall]:
            yield square(1)
            await handed_out.wait()  # the first result must come before the second call does
            yield square(2)

        values = []
        async for _, result in either.map(calls(), deadline_s=60):
            values.append(result.value)
            handed_out.set()
        return values

    assert asyncio.run(main()) == [1, 4]
    with pytest.raises(CallTypeError, match="async for"):

        async def calls() -> AsyncIterator[WorkerCall]:
            yield SQUARE

        list(either.map(calls()))


def until_error(backend: LocalBackend, calls: Any, mode: str, **options: Any) -> list[Any]:
    """Return the values, and the type of the error after them."""
    got: list[Any] = []

    async def main() -> None:
        async for _, result in backend.map(calls, **options):
            got.append(result.value)

    try:
        if mode == "async":
            asyncio.run(main())
        else:
            for _, result in backend.map(calls, **options):
                got.append(result.value)
    except Exception as error:
        got.append(type(error))
    return got


@pytest.mark.parametrize("ordered", [False, True])
def test_an_error_of_the_calls_generator_comes_after_the_results_of_the_calls_before_it(
    ordered: bool, mode: str, either: LocalBackend
) -> None:
    naps = [call("import time; time.sleep(args[0]); return args[0]", s) for s in (0.3, 0, 0)]
    values = [0.3, 0, 0] if ordered else [0, 0, 0.3]

    def calls() -> Iterator[WorkerCall]:
        yield from naps
        raise ZeroDivisionError

    assert until_error(either, calls(), mode, ordered=ordered) == [*values, ZeroDivisionError]

    async def slow_calls() -> AsyncIterator[WorkerCall]:
        for nap in naps:
            yield nap
        raise ZeroDivisionError

    got = until_error(either, slow_calls(), "async", ordered=ordered)
    assert got == [*values, ZeroDivisionError]
    calls_and_a_bad_one = [*naps, call("", object()), SQUARE]
    got = until_error(either, calls_and_a_bad_one, mode, ordered=ordered)
    assert got == [*values, InvalidCall]


def test_what_is_no_exception_ends_a_map_at_once(mode: str, either: LocalBackend) -> None:
    completed: list[BaseException | None] = []
    either.on_complete(lambda call, metrics, exc: completed.append(exc))

    def calls() -> Iterator[WorkerCall]:
        yield from [SLEEP, SLEEP]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(either, calls(), mode)
    assert [type(exc) for exc in completed] == [asyncio.CancelledError] * 2


@pytest.mark.parametrize("ordered", [False, True])
def test_what_has_ended_comes_before_the_error_of_a_backend_that_was_shut_down(
    ordered: bool, mode: str, make_backend: MakeBackend
) -> None:
    backend = make_backend(max_workers=1)
    values: list[int] = []

    async def main() -> None:
        pairs = aiter(backend.map((square(n) for n in range(20)), ordered=ordered))
        values.append((await anext(pairs))[1].value)
        await backend.shutdown(wait=True)
        async for _, result in pairs:
            values.append(result.value)

    if mode == "async":
        with pytest.raises(PoolClosed):
            asyncio.run(main())
    else:
        pairs = iter(backend.map((square(n) for n in range(20)), ordered=ordered))
        values.append(next(pairs)[1].value)
        backend._engine.shutdown(wait=True)
        with pytest.raises(PoolClosed):
            values.extend(result.value for _, result in pairs)
    ended = backend.stats().outcomes["ok"]
    assert 1 < ended < 20
    assert values == [n * n for n in range(ended)]  # one worker ends them in order


def test_leaving_the_loop_early_cancels_what_is_in_flight(mode: str, either: LocalBackend) -> None:
    completed: list[BaseException | None] = []
    either.on_complete(lambda call, metrics, exc: completed.append(exc))
    calls = [SQUARE, SLEEP, SLEEP, SLEEP]

    async def main() -> None:
        async for _, result in either.map(calls):
            assert result.value == 49
            break

    if mode == "async":
        asyncio.run(main())
    else:
        for _, result in either.map(calls):
            assert result.value == 49
            break
    assert completed[0] is None
    assert [type(exc) for exc in completed[1:]] == [asyncio.CancelledError] * 3


def test_closing_the_map_cancels_what_is_in_flight(either: LocalBackend) -> None:
    completed: list[object] = []
    either.on_complete(lambda call, metrics, exc: completed.append(exc))
    results = either.map([SQUARE, SLEEP, SLEEP])
    iterator = iter(results)
    next(iterator)
    results.close()
    results.close()
    assert len(completed) == 3
    assert next(iterator, None) is None

    async def main() -> None:
        results = either.map([SQUARE, SLEEP, SLEEP])
        iterator = aiter(results)
        await anext(iterator)
        await results.aclose()
        assert len(completed) == 6

    asyncio.run(main())


def test_cancelling_the_task_that_iterates_cancels_what_is_in_flight(either: LocalBackend) -> None:
    completed: list[object] = []
    either.on_complete(lambda call, metrics, exc: completed.append(exc))

    async def work() -> None:
        async for _ in either.map([SLEEP] * 3):
            pass

    async def main() -> None:
        task = asyncio.ensure_future(work())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(completed) == 3

    asyncio.run(main())


def test_closing_the_backend_ends_a_map_of_another_thread(mode: str, either: LocalBackend) -> None:
    outcomes: list[str] = []
    raised: list[BaseException] = []
    started = threading.Event()
    either.on_start(lambda call, worker: started.set())

    def work() -> None:
        try:
            outcomes.extend(result.outcome for _, result in collect(either, [SLEEP] * 50, mode))
        except PoolClosed as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert started.wait(60)
    either.close()
    thread.join()
    assert len(raised) == 1


def test_a_full_queue_slows_the_map_down(mode: str, make_backend: MakeBackend) -> None:
    backend = make_backend(max_workers=1, max_queue=2, isolation="reuse")
    others = [backend.submit(call("import time; time.sleep(0.2)")) for _ in range(2)]
    pairs = collect(backend, (square(n) for n in range(30)), mode)
    assert sorted(result.value for _, result in pairs) == [n * n for n in range(30)]
    assert all(other.result(timeout=60).ok for other in others)


def test_two_maps_at_once_do_not_mix(either: LocalBackend) -> None:
    async def one(numbers: range) -> list[int]:
        calls = (square(n) for n in numbers)
        return [result.value async for _, result in either.map(calls, ordered=True)]

    async def main() -> list[list[int]]:
        return await asyncio.gather(one(range(20)), one(range(20, 40)))

    assert asyncio.run(main()) == [[n * n for n in range(20)], [n * n for n in range(20, 40)]]
