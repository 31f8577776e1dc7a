# SPDX-License-Identifier: Apache-2.0
"""The surface of a backend whose calls run in other processes or on other machines.

A subclass carries calls: `_send` hands one over, `_call_off` takes one back, and whatever thread
learns of an end calls `settle`, once for each call. All else is the same for every way:

    submit --> pending --- settle(result) --> done: hooks, then the future
                  |
                  '------- cancel ----------> cancelled, and called off
"""

from __future__ import annotations

import asyncio
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Generator,
    Iterable,
    Iterator,
)
from concurrent.futures import Future
from dataclasses import replace
from types import TracebackType
from typing import Any, TypeAlias, TypeVar

from pinfold._client.hooks import Hooks, Observable
from pinfold._client.outcome import failed
from pinfold.call import Call, ProgramCall, check_call, deadline_ns
from pinfold.errors import CallTypeError, PoolClosed, cancelled_error, error_of
from pinfold.limits import Limits
from pinfold.result import WorkerResult

Pair: TypeAlias = "tuple[Call, WorkerResult]"
_Backend = TypeVar("_Backend", bound="RemoteBackend")
_END: Any = object()
_AHEAD = 64  # calls of a `map` in flight, unless the way knows better


class RemoteFuture(Future[WorkerResult]):
    """The future of one call. `result` returns the `WorkerResult` for every outcome.

    `cancel` works at any time before the end, and kills a running call.
    """

    def __init__(self, backend: RemoteBackend, call: Call) -> None:
        super().__init__()
        self.backend = backend
        self.call = call

    def cancel(self) -> bool:
        """Cancel the call, and kill it if it runs. Return False if it had ended before."""
        return self.backend._cancel(self)


