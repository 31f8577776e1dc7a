# SPDX-License-Identifier: Apache-2.0
"""The state of one engine, which all of its layers use.

Each change of a table is a single operation on a dict, which is atomic. No thread holds a lock
while it calls a handler or waits.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from enum import Enum
from itertools import count
from typing import TYPE_CHECKING

from pinfold._client import green
from pinfold._client.record import Origin
from pinfold._ext import _pool
from pinfold.errors import PoolClosed

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from pinfold._client.calls import Calls
    from pinfold._client.hooks import Hooks
    from pinfold._client.launch import Launch
    from pinfold._client.learner import Learner
    from pinfold._client.loop_queue import LoopQueue
    from pinfold._client.record import Record
    from pinfold._client.request import CompiledForms
    from pinfold.call import Call

claimed = _pool.Pool.claimed
here = _pool.Pool.here

HANDLER_S = 0.05  # how long a result waits for an event's handler in another thread


class State(Enum):
    OPEN = "open"
    DRAINING = "shutting down"
    CLOSED = "shut down"


class Tables:
    """The state of one engine: its pool, its pending calls, and the claims on them."""

    calls: type[Calls]
    """Set by `Submitting.prepare`, before the first call."""

    def __init__(self, launch: Launch, hooks: Hooks) -> None:
        self.launch = launch
        self.hooks = hooks
        self.origin = Origin(launch.config.pool_id, launch.config.node_id)
        self.state = State.OPEN
        self._pid = os.getpid()
        if green.patched():
            _pool.Pool.identify(threading.get_ident)
        self._pool: _pool.Pool | None = None
        self._pending: dict[int, Record] = {}
        self._settling: dict[int, int] = {}  # claimed keys, each with the thread that claims it
        self._submitting: dict[int, int] = {}  # the same, while handlers of the submit run
        self._counts: dict[str, object] = {}
        self.forms: CompiledForms | None = None  # made by `Submitting.prepare`, for `fresh`
        self.learner: Learner | None = None
        if launch.config.preload == "auto":
            from pinfold._client.learner import Learner

            self.learner = Learner(launch)
        self._keys = count(1)
        # Guards opening, loop queues, the completer and the order of closing. Reentrant, because a
        # garbage collection may close a forgotten backend while its thread holds the lock.
        self._lock = threading.RLock()
        self._delivering: dict[int, int] = {}  # the claim to deliver events, and its thread
        self._undelivered: deque[_pool.Event] = deque()  # events of a closed pool
        self._late: dict[int, Call] = {}  # calls settled before the event of their start
        self._watching = False
        self._loop_queues: dict[AbstractEventLoop, LoopQueue] = {}
        self._completer: threading.Thread | None = None
        self._completer_ends = False
        self._idle = threading.Condition()  # notified of every settled call while we drain
        self._closing: dict[int, int] = {}  # the claim to close the engine, and its thread
        self._ending: list[tuple[int, int]] = []  # threads that wait for the end, with `beside`
        self._shutdown_delivered = False
        self._closed = False

    def close(self, beside: int = 0) -> None:
        """See close.py. `Submitting.pool` registers this method for the interpreter's end."""
        raise NotImplementedError

    @property
    def serves(self) -> bool:
        """Whether the engine takes calls of this process."""
        return self.state is State.OPEN and os.getpid() == self._pid

    def check_open(self) -> None:
        """Raise PoolClosed unless the engine takes calls of this process."""
        if os.getpid() != self._pid:
            raise PoolClosed(
                f"this backend belongs to process {self._pid}, from which this one was forked;"
                " make a backend in this process"
            )
        if self.state is not State.OPEN:
            raise PoolClosed("the backend is shut down; it takes no more calls")

    def _news(self) -> None:
        """Wake the threads that close the engine, so that they check it again."""
        with self._idle:
            self._idle.notify_all()
