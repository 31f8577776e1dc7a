# SPDX-License-Identifier: Apache-2.0
"""The lifecycle handlers (on_submit and others), and the log."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from typing import Any

import pytest

from conftest import MakeBackend
from pinfold import (
    CallTimeout,
    ExecRunnerError,
    ExecutionMetrics,
    ExecutorBackend,
    LifecycleObservable,
    LocalBackend,
    PinfoldError,
    PoolError,
    Worker,
    WorkerCall,
)
from programs import HANG, SLEEP, SQUARE, call, square

pytestmark = pytest.mark.extension

EVENTS = (
    "on_submit",
    "on_start",
    "on_complete",
    "on_shutdown",
    "on_worker_start",
    "on_worker_exit",
)


def record(backend: LocalBackend) -> list[tuple[Any, ...]]:
    """Record every event with its arguments."""
    seen: list[tuple[Any, ...]] = []
    for event in EVENTS:
        getattr(backend, event)(lambda *args, event=event: seen.append((event[3:], *args)))
    return seen


def names(seen: list[tuple[Any, ...]], *wanted: str) -> list[str]:
    return [event[0] for event in seen if event[0] in wanted]


def test_a_backend_has_both_shapes(backend: LocalBackend) -> None:
    assert isinstance(backend, ExecutorBackend)
    assert isinstance(backend, LifecycleObservable)

    class Plain:
        async def execute(self, call: WorkerCall, *, deadline_s: float | None) -> Any: ...
        async def shutdown(self, *, wait: bool = False) -> None: ...

    assert isinstance(Plain(), ExecutorBackend)
    assert not isinstance(Plain(), LifecycleObservable)
    assert not isinstance(object(), ExecutorBackend)


def test_the_events_of_a_call_come_in_order_with_their_arguments(either: LocalBackend) -> None:
    seen = record(either)
    assert either.submit(SQUARE).result(timeout=60).value == 49
    assert names(seen, "submit", "start", "complete") == ["submit", "start", "complete"]
    submit, start, complete = (
        event for event in seen if event[0] in ("submit", "start", "complete")
    )
    assert submit[1] is start[1] is complete[1] is SQUARE
    worker, metrics, exc = start[2], complete[2], complete[3]
    assert isinstance(worker, Worker)
    assert isinstance(metrics, ExecutionMetrics)
    assert exc is None
    assert (worker.worker_id, worker.pid) == (metrics.worker_id, metrics.worker_pid)
    assert worker.node_id == either.node_id
    assert len(worker.worker_id) == 12
    either.close()
    assert ("worker_start", worker) in seen
    assert seen[-1] == ("shutdown",)
    exits = [event for event in seen if event[0] == "worker_exit"]
    assert worker in [event[1] for event in exits]
    assert all(isinstance(event[2], str) and event[2] for event in exits)
    starts = Counter(event[1] for event in seen if event[0] == "worker_start")
    assert starts == Counter(event[1] for event in exits)
    assert set(starts.values()) == {1}


@pytest.mark.parametrize(
    ("program", "deadline_s", "error"),
    [(call("1/0"), 60, ExecRunnerError), (HANG, 0.2, CallTimeout)],
    ids=["exception", "timeout"],
)
def test_on_complete_gets_the_error_that_execute_raises(
    program: WorkerCall, deadline_s: float, error: type[PinfoldError], either: LocalBackend
) -> None:
    seen = record(either)

    async def main() -> None:
        with pytest.raises(error):
            await either.execute(program, deadline_s=deadline_s)

    asyncio.run(main())
    completes = [event for event in seen if event[0] == "complete"]
    assert len(completes) == 1
    assert type(completes[0][3]) is error
    assert completes[0][3].result.outcome in ("exception", "timeout")


def test_a_cancelled_task_has_completed_when_its_error_comes_through(
    either: LocalBackend,
) -> None:
    seen = record(either)

    async def main() -> None:
        task = asyncio.ensure_future(either.execute(SLEEP))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        completes = [event for event in seen if event[0] == "complete"]
        assert len(completes) == 1
        assert completes[0][2] is None
        assert isinstance(completes[0][3], asyncio.CancelledError)

    asyncio.run(main())
    either.close()
    assert len(names(seen, "complete")) == 1


def test_every_submit_has_one_complete_whatever_happens(make_backend: MakeBackend) -> None:
    backend = make_backend(max_workers=3)
    seen = record(backend)
    calls = [SQUARE, SLEEP, HANG, call("1/0"), call("import os; os._exit(1)")] * 4
    futures = [backend.submit(program, deadline_s=0.5) for program in calls]
    futures[1].cancel()
    futures[-1].cancel()

    async def main() -> None:
        tasks = [asyncio.ensure_future(backend.run(program)) for program in calls]
        await asyncio.sleep(0.2)
        for task in tasks[::3]:
            task.cancel()
        await backend.shutdown(wait=False)
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
    backend.close()
    assert len(names(seen, "submit")) == len(names(seen, "complete")) == 2 * len(calls)
    assert names(seen, "shutdown") == ["shutdown"]
    for program in {id(event[1]) for event in seen if event[0] == "start"}:
        of_call = [event[0] for event in seen if len(event) > 1 and id(event[1]) == program]
        assert of_call.count("submit") == of_call.count("complete")
        assert of_call.count("start") <= of_call.count("complete")


def test_a_call_to_a_pool_that_cannot_start_is_complete(make_backend: MakeBackend) -> None:
    backend = make_backend(preload=["no_such_module"])
    seen = record(backend)

    async def main() -> None:
        with pytest.raises(PoolError, match="no_such_module"):
            await backend.execute(SQUARE)

    asyncio.run(main())
    assert [event[:3] for event in seen] == [("submit", SQUARE), ("complete", SQUARE, None)]
    assert isinstance(seen[1][3], PoolError)


def test_handlers_are_called_in_the_order_of_registration(either: LocalBackend) -> None:
    seen: list[tuple[str, int]] = []
    for n in range(3):
        for event in EVENTS:
            getattr(either, event)(lambda *args, e=event, n=n: seen.append((e, n)))
    assert either.submit(SQUARE).result(timeout=60).ok
    either.close()
    for event in EVENTS:
        order = [n for name, n in seen if name == event]
        assert order
        assert order == [0, 1, 2] * (len(order) // 3)


def test_a_handler_that_raises_is_logged_and_hurts_nobody(
    either: LocalBackend, caplog: pytest.LogCaptureFixture
) -> None:
    def cancelled(*args: object) -> None:
        raise asyncio.CancelledError

    for event in EVENTS:
        getattr(either, event)(lambda *args: 1 / 0)
        getattr(either, event)(cancelled)
    seen = record(either)
    with caplog.at_level(logging.INFO, "pinfold"):
        assert either.submit(SQUARE).result(timeout=60).value == 49
        either.close()
    assert {event[0] for event in seen} == {event[3:] for event in EVENTS}
    for event in EVENTS:
        assert any(
            event in line.getMessage() and line.exc_info is not None and line.name == "pinfold"
            for line in caplog.records
        )


def test_a_registration_returns_the_handler(backend: LocalBackend) -> None:
    seen = []

    @backend.on_complete
    def handler(call: WorkerCall, metrics: Any, exc: Any) -> None:
        seen.append(call)

    assert backend.submit(SQUARE).result(timeout=60).ok
    assert seen == [SQUARE]
    assert callable(handler)
    with pytest.raises(TypeError, match="callable"):
        backend.on_submit(None)  # type: ignore[type-var]


def test_a_handler_may_be_registered_while_the_pool_runs(either: LocalBackend) -> None:
    assert either.submit(SQUARE).result(timeout=60).ok
    seen = record(either)
    assert asyncio.run(either.execute(SQUARE)) == 49
    assert names(seen, "submit", "start", "complete") == ["submit", "start", "complete"]
    either.close()
    assert names(seen, "worker_exit", "shutdown")[-1] == "shutdown"


def test_on_start_comes_while_the_call_runs_whoever_waits_for_it(either: LocalBackend) -> None:
    started = threading.Semaphore(0)
    either.on_start(lambda call, worker: started.release())

    async def main() -> None:
        task = asyncio.ensure_future(either.run(SLEEP))
        await asyncio.sleep(0.01)
        assert await asyncio.to_thread(started.acquire, timeout=60)
        task.cancel()

    asyncio.run(main())
    future = either.submit(SLEEP)
    assert started.acquire(timeout=60)
    future.cancel()


def test_a_handler_may_call_and_close_the_backend(
    make_backend: MakeBackend, isolation: str
) -> None:
    backend = make_backend(isolation=isolation, max_workers=8)
    values: list[int] = []
    closed = threading.Event()

    @backend.on_complete
    def complete(call: WorkerCall, metrics: Any, exc: Any) -> None:
        if call.args == [7]:
            values.append(backend.submit(square(8)).result(timeout=60).value)
            backend.close()
            closed.set()

    futures = [backend.submit(SQUARE), *(backend.submit(SLEEP) for _ in range(5))]
    assert closed.wait(60)
    assert futures[0].result(timeout=60).value == 49
    assert values == [64]
    assert {future.result(timeout=60).outcome for future in futures[1:]} == {"cancelled"}


def test_the_log_has_one_line_a_call_at_debug_and_nothing_above_warning(
    either: LocalBackend, caplog: pytest.LogCaptureFixture
) -> None:
    program = WorkerCall(
        code="def f(): return 1\ndef evil(): raise ValueError('\\n\\x1b[31m')\n",
        function_name="evil",
    )
    odd = WorkerCall(code="", function_name="a\nERROR root: \x1b[31mforged")
    with caplog.at_level(logging.DEBUG, "pinfold"):
        for each in (SQUARE, program, odd):
            either.submit(each).result(timeout=60)
        either.close()
    lines = [r.getMessage() for r in caplog.records if r.levelno == logging.DEBUG]
    assert len(lines) == 3
    assert all(r.levelno <= logging.WARNING for r in caplog.records)
    for word in ("pool=", "node=", "worker=", "pid=", "wall=", "cpu=", "peak="):
        assert all(word in line for line in lines)
    assert "function=f outcome=ok" in lines[0]
    assert "function=evil outcome=exception" in lines[1]
    assert r"function=a\nERROR root: \x1b[31mforged outcome=exception" in lines[2]
    assert all(line.isprintable() for line in lines)