class RemoteBackend(Observable, ABC):
    """The part of a backend that is the same for every way by which calls travel."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._hooks = Hooks()
        self._lock = threading.Lock()
        self._pending: dict[RemoteFuture, None] = {}
        self._idle = threading.Condition(self._lock)
        self._closing = False
        self._ended = False

    # ---- what a subclass does -----------------------------------------------------------------

    @abstractmethod
    def _send(self, future: RemoteFuture, deadline_s: float | None) -> None:
        """Hand a call over. Never waits for its end. Raises InvalidCall, PoolError; then the call
        is over, without `settle`."""

    @abstractmethod
    def _call_off(self, future: RemoteFuture) -> None:
        """Have the call killed, which nobody waits for any more. Never raises."""

    @abstractmethod
    def _end(self) -> None:
        """Free all resources, after the last call. Called once."""

    @abstractmethod
    def _open(self) -> None:
        """Connect; on ``with`` only. Raises PoolError."""

    @property
    def _ahead(self) -> int:
        """How many calls of a `map` are in flight at a time."""
        return _AHEAD

    # ---- calling ------------------------------------------------------------------------------

    def submit(self, call: Call, *, deadline_s: float | None = None) -> RemoteFuture:
        """Submit a call and return a `concurrent.futures.Future` of its `WorkerResult`.

        Never waits for the call. Cancelling the future kills the call.
        """
        check_call(call)
        deadline_ns(deadline_s)  # checks it
        future = RemoteFuture(self, call)
        with self._lock:
            if self._closing:
                raise PoolClosed("the backend is shut down; it takes no more calls")
            self._pending[future] = None
        try:
            self._hooks.call("submit", call)
            self._send(future, deadline_s)
        except BaseException as error:
            with self._lock:
                self._pending.pop(future, None)
                self._idle.notify_all()
            if isinstance(error, Exception):
                self._hooks.call("complete", call, None, error)
            raise
        return future

    async def run(self, call: Call, *, deadline_s: float | None = None) -> WorkerResult:
        """Run a call and return its `WorkerResult`, for every outcome.

        Cancelling the task that awaits it kills the call.
        """
        return await asyncio.wrap_future(self.submit(call, deadline_s=deadline_s))

    async def execute(self, call: Call, *, deadline_s: float | None = None) -> Any:
        """Run a call and return its value; of a program, the text that it printed to stdout.

        Raises what `LocalBackend.execute` raises.
        """
        result = await self.run(call, deadline_s=deadline_s)
        if result.outcome == "ok":
            return result.stdout if isinstance(call, ProgramCall) else result.value
        raise error_of(result)

    def map(
        self,
        calls: Iterable[Call] | AsyncIterable[Call],
        *,
        deadline_s: float | None = None,
        ordered: bool = False,
    ) -> RemoteMap:
        """Run many calls, with a bounded number in flight. See `LocalBackend.map`."""
        deadline_ns(deadline_s)
        return RemoteMap(self, calls, deadline_s, ordered)

    # ---- ends of calls ------------------------------------------------------------------------

    def settle(self, future: RemoteFuture, result: WorkerResult) -> bool:
        """Deliver a result. Return False if the call had ended before."""
        with self._lock:
            if self._pending.pop(future, _END) is _END:
                return False
        error = None if result.outcome == "ok" else error_of(result)
        self._hooks.call("complete", future.call, result.metrics, error)
        future.set_result(result)
        with self._lock:
            self._idle.notify_all()
        return True

    def _cancel(self, future: RemoteFuture) -> bool:
        with self._lock:
            if self._pending.pop(future, _END) is _END:
                return future.cancelled()
        self._call_off(future)
        self._hooks.call("complete", future.call, None, cancelled_error("cancelled by the caller"))
        Future.cancel(future)
        future.set_running_or_notify_cancel()
        with self._lock:
            self._idle.notify_all()
        return True

    # ---- the end ------------------------------------------------------------------------------

    def close(self, *, wait: bool = False) -> None:
        """Refuse further calls, end outstanding ones as ``cancelled``, and free all resources.

        With `wait`, calls finish first. Idempotent; from any thread.
        """
        with self._lock:
            self._closing = True
            while wait and self._pending:
                self._idle.wait()
            left = list(self._pending)
            ends, self._ended = not self._ended, True
        for future in left:
            self._call_off(future)
            self.settle(future, failed("cancelled", "cancelled: the backend was closed"))
        if ends:
            self._end()
            self._hooks.call("shutdown")

    async def shutdown(self, *, wait: bool = False) -> None:
        """Refuse further calls, and free all resources. With `wait`, calls finish first."""
        await asyncio.get_running_loop().run_in_executor(None, lambda: self.close(wait=wait))

    def __enter__(self: _Backend) -> _Backend:
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.close(wait=True)
        finally:
            self.close()

    async def __aenter__(self: _Backend) -> _Backend:
        try:
            await asyncio.get_running_loop().run_in_executor(None, self._open)
        except BaseException:
            await self.shutdown()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.shutdown(wait=kind is None)


def bounded(call: Call, limits: Limits, wall_s: float | None) -> Call:
    """Return the call with its `wall_s` at most this; `limits` are for a call without its own."""
    own = call.limits or limits
    if wall_s is None or (own.wall_s is not None and own.wall_s <= wall_s):
        return call
    return replace(call, limits=replace(own, wall_s=max(wall_s, 1e-9)))


class RemoteMap:
    """The iterable that `RemoteBackend.map` returns, for ``for`` and ``async for``.

    Leaving the loop early cancels the calls in flight, at the latest when the iterator is closed.
    An error of the iterable, or of a call that cannot be made, comes after the results before it.
    """

    def __init__(
        self,
        backend: RemoteBackend,
        calls: Iterable[Call] | AsyncIterable[Call],
        wall_s: float | None,
        ordered: bool,
    ) -> None:
        self._backend = backend
        self._calls = calls
        self._wall_s = wall_s
        self._ordered = ordered

    def __iter__(self) -> Iterator[Pair]:
        if not isinstance(self._calls, Iterable):
            raise CallTypeError("map: calls of an asynchronous iterable need `async for`")
        return self._in_thread(iter(self._calls))

    def __aiter__(self) -> AsyncIterator[Pair]:
        return self._in_loop()

    def _submit(self, call: Call) -> RemoteFuture:
        if isinstance(call, Call):
            call = bounded(call, self._backend._limits, self._wall_s)
        return self._backend.submit(call)

    def _in_thread(self, calls: Iterator[Call]) -> Generator[Pair, None, None]:
        done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        flight = _Flight(self._ordered)
        error: BaseException | None = None
        more = True
        try:
            while True:
                while more and error is None and len(flight.flying) < self._backend._ahead:
                    try:
                        call = next(calls, _END)
                        if call is _END:
                            more = False
                            break
                        future = self._submit(call)
                    except Exception as raised:
                        error = raised
                        break
                    flight.take(future, call)
                    future.add_done_callback(done.put)
                if not flight.flying:
                    break
                for future, call in flight.ready(done.get()):
                    yield call, future.result()
            if error is not None:
                raise error
        finally:
            flight.cancel()

    async def _in_loop(self) -> AsyncGenerator[Pair, None]:
        loop = asyncio.get_running_loop()
        done: asyncio.Queue[Any] = asyncio.Queue()
        flight = _Flight(self._ordered)
        error: BaseException | None = None
        more = True

        def landed(future: Future[WorkerResult]) -> None:
            loop.call_soon_threadsafe(done.put_nowait, future)

        try:
            calls = _each(self._calls)
            while True:
                while more and error is None and len(flight.flying) < self._backend._ahead:
                    try:
                        call = await anext(calls, _END)
                        if call is _END:
                            more = False
                            break
                        future = self._submit(call)
                    except Exception as raised:
                        error = raised
                        break
                    flight.take(future, call)
                    future.add_done_callback(landed)
                if not flight.flying:
                    break
                for future, call in flight.ready(await done.get()):
                    yield call, future.result()
            if error is not None:
                raise error
        finally:
            flight.cancel()


class _Flight:
    """The calls of one iteration that are submitted and not yet returned by the iterator."""

    def __init__(self, ordered: bool) -> None:
        self.ordered = ordered
        self.flying: dict[RemoteFuture, Call] = {}

    def take(self, future: RemoteFuture, call: Call) -> None:
        self.flying[future] = call

    def ready(self, landed: RemoteFuture) -> Iterator[tuple[RemoteFuture, Call]]:
        """Take the calls whose turn has come, now that one more has ended."""
        if not self.ordered:
            yield landed, self.flying.pop(landed)
            return
        while self.flying and (first := next(iter(self.flying))).done():
            yield first, self.flying.pop(first)

    def cancel(self) -> None:
        for future in list(self.flying):
            future.cancel()


async def _each(calls: Iterable[Call] | AsyncIterable[Call]) -> AsyncGenerator[Call, None]:
    if isinstance(calls, AsyncIterable):
        async for call in calls:
            yield call
    else:
        for call in calls:
            yield call
