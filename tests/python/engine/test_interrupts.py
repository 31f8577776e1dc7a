# SPDX-License-Identifier: Apache-2.0
"""Exceptions of signal handlers and of callbacks, and exhausted memory: they lose no call and make
no caller wait for ever."""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from conftest import MakeBackend, output_of
from pinfold import CallFuture, Limits, LocalBackend, PoolClosed, WorkerCall
from pinfold._client.launch import Launch
from pinfold._ext._pool import FOREVER, Pool, Queue
from programs import SLEEP, SQUARE, call, square

pytestmark = pytest.mark.extension

BASES = [SystemExit, asyncio.CancelledError, KeyboardInterrupt]


class Alarm(KeyboardInterrupt):
    """The exception of a signal handler, which asyncio propagates."""


@contextmanager
def alarm_after(name: str) -> Iterator[list[str]]:
    """Raise Alarm once in this thread, between the return of the binding's function and the store
    of its value, where a signal handler may run. Yield the list of functions that were hit."""
    hit: list[str] = []

    def look(frame: Any, event: str, function: Any) -> None:
        if event == "c_return" and function.__name__ == name:
            owner = function.__self__
            if not hit and isinstance(owner, (Pool, Queue)):
                hit.append(name)
                sys.setprofile(None)
                raise Alarm

    sys.setprofile(look)
    try:
        yield hit
    finally:
        sys.setprofile(None)


def until_ended(backend: LocalBackend, n: int) -> None:
    """Wait until the library knows the end of n calls."""
    while sum(backend.stats().outcomes.values()) < n:
        threading.Event().wait(0.001)


@contextmanager
def held_completer(backend: LocalBackend) -> Iterator[None]:
    """Block the thread that settles calls without a waiter in a handler, so that it takes the calls
    that end meanwhile together."""
    inside, go = threading.Event(), threading.Event()
    here = threading.get_ident()

    @backend.on_complete
    def _(*args: object) -> None:
        inside.set()
        if threading.get_ident() != here:
            go.wait(60)

    backend.submit(SQUARE)
    assert inside.wait(60)
    try:
        yield
    finally:
        go.set()


def test_a_result_that_came_together_with_an_interrupt_is_not_lost(either: LocalBackend) -> None:
    told: list[WorkerCall] = []
    either.on_complete(lambda what, metrics, error: told.append(what))
    future = either.submit(SQUARE)
    with alarm_after("wait") as hit, pytest.raises(Alarm):
        future.result()
    assert hit
    assert cf.wait([future], timeout=60).done
    assert future.result(timeout=60).value == 49
    assert len(told) == 1


def test_what_an_event_loop_took_as_an_interrupt_came_reaches_its_tasks(
    either: LocalBackend,
) -> None:
    loop = asyncio.new_event_loop()

    async def start() -> list[asyncio.Task[Any]]:
        return [asyncio.ensure_future(either.execute(square(n))) for n in range(10)]

    async def values(tasks: list[asyncio.Task[Any]]) -> list[int]:
        return await asyncio.wait_for(asyncio.gather(*tasks), 60)

    try:
        tasks = loop.run_until_complete(start())
        with alarm_after("take") as hit, pytest.raises(Alarm):
            loop.run_until_complete(values(tasks))
        assert hit
        assert loop.run_until_complete(values(tasks)) == [n * n for n in range(10)]
    finally:
        loop.close()


def test_a_call_that_was_taken_as_an_interrupt_came_is_killed(
    make_backend: MakeBackend,
) -> None:
    backend = make_backend(max_workers=1)
    assert backend.submit(SQUARE).result(timeout=60).value == 49
    told: list[BaseException | None] = []
    backend.on_complete(lambda what, metrics, error: told.append(error))
    with alarm_after("submit") as hit, pytest.raises(Alarm):
        backend.submit(SLEEP)
    assert hit
    assert [type(error) for error in told] == [Alarm]
    assert backend.submit(SQUARE).result(timeout=60).value == 49


