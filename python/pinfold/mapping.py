# SPDX-License-Identifier: Apache-2.0
"""`CallMap`: many calls, a bounded number of them in flight at a time."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
import weakref
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Generator,
    Iterable,
    Iterator,
)
from typing import TYPE_CHECKING, Any, TypeAlias

from pinfold._client import green, naps
from pinfold._client.record import Owner, Record
from pinfold.call import FOREVER_NS
from pinfold.errors import CallTypeError, PoolClosed, QueueFull
from pinfold.result import WorkerResult

if TYPE_CHECKING:
    from pinfold._ext._pool import Pool, Queue, Result
    from pinfold.call import Call

Pair: TypeAlias = "tuple[Call, WorkerResult]"
Calls: TypeAlias = "Iterable[Call] | AsyncIterable[Call]"

_END: Any = object()

# Short calls are handed ahead (docs/design.md) and end many at a time. More of them must be in
# flight, or the workers wait for this loop. Small ones only, so that they hold little memory.
_SHORT_S = 0.001
_SMALL = 60_000  # bytes of a request or a result that needs no spill
_MORE_EACH, _MORE_MOST = 24, 192  # additional calls: for each worker, and in all
_SHARE = 8  # the weight of a call in the moving average of durations is 1 / _SHARE


class CallMap:
    """The iterable that `LocalBackend.map` returns.

    Use it with ``for`` in any thread, or with ``async for``. Each item is a pair of a call and its
    `WorkerResult`.

    Leaving the loop early cancels the calls in flight, at the latest when the iterator is closed;
    `close` and `aclose` do so at once. An error of the iterable of calls, or of a call that cannot
    be made, is raised after the results of all calls before it. `PoolClosed` is raised after the
    results of the calls that have ended.
    """

    def __init__(self, backend: Owner, calls: Calls, wall_ns: int, ordered: bool) -> None:
        self._backend = backend
        self._calls = calls
        self._wall_ns = 0 if wall_ns == FOREVER_NS else wall_ns
        self._ordered = ordered
        self._iterators: weakref.WeakSet[
            Generator[Pair, None, None] | AsyncGenerator[Pair, None]
        ] = weakref.WeakSet()

    def __iter__(self) -> Iterator[Pair]:
        if not isinstance(self._calls, Iterable):
            raise CallTypeError("map: calls of an asynchronous iterable need `async for`")
        iterator = _in_thread(
            _Flight(self._backend, self._wall_ns, self._ordered), iter(self._calls)
        )
        self._iterators.add(iterator)
        return iterator

    def __aiter__(self) -> AsyncIterator[Pair]:
        iterator = _in_loop(_Flight(self._backend, self._wall_ns, self._ordered), self._calls)
        self._iterators.add(iterator)
        return iterator

    def close(self) -> None:
        """End a ``for`` loop and cancel its calls in flight. Idempotent."""
        for iterator in list(self._iterators):
            if isinstance(iterator, Generator):
                iterator.close()

    async def aclose(self) -> None:
        """End an ``async for`` loop and cancel its calls in flight. Idempotent."""
        for iterator in list(self._iterators):
            if isinstance(iterator, AsyncGenerator):
                await iterator.aclose()


class _Flight:
    """The calls of one iteration that are submitted and not yet returned by the iterator."""

    def __init__(self, backend: Owner, wall_ns: int, ordered: bool) -> None:
        self.backend = backend
        self.wall_ns = wall_ns
        self.ordered = ordered
        # Enough calls that no worker waits for this loop. With `ordered`, head-of-line blocking by
        # one slow call needs a few more.
        workers = backend.max_workers
        most = workers + backend.config.max_queue if backend.config.max_queue is not None else None
        self.narrow = self.wide = (4 if ordered else 2) * workers + 2
        if backend.config.isolation != "fresh":
            self.wide += min(_MORE_EACH * workers, _MORE_MOST)
        if most is not None:
            self.narrow, self.wide = min(self.narrow, most), min(self.wide, most)
        self.window = self.narrow
        self.pace_s = _SHARE * _SHORT_S  # moving average of the duration of calls
        self.flying: dict[_MapCall, None] = {}
        self.finished: dict[_MapCall, WorkerResult] = {}
        self.refused: Call | None = None  # refused by a full queue, to be submitted later
        self.error: Exception | None = None  # ends the submission of calls
        self.news = threading.Condition()
        self.queue: Queue | None = None  # only in a `for` loop
        self.watch: green.Watch | None = None  # of that queue
        self.loop: asyncio.AbstractEventLoop | None = None  # only in an `async for` loop
        self.wake: asyncio.Future[None] | None = None
        self.thread = threading.get_ident()

    def has_room(self) -> bool:
        return (
            self.error is None
            and len(self.flying) < self.window
            and self.backend._engine.has_room()
        )

    def submit(self, call: Call) -> None:
        record = _MapCall(self, call)
        self.flying[record] = None
        try:
            record.request_bytes = self.backend._start(record)
        except QueueFull:  # another thread took the room
            del self.flying[record]
            self.refused = call
        except BaseException:
            del self.flying[record]
            raise

    def submit_refused(self) -> None:
        call, self.refused = self.refused, None
        if call is not None:
            self.submit(call)

    def landed(self) -> _MapCall | None:
        """Return a finished call to yield next, or None."""
        closed = isinstance(self.error, PoolClosed)
        if not self.ordered and closed:  # by another thread, which delivers the last ends
            finished = list(self.finished.items())
            return min(finished, key=_end_of, default=(None, None))[0]
        if not self.ordered:
            return next(iter(list(self.finished)), None)  # other threads may add to it meanwhile
        if closed:
            return next((each for each in self.flying if each in self.finished), None)
        first = next(iter(self.flying), None)
        return first if first in self.finished else None

    def raise_error(self) -> None:
        """Raise the error that ended the submission, once no call is left in flight.

        After the backend's shutdown, raise it without waiting for calls.
        """
        error = self.error
        try:
            if error is not None and (not self.flying or isinstance(error, PoolClosed)):
                self.error = None
                raise error
        finally:
            error = None  # the traceback refers to this frame

    def hand_out(self, record: _MapCall) -> Pair:
        del self.flying[record]
        result = self.finished.pop(record)
        if self.wide > self.narrow:
            self._look_at(record, result)
        return record.call, result

    def _look_at(self, record: _MapCall, result: WorkerResult) -> None:
        metrics = result.metrics
        small = record.request_bytes <= _SMALL
        if metrics is not None and small and metrics.result_bytes <= _SMALL:
            self.pace_s += (metrics.wall_time_s - self.pace_s) / _SHARE
        else:
            self.pace_s = 1.0
        self.window = self.wide if self.pace_s < _SHORT_S else self.narrow

    def wait(self) -> list[Result]:
        """Wait like `Queue.wait`, in a `for` loop, and let other greenlets run meanwhile."""
        assert self.queue is not None
        if not green.patched():
            return self.queue.wait()
        with contextlib.suppress(ValueError):  # the pool is closed
            if self.watch is None:
                self.watch = green.Watch((self.queue.fileno(),))
            self.watch.wait()
        return self.queue.take()

    def cancel(self) -> None:
        error = self.backend._engine.abandon_all(list(self.flying))
        if self.watch is not None:
            self.watch.close()
        if self.queue is not None:
            self.queue.close()
        if error is not None:
            raise error

    def deliver(self, record: _MapCall, result: WorkerResult, here: object) -> None:
        if record in self.flying:
            self.finished[record] = result
        if self.loop is not None:
            if here is self.loop:
                self._wake_up()
            else:
                with contextlib.suppress(RuntimeError):  # the loop is closed
                    self.loop.call_soon_threadsafe(self._wake_up)
        elif threading.get_ident() != self.thread:
            with self.news:
                self.news.notify_all()
            if self.queue is not None:
                self.queue.interrupt()

    def _wake_up(self) -> None:
        if self.wake is not None and not self.wake.done():
            self.wake.set_result(None)


def _end_of(finished: tuple[_MapCall, WorkerResult]) -> float:
    metrics = finished[1].metrics
    return math.inf if metrics is None else metrics.finished_at_ns


class _MapCall(Record):
    __slots__ = ("flight", "request_bytes")

    def __init__(self, flight: _Flight, call: Call) -> None:
        super().__init__(flight.backend, call, "")
        self.wall_ns = flight.wall_ns
        self.request_bytes = 0
        self.flight = flight

    def queue_in(self, pool: Pool) -> Queue | None:
        flight = self.flight
        if flight.loop is not None:
            return flight.backend._engine.loop_queue(flight.loop, pool).queue
        if flight.queue is None:
            flight.queue = pool.queue()
        return flight.queue

    def waits_in(self, loop: asyncio.AbstractEventLoop) -> bool:
        return self.flight.loop is loop

    def deliver(self, result: WorkerResult, here: asyncio.AbstractEventLoop | None) -> None:
        self.flight.deliver(self, result, here)
        self.backend = None

    def give_up(self) -> None:
        from pinfold._client.outcome import failed

        self.deliver(failed("cancelled", "cancelled by the caller"), None)


def _in_thread(flight: _Flight, calls: Iterator[Call]) -> Generator[Pair, None, None]:
    flight.thread = threading.get_ident()
    engine = flight.backend._engine
    more = True
    try:
        while True:
            try:
                while flight.has_room() and (more or flight.refused is not None):
                    if flight.refused is not None:
                        flight.submit_refused()
                        continue
                    call = next(calls, _END)
                    if call is _END:
                        more = False
                    else:
                        flight.submit(call)
            except Exception as error:
                flight.error = error
                if flight.queue is not None:
                    engine.settle(flight.queue.take)
            record = flight.landed()
            if record is not None:
                yield flight.hand_out(record)
                flight.thread = threading.get_ident()
                continue
            flight.raise_error()
            if not flight.flying:
                if not more and flight.refused is None:
                    return
                time.sleep(naps.FULL_S)
                continue
            queue = flight.queue  # take many results at a time
            if queue is not None and (engine.settle(queue.take) or engine.settle(flight.wait)):
                continue
            if flight.landed() is not None:  # another thread has read its value
                continue
            # The backend is closing, and another thread settles this loop's calls. An exception
            # (Ctrl-C) may stop that thread, so this one settles the calls that are left.
            awaited = next((each for each in flight.flying if each not in flight.finished), None)
            if awaited is not None:
                engine.wait_for(awaited, FOREVER_NS)
            with flight.news:
                if flight.landed() is None:
                    flight.news.wait(naps.STRAY_S)
    finally:
        flight.cancel()


async def _in_loop(flight: _Flight, calls: Calls) -> AsyncGenerator[Pair, None]:
    flight.loop = asyncio.get_running_loop()
    source = _Source(calls)
    try:
        while True:
            try:
                while flight.has_room() and (source.more or flight.refused is not None):
                    if flight.refused is not None:
                        flight.submit_refused()
                        continue
                    if not source.ready():
                        break
                    call = source.take()
                    if call is not _END:
                        flight.submit(call)
            except Exception as error:
                flight.error = error
            record = flight.landed()
            if record is not None:
                yield flight.hand_out(record)
                continue
            flight.raise_error()
            if not flight.flying:
                if not source.more and flight.refused is None:
                    return
                if not source.waits:
                    await asyncio.sleep(naps.FULL_S)
                    continue
            flight.wake = flight.loop.create_future()
            await source.wait_with(flight.wake)
    finally:
        source.close()
        flight.cancel()


class _Source:
    """Calls from an iterable. An asynchronous one is asked for one call at a time."""

    def __init__(self, calls: Calls) -> None:
        self.more = True
        self._plain: Iterator[Call] | None = None
        self._asked: asyncio.Future[Any] | None = None
        if isinstance(calls, AsyncIterable):
            self._slow = aiter(calls)
        else:
            self._plain = iter(calls)

    @property
    def waits(self) -> bool:
        """Whether a call was asked for that has not come yet."""
        return self._asked is not None and not self._asked.done()

    def ready(self) -> bool:
        """Return whether `take` can return at once; if not, ask for a call."""
        if self._plain is not None:
            return True
        if self._asked is None:
            self._asked = asyncio.ensure_future(_next_of(self._slow))
        return self._asked.done()

    def take(self) -> Any:
        """Return the next call, or _END."""
        if self._plain is not None:
            call = next(self._plain, _END)
        else:
            assert self._asked is not None
            asked, self._asked = self._asked, None
            call = asked.result()
        self.more = call is not _END
        return call

    async def wait_with(self, wake: asyncio.Future[None]) -> None:
        """Wait for the call that was asked for, or for `wake`."""
        if self._asked is None:
            await wake
        else:
            await asyncio.wait((self._asked, wake), return_when=asyncio.FIRST_COMPLETED)

    def close(self) -> None:
        if self._asked is not None:
            self._asked.cancel()


async def _next_of(calls: AsyncIterator[Call]) -> Any:
    return await anext(calls, _END)
