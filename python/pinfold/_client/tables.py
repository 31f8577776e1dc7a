"""What one engine keeps, and what all of its layers use.

Tables are changed by single operations on dicts, each of them atomic. Nothing holds a lock while it
calls a handler or waits.
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
    from pinfold.call import WorkerCall

claimed = _pool.Pool.claimed
here = _pool.Pool.here

HANDLER_S = 0.05  # how long a result waits for an event's handler in another thread


class State(Enum):
    OPEN = "open"
    DRAINING = "shutting down"
    CLOSED = "shut down"


class Tables:
    """The state of one engine: its pool, its pending calls, and who is at work on them."""

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
        self._settling: dict[int, int] = {}  # keys that are claimed, and the thread that has them
        self._submitting: dict[int, int] = {}  # the same, while handlers are told of the submit
        self._counts: dict[str, object] = {}
        self.learner: Learner | None = None
        if launch.config.preload == "auto":
            from pinfold._client.learner import Learner

            self.learner = Learner(launch)
        self._keys = count(1)
        # Opening, channels, the completer, the order of closing. Reentrant, because a collection in
        # the middle of it may be what forgets the backend.
        self._lock = threading.RLock()
        self._delivering: dict[int, int] = {}  # the claim to deliver events, and its thread
        self._undelivered: deque[_pool.Event] = deque()  # what is left of a pool that was closed
        self._late: dict[int, WorkerCall] = {}  # calls that were settled before those were told
        self._watching = False
        self._loop_queues: dict[AbstractEventLoop, LoopQueue] = {}
        self._completer: threading.Thread | None = None
        self._completer_ends = False
        self._idle = threading.Condition()  # told about every settled call once we drain
        self._closing: dict[int, int] = {}  # the claim to close it, and the thread that has it
        self._ending: list[tuple[int, int]] = []  # the threads that wait for its end, with `beside`
        self._shutdown_delivered = False
        self._closed = False

    def close(self, beside: int = 0) -> None:
        """See close.py: what opens the pool registers this for the interpreter's end."""
        raise NotImplementedError

    @property
    def serves(self) -> bool:
        """Whether it takes calls, of this process."""
        return self.state is State.OPEN and os.getpid() == self._pid

    def check_open(self) -> None:
        """Raises PoolClosed."""
        if os.getpid() != self._pid:
            raise PoolClosed(
                f"this backend belongs to process {self._pid}, from which this one was forked;"
                " make a backend in this process"
            )
        if self.state is not State.OPEN:
            raise PoolClosed("the backend is shut down; it takes no more calls")

    def _news(self) -> None:
        """Whoever ends the backend looks again."""
        with self._idle:
            self._idle.notify_all()
