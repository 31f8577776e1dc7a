# SPDX-License-Identifier: Apache-2.0
"""`CallFuture`, the future of a call that `LocalBackend.submit` returns."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from pinfold._client import green, naps
from pinfold._client.record import Owner, Record
from pinfold._client.text import escaped
from pinfold.call import FOREVER_NS, name_of
from pinfold.result import WorkerResult

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from pinfold._ext._pool import Pool, Queue
    from pinfold.call import Call

T = TypeVar("T")

_log = logging.getLogger("concurrent.futures")  # the base class's logger

_PENDING = "PENDING"
_CANCELLED = "CANCELLED_AND_NOTIFIED"
_FINISHED = "FINISHED"


class CallFuture(Record, Future[WorkerResult]):
    """A `concurrent.futures.Future` of a `WorkerResult`.

    It works with `concurrent.futures.wait`, `as_completed` and `asyncio.wrap_future`. `result`
    returns the `WorkerResult` for every outcome, so `exception` always returns None. `cancel` works
    at any time before the end, and kills a running call.

    Attributes:
        call: the `WorkerCall`.
    """

    # Many futures may wait at once. The parts that the base class makes for each (a condition, a
    # deque, a list) are therefore made on first use, and kept in __dict__.
    __slots__ = ("_state", "_worker_result")

    _exception = None

    def __init__(self, backend: Owner, call: Call, codec: str) -> None:
        Record.__init__(self, backend, call, codec)
        self._state = _PENDING
        self._worker_result: WorkerResult | None = None

    def __repr__(self) -> str:
        state = {_PENDING: "pending", _CANCELLED: "cancelled"}.get(self._state)
        if self._worker_result is not None:
            state = self._worker_result.outcome
        return f"<{type(self).__name__} of {escaped(name_of(self.call))} {state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a CallFuture cannot be copied or pickled: nobody would tell the copy")

    @property
    def _condition(self) -> threading.Condition:  # type: ignore[override]
        return self._made("condition", threading.Condition)

    @property
    def _waiters(self) -> list[Any]:  # type: ignore[override]
        return self._made("waiters", list)

    @property
    def _done_callbacks(self) -> list[Any]:
        return self._made("callbacks", list)

    def _made(self, name: str, make: Callable[[], T]) -> T:
        parts: dict[str, T] = self.__dict__
        made = parts.get(name)
        return made if made is not None else parts.setdefault(name, make())

    def result(self, timeout: float | None = None) -> WorkerResult:
        """Wait for the end of the call and return its `WorkerResult`.

        Args:
            timeout: the longest wait in seconds; None: no bound.

        Raises:
            concurrent.futures.TimeoutError: `timeout` passed first. The call goes on.
            concurrent.futures.CancelledError: `cancel` ended the call.
        """
        if self._state is _PENDING:
            self._wait(timeout)
        if self._worker_result is None:
            raise CancelledError
        return self._worker_result

    def exception(self, timeout: float | None = None) -> None:
        """Wait like `result`, and return None, because the result has the error of the call."""
        self.result(timeout)

    def cancel(self) -> bool:
        """Cancel the call, and kill it if it runs. Return False if it had ended before."""
        backend = self.backend
        if backend is not None:
            backend._engine.abandon(self)
        return self._state is _CANCELLED

    def running(self) -> bool:
        """Return False: the future does not know whether the call runs, and can always cancel."""
        return False

    def done(self) -> bool:
        """Return whether the call has ended or was cancelled."""
        return self._state is not _PENDING

    def cancelled(self) -> bool:
        """Return whether `cancel` ended the call."""
        return self._state is _CANCELLED

    def _wait(self, timeout: float | None) -> None:
        until = None if timeout is None else monotonic() + timeout
        backend = self.backend
        if green.patched():
            return self._wait_green(until)
        if backend is not None:
            # The result comes straight to this thread, without waking another. Should another
            # thread take it, that thread settles this future.
            left = FOREVER_NS if timeout is None else min(int(max(timeout, 0) * 1e9), FOREVER_NS)
            try:
                backend._engine.wait_for(self, left)
            except TimeoutError:
                raise FutureTimeout from None
        if self._state is _PENDING:
            with self._condition:
                while self._state is _PENDING:
                    rest = None if until is None else until - monotonic()
                    if rest is not None and rest <= 0:
                        raise FutureTimeout
                    self._condition.wait(rest)
        return None

    def _wait_green(self, until: float | None) -> None:
        """Wait for the completer, which is a greenlet, to settle this future.

        The completer may be in a handler that waits for this call, or belong to a thread that has
        ended, so poll for the result as well.
        """
        lengths = naps.NOTIFIED_GREENLETS.lengths()
        while self._state is _PENDING:
            backend = self.backend
            if backend is not None:
                with suppress(TimeoutError):
                    backend._engine.wait_for(self, 0)
            nap = next(lengths)
            rest = nap if until is None else min(nap, until - monotonic())
            with self._condition:
                if self._state is not _PENDING:
                    break
                if rest <= 0:
                    raise FutureTimeout
                self._condition.wait(rest)

    def queue_in(self, pool: Pool) -> Queue | None:
        if self.backend is not None:
            self.backend._engine.need_completer(pool)
        return None

    def deliver(self, result: WorkerResult, here: AbstractEventLoop | None) -> None:
        if self._state is not _CANCELLED:
            self._worker_result = result
        self._settle(_FINISHED)

    def give_up(self) -> None:
        self._settle(_CANCELLED)

    def _settle(self, state: str) -> None:
        again = self._state is not _PENDING  # an exception interrupted the first notification
        if not again:
            self._state = state
        # A thread that makes the condition after this sees the new state and does not wait.
        condition = self.__dict__.get("condition")
        if condition is not None:
            with condition:
                for waiter in self._waiters:
                    if again and self in waiter.finished_futures:
                        continue
                    if self._state is _CANCELLED:
                        waiter.add_cancelled(self)
                    else:
                        waiter.add_result(self)
                condition.notify_all()
            self._call_back()
        self.backend = None

    def _call_back(self) -> None:
        """Call every callback once, whatever one of them raises."""
        callbacks = self._done_callbacks
        while callbacks:
            callback = callbacks[0]
            del callbacks[0]
            try:
                callback(self)
            except Exception:
                _log.exception("exception calling callback for %r", self)
            except BaseException:
                self._call_back()
                raise