def test_a_cancel_that_is_interrupted_has_ended_the_call(either: LocalBackend) -> None:
    told: list[BaseException | None] = []
    future = either.submit(SLEEP)
    either.on_complete(lambda what, metrics, error: told.append(error))
    with alarm_after("cancel") as hit, pytest.raises(Alarm):
        future.cancel()
    assert hit
    assert future.cancelled()
    assert [type(error) for error in told] == [asyncio.CancelledError]


@pytest.mark.parametrize("kind", BASES)
def test_what_a_callback_raises_keeps_no_other_call_waiting(
    kind: type[BaseException], either: LocalBackend
) -> None:
    def fail(future: CallFuture) -> None:
        raise kind

    with held_completer(either):
        futures = [either.submit(square(n)) for n in range(8)]
        for future in futures:
            future.add_done_callback(fail)
        until_ended(either, 9)
    assert not cf.wait(futures, timeout=60).not_done
    assert [future.result(timeout=60).value for future in futures] == [n * n for n in range(8)]


@pytest.mark.parametrize("kind", BASES)
def test_the_other_callbacks_of_a_future_are_called_whatever_one_raises(
    kind: type[BaseException], either: LocalBackend
) -> None:
    called = threading.Event()

    def fail(future: CallFuture) -> None:
        raise kind

    with held_completer(either):
        future = either.submit(SQUARE)
        future.add_done_callback(fail)
        future.add_done_callback(lambda future: called.set())
    assert called.wait(60)


def test_a_callback_may_wait_for_a_call_that_ended_together_with_its_own(
    either: LocalBackend,
) -> None:
    values: list[int] = []
    called = threading.Event()

    def wait(future: CallFuture) -> None:
        try:
            values.extend(other.result(timeout=60).value for other in futures)
        finally:
            called.set()

    with held_completer(either):
        futures = [either.submit(square(n)) for n in range(8)]
        futures[0].add_done_callback(wait)
        until_ended(either, 9)
    assert called.wait(90)
    assert values == [n * n for n in range(8)]


def test_an_interrupt_in_an_on_start_handler_loses_no_result(make_backend: MakeBackend) -> None:
    backend = make_backend(isolation="reuse", max_workers=1)
    here = threading.get_ident()
    raised: list[int] = []

    with held_completer(backend):
        future = backend.submit(SQUARE)
        until_ended(backend, 2)

        @backend.on_start
        def _(call: WorkerCall, worker: object) -> None:
            if threading.get_ident() == here and not raised:
                raised.append(here)
                raise KeyboardInterrupt

        future = backend.submit(SQUARE)
        until_ended(backend, 3)
        with pytest.raises(KeyboardInterrupt):
            future.result()
    assert raised
    assert future.result(timeout=60).value == 49


@contextmanager
def exit_on_signal() -> Iterator[None]:
    """End as programs usually do on SIGTERM, with another signal."""
    before = signal.signal(signal.SIGUSR1, lambda *_: sys.exit(3))
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("event", ["on_submit", "on_start", "on_complete", "on_shutdown"])
def test_an_exit_of_a_signal_handler_comes_out_while_a_handler_runs(
    event: str, either: LocalBackend
) -> None:
    told: Counter[str] = Counter()
    hit: list[str] = []

    def handler(*args: object) -> None:
        if threading.current_thread() is threading.main_thread() and not hit:
            hit.append(event)
            signal.raise_signal(signal.SIGUSR1)

    either.submit(SQUARE).result(timeout=60)
    futures: list[CallFuture] = []
    with exit_on_signal(), pytest.raises(SystemExit):
        with held_completer(either):
            getattr(either, event)(handler)
            for each in ("on_submit", "on_start", "on_complete", "on_shutdown"):
                getattr(either, each)(lambda *_, name=each: told.update([name]))
            futures.append(either.submit(SQUARE))
            futures[0].result(timeout=60)
        either.close()
    assert hit
    assert [future.result(timeout=60).value for future in futures] == [49] * len(futures)
    either.close()
    assert told["on_submit"] == told["on_complete"] == told["on_shutdown"] == 1
    assert told["on_start"] == len(futures)


