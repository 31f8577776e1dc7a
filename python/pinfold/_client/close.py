# SPDX-License-Identifier: Apache-2.0
"""Closing: refuse further calls, drain or end the pending ones, and release all resources."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from typing import TYPE_CHECKING

from pinfold._client import green, naps
from pinfold._client.submit import Submitting
from pinfold._client.tables import State, claimed, here
from pinfold.call import FOREVER_NS

if TYPE_CHECKING:
    from collections.abc import Callable

_TRIES = 10  # to close in the background, when handlers raise other than an Exception


class Closing(Submitting):
    """The layer that closes the engine. Any thread may close it, any number of times."""

    def refuse(self) -> None:
        """Refuse further calls."""
        with self._lock:
            if self.state is State.OPEN:
                self.state = State.DRAINING

    def shutdown(self, *, wait: bool, beside: int = 0) -> None:
        """Wait until all calls have ended, or start to end them all and return at once. `beside` is
        a thread that waits for this one, or 0. That thread may be in a handler."""
        if os.getpid() != self._pid:
            return self._forget()
        self.refuse()
        if (self._closing or self._closed) and not wait:
            return None
        if wait:
            return self._as_one_that_ends(self._shutdown, beside)
        if self._pool is None:
            return self.close()
        # Not a daemon, so that the interpreter waits for this thread at its end.
        closer = threading.Thread(
            target=self._close_beside, name=f"pinfold-{self.origin.pool_id}-close"
        )
        try:
            closer.start()
        except RuntimeError:  # the interpreter is at its end already
            self.close()
        return None

    def _shutdown(self, beside: int) -> None:
        error = self._drain(beside, to_the_end=True)
        self.close(beside)
        if error is not None:
            raise error

    def _close_beside(self) -> None:
        """Close in a thread of its own. Try again after an exception of a handler, because no other
        thread would."""
        for _ in range(_TRIES):
            try:
                self.close()
            except BaseException:  # of a handler or a callback
                from pinfold._common.log import log

                log.exception("%s was closed with an error", self.origin.pool_id)
            if self._closed:
                break

    def close(self, beside: int = 0) -> None:
        """End every call and process. Return when they are gone and all results are delivered.

        A handler that calls this while another thread closes does not wait, because it would wait
        for itself. After an exception, a waiting thread or the next caller continues the closing.
        """
        if os.getpid() != self._pid:
            return self._forget()
        self.refuse()
        if self._pool is not None:
            self._pool.shutdown()
        return self._as_one_that_ends(self._close, beside)

    def _close(self, beside: int) -> None:
        while not self._closed:
            try:
                if claimed(self._closing, 0, self._end, beside):
                    return
            finally:
                self._news()
            busy = self._in_handlers() | set(self._closing.copy().values())
            if {here(), beside} & busy:
                return
            with self._idle:
                if self._closing and not self._closed:
                    self._idle.wait(naps.STRAY_S)

    def _as_one_that_ends(self, end: Callable[[int], None], beside: int) -> None:
        """Run `end`, registered as a thread that closes: others that close in a handler do not wait
        for this one (`_is_idle`)."""
        this = (here(), beside)
        try:
            self._ending.append(this)
            self._news()
            end(beside)
        finally:
            with contextlib.suppress(ValueError):
                self._ending.remove(this)

    def _in_handlers(self) -> set[int]:
        """Return the threads that submit, settle or deliver events: they may be in a handler."""
        claims = (self._submitting, self._settling, self._delivering)
        return {thread for each in claims for thread in each.copy().values()}

    def _end(self, beside: int) -> bool:
        error = self._drain(beside, to_the_end=False)
        self._tear_down(beside)
        if error is not None:
            raise error
        return True

    def _drain(self, beside: int, *, to_the_end: bool) -> BaseException | None:
        """Return when no call is pending and no handler runs that this thread may wait for.

        It may not wait for handlers of its own, of the thread `beside`, or of threads that wait for
        it. Unless `to_the_end`, give up calls that make no progress: they would not end. An
        exception of a handler or callback does not end the drain. The first is returned.
        """
        errors: list[BaseException] = []
        while True:
            if self._pool is not None:
                self.settle(self._pool.taken, True, errors=errors)
            for record in list(self._pending.values()):
                self.wait_for(record, FOREVER_NS, errors)
            with self._idle:
                if self._is_idle(beside):
                    return errors[0] if errors else None
                # Not for ever: an exception may interrupt a thread before it notifies.
                news = self._idle.wait(naps.STRAY_S)
            if not news and not to_the_end:
                error = self.abandon_all(list(self._pending.values()))
                if error is not None:
                    errors.append(error)

    def _is_idle(self, beside: int) -> bool:
        """Return whether there is nothing to wait for. If this thread is in a handler, threads that
        close in handlers of theirs may wait for it."""
        but = {here(), beside}
        if but & self._in_handlers():
            but.update(*self._ending.copy())
        settling, submitting = self._settling.copy(), self._submitting.copy()
        ours = {key for key, thread in submitting.items() if thread in but}
        return but.issuperset(settling.values()) and settling.keys() | ours >= set(self._pending)

    def _tear_down(self, beside: int) -> None:
        """Close the pool and release all resources. May be called again after an exception."""
        with self._lock:
            self.state = State.CLOSED
            self._completer_ends = True
        pool = self._pool
        try:
            if not self.deliver_events(naps.STRAY_S) and pool is not None:
                self._keep_events(pool)
        finally:
            if pool is not None:
                pool.wake()
                completer = self._completer
                if completer is not None and completer.ident not in (here(), beside):
                    self._join(completer)
                for loop, loop_queue in list(self._loop_queues.items()):
                    loop_queue.close()
                    self._loop_queues.pop(loop, None)
                self.counts()  # keeps the last figures readable
                pool.close()
        self.launch.clean()
        atexit.unregister(self.close)
        try:
            if not self._shutdown_delivered:
                self._shutdown_delivered = True
                self.hooks.call("shutdown")
        finally:
            self._closed = True

    def _join(self, completer: threading.Thread) -> None:
        """Join the completer, unless it is in an event's handler that may wait for this thread, or
        is a greenlet whose thread lets no others run."""
        while completer.is_alive():
            completer.join(naps.STRAY_S)
            if completer.ident in self._delivering.copy().values() or green.patched():
                break

    def _forget(self) -> None:
        """Release the resources of a forked child, and touch nothing of its parent."""
        self.state = State.CLOSED
        if self._pool is not None:
            self._pool.close()
            atexit.unregister(self.close)
