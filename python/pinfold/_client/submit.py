# SPDX-License-Identifier: Apache-2.0
"""Submitting: opening the pool on first use, and handing calls to it."""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import weakref
from time import monotonic_ns
from typing import TYPE_CHECKING, NamedTuple

from pinfold._client.settle import Settling
from pinfold._client.tables import State, claimed
from pinfold._ext import _pool
from pinfold.call import FOREVER_NS, ProgramCall
from pinfold.errors import InvalidCall, PoolClosed, PoolError, QueueFull
from pinfold.limits import BOXED_RESULT_BYTES

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Iterator

    from pinfold._client.hooks import Hooks
    from pinfold._client.launch import Launch
    from pinfold._client.loop_queue import LoopQueue
    from pinfold._client.record import Record
    from pinfold.limits import Limits


class Bounds(NamedTuple):
    """The bounds of a call besides its time, in the order of `Pool.submit`. 0: unbounded."""

    output_bytes: int
    result_bytes: int
    memory_bytes: int
    cpu_ns: int
    processes: int
    file_bytes: int
    printed_bytes: int


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Raise PoolError for a failed import in the block. Imports on use may fail, for want of
    descriptors, say."""
    try:
        yield
    except (OSError, ImportError) as error:
        raise PoolError(f"the pool could not load what calls need: {error}") from error


class Submitting(Settling):
    """The layer that opens the pool and takes calls."""

    def __init__(self, launch: Launch, hooks: Hooks) -> None:
        super().__init__(launch, hooks)
        self._boxed = launch.config.sandbox != "none"
        self._bounds: tuple[Limits | None, bool, Bounds] = (
            None,
            False,
            Bounds(0, 0, 0, 0, 0, 0, 0),
        )

    def prepare(self) -> None:
        """Start the pool before the first call, and import `Calls` while the template's interpreter
        starts in its own process. `start` reports why a pool cannot be started. Raises
        PoolError."""
        if "calls" in self.__dict__:
            return
        with contextlib.suppress(OSError, PoolError):
            self.pool()
        with loading():
            from pinfold._client.calls import Calls
        if self.launch.config.isolation == "fresh":
            self.forms = Calls.CompiledForms()
        self.calls = Calls

    def pool(self) -> _pool.Pool:
        """Return the pool, opened on first use. Raises OSError, PoolClosed."""
        pool = self._pool
        if pool is not None:
            return pool
        with self._lock:
            self.check_open()
            if self._pool is None:
                watching = self.hooks.of_workers
                opened = self.launch.open(events=watching)
                if self.state is not State.OPEN:  # a signal handler has closed the backend
                    opened.close()
                    self.launch.clean()
                    self.check_open()
                atexit.register(self.close)
                self._pool = opened
                _open.add(self)
                self._watching = watching
                if watching:
                    self._start_completer(opened)
                stats = opened.stats()
                if stats["spill_in_memory"]:
                    from pinfold._common.log import log

                    log.info(
                        "%s: spills in %s cost memory",
                        self.origin.pool_id,
                        self.launch.config.spill_dir,
                    )
            return self._pool

    def start(
        self,
        record: Record,
        segments: list[bytes | memoryview],
        limits: Limits,
        began: int,
    ) -> None:
        """Hand a call to the pool. Its deadline counts from `began` (monotonic nanoseconds), except
        for the time in which the pool opens.

        A call that the pool cannot take for reasons of its own ends ``internal``. Raises
        PoolClosed, QueueFull and InvalidCall. The call is complete then, too.
        """
        record.key = next(self._keys)
        self._pending[record.key] = record
        try:
            if self.hooks.submit:
                claimed(self._submitting, record.key, self.hooks.call, "submit", record.call)
            pool = self.pool()
            queue = record.queue_in(pool)
            collects = bool(record.call.collect)
            flags = _pool.EXITS if isinstance(record.call, ProgramCall) else 0
            flags |= _pool.COLLECTS if collects else 0
            bounds = self._bounds_of(limits, collects)
            record.result_bytes = bounds.result_bytes
            left = record.deadline_ns
            if left != FOREVER_NS:
                left = max(1, left - (monotonic_ns() - began))
            pool.submit(record, segments, queue, record.key, left, record.wall_ns, flags, bounds)
        except BaseException as error:
            claimed(self._settling, record.key, self._not_taken, record, error)

    def _bounds_of(self, limits: Limits, collects: bool) -> Bounds:
        """Return the bounds of a call, cached because most calls have those of the last."""
        known, collected, bounds = self._bounds
        if known is not limits or collected is not collects:
            most = BOXED_RESULT_BYTES if self._boxed or collects else 0
            bounds = Bounds(
                output_bytes=limits.output_bytes,
                result_bytes=limits.result_bytes or most,
                memory_bytes=limits.memory_bytes or 0,
                cpu_ns=limits.cpu_ns,
                processes=limits.processes or 0,
                file_bytes=limits.file_bytes or 0,
                printed_bytes=limits.printed_bytes or 0,
            )
            self._bounds = limits, collects, bounds
        return bounds

    def has_room(self) -> bool:
        """Return whether the pool's queue would take one more call now."""
        most = self.launch.config.max_queue
        if most is None or self._pool is None:
            return True
        with contextlib.suppress(ValueError):  # the pool is closed: a submit will report it
            stats = self._pool.stats()
            under_way = stats["submitted"] - sum(stats["outcomes"].values())
            return under_way < self.launch.max_workers + most
        return True

    def _not_taken(self, record: Record, error: BaseException) -> None:
        if record.key not in self._pending:  # another thread closed the pool and ended the call
            return None
        refusal = self._refusal(error) if isinstance(error, OSError) else error
        result = self.calls.failed("internal", str(refusal))
        if type(refusal) is PoolError:
            refusal.result = result
            return self._finish(record, result, refusal)
        try:
            if self._pool is not None and record.call_id:  # the pool took it before the interrupt
                self._pool.cancel(record.call_id)
            self._report(record, result, refusal)
        finally:
            self._pending.pop(record.key, None)
        raise refusal from (None if refusal is not error else error.__cause__)

    def _refusal(self, error: OSError) -> BaseException:
        if error.errno == errno.EAGAIN:
            return QueueFull(
                f"{self.launch.config.max_queue} calls are waiting already (max_queue)"
            )
        if error.errno in (errno.ESHUTDOWN, errno.ECHILD):
            return PoolClosed("the backend is shut down; it takes no more calls")
        if error.errno == errno.EINVAL:
            return InvalidCall(str(error.strerror))
        return PoolError(f"the pool could not take the call: {error.strerror}")

    def watch(self) -> None:
        """Make the pool deliver events to the handlers from now on."""
        with self._lock:
            if self._pool is None or self._watching or self.state is State.CLOSED:
                return
            self._pool.watch()
            self._watching = True
            self._start_completer(self._pool)

    def loop_queue(self, loop: AbstractEventLoop, pool: _pool.Pool) -> LoopQueue:
        """Return the loop queue of a running event loop. Raises OSError."""
        queue = self._loop_queues.get(loop)
        if queue is None:
            self._forget_closed_loops()
            from pinfold._client.loop_queue import LoopQueue

            queue = LoopQueue(self, pool, loop)
            with self._lock:
                closed = self.state is State.CLOSED
                if not closed:
                    self._loop_queues[loop] = queue
            if closed:
                queue.close()
                raise PoolClosed("the backend is shut down; it takes no more calls")
        return queue

    def _forget_closed_loops(self) -> None:
        # While we drain, a thread may wait in C for a call whose queue this would close.
        if self.state is not State.OPEN:
            return
        for loop, loop_queue in list(self._loop_queues.items()):
            if loop.is_closed() and self._loop_queues.pop(loop, None) is not None:
                error = self.abandon_all(
                    [each for each in list(self._pending.values()) if each.waits_in(loop)]
                )
                loop_queue.close()
                if error is not None:
                    raise error

    def counts(self) -> dict[str, object]:
        """Return the library's figures: empty before the pool opens, the last ones after it
        closes."""
        if self._pool is None or os.getpid() != self._pid:
            return {}
        with contextlib.suppress(ValueError):
            counts: dict[str, object] = dict(self._pool.stats())
            del counts["template_start_ns"]
            if self.learner is not None:
                self.learner.look(self._pool)
                counts |= self.learner.figures()
            self._counts = counts
        return dict(self._counts)

    def memory(self) -> _pool.Memory | None:
        """Return the library's figures of the processes' memory, None without a pool."""
        if self._pool is not None and os.getpid() == self._pid:
            with contextlib.suppress(ValueError):
                return self._pool.memory()
        return None


_open: weakref.WeakSet[Submitting] = weakref.WeakSet()


def _close_copies() -> None:
    """Close the pools' descriptors in a forked child, before it reuses their numbers."""
    for engine in list(_open):
        if engine._pool is not None:
            engine._pool.close_copies()


os.register_at_fork(after_in_child=_close_copies)