def test_the_completer_outlives_handlers_that_exit(
    either: LocalBackend, caplog: pytest.LogCaptureFixture
) -> None:
    ended = threading.Semaphore(0)
    for event in ("on_start", "on_complete", "on_worker_start", "on_worker_exit"):
        getattr(either, event)(lambda *args: sys.exit(1))
    either.on_complete(lambda *args: ended.release())
    for _ in range(3):
        future = either.submit(SQUARE)
        assert ended.acquire(timeout=60)
        assert not cf.wait([future], timeout=60).not_done
        assert future.result(timeout=60).value == 49
    with suppress(SystemExit):
        either.close()
    either.close()
    assert "the completer thread goes on" in caplog.text


def test_a_map_that_is_left_cancels_every_call_whatever_handlers_raise(
    either: LocalBackend,
) -> None:
    told: list[object] = []

    def fail(call: WorkerCall, metrics: object, error: object) -> None:
        told.append(error)
        if isinstance(error, asyncio.CancelledError):
            raise SystemExit

    either.on_complete(fail)
    pairs = iter(either.map([SQUARE, *[SLEEP] * 3]))
    assert isinstance(pairs, Generator)
    assert next(pairs)[1].value == 49
    with pytest.raises(SystemExit):
        pairs.close()
    assert [type(error) for error in told] == [type(None), *[asyncio.CancelledError] * 3]


