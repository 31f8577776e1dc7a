# SPDX-License-Identifier: Apache-2.0
"""Delivery of the events of workers to the handlers of a backend."""

from __future__ import annotations

import time

from pinfold._client import naps
from pinfold._client.tables import HANDLER_S, Tables, claimed, here
from pinfold._ext import _pool


class Events(Tables):
    """The layer that delivers events in their order, in one thread at a time."""

    def deliver_events(self, most_s: float = HANDLER_S) -> bool:
        """Deliver the events so far, in their order, in one thread at a time.

        Return False if another thread delivers for longer than `most_s`: it is in a handler, which
        may wait for this thread. That thread delivers the rest after its handler returns. The first
        exception of a handler propagates after all events have been delivered.
        """
        pool = self._pool
        if not self._watching or pool is None:
            return True
        if self._delivering.get(0) == here():  # a handler of this thread called us
            return self._deliver_events(pool)
        waited, lengths = 0.0, naps.THREADS.lengths()
        while not claimed(self._delivering, 0, self._deliver_events, pool):
            if waited >= most_s:
                return False
            nap = next(lengths)
            time.sleep(nap)
            waited += nap
        return not self._undelivered or self.deliver_events(most_s)

    def _deliver_events(self, pool: _pool.Pool) -> bool:
        first: BaseException | None = None
        late = list(self._late)  # the events of these calls are in the queue already
        try:
            while (event := self._next_event(pool)) is not None:
                try:
                    self._deliver_event(event)
                except BaseException as error:
                    if first is None:
                        first = error
            for key in late:
                self._late.pop(key, None)
            if first is not None:
                raise first
            return True
        finally:
            first = None  # it refers to this frame

    def _next_event(self, pool: _pool.Pool) -> _pool.Event | None:
        return self._undelivered.popleft() if self._undelivered else pool.next_event()

    def _keep_events(self, pool: _pool.Pool) -> None:
        """Keep the events of a pool that is about to be closed, for the thread that delivers."""
        while (event := pool.next_event()) is not None:
            self._undelivered.append(event)
        self.deliver_events(0)

    def _is_late(self, key: int) -> None:
        """Note a call that is settled before the event of its start has been delivered."""
        record = self._pending.get(key)
        if record is not None and self.hooks.start:
            self._late[key] = record.call

    def _deliver_event(self, event: _pool.Event) -> None:
        from pinfold.result import Worker

        worker = Worker(event.worker_id, self.origin.node_id, event.worker_pid)
        if event.kind == _pool.EVENT_CALL_START:
            call = self._late.pop(event.key, None)
            record = self._pending.get(event.key)
            if call is None and record is not None and event.key not in self._settling:
                call = record.call
            if call is not None:
                self.hooks.call("start", call, worker)
        elif event.kind == _pool.EVENT_WORKER_START:
            self.hooks.call("worker_start", worker)
        elif event.kind == _pool.EVENT_WORKER_EXIT:
            self.hooks.call("worker_exit", worker, event.reason)
