"""The future of a call."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from pinfold import _green, _naps
from pinfold._record import Record
from pinfold._text import escaped
from pinfold.call import FOREVER_NS
from pinfold.result import WorkerResult

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from pinfold._pool import Pool, Queue
    from pinfold.backend import LocalBackend
    from pinfold.call import WorkerCall

T = TypeVar("T")

_log = logging.getLogger("concurrent.futures")  # where the base class would tell it

_PENDING = "PENDING"
_CANCELLED = "CANCELLED_AND_NOTIFIED"
_FINISHED = "FINISHED"


class CallFuture(Record, Future[WorkerResult]):
    """A `concurrent.futures.Future` of a `WorkerResult`.

    It works with `concurrent.futures.wait`, `as_completed` and `asyncio.wrap_future`. `result`
    returns the `WorkerResult` whatever the outcome, so `exception` is always None. `cancel` works
    at any time before the end: it kills a running call.

    Attributes:
        call: the `WorkerCall`.
    """

    # Many of them may wait at once, so the parts that the base class makes for each (a condition, a
    # deque, a list) are made only when somebody asks for them. They then live in __dict__.
    __slots__ = ("_state", "_worker_result")

    _exception = None

    def __init__(self, backend: LocalBackend, call: WorkerCall, codec: str) -> None:
        Record.__init__(self, backend, call, codec)
        self._state = _PENDING
        self._worker_result: WorkerResult | None = None

    def __repr__(self) -> str:
        state = {_PENDING: "pending", _CANCELLED: "cancelled"}.get(self._state)
        if self._worker_result is not None:
            state = self._worker_result.outcome
        return f"<{type(self).__name__} of {escaped(self.call.function_name)} {state}>"

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
        """Wait for the end and return the `WorkerResult`.

        Raises `concurrent.futures.TimeoutError` when `timeout` seconds pass first (the call goes
        on), and `concurrent.futures.CancelledError` when `cancel` had been called.
        """
        if self._state is _PENDING:
            self._wait(timeout)
        if self._worker_result is None:
            raise CancelledError
        return self._worker_result

    def exception(self, timeout: float | None = None) -> None:
        """Wait like `result`, and return None: the result tells how the call ended."""
        self.result(timeout)

    def cancel(self) -> bool:
        """Give the call up, and kill it if it runs. False if it had ended before."""
        backend = self.backend
        if backend is not None:
            backend._engine.abandon(self)
        return self._state is _CANCELLED

    def running(self) -> bool:
        """False: whether a worker has the call is not known here, and `cancel` always works."""
        return False

    def done(self) -> bool:
        """Whether the call has ended or was cancelled."""
        return self._state is not _PENDING

    def cancelled(self) -> bool:
        """Whether `cancel` ended it."""
        return self._state is _CANCELLED

    def _wait(self, timeout: float | None) -> None:
        until = None if timeout is None else monotonic() + timeout
        backend = self.backend
        if _green.patched():
            return self._wait_green(until)
        if backend is not None:
            # No other thread need wake up for this call: its end comes straight here. None means
            # that somebody else takes it, and will settle this future.
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
        """The completer, a greenlet here, tells. But it may stand in a handler that waits for this
        call, or belong to a thread that has ended: so from time to time this looks by itself."""
        naps = _naps.TOLD_GREENLETS.lengths()
        while self._state is _PENDING:
            backend = self.backend
            if backend is not None:
                with suppress(TimeoutError):
                    backend._engine.wait_for(self, 0)
            nap = next(naps)
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
        again = self._state is not _PENDING  # an exception came when whoever waits was being told
        if not again:
            self._state = state
        # Whoever makes the condition from here on sees the new state and does not wait.
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
        """Calls every callback, once, whatever one of them raises."""
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