def test_a_backend_that_a_signal_handler_closes_while_it_opens_is_closed(
    either: LocalBackend, leftovers: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Launch.open

    def opened(self: Launch, *, events: bool) -> Pool:
        pool = real(self, events=events)
        either.close()
        return pool

    monkeypatch.setattr(Launch, "open", opened)
    with pytest.raises(PoolClosed):
        either.submit(SQUARE)
    leftovers()


@pytest.mark.parametrize("where", ["shutdown", "taken", "wake", "stats", "close"])
def test_a_close_that_is_interrupted_goes_on_with_the_next_one(
    where: str, either: LocalBackend, leftovers: Callable[[], None]
) -> None:
    told: list[str] = []
    either.on_shutdown(lambda: told.append("shutdown"))
    future = either.submit(SLEEP)
    with alarm_after(where) as hit, pytest.raises(Alarm):
        either.close()
    assert hit
    either.close()
    assert future.done()
    leftovers()
    assert told == ["shutdown"]
    assert either.stats().state == "shut down"


def test_whoever_waits_for_a_close_that_is_interrupted_goes_on_with_it(
    either: LocalBackend, leftovers: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    either.on_shutdown(lambda: told.append("shutdown"))
    either.submit(SLEEP)
    other = threading.Thread(target=either.close, daemon=True)
    with monkeypatch.context() as patch, alarm_after("close") as hit, pytest.raises(Alarm):
        patch.setattr(either._engine, "counts", other.start)  # in the middle of the close
        either.close()
    assert hit
    other.join(60)
    assert not other.is_alive()
    leftovers()
    assert told == ["shutdown"]


@pytest.mark.parametrize("kind", BASES)
@pytest.mark.parametrize("wait", [True, False])
def test_a_backend_ends_whatever_its_handlers_and_callbacks_raise(
    wait: bool,
    kind: type[BaseException],
    either: LocalBackend,
    leftovers: Callable[[], None],
) -> None:
    def fail(*args: object) -> None:
        raise kind

    ended = threading.Event()
    either.on_shutdown(ended.set)
    futures = [either.submit(SLEEP) for _ in range(4)]
    for future in futures:
        future.add_done_callback(fail)
    either.on_complete(fail)
    if wait:
        with suppress(kind):  # or another thread got it
            either.close()
    else:
        asyncio.run(either.shutdown(wait=False))
    assert ended.wait(60)
    assert [future.result(timeout=60).outcome for future in futures] == ["cancelled"] * 4
    leftovers()


def test_an_interrupt_at_the_end_of_a_with_block_ends_the_backend(
    either: LocalBackend, leftovers: Callable[[], None]
) -> None:
    with pytest.raises(Alarm), alarm_after("wait") as hit, either:
        futures = [either.submit(SQUARE), either.submit(SLEEP)]
    assert hit
    assert [future.result(timeout=60).outcome for future in futures] == ["ok", "cancelled"]
    leftovers()


def test_a_map_goes_on_when_the_shutdown_that_waits_for_it_is_interrupted(
    either: LocalBackend,
) -> None:
    outcomes: list[str] = []
    nap = call("import time; time.sleep(0.3)")

    def use() -> None:
        outcomes.extend(result.outcome for _, result in either.map([nap] * 6))

    thread = threading.Thread(target=use, daemon=True)
    thread.start()
    while either.stats().submitted < 6:
        threading.Event().wait(0.001)
    with alarm_after("wait") as hit, pytest.raises(Alarm):
        either._engine.shutdown(wait=True)
    assert hit
    thread.join(60)
    assert outcomes == ["ok"] * 6


def test_a_learner_that_fails_changes_no_result(
    make_backend: MakeBackend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    backend = make_backend(preload="auto")
    assert backend._engine.learner is not None
    monkeypatch.setattr(backend._engine.learner, "take", lambda *args: 1 / 0)
    assert [backend.submit(SQUARE).result(timeout=60).value for _ in range(3)] == [49] * 3
    assert "ZeroDivisionError" in caplog.text


class Asked:
    """The object to which the library's pool reports a call's id."""

    call_id = 0


@pytest.mark.parametrize("way", ["wait", "take", "wait in a queue", "take from a queue"])
def test_a_result_is_still_there_when_memory_ran_out_as_it_was_taken(
    way: str, backend: LocalBackend
) -> None:
    testcapi = pytest.importorskip("_testcapi")
    backend._engine.prepare()
    pool = backend._engine.pool()
    segments = backend._engine.calls.request_of(SQUARE, "data", Limits())
    queue = pool.queue() if way.endswith("queue") else None
    for failing in range(12):
        asked = Asked()
        pool.submit(
            asked, segments, queue, 1000 + failing, FOREVER, 0, 0, (0, 0, 0, FOREVER, 0, 0, 0)
        )
        until_ended(backend, failing + 1)
        take: Callable[..., Any]
        if queue is not None:
            take = queue.wait if way.startswith("wait") else queue.take
        else:
            take = pool.take
        args = (asked.call_id, FOREVER) if way == "wait" else ()
        if args:
            take = pool.wait
        testcapi.set_nomemory(failing, failing + 1)
        try:
            take(*args)
        except MemoryError:
            pass
        finally:
            testcapi.remove_mem_hooks()
        results = pool.taken(True) or take(*args)
        assert [result.key for result in results] == [1000 + failing]
        results[0].delivered()
        assert not pool.taken(True)
    if queue is not None:
        queue.close()


COLLECTED = """
import gc, sys
import pinfold
backend = pinfold.LocalBackend(pinfold.WorkerConfig(max_workers=1, spill_dir=sys.argv[1]))

class Owner:
    def __init__(self):
        self.me = self
    def __del__(self):
        backend.close()
        print("closed")

backend.submit(pinfold.WorkerCall("def f(): return 1", "f")).result()
take = backend._engine.pool().take if sys.argv[2] == "pool" else backend._engine.pool().queue().take
gc.disable()
kept = [[] for _ in range(200)]  # no list is left in reserve
gc.collect()
Owner()
gc.set_threshold(1, 1, 1)
gc.enable()
take()
gc.disable()
gc.collect()
"""


@pytest.mark.parametrize("whose", ["pool", "queue"])
def test_a_collection_while_results_are_taken_may_close_the_backend(
    whose: str, spill_dir: Any
) -> None:
    assert output_of(COLLECTED, spill_dir, whose) == "closed\n"
