# SPDX-License-Identifier: Apache-2.0
"""Completion queues that asyncio event loops read, and the calls that coroutines wait for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from pinfold._client.record import Owner, Record, Settler

if TYPE_CHECKING:
    from pinfold._ext._pool import Pool, Queue
    from pinfold.call import Call
    from pinfold.result import WorkerResult


class LoopQueue:
    """One completion queue, read by one event loop.

    The loop watches a duplicate of the queue's descriptor. The queue can then be closed at any time
    and from any thread. The duplicate is closed after the loop has removed it, so that no loop
    watches a number that has been reused.
    """

    def __init__(self, engine: Settler, pool: Pool, loop: asyncio.AbstractEventLoop) -> None:
        self._fd = -1  # first, because __del__ reads it even if the rest raises
        self.loop = loop
        self.queue = pool.queue()
        self._engine = engine
        try:
            self._fd = os.dup(self.queue.fileno())
            _open.add(self)
            loop.add_reader(self._fd, self._take)
        except BaseException:
            self._close_fd()
            self.queue.close()
            raise

    def _take(self) -> None:
        self._engine.settle(self.queue.take, here=self.loop)

    def close(self) -> None:
        """Close the queue and its duplicate, from any thread."""
        self.queue.close()
        loop = self.loop
        if loop.is_closed():
            self._close_fd()
        elif not loop.is_running() or asyncio._get_running_loop() is loop:
            self._detach()
        else:
            # If the loop ends first, its handles go, and with them the last reference to `self`.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._detach)

    def _detach(self) -> None:
        if self._fd >= 0:
            if not self.loop.is_closed():
                self.loop.remove_reader(self._fd)
            self._close_fd()

    def _close_fd(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self._close_fd()


_open: weakref.WeakSet[LoopQueue] = weakref.WeakSet()


def _close_copies() -> None:
    """Close the duplicates in a forked child, as the library does with its descriptors: the child
    may soon reuse their numbers."""
    for queue in list(_open):
        queue._close_fd()


os.register_at_fork(after_in_child=_close_copies)


class LoopCall(Record):
    """A call whose end a coroutine of the running loop awaits."""

    __slots__ = ("future",)

    def __init__(self, backend: Owner, call: Call, codec: str) -> None:
        super().__init__(backend, call, codec)
        self.future: asyncio.Future[WorkerResult] = asyncio.get_running_loop().create_future()

    def queue_in(self, pool: Pool) -> Queue | None:
        assert self.backend is not None
        return self.backend._engine.loop_queue(self.future.get_loop(), pool).queue

    def waits_in(self, loop: asyncio.AbstractEventLoop) -> bool:
        return self.future.get_loop() is loop

    def deliver(self, result: WorkerResult, here: asyncio.AbstractEventLoop | None) -> None:
        loop = self.future.get_loop()
        if here is loop:
            self._finish(result)
        else:
            with contextlib.suppress(RuntimeError):  # the loop was closed, and its waits with it
                loop.call_soon_threadsafe(self._finish, result)
        self.backend = None

    def give_up(self) -> None:
        # The coroutine cancelled the call itself, or its loop was closed, or its backend was torn
        # down while it waited.
        with contextlib.suppress(RuntimeError):
            self.future.get_loop().call_soon_threadsafe(self.future.cancel)
        self.backend = None

    def _finish(self, result: WorkerResult) -> None:
        if not self.future.done():
            self.future.set_result(result)


async def in_a_thread(work: Callable[[], None]) -> None:
    """Run `work` in a thread of its own, which has ended when this returns. The thread goes on if
    the coroutine is cancelled."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def finish(error: BaseException | None) -> None:
        if not future.done():
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

    def run() -> None:
        error = None
        try:
            work()
        except BaseException as raised:
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop was closed, and its waits with it
            loop.call_soon_threadsafe(finish, error)

    thread = threading.Thread(target=run, name="pinfold-wait")
    try:
        thread.start()
    except RuntimeError:  # at the interpreter's end
        return work()
    await future
    thread.join()
    return None
