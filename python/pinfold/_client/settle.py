# SPDX-License-Identifier: Apache-2.0
"""Settling: from the end of a call to the delivery of its result to its caller.

 run() in a loop  --> LoopQueue: a queue and a reader in that loop --.
 submit()         --> the pool's own queue <-- completer thread ---+--> settle(): hooks, log,
 future.result()  --> waits for this one call in C ----------------|    then its caller
 map() in a thread -> a queue of its own, waited on in C ----------'

A pending call is in a table from before its submit until its caller has the result. The thread that
settles the call *claims* it (`Pool.claimed`), so every call is settled once, in any thread.

A signal handler or a callback may raise an exception anywhere. So a result stays among the
binding's undelivered ones until its caller has it (`Result.delivered`), and a record notes the
progress (`Record.ended`). A thread that an exception interrupts leaves both to the next thread.
"""

from __future__ import annotations

import contextlib
import os
import threading
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from pinfold._client import green, naps
from pinfold._client.events import Events
from pinfold._client.tables import State, claimed
from pinfold._ext import _pool
from pinfold.errors import PoolError

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable

    from pinfold._client.record import Record
    from pinfold.result import WorkerResult

_DEBUG = 10  # logging.DEBUG


class Settling(Events):
    """The layer that settles calls, in the threads that wait for them or in the completer."""

    def settle(
        self,
        take: Callable[..., list[_pool.Result]],
        *args: Any,
        here: AbstractEventLoop | None = None,
        errors: list[BaseException] | None = None,
    ) -> bool:
        """Settle the results that ``take(*args)`` takes out of the library, in order. Return False
        if there was none.

        A handler that waits for a call, or closes the backend, settles the rest in a nested call.
        The first exception of a handler or callback goes to `errors`. Without `errors`, it
        propagates after all results have been settled. `here`: the loop that this thread runs.
        """
        first: BaseException | None = None
        try:
            raws = take(*args)
            if not raws:
                return False
            try:
                if not self.deliver_events():
                    for raw in raws:
                        self._is_late(raw.key)
            except BaseException as error:
                first = error
            for raw in raws:
                try:
                    claimed(self._settling, raw.key, self._settle, raw, here)
                except BaseException as error:
                    if first is None:
                        first = error
            if first is not None:
                if errors is None:
                    raise first
                errors.append(first)
            return True
        except BaseException:
            self._unclaim()
            raise
        finally:
            first = None  # it refers to this frame
            if self.state is not State.OPEN:
                self._news()

    def _settle(self, raw: _pool.Result, here: AbstractEventLoop | None) -> None:
        """Read a result and deliver it to its caller. Drop the result of a call that was given
        up."""
        record = self._pending.get(raw.key)
        if record is None:
            raw.delivered()
            return
        result = record.ended
        if result is None:
            try:
                try:
                    result = self.calls.result_of(raw, record, self.origin)
                except self.calls.RunsCode:
                    result = self._read(raw, record)
                    if result is None:
                        return
            except BaseException as error:  # an interrupt came while the value was read
                self._finish(
                    record, self.calls.failed("internal", f"interrupted: {error!r}"), None, here
                )
                raise
        self._finish(record, result, None, here)
        raw.delivered()
        if record.asks and self.forms is not None:
            self.forms.keep(record.call.code, raw.note)
        elif self.learner is not None:
            try:
                self.learner.take(self._pool, raw.note, result.metrics)
            except Exception:
                self.calls.log.exception("%s: nothing was learned from a call", self.origin.pool_id)

    def _read(self, raw: _pool.Result, record: Record) -> WorkerResult | None:
        from pinfold._client import reading

        return reading.read(self, raw, record)

    def settle_read(self, record: Record, result: WorkerResult) -> None:
        """Settle a call whose value was left to a reading thread, unless another thread has settled
        it. Runs in the reading thread or its timer's."""
        try:
            while not claimed(self._settling, record.key, self._settle_read, record, result):
                # The thread that left the value is about to drop its claim.
                green.sleep(naps.THREADS.first_s)
        except BaseException:  # of a handler or a callback
            self.calls.log.exception("a call was settled with an error")
        finally:
            if self.state is not State.OPEN:
                self._news()

    def _settle_read(self, record: Record, result: WorkerResult) -> bool:
        if record.key in self._pending:
            self._finish(record, record.ended or result, None)
        return True

    def _finish(
        self,
        record: Record,
        result: WorkerResult,
        error: BaseException | None,
        here: AbstractEventLoop | None = None,
        *,
        given_up: bool = False,
    ) -> None:
        """Deliver the result to the handlers, unless they have it, and to the caller."""
        try:
            if record.ended is None:
                record.ended = result
                self._report(record, result, error)
        finally:  # Ctrl-C in a handler
            try:
                if given_up:
                    record.give_up()
                else:
                    record.deliver(result, here)
            finally:
                if record.backend is None:  # delivered, even if a callback raised
                    self._pending.pop(record.key, None)

    def _unclaim(self) -> None:
        """Leave the results that this thread claimed to the completer, because of an exception."""
        pool = self._pool
        if pool is not None and pool.unclaim():
            with contextlib.suppress(PoolError):  # a thread that waits for its result still gets it
                self.need_completer(pool)
            pool.wake()

    def _report(self, record: Record, result: WorkerResult, error: BaseException | None) -> None:
        if self.hooks.complete:
            if error is None and result.outcome != "ok":
                error = self.calls.error_of(result)
            self.hooks.call("complete", record.call, result.metrics, error)
        if self.calls.log.isEnabledFor(_DEBUG):
            from pinfold._client.text import call_line

            self.calls.log.debug("%s", call_line(self.origin, record.call, result))

    def abandon(self, record: Record) -> bool:
        """Cancel a call: it is complete at once, and dies as soon as the kernel permits. Return
        False if it has ended, or another thread is settling it."""
        if os.getpid() != self._pid:
            return False
        try:
            if not self.deliver_events():
                self._is_late(record.key)
        finally:
            done = claimed(self._settling, record.key, self._abandon, record)
            if self.state is not State.OPEN:
                self._news()
        return bool(done)

    def _abandon(self, record: Record) -> bool:
        if record.key not in self._pending or record.ended is not None:
            return False
        try:
            if self._pool is not None and record.call_id:
                self._pool.cancel(record.call_id)
        finally:
            result = self.calls.failed("cancelled", "cancelled by the caller")
            self._finish(record, result, self.calls.cancelled_error(), given_up=True)
        return True

    def abandon_all(self, records: list[Record]) -> BaseException | None:
        """Cancel all of the calls. Return the first exception of a handler or callback."""
        errors: list[BaseException] = []
        for record in records:
            try:
                self.abandon(record)
            except BaseException as error:
                errors.append(error)
        return errors[0] if errors else None

    def wait_for(
        self, record: Record, timeout_ns: int, errors: list[BaseException] | None = None
    ) -> None:
        """Wait for this one call and settle it. Return early if another thread settles it. Before
        the wait, settle the results that a handler of this thread holds up. `errors` is as for
        `settle`. Raises TimeoutError."""
        if os.getpid() != self._pid:
            self.check_open()
        pool = self._pool
        if pool is not None and record.call_id:
            if pool.taken(False):
                self.settle(pool.taken, False, errors=errors)
            if green.patched():
                return self._look_for(pool, record, timeout_ns, errors)
            self.settle(pool.wait, record.call_id, timeout_ns, errors=errors)
        return None

    def _look_for(
        self,
        pool: _pool.Pool,
        record: Record,
        timeout_ns: int,
        errors: list[BaseException] | None,
    ) -> None:
        """Do as `wait_for`, and let other greenlets run meanwhile."""
        until = monotonic_ns() + timeout_ns
        lengths = naps.GREENLETS.lengths()
        while record.key in self._pending:
            with contextlib.suppress(TimeoutError):
                self.settle(pool.wait, record.call_id, 0, errors=errors)
                return
            left = (until - monotonic_ns()) / 1e9
            if left <= 0:
                raise TimeoutError
            green.sleep(min(left, next(lengths)))

    def need_completer(self, pool: _pool.Pool) -> None:
        """Ensure that a thread takes the results of the pool's own queue. Raises PoolError."""
        if self._completer is None:
            with self._lock:
                self._start_completer(pool)

    def _start_completer(self, pool: _pool.Pool) -> None:
        if self._completer is None and not self._completer_ends:
            self._completer = threading.Thread(
                target=self._complete,
                args=(pool,),
                name=f"pinfold-{self.origin.pool_id}",
                daemon=True,
            )
            try:
                self._completer.start()
            except RuntimeError as error:
                self._completer = None
                # At the interpreter's end, a thread that waits for its result still gets it.
                if threading.main_thread().is_alive():
                    raise PoolError(f"the pool could not start a thread: {error}") from None

    def _complete(self, pool: _pool.Pool) -> None:
        with green.polling(pool) as poll:
            while not self._completer_ends:
                poll()
                try:
                    self.deliver_events()
                    self.settle(pool.take)
                except BaseException:  # of a handler or a callback; other calls go on
                    from pinfold._common.log import log

                    log.exception("the completer thread goes on after an error")
