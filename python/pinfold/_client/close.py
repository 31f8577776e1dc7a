"""The end of an engine: it takes no more calls, ends or finishes them, and gives all back."""

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

_TRIES = 10  # to close in the background, when handlers raise what is no Exception


class Closing(Submitting):
    """Ends, once, whoever asks for it, how often and in whatever thread."""

    def refuse(self) -> None:
        """Takes no more calls."""
        with self._lock:
            if self.state is State.OPEN:
                self.state = State.DRAINING

    def shutdown(self, *, wait: bool, beside: int = 0) -> None:
        """Waits until all calls have ended, or starts to end them all and returns at once. `beside`
        is a thread that waits for this one, if there is one: it may stand in a handler."""
        if os.getpid() != self._pid:
            return self._forget()
        self.refuse()
        if (self._closing or self._closed) and not wait:
            return None
        if wait:
            return self._as_one_that_ends(self._shutdown, beside)
        if self._pool is None:
            return self.close()
        # Not a daemon: the interpreter waits for it at its end.
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
        """What a thread of its own does: nobody else would go on where a handler has ended it."""
        for _ in range(_TRIES):
            try:
                self.close()
            except BaseException:  # of a handler or a callback
                from pinfold._common.log import log

                log.exception("%s was closed with an error", self.origin.pool_id)
            if self._closed:
                break

    def close(self, beside: int = 0) -> None:
        """Ends every call and every process, and returns when they are gone and everybody is told.
        If that is under way already, a handler that calls it does not wait for it: it would wait
        for itself. If an exception ends it, whoever waits for it, or calls it next, goes on."""
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
        """Other threads that do the same in a handler do not wait for this one: see `_is_idle`."""
        this = (here(), beside)
        try:
            self._ending.append(this)
            self._news()
            end(beside)
        finally:
            with contextlib.suppress(ValueError):
                self._ending.remove(this)

    def _in_handlers(self) -> set[int]:
        """The threads that take in, settle or tell something: they may be in a handler."""
        claims = (self._submitting, self._settling, self._delivering)
        return {thread for each in claims for thread in each.copy().values()}

    def _end(self, beside: int) -> bool:
        error = self._drain(beside, to_the_end=False)
        self._tear_down(beside)
        if error is not None:
            raise error
        return True

    def _drain(self, beside: int, *, to_the_end: bool) -> BaseException | None:
        """Returns when no call is pending and no handler runs, but in this thread or the one beside
        it, or where it would wait for this one. Unless `to_the_end`, gives up calls of which there
        is no news: there will be none. What a handler or a callback raises does not end it; the
        first is returned."""
        errors: list[BaseException] = []
        while True:
            if self._pool is not None:
                self.settle(self._pool.taken, True, errors=errors)
            for record in list(self._pending.values()):
                self.wait_for(record, FOREVER_NS, errors)
            with self._idle:
                if self._is_idle(beside):
                    return errors[0] if errors else None
                # Not for ever: whoever has news may be thrown out before it tells.
                news = self._idle.wait(naps.STRAY_S)
            if not news and not to_the_end:
                error = self.abandon_all(list(self._pending.values()))
                if error is not None:
                    errors.append(error)

    def _is_idle(self, beside: int) -> bool:
        """Whether there is nothing to wait for. Where this thread is in a handler, others that wait
        for the end in theirs may wait for it."""
        but = {here(), beside}
        if but & self._in_handlers():
            but.update(*self._ending.copy())
        settling, submitting = self._settling.copy(), self._submitting.copy()
        ours = {key for key, thread in submitting.items() if thread in but}
        return but.issuperset(settling.values()) and settling.keys() | ours >= set(self._pending)

    def _tear_down(self, beside: int) -> None:
        """May be called again if an exception came before its end."""
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
                self.counts()  # stay to be read
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
        """But for one in an event's handler that does not end: it may wait for this thread; and for
        a greenlet of a thread that lets none of its own run."""
        while completer.is_alive():
            completer.join(naps.STRAY_S)
            if completer.ident in self._delivering.copy().values() or green.patched():
                break

    def _forget(self) -> None:
        """In a forked child: gives back what this process holds, and touches nothing else."""
        self.state = State.CLOSED
        if self._pool is not None:
            self._pool.close()
            atexit.unregister(self.close)
